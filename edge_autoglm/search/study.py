"""The Optuna study: opened or made, checked to be of this very search, and run until enough points
were evaluated.

All of a study's state is in its storage, so that a search goes on after Ctrl-C, and several
processes or machines work on one. What a study is of stands in its attributes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_autoglm.errors import EdgeError, UsageError
from edge_quantize.errors import MissingExtraError

from .budget import Excess
from .judge import Worth
from .space import Choice, Space

if TYPE_CHECKING:
    import optuna

NAME = "edge-autoglm"
JOURNAL = "study.journal"
OBJECTIVES = ("latency_ms", "flash", "error")
_MOST_REPEATS = 200  # of points that are known already, before the search gives up on new ones
_MOST_REFUSED = 100  # by the memory plan, for each point that may fit
_EVALUATED, _REFUSED, _CONSTRAINTS = "evaluated", "refused", "excesses"
_STORAGES = ("optuna", "sqlalchemy", "sqlite3", "json")  # whose errors are the storage's
_BAD = 1.0  # of a point that came out wrong: as bad as one that takes twice what there is


class StudyError(EdgeError):
    """A study cannot be opened, or is of something else."""


@dataclass(frozen=True)
class Identity:
    """What a study is of. Two searches with one identity are one."""

    model: str  # SHA-256
    board: str
    budget: Mapping[str, Any]
    data: str  # SHA-256 of samples and labels
    level: int
    seed: int

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Evaluated:
    """A point with what it takes and is worth: `flash` and `ram` bytes, modelled; `latency_ms`
    None for a core without a model."""

    number: int
    choice: Choice
    values: Mapping[str, Any]  # of the study's parameters
    flash: int
    ram: int
    arena: int
    latency_ms: float | None
    macs: int
    worth: Worth
    broken: tuple[str, ...]  # what is beyond the budget, in words
    beyond: float  # by how much at most, 0 where nothing is

    @property
    def fits(self) -> bool:
        return not self.broken

    def objectives(self) -> tuple[float, float, float]:
        """Time, flash, error."""
        return self.time, float(self.flash), self.worth.error.value

    @property
    def time(self) -> float:
        """Latency, MACs where it is not known."""
        return self.latency_ms if self.latency_ms is not None else float(self.macs)


@dataclass(frozen=True)
class Refused:
    """A point without figures: the memory plan alone refuses it (`excesses`), or it cannot be made
    (`why`: there are not so many channels to give), or it was made and came out `wrong`."""

    values: Mapping[str, Any]
    excesses: tuple[Excess, ...] = ()
    why: str = ""
    wrong: bool = False


Evaluate = Callable[[int, Choice, Mapping[str, Any]], "Evaluated | Refused"]


def require_optuna() -> None:
    """Raises MissingExtraError with the install line."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            "the search needs Optuna, which is not installed: pip install 'edge-autoglm[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(folder: Path, url: str | None, identity: Identity) -> optuna.Study:
    """The study in `folder` (or at an Optuna storage URL), made where there is none.

    `journal:PATH` names a journal file, which needs no database and works over NFS; without `url`
    it is one in `folder`. Raises StudyError where the storage cannot be used or its study is of
    another model, board, budget, data, level or seed.
    """
    require_optuna()
    import optuna

    storage = _storage(folder, url)
    where = url or str(folder / JOURNAL)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            directions=["minimize"] * len(OBJECTIVES),
            load_if_exists=True,
        )
        found = study.user_attrs.get("identity")
    except Exception as error:
        raise StudyError(f"{where}: no study can be kept there: {_first_line(error)}") from error
    wanted = identity.json()
    if found is None:
        study.set_user_attr("identity", wanted)
        study.set_user_attr("objectives", list(OBJECTIVES))
        return study
    check_identity(found, wanted, where)
    return study


