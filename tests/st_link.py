"""A stand-in for an ST-LINK/V2-1 behind ST's stlink-server, on a TCP port of this machine.

OpenOCD reaches it with `hla_stlink_backend tcp PORT`. The server's framing and the probe's commands
are those that OpenOCD sends (its src/jtag/drivers/stlink_usb.c); the chip is tests/swd_stm32f7.py.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from swd_stm32f7 import Chip

SERIAL = "0667FF303435554157012345"
_OK, _FAULT = 0x80, 0x11
_REFRESH, _COUNT, _INFO, _OPEN, _CLOSE, _USB, _VERSION = range(7)
_DONE = struct.pack("<I", 1)
_DEBUG_MODE, _MASS_MODE = 2, 1
_VERSION_V2J37M27 = 2 << 12 | 37 << 6 | 27


class StLink:
    """One probe at one chip; `port` is the server's."""

    def __init__(self, chip: Chip, millivolts: int = 3300, serial: str = SERIAL) -> None:
        self.chip = chip
        self._millivolts, self._serial = millivolts, serial
        self._mode, self._status = _MASS_MODE, _OK
        self._ended = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> StLink:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        # A blocked accept is woken by a connection, not by a close.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._ended:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(EOFError, ConnectionError):
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    while True:
                        self._request(client)

    def _request(self, client: socket.socket) -> None:
        code = _take(client, 1)[0]
        if code == _VERSION:
            _take(client, 3)
            client.sendall(struct.pack("<4I", 3, 2, 1, 1))
        elif code == _REFRESH:
            _take(client, 1)
            client.sendall(_DONE)
        elif code == _COUNT:
            client.sendall(struct.pack("<I", 1))
        elif code == _INFO:
            _take(client, 7)
            serial = self._serial.encode().ljust(32, b"\0")
            client.sendall(_DONE + struct.pack("<I32sHHB", 1, serial, 0x0483, 0x374B, 0))
        elif code in (_OPEN, _CLOSE):
            _take(client, 7)
            client.sendall(_DONE + (struct.pack("<I", 1) if code == _OPEN else b""))
        elif code == _USB:
            head = _take(client, 31)
            command, reads, size = head[7:23], head[23], struct.unpack("<I", head[27:31])[0]
            data = b"" if reads else _take(client, size)
            answer = self._command(command, data)
            client.sendall(_DONE + (answer.ljust(size, b"\0")[:size] if reads else b""))
        else:
            raise EOFError(f"stlink-server has no command {code}")

    def _command(self, command: bytes, data: bytes) -> bytes:
        """What the probe answers to one USB command."""
        self.chip.work()
        code, sub = command[0], command[1]
        if code == 0xF1:
            return struct.pack(">H", _VERSION_V2J37M27) + struct.pack("<HH", 0x0483, 0x374B)
        if code == 0xF5:
            return bytes([self._mode, 0])
        if code == 0xF7:
            # Twice the second figure over the first, in units of 1.2 V.
            return struct.pack("<II", 2400, self._millivolts)
        if code != 0xF2:
            return b""
        if sub == 0x30:
            self._mode = _DEBUG_MODE
        elif sub == 0x21:
            self._mode = _MASS_MODE
        return self._debug(sub, command[2:], data)

    def _debug(self, sub: int, rest: bytes, data: bytes) -> bytes:
        chip, done = self.chip, bytes([_OK, 0])
        address, size = struct.unpack("<IH", rest[:6])
        if sub in (0x07, 0x0C, 0x47):
            found = chip.read(address, size)
            self._status = _OK if found is not None else _FAULT
            return found or bytes(size)
        if sub in (0x08, 0x0D, 0x48):
            self._status = _OK if chip.write(address, data) else _FAULT
            return b""
        if sub in (0x3B, 0x3E):
            return bytes([self._status]) + bytes(11)
        if sub == 0x31:
            return struct.pack("<III", _OK, 0x5BA0_2477, 0)
        if sub == 0x33:
            return struct.pack("<II", _OK, chip.registers[rest[0]] if rest[0] < 21 else 0)
        if sub == 0x34:
            if rest[0] < 21:
                chip.registers[rest[0]] = struct.unpack("<I", rest[1:5])[0]
            return done
        if sub == 0x35:
            chip.write(address, rest[4:8])
            return done
        if sub == 0x36:
            return struct.pack("<I", _OK) + (chip.read(address, 4) or bytes(4))
        if sub == 0x32 or (sub == 0x3C and rest[0] in (1, 2)):
            chip.reset()
        return done


def _take(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
