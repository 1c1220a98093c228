"""The console of a virtual board in this process: reading lets the board's time pass."""

from __future__ import annotations

from edge_boards.board import Board


class MachineTransport:
    """A `Transport` straight into a `Machine`: no process, no pty, no waiting."""

    def __init__(self, board: Board, image: bytes) -> None:
        # Unicorn is an extra: tests that come here skip without it.
        from edge_boards.virtual.machine import Machine

        self.name = f"virtual {board.name}"
        self.baud = board.link("console").baud
        self.machine = Machine(board)
        self.machine.load_flash(image)
        self.machine.reset(power_on=True)
        self.link = self.machine.links["console"]
        self._millisecond = board.clock.hz // 1000
        # Before its pins are set up the board hears nothing.
        self.machine.run(10 * self._millisecond)

    def read(self, timeout: float) -> bytes:
        for _ in range(max(1, round(timeout / 0.001))):
            data = self.link.take()
            if data:
                return data
            self.machine.run(self._millisecond)
        return self.link.take()

    def write(self, data: bytes) -> None:
        self.link.feed(data)

    def set_baud(self, baud: int) -> None:
        assert baud == self.baud

    def board_seconds(self) -> float | None:
        return self.machine.seconds

    def close(self) -> None:
        self.machine.close()
