"""`edge-autoglm monitor`: watch a board that runs by itself."""

from __future__ import annotations

import json as json_module
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from .common import BoardOption, BoardsOption, JsonLinesOption, PortOption, notes, output, the_board

if TYPE_CHECKING:
    from threading import Timer

    from rich.table import Table

    from edge_autoglm.device.session import Session
    from edge_autoglm.measure.monitor import Sample

_SHOWN = 12
_LONGEST_MS = 3_600_000
_QUIET_S = 2.0


def monitor(
    board: BoardOption,
    port: PortOption = None,
    jsonl: JsonLinesOption = None,
    period: Annotated[
        float | None,
        typer.Option("--period", metavar="MS", help="Start to start (default: back to back)."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help="Stop after so many inferences.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Where the image has several.")
    ] = None,
    boards: BoardsOption = None,
) -> None:
    """Let the board run by itself and show each inference.

    It goes on until Ctrl-C, or for -n inferences.
    """
    from edge_autoglm.device.messages import LogLine
    from edge_autoglm.device.ports import find_port, open_port
    from edge_autoglm.device.session import Session
    from edge_autoglm.errors import UsageError
    from edge_autoglm.measure.counts import counter_of
    from edge_autoglm.measure.monitor import Monitor

    if period is not None and not 0 < period <= _LONGEST_MS:
        raise UsageError(f"--period {period:g}: give milliseconds above 0, up to {_LONGEST_MS:,}")
    aim = the_board(board, boards)
    with ExitStack() as stack:
        lines = _lines(jsonl, stack)
        found = find_port(aim, port or "auto")
        session = Session(open_port(found))
        waiting = stack.enter_context(_note_of_waiting(session))
        stack.enter_context(session)
        watch = Monitor(session, aim, session.model(model), counter_of(found, session.info))
        screen = _Screen(stack, shown=lines is not sys.stdout)
        stack.enter_context(watch.running(period))
        for sample in watch.samples():
            waiting.cancel()
            if isinstance(sample, LogLine):
                screen.say(f"board: {sample.detail}")
                continue
            if lines:
                _append(lines, json_module.dumps(sample.json()) + "\n")
            screen.add(sample)
            if count and screen.seen >= count:
                break


@contextmanager
def _note_of_waiting(session: Session) -> Iterator[Timer]:
    """Says once that a board that is heard has shown nothing for a while, unless it is cancelled:
    an inference that an earlier command left there goes on to its end."""
    from threading import Timer

    def say() -> None:
        if session.link.decoder.counters.accepted:  # of a silent one the session says more
            notes().print("waiting for the board to finish an inference ...")

    timer = Timer(_QUIET_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield timer
    finally:
        timer.cancel()


def _lines(jsonl: Path | None, stack: ExitStack) -> TextIO | None:
    if jsonl is None:
        return None
    if str(jsonl) == "-":
        return sys.stdout
    return stack.enter_context(jsonl.open("a", encoding="utf-8"))


def _append(lines: TextIO, line: str) -> None:
    try:
        lines.write(line)
        lines.flush()
    except OSError as error:
        error.filename = error.filename or lines.name
        raise


class _Screen:
    """A rolling table on a terminal; elsewhere a line an inference as it comes, and the sum when
    the watch ends, however it does."""

    def __init__(self, stack: ExitStack, shown: bool) -> None:
        from rich.live import Live

        self.seen = 0
        self._lost = 0
        self._recent: deque[Sample] = deque(maxlen=_SHOWN)
        self._live: Live | None = None
        self._lines = False
        console = output()
        if shown and console.is_terminal:
            self._live = stack.enter_context(Live(console=console, auto_refresh=False))
        elif shown:
            self._lines = True
            stack.callback(self._sum_up)

    def say(self, line: str) -> None:
        """A remark, above the table where that moves."""
        (self._live.console if self._live else notes()).print(line)

    def add(self, sample: Sample) -> None:
        self.seen += 1
        self._lost += sample.lost
        self._recent.append(sample)
        if self._live:
            self._live.update(_table(self._recent, self.seen, self._lost), refresh=True)
        elif self._lines:
            if self.seen == 1:
                print(_kinds(sample), _line(_columns(sample)), sep="\n")
            # At once: who reads a pipe waits for it, or has gone.
            print(_line(_cells(sample)), flush=True)

    def _sum_up(self) -> None:
        if self.seen:
            print(_title(self._recent[-1], self.seen, self._lost), flush=True)


def _kinds(sample: Sample) -> str:
    """What the figures are."""
    from edge_autoglm.report.profile import kinds

    said = kinds(instructions=sample.instructions, cycles=sample.cycles, ms=sample.latency_ms)
    return said + (f", energy {sample.energy_mj.kind.value}" if sample.energy_mj else "")


def _title(last: Sample, seen: int, lost: int) -> str:
    inferences = "1 inference" if seen == 1 else f"{seen:,} inferences"
    return f"{inferences}, {lost:,} records lost; {_kinds(last)}"


def _table(recent: deque[Sample], seen: int, lost: int) -> Table:
    from edge_autoglm.report.tables import RIGHT, SHRINK, table

    columns = _columns(recent[-1])
    marks = [SHRINK if each == "result" else RIGHT for each in columns]
    return table(
        _title(recent[-1], seen, lost),
        [mark + name for mark, name in zip(marks, columns, strict=True)],
        [_cells(sample) for sample in recent],
    )


def _columns(sample: Sample) -> tuple[str, ...]:
    counted = "instr." if sample.instructions else "cycles"
    return ("s", "seq", counted, "ms", "stack", "mV", "°C", "mJ", "result")


def _cells(sample: Sample) -> tuple[str, ...]:
    from edge_autoglm.report.profile import count
    from edge_autoglm.report.tables import written

    values = (
        f"{sample.seconds:.3f}" if sample.seconds is not None else None,
        sample.sequence,
        count(sample.instructions or sample.cycles),
        f"{sample.latency_ms.value:.3f}" if sample.latency_ms else None,
        sample.stack,
        sample.supply_mv,
        f"{sample.die_celsius:.1f}" if sample.die_celsius is not None else None,
        f"{sample.energy_mj.value:.4g}" if sample.energy_mj else None,
        _result(sample),
    )
    return tuple(map(written, values))


_WIDTHS = (9, 6, 13, 10, 6, 5, 5, 6)
"""Of the columns of a line but the last, which is as long as a label."""


def _line(cells: tuple[str, ...]) -> str:
    padded = [f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join([" ".join(padded), cells[-1]])


def _result(sample: Sample) -> str | None:
    if sample.result is None:
        return None
    name = sample.label or str(sample.result)
    return f"{name} ({sample.score:.2f})" if sample.score is not None else name
