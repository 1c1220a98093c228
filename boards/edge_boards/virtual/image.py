"""What an image in flash says about itself (firmware/runtime/eag_image.h)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"EAG1"
_LAYOUT = struct.Struct("<4sHH8sIIIII32s")
_SEARCHED = 1024


@dataclass(frozen=True)
class ImageInfo:
    """Addresses as the image was linked."""

    build_id: bytes
    image_bytes: int
    step_call: int
    step_return: int
    stack_limit: int
    stack_top: int
    board: str


def find_image_info(flash: bytes | memoryview) -> ImageInfo | None:
    """The info block in the first KB of flash, None where there is none of this version."""
    head = bytes(flash[:_SEARCHED])
    at = head.find(MAGIC)
    while at >= 0:
        if at % 4 == 0 and at + _LAYOUT.size <= len(head):
            _, version, size, build, image_bytes, call, back, limit, top, board = (
                _LAYOUT.unpack_from(head, at)
            )
            if version == 1 and size >= _LAYOUT.size:
                name = board.split(b"\0")[0].decode("ascii", "replace")
                return ImageInfo(build, image_bytes, call & ~1, back & ~1, limit, top, name)
        at = head.find(MAGIC, at + 1)
    return None
