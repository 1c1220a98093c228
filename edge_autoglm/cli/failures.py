"""Turns what a command raised into one line and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys

import typer

INTERRUPTED = 130


def _users_fault(error: BaseException) -> bool:
    # Imported here, after the fact: most runs end well and need none of these.
    from edge_autoglm.errors import EdgeError
    from edge_boards.errors import BoardsError
    from edge_export.errors import ExportError
    from edge_quantize.errors import QuantizeError

    return isinstance(error, EdgeError | BoardsError | ExportError | QuantizeError)


def _operating_system(error: OSError) -> str:
    """One line for an error of the file system, with what to try."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "free some space, or choose another folder with -o",
        errno.EDQUOT: "the quota is used up: choose another folder with -o",
        errno.EACCES: "check the permissions, or choose another place",
        errno.EROFS: "choose a folder that can be written",
    }.get(error.errno or 0, "")
    return f"{where}{reason}" + (f"; {advice}" if advice else "")


def _say(message: str) -> None:
    print(f"edge-autoglm: {message}", file=sys.stderr)


def report(error: BaseException) -> int:
    """Prints `error` and returns the exit code; raises it again when it is a bug of ours."""
    from edge_autoglm.errors import UsageError

    # Typer carries its own click or uses the installed one, by version: known by their shape.
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        _say("interrupted")
        return INTERRUPTED
    show = getattr(error, "show", None)
    if show is not None and hasattr(error, "exit_code"):
        show()
        return int(error.exit_code)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output went away; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if _users_fault(error):
        _say(str(error))
        for problem in getattr(error, "problems", ()):
            print(f"  - {problem}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    if isinstance(error, OSError):
        _say(_operating_system(error))
        return 1
    raise error


def _terminated(*_: object) -> None:
    # A `kill` must leave as little behind as Ctrl-C does.
    raise KeyboardInterrupt


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Runs `app`; every ending has a code."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Not "standalone": that would turn Ctrl-C into exit 1.
        code = app(args=arguments, prog_name="edge-autoglm", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        return report(error)
    return code if isinstance(code, int) else 0
