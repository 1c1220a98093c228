"""What an image carries so that it can tell, at each start, whether it is whole.

`firmware/runtime/eag_image.h` has a word for the CRC-32 of the image, which only the linked image
can give. The code that compares it lies first in flash and refers to nothing behind it, so that it
works when all the rest is missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from edge_boards.board import Board
from edge_boards.elf import SHN_UNDEF, Elf, Section, Symbol
from edge_boards.errors import ImageError

CRC_OFFSET = 68
"""Of the CRC's word in an `eag_image_info`."""

_EARLY_CODE = ".eag_early"
# Constants of its own, the image's description, and variables that nobody sets up.
_EARLY_REACH = frozenset({_EARLY_CODE, ".eag_early_data", ".eag_vectors", ".eag_image_info"})
_EARLY_VARIABLES = ".noinit"
_LINKERS = frozenset({"eag_stack_limit", "eag_stack_top"})
_EXIT = "begin"
"""Where the early code goes when the image is whole."""


def crc_place(elf: Elf, board: Board) -> int | None:
    """Where the CRC's word lies in the flat image; None for firmware that has none."""
    symbol = elf.find("eag_image")
    if symbol is None or symbol.size < CRC_OFFSET + 4:
        return None
    return symbol.value + CRC_OFFSET - board.code_address


def image_crc(image: bytes, place: int) -> int:
    """CRC-32/ISO-HDLC (zlib's) of the image without the word at `place`; 0xFFFFFFFF in place of 0,
    which says that nobody computed it."""
    return zlib.crc32(image[place + 4 :], zlib.crc32(image[:place])) or 0xFFFF_FFFF


def seal(path: Path, board: Board, image: bytes) -> bytes:
    """Writes the image's CRC into the ELF file; gives the flat image with it.

    Raises `ImageError` for an image of broken words.
    """
    elf = Elf.load(path)
    place = crc_place(elf, board)
    if place is None:
        return image
    if len(image) % 4 or place % 4:
        raise ImageError(f"{path.name}: {len(image)} bytes are no whole words; align its last part")
    address = board.code_address + place
    section = next(s for s in elf.sections if s.loaded and s.contains(address))
    word = struct.pack("<I", image_crc(image, place))
    with path.open("r+b") as file:
        file.seek(section.offset + address - section.address)
        file.write(word)
    return image[:place] + word + image[place + 4 :]


def check_sealed(elf: Elf, board: Board, image: bytes) -> None:
    """Raises `ImageError` where a linked image does not carry its CRC."""
    place = crc_place(elf, board)
    if place is not None and image[place : place + 4] != struct.pack("<I", image_crc(image, place)):
        raise ImageError("the image does not carry its CRC: a cut flashing could not be told")


def check_early(objects: Sequence[Path]) -> None:
    """Raises `ImageError` where early code refers to what may be missing from half an image."""
    loaded = [Elf.load(path) for path in objects]
    defined: dict[str, Section] = {}
    for elf in loaded:
        for symbol in elf.symbols:
            section = _section(elf, symbol)
            if symbol.name and section is not None:
                defined.setdefault(symbol.name, section)
    for elf in loaded:
        for relocation in elf.relocations:
            home = elf.sections[relocation.section]
            if home.name != _EARLY_CODE:
                continue
            symbol = elf.symbols[relocation.symbol]
            target = _section(elf, symbol) or defined.get(symbol.name)
            name = target.name if target is not None else ""
            if (
                name not in _EARLY_REACH
                and not name.startswith(_EARLY_VARIABLES)
                and symbol.name not in {*_LINKERS, _EXIT}
            ):
                raise ImageError(
                    f"{elf.function_at(relocation.offset, home.index)} runs before the image is "
                    f"known to be whole, and refers to {symbol.name or name}; mark that EAG_EARLY"
                )


def _section(elf: Elf, symbol: Symbol) -> Section | None:
    """Where a symbol is defined in this object."""
    if symbol.section == SHN_UNDEF or symbol.section >= len(elf.sections):
        return None
    return elf.sections[symbol.section]