def check_identity(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Raises StudyError naming the first thing that a study is of and this search is not."""
    for name, mine in wanted.items():
        theirs = found.get(name)
        if theirs == mine:
            continue
        shown = [
            str(value)[:12] if name in ("model", "data") else json.dumps(value)
            for value in (theirs, mine)
        ]
        raise StudyError(
            f"{where}: holds a study of another {name} ({shown[0]}, not {shown[1]}); name another "
            "-o or --storage, or remove it"
        )


def _storage(folder: Path, url: str | None) -> Any:
    from optuna.storages import JournalStorage

    from .database import open_database
    from .journal import WholeLines

    if url is None or url.startswith("journal:"):
        path = folder / JOURNAL if url is None else Path(url.removeprefix("journal:"))
        try:
            return JournalStorage(WholeLines(path))
        except OSError as error:
            raise StudyError(f"{path}: {error.strerror or error}") from error
        except Exception as error:
            raise StudyError(f"{path}: is no study's journal: {_first_line(error)}") from error
    if "://" not in url:
        raise UsageError(
            f"--storage: {url!r} is no URL; use sqlite:///FILE, a database's URL, or journal:FILE"
        )
    try:
        return open_database(url)
    except Exception as error:
        raise StudyError(f"{url}: {_first_line(error)}") from error


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns what a storage raises into one line. Raises StudyError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _STORAGES:
            raise
        raise StudyError(f"the study's storage failed: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def shared_choices(study: optuna.Study, space: Callable[[], Space]) -> Space:
    """The space of the study: as the first process found it, so that all search the same one."""
    kept = study.user_attrs.get("space")
    if kept is None:
        found = space()
        study.set_user_attr("space", asdict(found))
        # Two processes may have come to here at once: what is there now is the study's.
        kept = study.user_attrs.get("space") or asdict(found)
    return Space(
        sparsities=tuple(kept["sparsities"]),
        aligns=tuple(kept["aligns"]),
        wide=tuple(kept["wide"]),
        narrow=tuple(kept["narrow"]),
        kernels={op: tuple(rows) for op, rows in kept["kernels"].items()},
    )


def evaluated(study: optuna.Study, space: Space) -> tuple[Evaluated, ...]:
    """Every point that was evaluated, by any process, in the order of their numbers; of repeated
    ones the first."""
    found: dict[Choice, Evaluated] = {}
    for trial in study.trials:
        content = trial.user_attrs.get(_EVALUATED)
        if trial.state.name == "COMPLETE" and content is not None:
            point = _read(trial.number, content, space)
            found.setdefault(point.choice, point)
    return tuple(found.values())


def refused(study: optuna.Study) -> tuple[Refused, ...]:
    """Every point that was refused or came out wrong."""
    return tuple(
        Refused(
            t.user_attrs[_REFUSED]["values"],
            tuple(Excess(**e) for e in t.user_attrs[_REFUSED][_CONSTRAINTS]),
            t.user_attrs[_REFUSED].get("why", ""),
            t.user_attrs[_REFUSED].get("wrong", False),
        )
        for t in study.trials
        if _REFUSED in t.user_attrs
    )


def run(
    study: optuna.Study,
    space: Space,
    evaluate: Evaluate,
    trials: int,
    seed: int,
    heard: Callable[[Evaluated | Refused], None] = lambda _: None,
) -> None:
    """Evaluates points until the study has `trials` of them, or no new one is found. A point that
    came out wrong took as long as a good one and counts as one; those that are refused before they
    are made do not, up to 100 for each that was evaluated.

    The sampler is made anew for every point, from `seed` and the points known: so a search that
    was interrupted goes on as if it had not been. `heard` is told of every point of this process.
    """
    parameters = space.parameters()
    seeds = space.seeds()
    repeats = 0
    while repeats < _MOST_REPEATS:
        done = {point.choice for point in evaluated(study, space)}
        without = refused(study)
        known = done | {space.choice(r.values) for r in without}
        wrong = sum(r.wrong for r in without)
        if len(done) + wrong >= trials or len(known) >= _points(parameters):
            return
        if len(without) - wrong >= _MOST_REFUSED * (1 + len(done)):
            return
        study.sampler = _sampler(seed + 1000 * len(known) + repeats)
        taken = known | _running(study, space)
        fixed = next((s for s in seeds if space.choice(s) not in taken), None)
        if fixed is not None:
            study.sampler = _always(fixed, parameters, study.sampler)
        trial = study.ask()
        try:
            values = {
                name: trial.suggest_categorical(name, list(options))
                if name.startswith("kernel.")
                else _suggest_step(trial, name, options)
                for name, options in parameters.items()
            }
            trial.set_user_attr("values", values)
            if space.choice(values) in known:
                repeats += 1
                _fail(study, trial)
                continue
            repeats = 0
            outcome = evaluate(trial.number, space.choice(values), values)
        except BaseException:
            _fail(study, trial)
            raise
        _tell(study, trial, outcome)
        heard(outcome)


def _suggest_step(trial: optuna.Trial, name: str, options: Sequence[Any]) -> Any:
    """An ordered choice, by its place: near ones are alike, which a sampler makes use of."""
    return options[trial.suggest_int(name, 0, len(options) - 1)]


def _sampler(seed: int) -> Any:
    import warnings

    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        # "Experimental" in Optuna 4; in 5 `set_constraint` is to take its place, which 4 lacks.
        warnings.simplefilter("ignore")
        return TPESampler(
            seed=seed % 2**32, multivariate=True, n_startup_trials=8, constraints_func=_constraints
        )


def _always(values: Mapping[str, Any], parameters: Mapping[str, Any], others: Any) -> Any:
    """A sampler that gives these values. An enqueued trial would do it too, but two processes can
    be given the same one by a database."""
    import warnings

    from optuna.samplers import PartialFixedSampler

    steps = {
        name: value if name.startswith("kernel.") else parameters[name].index(value)
        for name, value in values.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Experimental"
        return PartialFixedSampler(steps, others)


def _constraints(trial: Any) -> Sequence[float]:
    """By how much each limit is missed, 0 where none is; what failed says nothing."""
    return (float(trial.user_attrs.get(_CONSTRAINTS, 0.0)),)


def _running(study: optuna.Study, space: Space) -> set[Choice]:
    """Points that other processes are at."""
    return {
        space.choice(t.user_attrs["values"])
        for t in study.trials
        if t.state.name == "RUNNING" and "values" in t.user_attrs
    }


def _fail(study: optuna.Study, trial: optuna.Trial) -> None:
    from optuna.trial import TrialState

    study.tell(trial, state=TrialState.FAIL)


def _tell(study: optuna.Study, trial: optuna.Trial, outcome: Evaluated | Refused) -> None:
    from optuna.trial import TrialState

    if isinstance(outcome, Refused):
        beyond = max((e.ratio for e in outcome.excesses), default=_BAD)
        trial.set_user_attr(_CONSTRAINTS, max(beyond, 1e-6))
        trial.set_user_attr(
            _REFUSED,
            {
                "values": dict(outcome.values),
                _CONSTRAINTS: [asdict(e) for e in outcome.excesses],
                "why": outcome.why,
                "wrong": outcome.wrong,
            },
        )
        study.tell(trial, state=TrialState.PRUNED)
        return
    trial.set_user_attr(_CONSTRAINTS, outcome.beyond)
    trial.set_user_attr(_EVALUATED, _written(outcome))
    study.tell(trial, outcome.objectives())


def _written(point: Evaluated) -> dict[str, Any]:
    return {
        "values": dict(point.values),
        "flash": point.flash,
        "ram": point.ram,
        "arena": point.arena,
        "latency_ms": point.latency_ms,
        "macs": point.macs,
        "worth": point.worth.json(),
        "broken": list(point.broken),
        "beyond": point.beyond,
    }


def _read(number: int, content: Mapping[str, Any], space: Space) -> Evaluated:
    values = dict(content["values"])
    return Evaluated(
        number=number,
        choice=space.choice(values),
        values=values,
        flash=int(content["flash"]),
        ram=int(content["ram"]),
        arena=int(content["arena"]),
        latency_ms=content["latency_ms"],
        macs=int(content["macs"]),
        worth=Worth.read(content["worth"]),
        broken=tuple(content["broken"]),
        beyond=float(content["beyond"]),
    )


def _points(parameters: Mapping[str, Sequence[Any]]) -> int:
    """How many points there are at most, alignment told apart only where something is pruned."""
    sparsities, aligns = parameters.get("sparsity", (0.0,)), parameters.get("align", (1,))
    others = math.prod(len(v) for k, v in parameters.items() if k not in ("sparsity", "align"))
    return others * (1 + (len(sparsities) - 1) * len(aligns))
