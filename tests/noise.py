"""A line that damages bytes, for tests of the wire."""

from __future__ import annotations

import random


class NoisyLine:
    """Flips, drops, doubles or cuts bytes: each byte with probability `rate`, by a fixed seed.

    A cut loses the byte and up to seven after it, as a receiver that overruns does.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self._cut = 0
        self.damaged = 0

    def send(self, data: bytes) -> bytes:
        """What arrives of `data`."""
        out, _ = self.send_marked(data)
        return out

    def send_marked(self, data: bytes) -> tuple[bytes, bool]:
        """What arrives of `data`, and whether it is what was sent."""
        if not self._rate:
            return data, False
        out = bytearray()
        hit = False
        for byte in data:
            if self._cut:
                self._cut -= 1
                hit = True
                continue
            if self._random.random() >= self._rate:
                out.append(byte)
                continue
            hit = True
            self.damaged += 1
            kind = self._random.randrange(4)
            if kind == 0:
                out.append(byte ^ (1 << self._random.randrange(8)))
            elif kind == 1:
                pass
            elif kind == 2:
                out += bytes((byte, byte))
            else:
                self._cut = self._random.randrange(8)
        return bytes(out), hit
