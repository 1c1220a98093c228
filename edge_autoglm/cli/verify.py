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
    from contextlib import ExitStack

    from edge_autoglm.device.ports import find_port, open_port
    from edge_autoglm.device.session import Session
    from edge_autoglm.errors import UsageError
    from edge_autoglm.measure import verify as stages
    from edge_autoglm.measure.candidates import candidate
    from edge_export import HostModel, export_model
    from edge_quantize.inputs import lcg_inputs, load_inputs

    aim = the_board(board, boards)
    chosen = candidate(model)
    graph = chosen.graph
    if not chosen.has_c and port is None:
        raise UsageError(
            f"{model}: only TFLM runs it ({chosen.why_no_c}), so there is no C to compare; name "
            "the board that it was flashed to with --port"
        )
    if data is None:
        inputs, state = [], 2
        for _ in range(count):
            arrays, state = lcg_inputs(graph, state)
            inputs.append(arrays)
    else:
        inputs = list(load_inputs(graph, data))
    reference = chosen.reference(preserve=True)
    with ExitStack() as stack:
        host = None
        if chosen.has_c:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-verify-"))
            exported = export_model(graph, aim, Path(folder) / "model")
            host = stack.enter_context(HostModel(exported))
        advance = stack.enter_context(progress("comparing"))
        session = None
        if port is not None:
            session = stack.enter_context(Session(open_port(find_port(aim, port))))
        result = stages.verify(
            graph, host, reference, inputs, session, advance, relative=chosen.floating
        )
    for line in _lines(result):
        output(json).print(line)
    if port is None:
        notes().print("no board took part; name one with --port auto, --port virtual or a port")
    write_json(json, _json(result, graph.sha256, aim.name))
    if not result.good:
        raise typer.Exit(1)


def _lines(result: Verification) -> list[str]:
    lines = [f"generated C on this machine: {result.host}"] if result.host else []
    board = result.board
    if board is None:
        return lines
    lines.append(f"board: {board.against_reference}")
    if not board.good:
        against = "the host" if board.against_host else "the reference"
        first = board.first_difference
        if first:
            where = (
                f"; first differing layer {first.name} ({first.op}), element "
                f"{list(first.element)}: {first.expected:g} on {against}, {first.actual:g} on the "
                "board"
            )
        elif board.layers:
            where = "; no layer differs when run step by step"
        else:
            where = "; this firmware runs the model in one piece, so that no layer can be named"
        lines.append(f"board: {board.against_host or board.against_reference}{where}")
    return lines


def _json(result: Verification, sha256: str, board: str) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "schema": 1,
        "model": {"sha256": sha256},
        "board": board,
        "good": result.good,
        "host": asdict(result.host) if result.host else None,
        "device": asdict(result.board) if result.board else None,
    }
