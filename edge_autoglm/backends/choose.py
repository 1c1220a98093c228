"""`select_backend`: the backend that serves a model best here, by a short measured trial."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from edge_boards import load_board
from edge_quantize.graph import Graph

from .base import (
    Backend,
    BackendError,
    BackendRefusedError,
    BackendUnavailableError,
    Loaded,
)
from .judge import Difference, Expected, Judges, apart_by
from .model import RunModel, inputs_of, read_run_model
from .onnx_session import onnx_ports
from .table import AUTO, LoadBoard, find_backend, host_backends

LOG = logging.getLogger("edge_autoglm.backends")
TRIAL_INPUTS = 3
_WARMUP, _ROUNDS, _REPEATS = 2, 5, 3
_REASONS, _REASON = 2, 72  # how many a log line gives, and their most characters


@dataclass(frozen=True)
class Trial:
    """What a trial found: the median of `runs` inferences in seconds, outputs read back, and how
    far the outputs are from the reference."""

    name: str
    seconds: float
    runs: int
    difference: Difference


@dataclass(frozen=True)
class Selection:
    """`chosen` for `model`, why, and (name, why not) of each that was passed over."""

    model: RunModel
    chosen: Backend
    why: str
    passed_over: tuple[tuple[str, str], ...] = ()
    trials: tuple[Trial, ...] = ()

    def load(self) -> Loaded:
        """The model, loaded by what was chosen. Raises BackendError and its kin."""
        return self.chosen.load(self.model)

    def lines(self) -> list[str]:
        """For people: what was chosen, then what was not."""
        found = [f"{self.chosen.name}: {self.why}"]
        found += [f"not {name}: {why}" for name, why in self.passed_over]
        return [" ".join(line.split()) for line in found]

    def brief(self) -> str:
        """One line, as a log has it: what was chosen, and why not the first of the others."""
        chosen, *others = self.lines()
        shown = [shorten(line, _REASON, placeholder=" ...") for line in others[:_REASONS]]
        rest = len(others) - len(shown)
        return "; ".join([chosen, *shown, *([f"and {rest} more"] if rest else [])])

    def __str__(self) -> str:
        """A line for each candidate."""
        return "\n".join(self.lines())


def select_backend(
    name: str | Backend,
    model: RunModel | Graph | str | Path,
    *,
    samples: Any = None,
    candidates: Sequence[Backend] | None = None,
    load: LoadBoard = load_board,
) -> Selection:
    """The backend for a model: the one that is named, or with "auto" the fastest one that computes
    right.

    "auto" tries every runtime of this machine that is there: each runs a few of `samples`
    (pseudo-random inputs without), its outputs are compared with the reference, and a median is
    taken in turns, with outputs read back. A wrong one is refused; a GPU in software and boards are
    not tried. A CPU is taken when no GPU serves or none is faster, and said in a warning of the
    logger `edge_autoglm.backends`, with the first reasons; the Selection has all.

    Args:
        samples: Samples, or what `edge_quantize.data.load.samples_from` takes.
        candidates: instead of those of this machine.
        load: finds a board by its name.

    Raises UsageError for an unknown name, BackendUnavailableError, BackendRefusedError;
    BackendError when nothing serves; ModelFileError, InputDataError and their kin.
    """
    read = read_run_model(model)
    if isinstance(name, Backend) or name != AUTO:
        chosen = name if isinstance(name, Backend) else find_backend(name, load)
        require(chosen, read)
        return Selection(read, chosen, "named")
    found = _automatic(read, samples, host_backends() if candidates is None else candidates)
    LOG.log(logging.WARNING if found.chosen.last_resort else logging.INFO, "%s", found.brief())
    return found


def require(backend: Backend, model: RunModel) -> None:
    """Raises BackendUnavailableError, BackendRefusedError where a backend cannot serve."""
    here = backend.available()
    if not here.ok:
        mend = f"; {here.mend}" if here.mend else ""
        raise BackendUnavailableError(f"{backend.name}: {here.why}{mend}")
    why = backend.refuses(model)
    if why:
        raise BackendRefusedError(f"{backend.name}: {why}")


def ports_of(model: RunModel) -> Graph:
    """A graph with the model's inputs and outputs."""
    return model.graph if model.graph is not None else onnx_ports(model)


