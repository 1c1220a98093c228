"""A board nobody needs to own: the image that would be flashed, run on an emulated chip.

The names here are the client's side and import neither Unicorn nor the machine; see
`edge_boards.virtual.machine.Machine` for the board in this process.
"""

from edge_boards.virtual.client import (
    VirtualInfo,
    attach,
    control,
    list_running,
    load,
    reset,
    start,
    stop,
)

__all__ = ["VirtualInfo", "attach", "control", "list_running", "load", "reset", "start", "stop"]
