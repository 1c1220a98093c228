"""Bytes to frames and back, without any I/O.

A frame is type (u8), flags (u8), sequence (u16, little-endian), a CBOR map, and the CRC-32 of all
that (little-endian); COBS makes it free of zeros, and a zero stands before and after it, so that a
reader that joins late or lost bytes is back in step at the next zero. docs/protocol.md is the long
form; the numbers come from `wiredefs.WIRE`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2

from edge_autoglm.device import cobs
from edge_autoglm.device.wiredefs import WIRE, Event, Flag, Request

_CRC_SIZE = 4
_SMALLEST = WIRE.header + _CRC_SIZE
_SEQUENCES = 0x10000
_DELIMITER = bytes([WIRE.delimiter])
_KEY_NAMES: Mapping[int, str] = {number: name for name, number in WIRE.keys.items()}
_TYPES = frozenset(int(number) for number in (*Request, *Event))


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        type: a `Request` or an `Event`; another number is of a newer minor version.
        flags: `Flag` bits.
        sequence: 0 to 65535, counts the frames of one direction.
        payload: values by key name; keys of a newer minor version are left out.
    """

    type: int
    flags: int = 0
    sequence: int = 0
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_response(self) -> bool:
        return bool(self.flags & Flag.RESPONSE)

    @property
    def is_error(self) -> bool:
        return bool(self.flags & Flag.ERROR)

    @property
    def is_known(self) -> bool:
        """False for a type that this side's protocol does not have."""
        return self.type in _TYPES


def largest_encoded(max_payload: int) -> int:
    """Bytes between two delimiters for the largest frame of `max_payload` CBOR bytes."""
    raw = _SMALLEST + max_payload
    return raw + 1 + raw // 254


def encode(frame: Frame) -> bytes:
    """A frame as bytes, both delimiters included.

    Raises:
        ValueError: the CBOR payload is over `WIRE.max_payload` bytes.
        KeyError: a key that the wire does not have.
    """
    payload = cbor2.dumps({WIRE.keys[name]: value for name, value in frame.payload.items()})
    if len(payload) > WIRE.max_payload:
        raise ValueError(f"a payload of {len(payload)} bytes; at most {WIRE.max_payload} fit")
    raw = struct.pack("<BBH", frame.type, frame.flags, frame.sequence % _SEQUENCES) + payload
    raw += struct.pack("<I", zlib.crc32(raw))
    return _DELIMITER + cobs.encode(raw) + _DELIMITER


@dataclass
class Counters:
    """What a decoder saw; all of them only grow.

    Attributes:
        accepted: frames given out.
        bad_cobs: pieces between delimiters that are not COBS, or too short for a frame.
        bad_crc: frames whose CRC differs.
        bad_payload: frames with a right CRC whose payload is not a CBOR map with unsigned keys.
        too_long: pieces longer than any frame.
        lost: frames that the sequence numbers say were sent and not accepted.
        restarts: times the sequence went backwards: the other side began anew.
        unknown_types, unknown_keys: of a newer minor version, skipped.
        bytes: all bytes fed.
    """

    accepted: int = 0
    bad_cobs: int = 0
    bad_crc: int = 0
    bad_payload: int = 0
    too_long: int = 0
    lost: int = 0
    restarts: int = 0
    unknown_types: int = 0
    unknown_keys: int = 0
    bytes: int = 0

    @property
    def malformed(self) -> int:
        return self.bad_cobs + self.bad_crc + self.bad_payload + self.too_long


class Decoder:
    """Bytes in, frames out.

    Bytes that end within a frame are kept until more come (`pending` counts them: need more);
    malformed pieces are dropped and counted, and the next delimiter starts afresh.
    """

    def __init__(self, max_payload: int = WIRE.max_payload) -> None:
        self.counters = Counters()
        self._buffer = bytearray()
        self._largest = largest_encoded(max_payload)
        self._max_payload = max_payload
        self._overrun = False
        self._expected: int | None = None

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Takes bytes as they come, in pieces of any size; gives the frames that they end."""
        self.counters.bytes += len(data)
        *whole, rest = data.split(_DELIMITER)
        frames = []
        for piece in whole:
            self._keep(piece)
            if self._overrun:
                self.counters.too_long += 1
            elif self._buffer:
                frame = self._decode(bytes(self._buffer))
                if frame is not None:
                    frames.append(frame)
            self._buffer.clear()
            self._overrun = False
        self._keep(rest)
        return frames

    def _keep(self, piece: bytes) -> None:
        if self._overrun:
            return
        self._buffer += piece
        if len(self._buffer) > self._largest:
            # Longer than any frame: its bytes are of no use, and memory stays bounded.
            self._overrun = True
            self._buffer.clear()

    def _decode(self, piece: bytes) -> Frame | None:
        counters = self.counters
        try:
            raw = cobs.decode(piece)
        except cobs.CobsError:
            counters.bad_cobs += 1
            return None
        if len(raw) < _SMALLEST:
            counters.bad_cobs += 1
            return None
        if len(raw) > _SMALLEST + self._max_payload:
            counters.too_long += 1
            return None
        body, crc = raw[:-_CRC_SIZE], raw[-_CRC_SIZE:]
        if zlib.crc32(body) != int.from_bytes(crc, "little"):
            counters.bad_crc += 1
            return None
        kind, flags, sequence = struct.unpack_from("<BBH", body)
        payload = self._payload(body[WIRE.header :])
        if payload is None:
            counters.bad_payload += 1
            return None
        self._count_sequence(sequence)
        counters.accepted += 1
        frame = Frame(kind, flags, sequence, payload)
        if not frame.is_known:
            counters.unknown_types += 1
        return frame

    def _payload(self, data: bytes) -> dict[str, Any] | None:
        stream = io.BytesIO(data)
        try:
            value = cbor2.CBORDecoder(stream).decode()
        except (cbor2.CBORDecodeError, RecursionError):
            return None
        if not isinstance(value, dict) or stream.tell() != len(data):
            return None
        named = {}
        for key, item in value.items():
            if not isinstance(key, int) or isinstance(key, bool) or key < 0:
                return None
            name = _KEY_NAMES.get(key)
            if name is None:
                self.counters.unknown_keys += 1
            else:
                named[name] = item
        return named

    def _count_sequence(self, sequence: int) -> None:
        if self._expected is not None:
            gap = (sequence - self._expected) % _SEQUENCES
            if gap >= _SEQUENCES // 2:
                self.counters.restarts += 1
            else:
                self.counters.lost += gap
        self._expected = (sequence + 1) % _SEQUENCES
