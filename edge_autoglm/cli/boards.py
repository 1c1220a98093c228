"""`edge-autoglm boards`: the boards this tool knows."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BoardsOption, JsonOption, output, the_board, write_json

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
    write_json(json, [board_json(board) for board in known])


@app.command("show")
def show(
    context: typer.Context,
    board: Annotated[str, typer.Argument(metavar="B", help="A board's name, or a file.")],
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Show one board: memories, clock, pins, programmers, power figures."""
    from edge_autoglm.report.boards import board_json, board_tables

    shown = the_board(board, boards or context.obj)
    for table in board_tables(shown):
        output(json).print(table)
    write_json(json, board_json(shown))
