"""Requests and answers over a transport: sliding window, retries, events, patience.

The link does not know what requests mean; `Session` does. It sends up to `window` requests before
the first is answered, sends a lost one again under the same request number, and hands events to a
queue. A request that was answered out of turn gives its predecessors away as lost at once, since a
board answers in order; the time-out serves the last one.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_autoglm.device.answer import Payload
from edge_autoglm.device.faults import fault_message
from edge_autoglm.device.patience import Patience, RoundTrip
from edge_autoglm.device.transport import Transport
from edge_autoglm.device.wire import Decoder, Frame, encode
from edge_autoglm.device.wiredefs import WIRE, Event, Request, error_name
from edge_autoglm.errors import (
    BoardFaultError,
    BoardSilentError,
    HalfImageError,
    ModelUnreadyError,
    SessionError,
)

# Errors of an interpreter, with what to try.
_UNREADY = {
    WIRE.errors["arena_too_small"]: "; export it again without --arena, or with a larger one",
    WIRE.errors["engine_failed"]: "; is it the TFLM that the model was exported for?",
}
_RUNS = frozenset({Request.INVOKE, Request.PROFILE, Request.STEP})
_MAX_EVENTS = 65_536
_SMALL_FRAME = 40
"""Bytes of a frame without data, at most."""


@dataclass
class LinkCounters:
    """What the link did; the decoder's own counters are `Link.decoder.counters`."""

    sent: int = 0
    retries: int = 0
    answers: int = 0
    stray_answers: int = 0
    events: int = 0
    events_dropped: int = 0


@dataclass
class _Open:
    """A request that is not answered yet."""

    number: int
    type: Request
    frame_payload: dict[str, Any]
    index: int
    order: int = 0
    attempts: int = 0
    sent_at: float = 0.0
    deadline: float = 0.0
    board_mark: float | None = None


@dataclass
class Heard:
    """What the last heartbeat said, and when it came."""

    at: float = 0.0
    uptime_cycles: int | None = None
    request: int | None = None
    step: int | None = None
    state: int = 0
    count: int = 0


