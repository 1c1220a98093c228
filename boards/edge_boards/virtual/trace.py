"""What ran, for a cycle model: blocks of code and accesses to memory, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_boards.virtual import native
from edge_boards.virtual.engine import Engine

Listener = Callable[[memoryview], None]


class Trace:
    """Recorded in C, handed over in pieces. Handlers' code is left out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listener: Listener | None = None

    def start(
        self, listener: Listener, *, capacity: int = 1 << 16, data: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Hands every block and every access to the `data` address ranges (first, last) to
        `listener`, as a memoryview of uint32 pairs: address; size | native.TRACE_*.

        A pair with TRACE_CUT says that the block before it ended early, before that address.
        """
        buffer = self._engine.trace(self.drain, capacity, data)
        assert buffer is not None
        self._view = memoryview(buffer).cast("B").cast("I")
        self._listener = listener

    def stop(self) -> None:
        """Ends it; what was not handed over is dropped."""
        if self._listener is not None:
            self._listener = None
            self._engine.trace(None, 0, ())

    def drain(self) -> None:
        """Hands over what has been recorded so far."""
        state = self._engine.state
        if self._listener is not None and state.trace_length:
            self._listener(self._view[: 2 * state.trace_length])
        state.trace_length = 0

    def cut(self, pc: int) -> None:
        """The current block ends here for now, before `pc`."""
        state = self._engine.state
        if self._listener is None:
            return
        at = 2 * state.trace_length
        self._view[at] = pc
        self._view[at + 1] = native.TRACE_CUT
        state.trace_length += 1
        if state.trace_length == state.trace_capacity:
            self.drain()
