"""A virtual board in this process with the wire on its console, and the boards that have one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from edge_autoglm.device.wire import Decoder, Frame, encode
from edge_boards.loader import load_board


@dataclass(frozen=True)
class Target:
    """A board, and what of its chip a test must know: its console's BRR, what that holds at a
    million baud, and a speed too slow for it."""

    name: str
    brr: int
    divider: int
    too_slow: int


TARGETS = (
    Target("stm32f746", 0x4001_100C, 108, 1600),  # APB2, 108 MHz
    Target("nucleo-f746zg", 0x4000_480C, 54, 1100),  # APB1, 54 MHz
    Target("nucleo-l4r5zi", 0x4000_800C, 4096, 3900),  # 256 times the HSI16
)


class WiredBoard:
    """A virtual board in this process, with the wire on its console."""

    def __init__(self, target: Target, image: bytes) -> None:
        # Unicorn is an extra: without it these tests are skipped, not broken.
        pytest.importorskip("unicorn")
        from edge_boards.virtual.machine import Machine

        self.target = target
        self.hz = load_board(target.name).clock.hz
        self.machine = Machine(load_board(target.name))
        self.machine.load_flash(image)
        self.machine.reset(power_on=True)
        self.link = self.machine.links["console"]
        self.decoder = Decoder()
        self.frames: list[Frame] = []
        self.sequence = 0
        self.run(0.01)  # before its pins are set up the board hears nothing

    def run(self, seconds: float) -> None:
        """Lets modelled time pass and collects what was sent."""
        self.machine.run(int(seconds * self.hz))
        self.frames += self.decoder.feed(self.link.take())

    def request(self, kind: int, **payload: Any) -> bytes:
        self.sequence += 1
        payload = {"request": self.sequence + 500, **payload}
        return encode(Frame(kind, 0, self.sequence, payload))

    def ask(self, kind: int, **payload: Any) -> Frame:
        self.link.feed(self.request(kind, **payload))
        return self.wait_for(lambda f: f.type == kind and f.is_response)

    def wait_for(self, wanted: Callable[[Frame], bool], seconds: float = 3.0) -> Frame:
        """The next frame that is wanted; what came before it is dropped."""
        for _ in range(int(seconds / 0.005)):
            for index, frame in enumerate(self.frames):
                if wanted(frame):
                    del self.frames[: index + 1]
                    return frame
            self.run(0.005)
        raise AssertionError(f"no such frame in {seconds} s; came: {self.frames[-5:]}")

    def event(self, kind: int) -> Frame:
        return self.wait_for(lambda f: f.type == kind)
