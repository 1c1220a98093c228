"""Turns what a command raised into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from types import FrameType

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
    where = error.filename or "the output"  # files are named by who writes them
    reason = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "free some space, or choose another place",
        errno.EDQUOT: "the quota is used up: free some space, or choose another place",
        errno.EFBIG: "the limit of a file's size (`ulimit -f`) is too low",
        errno.EACCES: "check the permissions, or choose another place",
        errno.EROFS: "choose a folder that can be written",
    }.get(error.errno or 0, "")
    return f"{where}: {reason}" + (f"; {advice}" if advice else "")


def _say(message: str) -> None:
    # A terminal that is gone must not turn one ending into another.
    with contextlib.suppress(OSError):
        print(f"edge-autoglm: {_plain(message)}", file=sys.stderr)


def _plain(text: str) -> str:
    """Without the control characters that a model's or a board's names may hold."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


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
        return 1  # whoever read our output went away: there is nobody to tell
    if _users_fault(error):
        _say(str(error))
        problems = [str(problem) for problem in getattr(error, "problems", ())]
        # Most messages have the first few in them, and how many more there are.
        told = bool(problems) and problems[0] in str(error)
        for problem in () if told else problems:
            print(f"  - {_plain(problem)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    if isinstance(error, OSError):
        _say(_operating_system(error))
        return 1
    raise error


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _prepare() -> None:
    """A `kill` and a closed terminal leave as little behind as Ctrl-C does; a name that the
    terminal's encoding lacks is no reason to fail."""
    signal.signal(signal.SIGTERM, _terminated)
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:  # else nohup's
        signal.signal(hangup, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Runs `app`; every ending has a code."""
    _prepare()
    try:
        # Not "standalone": that would turn Ctrl-C into exit 1.
        code = app(
            args=arguments, prog_name="edge-autoglm", standalone_mode=False, obj=tuple(arguments)
        )
        # Here, where a full disk or a closed pipe can still be reported.
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        _flush()
        return report(error)
    if code == INTERRUPTED:
        _say("interrupted")  # some versions of Typer turn Ctrl-C into this code, silently
    return code if isinstance(code, int) else 0


def _flush() -> None:
    """Writes what was printed; what stdout refuses is dropped, or it would fail at exit again."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
