"""A stand-in for the serial loader in an ESP32's ROM, on a pseudo-terminal.

It speaks the loader's own protocol (Espressif, "Serial Protocol" in esptool's documentation): SLIP
frames, commands with a checksum over the data, registers enough to be taken for a chip with 4 MB of
flash. Flash behaves as flash does: erased in sectors, and programming only clears bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import struct
import threading
import tty
from functools import reduce
from operator import xor

FLASH_SIZE = 4 << 20
SECTOR = 4096

_SYNC, _READ, _WRITE, _ATTACH, _SET, _BAUD = 0x08, 0x0A, 0x09, 0x0D, 0x0B, 0x0F
_BEGIN, _DATA, _END, _MD5 = 0x02, 0x03, 0x04, 0x13
_UNKNOWN_COMMAND, _BAD_CHECKSUM, _BAD_PARAMETER = 0x05, 0x07, 0x06

_MAGIC_REGISTER = 0x4000_1000  # UART_DATE_REG's place in ROM, by which esptool knows the chip
_MAGIC = {"esp32": 0x00F0_1D83, "esp32s2": 0x0000_07C6}
_SPI = 0x3FF4_2000
_SPI_COMMAND, _SPI_USER2, _SPI_DATA = _SPI, _SPI + 0x24, _SPI + 0x80
_START = 1 << 18
_READ_ID, _FLASH_ID = 0x9F, 0x0016_40EF  # Winbond, 2^22 bytes


class EspRom:
    """One run of the loader; `port` is what esptool opens."""

    def __init__(self, chip: str = "esp32", silent: bool = False) -> None:
        self.flash = bytearray(b"\xff" * FLASH_SIZE)
        self.commands: list[int] = []
        self.stop_after: int | None = None
        """Blocks of data after which the line goes dead."""

        self._silent = silent
        self._registers = {_MAGIC_REGISTER: _MAGIC[chip]}
        self._at = 0
        self._end = threading.Event()
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join(10)
        for end in (self._ours, self._theirs):
            os.close(end)

    def __enter__(self) -> EspRom:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        waiting = bytearray()
        while not self._end.is_set():
            if not select.select([self._ours], [], [], 0.05)[0]:
                continue
            with contextlib.suppress(OSError):
                waiting += os.read(self._ours, 65536)
            while (frame := _next_frame(waiting)) is not None:
                if not self._silent and len(frame) >= 8 and frame[0] == 0:
                    self._command(frame)

    def _command(self, frame: bytes) -> None:
        _, code, size, checksum = struct.unpack("<BBHI", frame[:8])
        data = frame[8 : 8 + size]
        self.commands.append(code)
        if self.stop_after == 0:
            return
        if code == _SYNC:
            for _ in range(8):
                self._answer(code, value=0x2012_0707)
        elif code == _READ:
            (address,) = struct.unpack("<I", data)
            self._answer(code, value=self._registers.get(address, 0))
        elif code == _WRITE:
            address, value = struct.unpack("<II", data[:8])
            self._write(address, value)
            self._answer(code)
        elif code in (_ATTACH, _SET, _END):
            self._answer(code)
        elif code == _BEGIN:
            erase, _blocks, _size, self._at = struct.unpack("<4I", data[:16])
            first, last = self._at // SECTOR, -(-(self._at + erase) // SECTOR)
            self.flash[first * SECTOR : last * SECTOR] = b"\xff" * ((last - first) * SECTOR)
            self._answer(code)
        elif code == _DATA:
            length, number = struct.unpack("<II", data[:8])
            block = data[16 : 16 + length]
            if reduce(xor, block, 0xEF) != checksum:
                self._answer(code, error=_BAD_CHECKSUM)
                return
            at = self._at + number * length
            old = self.flash[at : at + length]
            self.flash[at : at + length] = bytes(a & b for a, b in zip(old, block, strict=True))
            if self.stop_after is not None:
                self.stop_after -= 1
            self._answer(code)
        elif code == _MD5:
            address, length = struct.unpack("<II", data[:8])
            digest = hashlib.md5(self.flash[address : address + length]).hexdigest()
            self._answer(code, digest.encode())
        else:
            self._answer(code, error=_UNKNOWN_COMMAND)

    def _write(self, address: int, value: int) -> None:
        self._registers[address] = value
        if address == _SPI_COMMAND and value & _START:
            self._registers[_SPI_COMMAND] = 0  # at once: the bit falls when it is done
            if self._registers.get(_SPI_USER2, 0) & 0xFF == _READ_ID:
                self._registers[_SPI_DATA] = _FLASH_ID

    def _answer(self, code: int, data: bytes = b"", value: int = 0, error: int = 0) -> None:
        status = bytes([1, error, 0, 0] if error else 4)
        body = struct.pack("<BBHI", 1, code, len(data) + 4, value) + data + status
        escaped = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        os.write(self._ours, b"\xc0" + escaped + b"\xc0")


def _next_frame(waiting: bytearray) -> bytes | None:
    """Takes the next SLIP frame out of what has come, None where it is not whole."""
    start = waiting.find(b"\xc0")
    end = waiting.find(b"\xc0", start + 1)
    if start < 0 or end < 0:
        return None
    frame = bytes(waiting[start + 1 : end])
    # An empty frame is the end of one and the beginning of the next.
    del waiting[: end + (1 if frame else 0)]
    return frame.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
