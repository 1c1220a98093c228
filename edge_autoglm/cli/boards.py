"""`edge-autoglm boards`: the boards this tool knows."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BoardsOption, JsonOption, notes, output, shown, the_board, write_json

app = typer.Typer(
    help="List the boards, or show one.", invoke_without_command=True, rich_markup_mode=None
)


@app.callback()
def boards(context: typer.Context, boards: BoardsOption = None, json: JsonOption = None) -> None:
    """List every board, shipped and your own."""
    context.obj = boards
    if context.invoked_subcommand is not None:
        return
    from edge_autoglm.report.boards import board_json, boards_table
    from edge_boards import list_boards

    known = list_boards((boards,) if boards else ())
    output(json).print(boards_table(known))
    write_json(json, [board_json(board, _programmers_tested()) for board in known])


@app.command("show")
def show(
    context: typer.Context,
    board: Annotated[str, typer.Argument(metavar="B", help="A board's name, or a file.")],
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Show one board: memories, clock, pins, programmers, power figures."""
    from edge_autoglm.report.boards import board_json, board_sources, board_tables

    found = the_board(board, boards or context.obj)
    for table in board_tables(found, _programmers_tested()):
        output(json).print(table)
    if found.sources:
        output(json).print(board_sources(found), soft_wrap=True)
    write_json(json, board_json(found, _programmers_tested()))


def _programmers_tested() -> dict[str, str]:
    from edge_autoglm.flash.programmers import PROGRAMMERS

    return {name: row.tested for name, row in PROGRAMMERS.items()}


@app.command("check")
def check(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A board file, or a board's name.")],
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Check a board file: its faults, what it lacks, what it would bring.

    Exits 1 when the file is not valid; what is only missing is no fault.
    """
    from edge_autoglm.boardcheck import findings
    from edge_autoglm.report.boardcheck import check_json, finding_lines
    from edge_boards.errors import BoardFileError

    out = output(json)
    try:
        checked = the_board(file, boards or context.obj)
    except BoardFileError as error:
        if not error.faults:
            raise
        write_json(json, check_json(file, error, ()))
        out.print(str(error), soft_wrap=True)
        count = f"{len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}"
        notes().print(f"edge-autoglm: {file}: {count}", soft_wrap=True)
        raise typer.Exit(1) from None
    found = findings(checked)
    out.print(f"{shown(checked.path)}: valid, {checked.title}", soft_wrap=True)
    for line in [line for finding in found for line in finding_lines(finding)]:
        out.print(line, soft_wrap=True)
    write_json(json, check_json(str(checked.path), checked, found))
