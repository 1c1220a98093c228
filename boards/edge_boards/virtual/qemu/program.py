"""Where QEMU is, and whether it will do. Nothing here starts a board."""

from __future__ import annotations

import os
import re
import shutil

from edge_boards.errors import VirtualBoardError

VARIABLE = "EDGE_AUTOGLM_QEMU"
OLDEST = (7, 2)
"""The oldest that was tried."""

FATAL = "qemu: fatal: "
"""How QEMU begins its last words when the emulated core can go no further."""

_PROGRAM = "qemu-system-arm"
INSTALL = "install QEMU 7.2 or later (Debian and Ubuntu: apt install qemu-system-arm)"


def find_qemu() -> str:
    """The program's path: EDGE_AUTOGLM_QEMU, else qemu-system-arm on PATH.

    Raises `VirtualBoardError` with the line that installs it.
    """
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or _PROGRAM)
    if found is None:
        what = f"{VARIABLE} names {named}, which is no program"
        if not named:
            what = f"this virtual board runs in QEMU, and there is no {_PROGRAM} here"
        raise VirtualBoardError(f"{what}; {INSTALL}")
    return found


def check_version(version: tuple[int, ...]) -> None:
    """Refuses a QEMU that is too old. Raises `VirtualBoardError`."""
    if version[:2] < OLDEST:
        raise VirtualBoardError(
            f"QEMU {'.'.join(map(str, version))} is too old for this virtual board; {INSTALL}"
        )


def last_words(lines: list[str]) -> str:
    """Why QEMU ended, from what it wrote to stderr: its fatal line with the PC, or the last one."""
    for number, line in enumerate(lines):
        if line.startswith(FATAL):
            dump = re.search(r"R15=([0-9a-f]{8})", "\n".join(lines[number:]))
            return line.removeprefix(FATAL) + (f" (PC 0x{dump[1]})" if dump else "")
    for line in reversed(lines):
        if line.strip():
            return re.sub(r"^\S*qemu-system-arm: ", "", line.strip())
    return "it said nothing"
