"""`edge-autoglm verify`: the same inputs in the reference, in the C, and on the board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    ModelArgument,
    PortOption,
    notes,
    output,
    progress,
    the_board,
    write_json,
)

if TYPE_CHECKING:
    from edge_autoglm.measure.verify import Verification


def verify(
    model: ModelArgument,
    board: BoardOption,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help=".npy, .npz or .bin (default: generated)."),
    ] = None,
    count: Annotated[
        int, typer.Option("--inputs", min=1, help="Generated inputs, where no --data is given.")
    ] = 20,
    port: PortOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Compare MODEL's outputs: reference, C, and board.

    The C runs on this machine, the board is the one at --port, with the same inputs.
    Without --port no board takes part. Exits 1 unless all agree.
    """
    import tempfile

    from edge_autoglm import pipeline
    from edge_autoglm.device.ports import find_port, open_port
    from edge_autoglm.device.session import Session
    from edge_autoglm.measure import verify as stages
    from edge_export import HostModel, export_model
    from edge_quantize.inputs import lcg_inputs, load_inputs
    from edge_quantize.reference import best_reference

    aim = the_board(board, boards)
    graph = pipeline.read_model(model)
    if data is None:
        inputs, state = [], 2
        for _ in range(count):
            arrays, state = lcg_inputs(graph, state)
            inputs.append(arrays)
    else:
        inputs = list(load_inputs(graph, data))
    reference = best_reference(graph, preserve=True)
    with tempfile.TemporaryDirectory(prefix="edge-verify-") as folder:
        exported = export_model(graph, aim, Path(folder) / "model")
        with HostModel(exported) as host, progress("comparing") as advance:
            if port is None:
                result = stages.verify(graph, host, reference, inputs, progress=advance)
            else:
                with Session(open_port(find_port(aim, port))) as session:
                    result = stages.verify(graph, host, reference, inputs, session, advance)
    for line in _lines(result):
        output(json).print(line)
    if port is None:
        notes().print("no board took part; name one with --port auto, --port virtual or a port")
    write_json(json, _json(result, graph.sha256, aim.name))
    if not result.good:
        raise typer.Exit(1)


def _lines(result: Verification) -> list[str]:
    lines = [f"generated C on this machine: {result.host}"]
    if result.board is not None:
        lines.append(f"board: {result.board.against_reference}")
        if not result.board.good:
            first = result.board.first_difference
            where = (
                f"; first differing layer {first.name} ({first.op}), element "
                f"{list(first.element)}: {first.expected:g} on the host, {first.actual:g} on the "
                "board"
                if first
                else "; no layer differs when run step by step"
            )
            lines.append(f"board: {result.board.against_host}{where}")
    return lines


def _json(result: Verification, sha256: str, board: str) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "schema": 1,
        "model": {"sha256": sha256},
        "board": board,
        "good": result.good,
        "host": asdict(result.host),
        "device": asdict(result.board) if result.board else None,
    }
