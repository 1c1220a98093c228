"""A free-running board, watched: one sample an inference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from edge_autoglm.device.messages import Description, LogLine, ModelInfo, Record
from edge_autoglm.device.session import Session
from edge_autoglm.errors import SessionError, TransportError
from edge_boards import Board

from .counts import Counter
from .figures import Figure, Kind
from .profile import SEED, energy, read_counter

# Outputs that may be scores: bytes of an element.
_WIDTHS = {"int8": 1, "int16": 2}


@dataclass(frozen=True)
class Sample:
    """One inference of a free run.

    `seconds` is the board's clock since it booted; it, cycles and latency are None where the
    board's counter does not tell them, as in Profile. `result` the index of the largest output (and
    its label) or None for outputs that are no scores; `lost` the records that never came before
    this one. Supply and temperature are None where the SoC cannot tell.
    """

    seconds: float | None
    sequence: int
    lost: int
    cycles: Figure | None
    instructions: Figure | None
    latency_ms: Figure | None
    result: int | None
    label: str | None
    score: float | None
    stack: int | None
    supply_mv: int | None
    die_celsius: float | None
    energy_mj: Figure | None

    def json(self) -> dict[str, Any]:
        """One line of a JSON-lines file."""
        return {
            "seconds": None if self.seconds is None else round(self.seconds, 6),
            "sequence": self.sequence,
            "lost": self.lost,
            "cycles": _json(self.cycles),
            "instructions": _json(self.instructions),
            "latency_ms": _json(self.latency_ms),
            "result": self.result,
            "label": self.label,
            "score": self.score,
            "stack": self.stack,
            "supply_mv": self.supply_mv,
            "die_celsius": self.die_celsius,
            "energy_mj": _json(self.energy_mj),
        }


def _json(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else {"value": figure.value, "kind": figure.kind.value}


class Monitor:
    """Turns a session's records into samples."""

    def __init__(
        self, session: Session, board: Board, model: ModelInfo, counter: Counter | None
    ) -> None:
        """`counter` is that of a virtual board: without it its cycles would be instructions."""
        self._session = session
        self._board = board
        self._model = model
        self._counter = counter
        self._kind = Kind.MEASURED if counter is None else Kind.MODELLED
        self._description: Description = session.describe(model)
        self._sequence: int | None = None

    @contextmanager
    def running(self, period_ms: float | None = None) -> Iterator[None]:
        """Lets the board run by itself on generated inputs while the context lasts."""
        clock = self._session.info.clock_hz
        period = None if period_ms is None else int(period_ms * 1e-3 * clock)
        there = True
        try:
            # Inside: an interruption here finds the board running already.
            with self._counter.counting() if self._counter else nullcontext():
                self._session.start(self._model, seed=SEED, period_cycles=period)
                yield
        except (SessionError, TransportError):
            there = False  # to ask it again would only take longer
            raise
        finally:
            if there:
                self._session.stop(self._model)

    def samples(self) -> Iterator[Sample | LogLine]:
        """Samples without end, with the firmware's words between them."""
        for record in self._session.records():
            if isinstance(record, LogLine):
                yield record
                continue
            if self._counter:
                self._counter.drop()
            yield self._sample(record)

    def _sample(self, record: Record) -> Sample:
        info = self._session.info
        expected = record.sequence if self._sequence is None else self._sequence + 1
        self._sequence = record.sequence
        read = read_counter(Figure(record.cycles, self._kind), info.counter, info.clock_hz)
        times = info.counter.tells_time
        result, score = self._result(record.result)
        labels = self._description.labels
        return Sample(
            seconds=record.uptime_cycles / info.clock_hz if times else None,
            sequence=record.sequence,
            lost=max(0, record.sequence - expected),
            cycles=read.cycles,
            instructions=read.instructions,
            latency_ms=read.latency_ms,
            result=result,
            label=labels[result] if result is not None and result < len(labels) else None,
            score=score,
            stack=record.stack_used,
            supply_mv=record.supply_mv,
            die_celsius=record.die_celsius,
            energy_mj=energy(self._board, read.latency_ms),
        )

    def _result(self, content: bytes) -> tuple[int | None, float | None]:
        """The largest of the first output's values, where a record carries all of them."""
        output = self._description.outputs[0]
        size = self._model.outputs[0]
        width = _WIDTHS.get(output.dtype)
        if width is None or size > len(content) or size < 2 * width:
            return None, None
        values = [
            int.from_bytes(content[at : at + width], "little", signed=True)
            for at in range(0, size, width)
        ]
        best = max(range(len(values)), key=values.__getitem__)
        return best, (values[best] - output.zero_point) * output.scale
