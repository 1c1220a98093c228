"""The table of where operators run."""

from __future__ import annotations

import pytest
from gpu_models import MODELS, Net
from rich.console import Console

from edge_autoglm.report.delegates import delegates_lines, delegates_table
from edge_export.mobile.delegation import predict
from edge_export.mobile.model import Delegation, Target


def shown(delegation: Delegation) -> str:
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(delegates_table(delegation, "two parts for android-gpu"))
    return capture.get()


def long_model() -> Delegation:
    net = Net("long", (1, 8, 8, 4))
    y = net.reversed(net.x)
    for _ in range(70):
        y = net.relu(y)
    return predict(net.built(y), Target.ANDROID_GPU)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_each_operator_is_a_row_with_its_place_and_why() -> None:
    text = shown(predict(MODELS["two_partitions"](), Target.ANDROID_GPU))
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert text.count("CONV_2D") >= 3
    assert "REVERSE_SEQUENCE" in text
    assert "unknown op" in text
    assert text.count("other partition") == 2


def test_a_long_model_is_counted_by_kind_and_what_is_refused_is_still_listed() -> None:
    text = shown(long_model())
    assert len(text.splitlines()) < 12
    assert "70" in text
    assert "REVERSE_SEQUENCE" in text


def test_the_lines_below_give_reasons_in_full_and_what_would_help() -> None:
    lines = delegates_lines(predict(MODELS["two_partitions"](), Target.ANDROID_GPU))
    assert lines[0] == "3 of 6 operators on the GPU by the rules, in 2 partitions"
    text = "\n".join(lines)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "REVERSE_SEQUENCE 'reverse_sequence_2': the GPU has no REVERSE_SEQUENCE" in text
    assert "-> replace it by operators" in text
    assert "Between GPU and CPU: 1,024 B ('reverse_sequence_2')" in text
    assert "LiteRT 2.3.0 GPU accelerator" in text
