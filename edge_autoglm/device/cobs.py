"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1997): bytes without a zero among them.

Every block starts with a code byte: code - 1 bytes follow as they are, then a zero unless the code
is 0xFF or the data ends there.
"""

from __future__ import annotations


class CobsError(ValueError):
    """The bytes are not what a COBS encoder writes."""


def encode(data: bytes) -> bytes:
    """Stuffs `data`; the result has no zero byte and no delimiter. Grows by 1 in 254, and 1."""
    out = bytearray()
    for index, part in enumerate(pieces := data.split(b"\0")):
        last = index == len(pieces) - 1
        while len(part) >= 254:
            out.append(0xFF)
            out += part[:254]
            part = part[254:]
            if not part and last:
                # A full block that ends the data says so by itself.
                return bytes(out)
        out.append(len(part) + 1)
        out += part
    return bytes(out)


def decode(stuffed: bytes) -> bytes:
    """Undoes `encode`; `stuffed` comes without its delimiter.

    Raises:
        CobsError: a zero byte among them, or a code that points past the end.
    """
    if b"\0" in stuffed:
        raise CobsError("a zero byte inside a frame")
    out = bytearray()
    position, size = 0, len(stuffed)
    while position < size:
        code = stuffed[position]
        end = position + code
        if end > size:
            raise CobsError("a code that points past the end")
        out += stuffed[position + 1 : end]
        position = end
        if code != 0xFF and position < size:
            out.append(0)
    return bytes(out)
