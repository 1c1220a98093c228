"""How long to wait for a board."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        first: before the first retry, while no round trip has been measured.
        first_run: the same of requests that run an inference.
        shortest, longest: bounds of the measured time-out and of its doubling.
        silence: without any frame before the board counts as silent.
        deaf: without any answer, though the board is heard, before a request is given up;
        attempts: and it was sent at least so often.
    """

    first: float = 0.5
    first_run: float = 2.0
    shortest: float = 0.05
    longest: float = 4.0
    silence: float = 6.0
    deaf: float = 15.0
    attempts: int = 8


@dataclass
class RoundTrip:
    """An estimate after RFC 6298; answers to retried requests are left out (Karn)."""

    patience: Patience
    first: float
    smooth: float | None = None
    spread: float = 0.0

    def add(self, seconds: float) -> None:
        """Takes a measured round trip."""
        if self.smooth is None:
            self.smooth, self.spread = seconds, seconds / 2
        else:
            self.spread += (abs(seconds - self.smooth) - self.spread) / 4
            self.smooth += (seconds - self.smooth) / 8

    def timeout(self, attempts: int) -> float:
        """Seconds to wait for the answer to the `attempts`th sending."""
        base = (
            self.first
            if self.smooth is None
            else max(self.patience.shortest, self.smooth + max(4 * self.spread, self.smooth / 2))
        )
        return float(min(self.patience.longest, base * 2 ** min(attempts - 1, 2)))
