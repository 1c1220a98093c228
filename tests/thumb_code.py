"""Thumb code from assembler source, for tests of what looks at instructions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from edge_boards.elf import Elf


@cache
def assemble(source: str) -> bytes:
    """Thumb code of `source`, one `.text` section without relocations, through zig's assembler."""
    with tempfile.TemporaryDirectory() as folder:
        listing, wanted = Path(folder, "code.S"), Path(folder, "code.o")
        listing.write_text(f".syntax unified\n.thumb\n.text\n{source}\n")
        command = [sys.executable, "-m", "ziglang", "cc", "-c"]
        command += ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp"]
        subprocess.run([*command, str(listing), "-o", str(wanted)], check=True)
        raw = wanted.read_bytes()
    text = next(section for section in Elf(raw).sections if section.name == ".text")
    return raw[text.offset : text.offset + text.size]
