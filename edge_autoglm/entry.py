"""Where the program begins: Ctrl-C ends it quietly from its first moment.

The command line's imports take a few tenths of a second. An interruption that falls into them
would print a traceback, since nothing that could catch it is there yet.
"""

import os
import signal
from types import FrameType

_INTERRUPTED = 130


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing was begun, so nothing is left to tidy up; an exception would end in whatever import
    # it falls into.
    os.write(2, b"edge-autoglm: interrupted\n")
    os._exit(_INTERRUPTED)


def main() -> int:
    """Imports the command line and runs it; returns its exit code."""
    before = signal.getsignal(signal.SIGINT)
    # A program that was started to ignore Ctrl-C (`nohup`, `&` in a script) goes on ignoring it.
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    # After the handler: these are the imports in question.
    from .cli import failures as _failures  # noqa: F401
    from .cli import main as command_line

    signal.signal(signal.SIGINT, before)
    return command_line()
