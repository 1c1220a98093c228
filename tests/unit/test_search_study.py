"""The study: a search that goes on, is shared, and is of one model only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.errors import UsageError
from edge_autoglm.search import study as studies
from edge_autoglm.search.budget import Budget, Excess
from edge_autoglm.search.judge import Measure, Worth, loss_notes
from edge_autoglm.search.pareto import best, front, ranked
from edge_autoglm.search.search import counted
from edge_autoglm.search.space import Choice, Space
from edge_autoglm.search.study import Evaluated, Identity, Refused, StudyError
from edge_quantize.errors import MissingExtraError
from edge_quantize.intervals import Interval
from edge_quantize.ptq import Precision

SPACE = Space(
    sparsities=(0.0, 0.25, 0.5),
    aligns=(4, 1),
    wide=("a", "b"),
    narrow=("b", "c"),
    kernels={"CONV_2D": ("fast", "small")},
)
IDENTITY = Identity("m" * 64, "stm32f746", {"ram": None}, "d" * 64, 3, 0)


def evaluated(
    number: int, choice: Choice, values: Mapping[str, Any], *, beyond: float = 0.0
) -> Evaluated:
    """Made-up figures: pruning is fast and small, wide layers are right."""
    wide = sum(p is Precision.INT16X8 for _, p in choice.precisions)
    error = choice.sparsity / 10 - wide / 1000 + len(choice.precisions) / 5000
    worth = Worth(
        Measure.ACCURACY, Interval(error, error - 0.01, error + 0.01), 30.0, 100, None, None, None
    )
    return Evaluated(
        number, choice, dict(values), int(9000 * (1 - choice.sparsity)) + 100 * wide, 5000, 1000,
        10 * (1 - choice.sparsity) + wide, 1000, worth, ("RAM",) if beyond else (), beyond,
    )  # fmt: skip


def points(folder: Path, trials: int, seed: int = 0, stop_at: int | None = None) -> list[Choice]:
    study = studies.open_study(folder, None, IDENTITY)
    count = 0

    def evaluate(number: int, choice: Choice, values: Mapping[str, Any]) -> Evaluated:
        nonlocal count
        count += 1
        if count == stop_at:
            raise KeyboardInterrupt
        return evaluated(number, choice, values)

    try:
        studies.run(study, SPACE, evaluate, trials, seed)
    except KeyboardInterrupt:
        assert stop_at is not None
    return [point.choice for point in studies.evaluated(study, SPACE)]


def test_a_search_repeats_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert points(tmp_path / "a", 14) == points(tmp_path / "b", 14)


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = points(tmp_path / "whole", 14)
    assert len(points(tmp_path / "cut", 14, stop_at=9)) == 8
    assert points(tmp_path / "cut", 14) == whole


def test_points_are_never_evaluated_twice_and_the_space_ends(tmp_path: Path) -> None:
    study = studies.open_study(tmp_path, None, IDENTITY)
    small = Space(sparsities=(0.0, 0.5), aligns=(4, 1))
    seen: list[Choice] = []

    def evaluate(number: int, choice: Choice, values: Mapping[str, Any]) -> Evaluated:
        seen.append(choice)
        return evaluated(number, choice, values)

    studies.run(study, small, evaluate, 50, 0)
    assert len(seen) == len(set(seen)) == 3


def test_refused_points_are_told_to_the_study_and_count_as_none(tmp_path: Path) -> None:
    study = studies.open_study(tmp_path, None, IDENTITY)

    def evaluate(number: int, choice: Choice, values: Mapping[str, Any]) -> Evaluated | Refused:
        if choice.sparsity < 0.5:
            return Refused(values, (Excess("RAM", 20, 10),))
        return evaluated(number, choice, values)

    studies.run(study, SPACE, evaluate, 4, 0)
    found = studies.evaluated(study, SPACE)
    assert len(found) == 4
    assert all(point.choice.sparsity == 0.5 for point in found)
    assert studies.refused(study)


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "x" * 64), ("board", "nucleo-l4r5zi"), ("budget", {"ram": 1}), ("level", 2)],
)
def test_a_study_of_something_else_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    studies.open_study(tmp_path, None, IDENTITY)
    other = Identity(**{**IDENTITY.json(), field: value})
    with pytest.raises(StudyError, match=f"another {field}"):
        studies.open_study(tmp_path, None, other)


def test_a_line_that_was_cut_short_costs_that_line_alone(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = points(tmp_path / "whole", 6)
    journal = tmp_path / "cut" / studies.JOURNAL
    assert points(tmp_path / "cut", 4) == whole[:4]
    # As a kill in the middle of a write leaves it.
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"wor')
    assert points(tmp_path / "cut", 6) == whole
    assert journal.read_bytes().endswith(b"\n")


def test_a_full_disk_names_the_journal_and_leaves_it_whole(tmp_path: Path) -> None:
    """A limit on file sizes stands in for it."""
    program = (
        "import resource, signal, sys; from pathlib import Path; import test_search_study as t\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
        "try: t.points(Path(sys.argv[1]), 14)\n"
        "except OSError as error: print(error.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    journal = tmp_path / studies.JOURNAL
    assert done.stdout.strip() == str(journal)
    assert 0 < journal.stat().st_size <= 9000
    assert journal.read_bytes().endswith(b"\n")
    assert len(points(tmp_path, 14)) == 14


@pytest.mark.parametrize("text", ["this is no journal\n", "two lines\nwithout an end"])
def test_a_journal_that_is_none_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / studies.JOURNAL).write_text(text)
    with pytest.raises(StudyError) as caught:
        studies.open_study(tmp_path, None, IDENTITY)
    assert "\n" not in str(caught.value)
    assert (tmp_path / studies.JOURNAL).read_text() == text


@pytest.mark.parametrize("url", ["study.db", "nonsense:///x"])
def test_a_storage_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises((UsageError, StudyError)) as caught:
        studies.open_study(tmp_path, url, IDENTITY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sqlite:///{}/study.db", "journal:{}/study.journal"])
def test_a_storage_url_is_shared(tmp_path: Path, kind: str) -> None:
    url = kind.format(tmp_path)
    first = studies.open_study(tmp_path, url, IDENTITY)
    studies.run(first, SPACE, evaluated, 3, 0)
    second = studies.open_study(tmp_path, url, IDENTITY)
    assert len(studies.evaluated(second, SPACE)) == 3


def test_processes_that_make_a_database_at_once_all_get_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; import test_search_study as t\n"
        "import optuna, sqlalchemy, alembic.migration\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "t.studies.open_study(Path(sys.argv[1]), 'sqlite:///' + sys.argv[2], t.IDENTITY)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    for file in ("a.db", "b.db"):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, tmp_path, tmp_path / file],
                env={**os.environ, "PYTHONPATH": path}, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for _ in range(2)
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said


def test_a_database_that_cannot_be_made_leaves_no_empty_file(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; import test_search_study as t\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try: t.studies.open_study(Path('.'), 'sqlite:///' + sys.argv[1], t.IDENTITY)\n"
        "except t.StudyError as error: sys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x.db"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        check=False,
    )
    assert done.returncode == 7
    assert not list(tmp_path.iterdir())


def test_the_space_is_that_of_the_first_process(tmp_path: Path) -> None:
    study = studies.open_study(tmp_path, None, IDENTITY)
    assert studies.shared_choices(study, lambda: SPACE) == SPACE
    assert studies.shared_choices(study, lambda: Space()) == SPACE


def test_without_optuna_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-autoglm\[search\]'"):
        studies.require_optuna()


def test_every_seed_is_a_point_of_the_space() -> None:
    parameters = SPACE.parameters()
    for seed in SPACE.seeds():
        assert set(seed) == set(parameters)
        assert all(value in parameters[name] for name, value in seed.items())


def test_a_layer_is_not_wide_and_narrow_at_once() -> None:
    choice = SPACE.choice({"wide": 2, "narrow": 2})
    assert dict(choice.precisions) == {
        "a": Precision.INT16X8, "b": Precision.INT16X8, "c": Precision.INT4,
    }  # fmt: skip


_FIGURES = st.tuples(
    st.integers(1, 4).map(float), st.integers(1, 4), st.integers(0, 3).map(float), st.booleans()
)


def _point(number: int, figures: tuple[float, int, float, bool]) -> Evaluated:
    time, flash, error, fits = figures
    worth = Worth(Measure.OUTPUT, Interval(error, error, error), 1.0, 1, None, None, None)
    return Evaluated(
        number, Choice(), {}, flash, 1, 1, time, 1, worth, () if fits else ("RAM",),
        0.0 if fits else 1.0,
    )  # fmt: skip


@given(st.lists(_FIGURES, max_size=12))
def test_the_front_holds_what_nothing_beats(figures: list[tuple[float, int, float, bool]]) -> None:
    found = [_point(i, f) for i, f in enumerate(figures)]
    kept = front(found)
    fitting = [p for p in found if p.fits]
    assert bool(kept) == bool(fitting)
    for point in fitting:
        assert any(
            all(a <= b for a, b in zip(k.objectives(), point.objectives(), strict=True))
            for k in kept
        )
    for one in kept:
        assert one.fits
        for other in kept:
            if one is not other:
                assert any(a < b for a, b in zip(one.objectives(), other.objectives(), strict=True))


@given(st.lists(_FIGURES, min_size=1, max_size=12), st.booleans())
def test_the_best_so_far_is_the_first_of_the_ranking(
    figures: list[tuple[float, int, float, bool]], drop: bool
) -> None:
    budget = Budget(drop=0.5) if drop else Budget()
    found = [_point(i, f) for i, f in enumerate(figures)]
    order, first = ranked(found, budget), best(found, budget)
    assert first is not None
    if order:
        assert order[0] is first
    else:
        assert first.beyond == min(point.beyond for point in found)


def _judged(
    number: int, error: float, sqnr: float, time: float, flash: int = 1, width: float = 0.04
) -> Evaluated:
    around = Interval(error, error - width / 2, error + width / 2)
    worth = Worth(Measure.ACCURACY, around, sqnr, 90, None, None, None)
    return Evaluated(number, Choice(), {}, flash, 1, 1, time, 1, worth, (), 0.0)


def _numbers(found: list[Evaluated], budget: Budget) -> list[int]:
    return [point.number for point in ranked(found, budget)]


def test_points_of_the_same_accuracy_are_told_apart_by_sqnr_then_time_then_flash() -> None:
    found = [
        _judged(0, 0.0, 12.1, 1.0),
        _judged(1, 0.0, 25.0, 3.0, flash=2),
        _judged(2, 0.0, 25.0, 3.0, flash=1),
        _judged(3, 0.0, 25.0, 2.0),
    ]
    assert _numbers(found, Budget()) == [3, 2, 1, 0]


def test_a_difference_within_one_standard_error_is_none() -> None:
    """95 % intervals 0.04 wide: a standard error of 0.0102."""
    found = [_judged(0, 0.0, 12.1, 1.0), _judged(1, 0.01, 25.0, 3.0), _judged(2, 0.011, 30.0, 3.0)]
    assert _numbers(found, Budget()) == [1, 0, 2]


def test_within_a_drop_the_fastest_is_taken_and_of_the_fastest_the_best_sqnr() -> None:
    found = [_judged(0, 0.0, 40.0, 2.0), _judged(1, 0.01, 12.0, 1.0), _judged(2, 0.01, 15.0, 1.0)]
    assert _numbers(found, Budget(drop=0.02)) == [2, 1, 0]


@pytest.mark.parametrize(
    ("measure", "level", "words"),
    [
        (Measure.ACCURACY, 3, "loses 8.0 points of accuracy; try more --trials, a larger budget"),
        (Measure.ANSWERS, 2, "answers 8.0 % of the samples otherwise"),
    ],
)
def test_a_large_loss_is_warned_of(measure: Measure, level: int, words: str) -> None:
    def worth(error: float) -> Worth:
        return Worth(measure, Interval(error, 0.0, 0.1), 12.0, 90, None, None, None)

    (note,) = loss_notes(worth(0.08), level)
    assert words in note
    assert not loss_notes(worth(0.04), level)


def test_more_points_than_were_asked_for_are_said_in_words() -> None:
    assert counted(14, 14) == " 14/14"
    assert counted(15, 14) == "15 (of 14 asked)"
