"""What will happen when: the machine's agenda in core cycles."""

from __future__ import annotations

import heapq
from collections.abc import Callable

FAR = 1 << 62


class Event:
    """One entry of the agenda. `idle` events (a system tick) may be waited for in real time;
    others (a byte on the line) never."""

    __slots__ = ("action", "at", "idle")

    def __init__(self, at: int, action: Callable[[], None], idle: bool) -> None:
        self.at = at
        self.action: Callable[[], None] | None = action
        self.idle = idle

    def cancel(self) -> None:
        self.action = None


class Agenda:
    """Events in order of their time; those of one time in the order they were entered."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Event]] = []
        self._sequence = 0

    def at(self, cycle: int, action: Callable[[], None], *, idle: bool = False) -> Event:
        event = Event(cycle, action, idle)
        self._sequence += 1
        heapq.heappush(self._heap, (cycle, self._sequence, event))
        return event

    def next_at(self) -> int:
        """The cycle of the next event; `FAR` where there is none."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else FAR

    def only_idle(self) -> bool:
        """Whether nothing but ticks is ahead."""
        return all(e.idle for _, _, e in self._heap if e.action is not None)

    def fire(self, now: int) -> bool:
        """Runs all that is due at `now`; whether anything was."""
        fired = False
        while self.next_at() <= now:
            event = heapq.heappop(self._heap)[2]
            action, event.action = event.action, None
            if action is not None:
                action()
                fired = True
        return fired

    def clear(self) -> None:
        self._heap.clear()
