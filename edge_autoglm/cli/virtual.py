"""`edge-autoglm virtual`: boards that nobody needs to own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import BoardsOption, JsonOption, output, the_board, write_json

if TYPE_CHECKING:
    from edge_boards.virtual.client import VirtualInfo

app = typer.Typer(
    help="Start, reset, stop and list virtual boards.", no_args_is_help=True, rich_markup_mode=None
)
BoardArgument = Annotated[str, typer.Argument(metavar="B", help="A board's name, or a file.")]
Boot0Option = Annotated[
    bool, typer.Option("--boot0", help="Hold BOOT0 high: the ROM bootloader runs, not the image.")
]


def _json(info: VirtualInfo) -> dict[str, Any]:
    return {
        "board": info.board,
        "pid": info.pid,
        "links": {name: str(path) for name, path in info.links.items()},
        "flash": str(info.flash),
        "log": str(info.log),
    }


def _print(infos: tuple[VirtualInfo, ...]) -> None:
    # Lines, not a table: a port is there to be copied, so it is never cut.
    for info in infos:
        output().print(f"virtual {info.board}, process {info.pid}")
        for link, path in info.links.items():
            output().print(f"  {link:11}{path}", soft_wrap=True)


@app.command("start")
def start(
    board: BoardArgument,
    boot0: Boot0Option = False,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Start a virtual board; it goes on until `stop`, and keeps its flash."""
    from edge_boards.virtual import client

    info = client.start(the_board(board, boards), boot0=boot0)
    _print((info,))
    write_json(json, _json(info))


@app.command("reset")
def reset(board: BoardArgument, boot0: Boot0Option = False, boards: BoardsOption = None) -> None:
    """Reset a running virtual board."""
    from edge_boards.virtual import client

    name = the_board(board, boards).name
    client.reset(name, boot0=boot0)
    output().print(f"{name} was reset" + (" into its ROM bootloader" if boot0 else ""))


@app.command("stop")
def stop(board: BoardArgument, boards: BoardsOption = None) -> None:
    """Stop a virtual board; its flash is kept."""
    from edge_boards.virtual import client

    name = the_board(board, boards).name
    client.stop(name)
    output().print(f"{name} has stopped")


@app.command("list")
def running(json: JsonOption = None) -> None:
    """List the virtual boards that are running."""
    from edge_boards.virtual import client

    infos = client.list_running()
    if infos:
        _print(infos)
    else:
        output().print("No virtual board is running; `edge-autoglm virtual start B` starts one.")
    write_json(json, [_json(info) for info in infos])
