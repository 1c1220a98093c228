"""`edge-autoglm monitor`: watch a board that runs by itself."""

from __future__ import annotations

import json as json_module
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import BoardOption, BoardsOption, PortOption, notes, output, the_board

if TYPE_CHECKING:
    from rich.table import Table

    from edge_autoglm.measure.monitor import Sample

_SHOWN = 12


def monitor(
    board: BoardOption,
    port: PortOption = None,
    jsonl: Annotated[
        Path | None,
        typer.Option("--jsonl", metavar="FILE", help="Append one JSON line an inference."),
    ] = None,
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
    """Let the board run by itself and show each inference, until Ctrl-C or -n."""
    from contextlib import ExitStack

    from rich.live import Live

    from edge_autoglm.device.messages import LogLine
    from edge_autoglm.device.ports import find_port, open_port
    from edge_autoglm.device.session import Session
    from edge_autoglm.measure.monitor import Monitor

    aim = the_board(board, boards)
    found = find_port(aim, port or "auto")
    recent: deque[Sample] = deque(maxlen=_SHOWN)
    seen = lost = 0
    with ExitStack() as stack:
        file = stack.enter_context(jsonl.open("a", encoding="utf-8")) if jsonl else None
        session = stack.enter_context(Session(open_port(found)))
        watch = Monitor(session, aim, session.model(model), found.is_virtual)
        stack.enter_context(watch.running(period))
        screen = output()
        live = None
        if screen.is_terminal:
            live = stack.enter_context(Live(console=screen, auto_refresh=False))
        for sample in watch.samples():
            if isinstance(sample, LogLine):
                notes().print(f"board: {sample.detail}")
                continue
            seen, lost = seen + 1, lost + sample.lost
            recent.append(sample)
            if file:
                file.write(json_module.dumps(sample.json()) + "\n")
                file.flush()
            if live:
                live.update(_table(recent, seen, lost), refresh=True)
            if count and seen >= count:
                break
    if not screen.is_terminal:
        screen.print(_table(recent, seen, lost))


def _table(recent: deque[Sample], seen: int, lost: int) -> Table:
    from edge_autoglm.report.tables import table

    kind = recent[-1].cycles.kind.value if recent else ""
    energy = recent[-1].energy_mj.kind.value if recent and recent[-1].energy_mj else ""
    title = f"{seen} inferences, {lost} records lost; cycles {kind}"
    if energy:
        title += f", energy {energy}"
    return table(
        title,
        [">s", ">seq", ">cycles", ">ms", "~result", ">stack", ">mV", ">°C", ">mJ"],
        [
            (
                f"{sample.seconds:.3f}",
                sample.sequence,
                int(sample.cycles.value),
                f"{sample.latency_ms.value:.3f}",
                _result(sample),
                sample.stack,
                sample.supply_mv,
                f"{sample.die_celsius:.1f}" if sample.die_celsius is not None else None,
                f"{sample.energy_mj.value:.4g}" if sample.energy_mj else None,
            )
            for sample in recent
        ],
    )


def _result(sample: Sample) -> str | None:
    if sample.result is None:
        return None
    name = sample.label or str(sample.result)
    return f"{name} ({sample.score:.2f})" if sample.score is not None else name
