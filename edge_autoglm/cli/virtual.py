"""`edge-autoglm virtual`: boards that nobody needs to own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import BoardsOption, JsonOption, notes, output, the_board, write_json

if TYPE_CHECKING:
    from edge_boards.virtual.client import VirtualInfo

app = typer.Typer(
    help="Start, reset, stop and list virtual boards.", no_args_is_help=True, rich_markup_mode=None
)
BoardArgument = Annotated[str, typer.Argument(metavar="B", help="A board's name, or a file.")]
RunningArgument = Annotated[
    str | None,
    typer.Argument(metavar="B", help="A running board; not needed where it is the only one."),
]
Boot0Option = Annotated[
    bool, typer.Option("--boot0", help="Hold BOOT0 high: the ROM bootloader runs, not the image.")
]

_STATES = {"bootloader": "in its ROM bootloader (BOOT0 high)"}


def _json(info: VirtualInfo) -> dict[str, Any]:
    return {
        "board": info.board,
        "pid": info.pid,
        "state": info.state,
        "stopped": info.stopped,
        "links": {name: str(path) for name, path in info.links.items()},
        "flash": str(info.flash),
        "log": str(info.log),
    }


def _print(infos: tuple[VirtualInfo, ...], json: Path | None) -> None:
    # Lines, not a table: a port is there to be copied, so it is never cut.
    out = output(json)
    for info in infos:
        state = _STATES.get(info.state, info.state) + (f": {info.stopped}" if info.stopped else "")
        out.print(f"virtual {info.board}, process {info.pid}, {state}", soft_wrap=True)
        for link, path in info.links.items():
            out.print(f"  {link:11}{path}", soft_wrap=True)


@app.command("start")
def start(
    board: BoardArgument,
    boot0: Boot0Option = False,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Start a virtual board; it goes on until `stop`, and keeps its flash."""
    from edge_boards.virtual import client

    aim = the_board(board, boards)
    before = client.attach(aim)
    info = client.start(aim, boot0=boot0)
    if before is not None and before.pid == info.pid:
        reset = ", and was reset into its ROM bootloader" if boot0 else ""
        notes().print(f"virtual {info.board} was running already{reset}")
    _print((info,), json)
    write_json(json, _json(info))


@app.command("reset")
def reset(
    board: RunningArgument = None, boot0: Boot0Option = False, boards: BoardsOption = None
) -> None:
    """Reset a running virtual board."""
    from edge_boards.virtual import client

    name = _running(board, boards)
    client.reset(name, boot0=boot0)
    output().print(f"{name} was reset" + (" into its ROM bootloader" if boot0 else ""))


@app.command("stop")
def stop(board: RunningArgument = None, boards: BoardsOption = None) -> None:
    """Stop a virtual board; its flash is kept."""
    from edge_boards.virtual import client

    name = _running(board, boards)
    client.stop(name)
    output().print(f"{name} has stopped")


@app.command("list")
def running(json: JsonOption = None) -> None:
    """List the virtual boards that are running."""
    from edge_boards.virtual import client

    infos, silent = client.survey()
    _print(infos, json)
    for name, pid in silent:
        output(json).print(
            f"virtual {name}, process {pid}, does not answer; `edge-autoglm virtual stop {name}` "
            "ends it",
            soft_wrap=True,
        )
    if not infos and not silent:
        output(json).print(
            "No virtual board is running; `edge-autoglm virtual start B` starts one."
        )
    gone = [{"board": name, "pid": pid, "state": "silent", "links": {}} for name, pid in silent]
    write_json(json, [*(_json(info) for info in infos), *gone])


def _running(board: str | None, boards: Path | None) -> str:
    """The name of the running board that is meant, whether it answers or not: the only one where
    none is named.

    Raises EdgeError when there is none, UsageError when there are several.
    """
    from edge_autoglm.errors import EdgeError, UsageError
    from edge_boards.virtual import client

    infos, silent = client.survey()
    names = [info.board for info in infos] + [name for name, _ in silent]
    there = ", ".join(names) or "none"
    if board is None:
        if len(names) > 1:
            raise UsageError(f"name the virtual board; running: {there}")
        if not names:
            raise EdgeError("no virtual board is running; `edge-autoglm virtual start B` starts it")
        return names[0]
    # A running board's own name needs no board file; another name of it does.
    name = board if board in names else the_board(board, boards).name
    if name not in names:
        raise EdgeError(
            f"no virtual board {name} is running (running: {there}); "
            f"`edge-autoglm virtual start {board}` starts it"
        )
    return name