class Link:
    """One conversation over one transport.

    Args:
        transport: already open.
        patience: time-outs.
        board: what messages call the board until HELLO tells.
    """

    def __init__(
        self, transport: Transport, patience: Patience | None = None, board: str = ""
    ) -> None:
        self.transport = transport
        self.patience = patience or Patience()
        self.board = board or transport.name
        self.decoder = Decoder()
        self.counters = LinkCounters()
        self.window = 1
        self.events: deque[Frame] = deque()
        self.heard = Heard()
        self.step_name: Callable[[int, int], str | None] = lambda _model, _step: None
        self._sequence = 0
        self._times: dict[bool, RoundTrip] = {}
        self.forget_times()
        # A number that the last session did not use: the board answers a repeated one from memory.
        self._number = 0x100 + secrets.randbelow(0x4000)
        self._order = 0
        self._open: dict[int, _Open] = {}
        self._answers: dict[int, tuple[_Open, Frame]] = {}
        self._last_frame = self._last_answer = time.monotonic()
        self._silence_mark: float | None = None
        self._expect_restart = True
        self._restarts_seen = 0

    def request(self, type_: Request, /, **keys: Any) -> dict[str, Any]:
        """Sends one request and waits for its answer; the payload by key name.

        Raises:
            BoardSilentError: nothing came back.
            SessionError: the board answered with an error, restarted, or other firmware speaks.
            BoardFaultError: the firmware reported a fault meanwhile.
            HalfImageError: flashing was cut off, and the board says so.
            TransportError: the port went away.
        """
        return self.pipeline(type_, [keys])[0]

    def pipeline(
        self,
        type_: Request,
        requests: Iterable[Mapping[str, Any]],
        progress: Callable[[int], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Sends many requests of one type, `window` of them unanswered; answers in order.

        `progress` is called with the number of answers that have come. Raises as `request`.
        """
        waiting = deque(enumerate(requests))
        answers: dict[int, dict[str, Any]] = {}
        total = len(waiting)
        self._open.clear()
        # What was answered beside the end of an earlier call is nobody's any more.
        self._answers.clear()
        self._touch()
        self._last_answer = time.monotonic()
        try:
            while len(answers) < total:
                while waiting and len(self._open) < self.window:
                    index, keys = waiting.popleft()
                    self._begin(type_, index, dict(keys))
                self._receive(self._wait())
                for entry, frame in self._take_answers():
                    answers[entry.index] = self._checked(entry, frame)
                    if progress:
                        progress(len(answers))
                self._check_alive()
                self._retry()
        finally:
            self._open.clear()
        return [answers[index] for index in range(total)]

    def receive_events(self, timeout: float) -> None:
        """Reads for at most `timeout` seconds, or until something came; events are queued."""
        self._receive(timeout)

    def restarting(self) -> None:
        """Says that the board was told to restart, so that its new beginning is no surprise."""
        self._expect_restart = True
        self.heard = Heard()

    def settled(self) -> None:
        """Says that the board is known (again): from here a restart is a surprise."""
        self._expect_restart = False
        self._restarts_seen = self.decoder.counters.restarts

    def forget_times(self) -> None:
        """Measures round trips anew: the speed changed."""
        # Inferences apart: a retry that comes while one runs would disturb what it measures.
        self._times = {
            False: RoundTrip(self.patience, self.patience.first),
            True: RoundTrip(self.patience, self.patience.first_run),
        }

    def _times_of(self, entry: _Open) -> RoundTrip:
        return self._times[entry.type in _RUNS]

    def _begin(self, type_: Request, index: int, keys: dict[str, Any]) -> None:
        self._number = (self._number + 1) % 2**32
        entry = _Open(self._number, type_, {"request": self._number, **keys}, index)
        self._open[entry.number] = entry
        self._send(entry)

    def _send(self, entry: _Open) -> None:
        data = encode(Frame(entry.type, 0, self._sequence, entry.frame_payload))
        self._sequence = (self._sequence + 1) % 0x10000
        self._order += 1
        entry.order = self._order
        entry.attempts += 1
        self.transport.write(data)
        self.counters.sent += 1
        if entry.attempts > 1:
            self.counters.retries += 1
        now = time.monotonic()
        entry.sent_at = now
        entry.board_mark = None
        entry.deadline = now + self._times_of(entry).timeout(entry.attempts)
        # Bytes that stand before this request or its answer in either direction.
        size = len(data) + _SMALL_FRAME + int(entry.frame_payload.get("length", 0))
        entry.deadline += 10 * size * len(self._open) / self.transport.baud

    def _wait(self) -> float:
        now = time.monotonic()
        soonest = min((entry.deadline for entry in self._open.values()), default=now + 0.1)
        return min(max(soonest - now, 0.001), 0.25)

    def _touch(self) -> None:
        self._last_frame = time.monotonic()
        self._silence_mark = None

    def _receive(self, timeout: float) -> None:
        data = self.transport.read(timeout)
        if not data:
            return
        for frame in self.decoder.feed(data):
            self._touch()
            if frame.is_response:
                self._on_answer(frame)
            elif frame.is_known:
                self._on_event(frame)
        if self.decoder.counters.restarts > self._restarts_seen:
            self._surprise()

    def _on_answer(self, frame: Frame) -> None:
        entry = self._open.pop(frame.payload.get("request", -1), None)
        if entry is None:
            self.counters.stray_answers += 1
            return
        self.counters.answers += 1
        self._last_answer = time.monotonic()
        self._answers[entry.number] = (entry, frame)
        took = time.monotonic() - entry.sent_at
        times = self._times_of(entry)
        if entry.attempts == 1:
            times.add(took)
        elif times.smooth is not None and took < times.smooth / 2:
            return  # too soon for the last sending: an earlier one is answered
        # Answers come in the order of sending: what was sent before and is still open was lost.
        for each in [each for each in self._open.values() if each.order < entry.order]:
            self._send(each)

    def _take_answers(self) -> list[tuple[_Open, Frame]]:
        taken = list(self._answers.values())
        self._answers.clear()
        return taken

    def _checked(self, entry: _Open, frame: Frame) -> dict[str, Any]:
        if frame.is_error:
            code = int(frame.payload.get("code", 0))
            detail = str(frame.payload.get("detail", ""))
            if code in _UNREADY:
                raise ModelUnreadyError(
                    f"{self.board}: the model cannot run: {detail}{_UNREADY[code]}"
                )
            raise SessionError(
                f"{self.board}: {entry.type.name.lower()} was refused: {error_name(code)}"
                + (f" ({detail})" if detail else "")
            )
        if frame.type != entry.type:
            raise SessionError(
                f"{self.board}: {entry.type.name.lower()} was answered with type "
                f"0x{frame.type:02X}; the firmware does not follow protocol "
                f"{WIRE.major}.{WIRE.minor}: flash it anew"
            )
        return dict(frame.payload)

    def _on_event(self, frame: Frame) -> None:
        self.counters.events += 1
        if frame.type == Event.HEARTBEAT:
            self._on_heartbeat(frame.payload)
        if frame.type == Event.FAULT:
            self.restarting()
            step = None
            if "step" in frame.payload:
                model, number = int(frame.payload.get("model", 0)), int(frame.payload["step"])
                step = self.step_name(model, number) or f"step {number} of model {model}"
            raise BoardFaultError(fault_message(self.board, frame.payload, step))
        if frame.type == Event.LOG and frame.payload.get("code") == WIRE.errors["half_image"]:
            raise HalfImageError(
                f"{self.board}: the flash holds half an image: flash again (`edge-autoglm flash`)"
            )
        if len(self.events) >= _MAX_EVENTS:
            self.events.popleft()
            self.counters.events_dropped += 1
        if frame.type != Event.HEARTBEAT:
            self.events.append(frame)

    def _on_heartbeat(self, payload: Payload) -> None:
        uptime = payload.get("uptime_cycles")
        before = self.heard.uptime_cycles
        if isinstance(uptime, int):
            self.heard.uptime_cycles = uptime
            if before is not None and uptime < before:
                self._surprise()
        self.heard.at = time.monotonic()
        self.heard.request = payload.get("request")
        self.heard.step = payload.get("step")
        self.heard.state = int(payload.get("state", 0))
        self.heard.count += 1
        entry = self._open.get(self.heard.request) if self.heard.request is not None else None
        if entry is not None:
            # The board says that it works on it: sending it again would be noise.
            wait = max(self._times_of(entry).timeout(1), 2 * self.patience.first)
            entry.deadline = max(entry.deadline, self.heard.at + wait)

    def _surprise(self) -> None:
        """The board began anew: what it was told before, inputs too, is gone."""
        self._restarts_seen = self.decoder.counters.restarts
        if self._expect_restart:
            return
        self.restarting()
        raise SessionError(
            f"{self.board}: the board restarted in mid-conversation; look at its supply and its "
            "reset line, and repeat the command"
        )

    def _check_alive(self) -> None:
        if not self._open:
            return
        silent = time.monotonic() - self._last_frame
        if silent < self.patience.silence:
            return
        if self._clock_advances():
            return
        raise self.silence_error()

    def _clock_advances(self) -> bool:
        """True while a virtual board's own clock has not yet used up the patience."""
        seconds = self.transport.board_seconds()
        if seconds is None:
            return False
        if self._silence_mark is None:
            self._silence_mark = seconds
            # The real time counts anew: the next look tells whether the clock stands still.
            self._last_frame = time.monotonic()
            return True
        advanced = 0 < seconds - self._silence_mark < self.patience.silence
        self._last_frame = time.monotonic()
        return advanced

    def silence_error(self) -> SessionError:
        """What to say when no frame came: nothing at all, or bytes that are no frames."""
        counters = self.decoder.counters
        if counters.bytes and not counters.accepted:
            return SessionError(
                f"{self.board}: {counters.bytes} bytes came at {self.transport.baud} baud, but no "
                "frame among them: other firmware runs there, or at another speed; flash the "
                "profile app (`edge-autoglm flash`), or reset the board"
            )
        what = "fell silent" if counters.accepted else "does not answer"
        return BoardSilentError(
            f"{self.board}: the board {what} (nothing for {self.patience.silence:.0f} s at "
            f"{self.transport.baud} baud); press its reset button, check the cable and that "
            "the firmware is flashed (`edge-autoglm flash`), and that BOOT0 is low"
        )

    def _retry(self) -> None:
        now = time.monotonic()
        for entry in list(self._open.values()):
            if entry.deadline > now:
                continue
            timeout = self._times_of(entry).timeout(entry.attempts)
            seconds = self.transport.board_seconds()
            if seconds is not None:
                # A slow virtual board: the time-out must have passed on its clock too.
                mark = seconds if entry.board_mark is None else entry.board_mark
                if seconds - mark < timeout:
                    entry.board_mark, entry.deadline = mark, now + max(timeout, 0.25)
                    continue
            deaf = now - self._last_answer > self.patience.deaf
            if deaf and entry.attempts >= self.patience.attempts:
                raise SessionError(
                    f"{self.board}: {entry.type.name.lower()} was sent {entry.attempts} times "
                    f"without an answer, though the board is heard ({self._line_quality()}); "
                    "check the cable, or a lower speed"
                )
            self._send(entry)

    def _line_quality(self) -> str:
        counters = self.decoder.counters
        return f"{counters.accepted} good frames, {counters.malformed} bad, {counters.lost} lost"