def _automatic(model: RunModel, samples: Any, candidates: Sequence[Backend]) -> Selection:
    passed: dict[str, str] = {}
    inputs = inputs_of(ports_of(model), samples, TRIAL_INPUTS)
    judges = Judges(model, inputs)
    with ExitStack() as stack:
        ready: list[tuple[Backend, Loaded, Difference]] = []
        for backend in candidates:
            why = _not_tried(backend, model)
            if not why:
                try:
                    loaded = stack.enter_context(backend.load(model))
                    expected = judges.of(backend.judge)
                    found = [loaded.infer(each).outputs for each in inputs]
                    apart = apart_by(expected, backend, model, inputs, found)
                    why = _why_not(backend, loaded, apart, expected)
                    if not why:
                        ready.append((backend, loaded, apart))
                except BackendError as error:
                    why = str(error).removeprefix(f"{backend.name}: ")
            if why:
                passed[backend.name] = why
        trials = _raced(ready, inputs[0], passed)
    if not trials:
        reasons = "; ".join(f"{name}: {why}" for name, why in passed.items())
        raise BackendError(f"{model.name}: no backend of this machine serves: {reasons}")
    by_name = {backend.name: backend for backend, _, _ in ready}
    best = min(trials, key=lambda trial: trial.seconds)
    for trial in trials:
        if trial is not best:
            passed[trial.name] = (
                f"slower: {1e3 * trial.seconds:.3g} ms against {1e3 * best.seconds:.3g} ms"
            )
    chosen = by_name[best.name]
    why = f"{1e3 * best.seconds:.3g} ms, the median of {best.runs} (measured)"
    if chosen.last_resort:
        others = any(not by_name[trial.name].last_resort for trial in trials)
        reason = "no GPU is faster here" if others else "no GPU serves"
        why = f"the CPU, because {reason}; {why}"
    order = [backend.name for backend in candidates if backend.name in passed]
    return Selection(model, chosen, why, tuple((name, passed[name]) for name in order), trials)


def _not_tried(backend: Backend, model: RunModel) -> str:
    if not backend.automatic:
        return "used only when it is named"
    why = backend.refuses(model)  # first: what is not here would not help either
    if why:
        return why
    here = backend.available()
    if not here.ok:
        return here.why + (f" ({here.mend})" if here.mend else "")
    return here.why if here.checks_only else ""


def _why_not(backend: Backend, loaded: Loaded, apart: Difference, expected: Expected) -> str:
    if loaded.checks_only:
        return f"computes in software, for checking only ({', '.join(loaded.facts)})"
    return doubt(backend, loaded, apart, expected)


def doubt(backend: Backend, loaded: Loaded, apart: Difference, expected: Expected) -> str:
    """Why outputs are not to be trusted; "" where they are."""
    if not apart.good and backend.last_resort:  # the judge itself
        if not expected.as_file:
            return ""  # it is how the CPU computes such a file
        return f"its outputs differ from one run to the next, by {apart}"
    if not apart.good:
        return f"wrong: {apart} from the reference, {apart.tolerance:g} allowed"
    if loaded.warnings:
        return f"doubtful: it logged '{loaded.warnings[0]}'"
    return ""


def _raced(
    ready: list[tuple[Backend, Loaded, Difference]], inputs: Any, passed: dict[str, str]
) -> tuple[Trial, ...]:
    """In turns, so that what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {backend.name: [] for backend, _, _ in ready}
    for turn in range(_ROUNDS + 1):
        for backend, loaded, _ in ready:
            if backend.name in passed:
                continue
            try:
                run = loaded.infer(inputs, _REPEATS if turn else _WARMUP)
            except BackendError as error:
                passed[backend.name] = str(error).removeprefix(f"{backend.name}: ")
                continue
            if turn and run.seconds is not None:
                seconds[backend.name] += run.seconds
    return tuple(
        Trial(backend.name, statistics.median(taken), len(taken), apart)
        for backend, _, apart in ready
        if backend.name not in passed and (taken := seconds[backend.name])
    )
