"""Tables: what gives way when the terminal is narrow, and how figures are written."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_autoglm.measure.figures import Figure, Kind
from edge_autoglm.report.quantization import stages_table
from edge_autoglm.report.summary import Stage
from edge_autoglm.report.tables import percent, size, table, wrapped, written


def drawn(columns: int, *arguments: object, **options: object) -> list[str]:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        made = table(*arguments, **options)  # type: ignore[arg-type]
        Console(file=out, width=columns, markup=False).print(made)
    return out.getvalue().splitlines()


def test_names_give_way_and_figures_never() -> None:
    rows = [("a_layer_with_quite_a_long_name_7", "kernel_of_some_length", 123_456_789)]
    lines = drawn(40, "T", ["~layer", "~kernel", ">cycles"], rows)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 40
    assert "123,456,789" in text
    assert "…" in text
    assert "ame_7" in text  # the end of a name is kept: layers differ there


def test_in_a_wide_terminal_nothing_is_cut() -> None:
    rows = [("a_layer_with_quite_a_long_name_7", 1)]
    assert rows[0][0] in "\n".join(drawn(100, "T", ["~layer", ">n"], rows))


def test_a_total_stands_apart_under_the_rows() -> None:
    lines = drawn(80, "T", ["<a", ">b"], [("x", 1), ("y", 2)], total=("sum", 3))
    at = next(i for i, line in enumerate(lines) if "sum" in line)
    assert lines[at - 1].strip() in ("", "─" * len(lines[at - 1].strip()))


@given(st.lists(st.tuples(st.text(max_size=200), st.integers()), max_size=5), st.integers(60, 200))
def test_whatever_a_model_calls_its_layers_the_table_keeps_its_width(
    rows: list[tuple[str, int]], columns: int
) -> None:
    lines = drawn(columns, "T", ["~name", ">count"], rows)
    assert all("\x1b" not in line for line in lines)
    assert all(f"{count:,}" in "\n".join(lines) for _, count in rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("two\nlines", "two\ufffdlines"),
    ],
)
def test_a_cell_is_written_plainly(value: object, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (10_239, "10,239 B"), (10_240, "10.0 KiB"), (1 << 20, "1.00 MiB")],
)
def test_sizes_are_exact_while_they_are_small(count: int, text: str) -> None:
    assert size(count) == text


def test_a_share_of_nothing_is_a_dash() -> None:
    assert percent(0, 0) == "-"
    assert percent(1, 3) == "33.3"


def test_prose_is_wrapped_between_words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = wrapped("some words and a/very/long/path/that/is/there/to/be/copied end", "  ")
    assert "a/very/long/path/that/is/there/to/be/copied" in text
    assert text.splitlines()[-1].startswith("  ")


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Kind.MODELLED, Kind.MEASURED, ""),
        (Kind.MODELLED, Kind.EXACT, ""),
        (Kind.MODELLED, Kind.MODELLED, "-2.5 %"),
        (Kind.EXACT, Kind.EXACT, "-2.5 %"),
    ],
)
def test_figures_of_different_kinds_have_no_change(before: Kind, after: Kind, change: str) -> None:
    one = Stage("before", {"ram": Figure(1000, before)})
    other = Stage("after", {"ram": Figure(975, after)})
    (cells,) = [
        list(c.cells) for c in stages_table("m", one, other).columns if c.header == "change"
    ]
    assert [str(cell) for cell in cells] == [change]
