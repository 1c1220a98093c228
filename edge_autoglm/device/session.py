"""One conversation with one board.

A `Session` has no globals: several run side by side. It says hello, then answers calls; every call
raises what `Link.request` raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from edge_autoglm.device import replies
from edge_autoglm.device.answer import Answer
from edge_autoglm.device.link import Link
from edge_autoglm.device.messages import (
    BoardInfo,
    BurstResult,
    Description,
    LogLine,
    ModelInfo,
    Record,
    Run,
    Stats,
)
from edge_autoglm.device.patience import Patience
from edge_autoglm.device.transport import Transport
from edge_autoglm.device.wire import Frame
from edge_autoglm.device.wiredefs import WIRE, Capability, Event, Request
from edge_autoglm.errors import BoardSilentError, SessionError, TransportError

CHUNK = 128
"""Bytes of data in a frame: small, so that a damaged byte costs little to send again."""

HELLO_BAUDS = (WIRE.baud, 921_600, 460_800, 230_400)
"""Speeds that a board may have been left at by a conversation that was cut."""

Progress = Callable[[int, int], None]
"""Called with (done, total), in bytes or in answers as the call says."""


_NAME = 32  # characters of a model's name that the firmware sends


class Session:
    """Talks to the board behind an open transport.

    Use it as a context manager: entering says hello, leaving restores the speed and closes the
    transport.

    Args:
        transport: open; the session closes it.
        patience: time-outs; the defaults serve real and virtual boards.
        chunk: bytes of data in a frame, either way.
    """

    def __init__(
        self, transport: Transport, *, patience: Patience | None = None, chunk: int = CHUNK
    ) -> None:
        self.transport = transport
        self.link = Link(transport, patience)
        self._chunk = chunk
        self._info: BoardInfo | None = None
        self._descriptions: dict[int, Description] = {}
        self._home_baud = transport.baud
        self.link.step_name = self._step_name

    def __enter__(self) -> Session:
        try:
            self.hello()
        except BaseException:
            self.transport.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self.transport.baud != self._home_baud:
                self.set_baud(self._home_baud)
        finally:
            self.transport.close()

    @property
    def info(self) -> BoardInfo:
        """What hello told; it is said if it was not yet."""
        return self._info if self._info is not None else self.hello()

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        return self.info.models

    def hello(self, *, bauds: Sequence[int] = HELLO_BAUDS) -> BoardInfo:
        """Asks who is there, trying the speeds a board may have been left at.

        Raises:
            SessionError: another major protocol version (both are named), or no frames at all.
        """
        answer = self._first_answer(bauds)
        info = replies.board_info(answer, self.link.board)
        self.link.board = info.board
        self.link.window = info.window
        count = int(answer.get("count", len(info.models)))
        while len(info.models) < count:
            more = self.link.request(
                Request.HELLO, protocol=[WIRE.major, WIRE.minor], first=len(info.models)
            )
            models = replies.model_infos(info.board, more, len(info.models))
            if not models:
                raise SessionError(
                    f"{info.board}: {len(info.models)} of {count} models came; flash it anew"
                )
            info = replace(info, models=info.models + models)
        self._info = info
        self.link.settled()
        return self._info

    def _first_answer(self, bauds: Sequence[int]) -> dict[str, Any]:
        """HELLO's first answer at the first speed that brings one."""
        patience = self.link.patience
        failure: SessionError | None = None
        for baud in (self._home_baud, *(each for each in bauds if each != self._home_baud)):
            if baud != self.transport.baud:
                try:
                    self.transport.set_baud(baud)
                except TransportError:
                    continue  # not a speed of this port
                self.link.forget_times()
            quick = min(patience.silence, 3.0 if failure is None else 1.0)
            self.link.patience = replace(patience, silence=quick)
            try:
                return self.link.request(Request.HELLO, protocol=[WIRE.major, WIRE.minor])
            except SessionError as error:
                if self.link.decoder.counters.accepted:
                    raise
                if failure is None or not isinstance(error, BoardSilentError):
                    failure = error
                if self.transport.board_seconds() is not None:
                    break  # a virtual board does not hide behind another speed
            finally:
                self.link.patience = patience
        self.transport.set_baud(self._home_baud)
        assert failure is not None
        raise failure

    def model(self, name: str | int | None = None) -> ModelInfo:
        """A model of the image by name or index; the only one where it has one.

        Raises:
            SessionError: no such model, or several and none named.
        """
        models = self.models
        names = ", ".join(model.name for model in models) or "none"
        if name is None:
            if len(models) == 1:
                return models[0]
            raise SessionError(f"{self.link.board}: choose a model; the image has {names}")
        cut = name[:_NAME] if isinstance(name, str) else name
        found = [model for model in models if cut in (model.name, model.index)]
        if len(found) == 1:
            return found[0]
        raise SessionError(f"{self.link.board}: no model {name} in the image; it has {names}")

    def describe(self, model: ModelInfo) -> Description:
        """A model's description, read once."""
        if model.index not in self._descriptions:
            packed = self._read(
                Request.DESCRIBE, model.description_size, self._piece(), model=model.index
            )
            self._descriptions[model.index] = replies.parse_description(
                self.link.board, model.name, packed
            )
        return self._descriptions[model.index]

    def write_input(
        self, model: ModelInfo, index: int, data: bytes, progress: Progress | None = None
    ) -> None:
        """Fills an input; every piece is acknowledged. `progress` is given bytes.

        Raises:
            SessionError: `data` has another size than the input.
        """
        if index >= len(model.inputs) or len(data) != model.inputs[index]:
            sizes = ", ".join(str(size) for size in model.inputs)
            raise SessionError(
                f"{model.name}: input {index} given {len(data)} bytes; the model's inputs take "
                f"{sizes} bytes"
            )
        size = self._piece()
        pieces = [
            {
                "model": model.index,
                "tensor": index,
                "offset": offset,
                "data": data[offset : offset + size],
            }
            for offset in range(0, len(data), size)
        ]
        total = len(data)
        self.link.pipeline(
            Request.WRITE,
            pieces,
            (lambda done: progress(min(done * size, total), total)) if progress else None,
        )

    def check_ready(self, model: ModelInfo) -> None:
        """Asks whether the model can run, without running it.

        Raises:
            ModelUnreadyError: an interpreter cannot; the message has its reason.
        """
        self.link.request(Request.READ, model=model.index, tensor=0, offset=0, length=0)

    def read_output(self, model: ModelInfo, index: int = 0) -> bytes:
        """All bytes of an output."""
        return self._read(
            Request.READ, model.outputs[index], self._piece(), model=model.index, tensor=index
        )

    def invoke(self, model: ModelInfo, seed: int | None = None) -> Run:
        """One inference; never run twice, however often it is asked again.

        Args:
            seed: fill the inputs from the generator's state first (the board does it); the
                answer carries the state after.
        """
        return self._run(Request.INVOKE, model, seed)

    def profile(self, model: ModelInfo, seed: int | None = None) -> Run:
        """As `invoke`, and the cycles of each step are kept for `step_cycles`."""
        self._require(Capability.PROFILE, "profile")
        return self._run(Request.PROFILE, model, seed)

    def step_cycles(self, model: ModelInfo) -> tuple[int, ...]:
        """Cycles of each step of the last `profile`."""
        cycles: list[int] = []
        while len(cycles) < model.step_count:
            payload = self.link.request(Request.STEPS, model=model.index, first=len(cycles))
            more = Answer(self.link.board, "steps", payload).integers("values")
            if not more:
                raise SessionError(
                    f"{model.name}: the firmware keeps the cycles of {len(cycles)} steps, the "
                    f"model has {model.step_count}; invoke gives their sum"
                )
            cycles += more
        return tuple(cycles)

    def step(self, model: ModelInfo, step: int) -> int:
        """Runs one step and gives its cycles; 0 begins an inference, then in order."""
        self._require(Capability.STEP, "step")
        payload = self.link.request(Request.STEP, model=model.index, step=step)
        return Answer(self.link.board, "step", payload).integer("cycles")

    def peek(self, model: ModelInfo, block: int, offset: int, size: int) -> bytes:
        """Bytes of an arena block."""
        self._require(Capability.PEEK, "peek")
        return self._read(
            Request.PEEK, size, self._piece(), start=offset, model=model.index, block=block
        )

    def stats(self, model: ModelInfo | None = None) -> Stats:
        """Watermarks, counters and sensors; `arena_used` is that of `model`, else of the first."""
        keys: dict[str, Any] = {} if model is None else {"model": model.index}
        return replies.stats(self.link.board, self.link.request(Request.STATS, **keys))

    def start(
        self, model: ModelInfo, *, seed: int | None = None, period_cycles: int | None = None
    ) -> None:
        """Lets the board run by itself; `records` gives what it reports.

        Args:
            seed: new inputs from the generator for each inference; else the inputs stay.
            period_cycles: from start to start; else back to back.
        """
        self._require(Capability.FREE_RUN, "run by itself")
        keys: dict[str, Any] = {"model": model.index, "on": 1}
        if seed is not None:
            keys["seed"] = seed
        if period_cycles is not None:
            keys["period_cycles"] = period_cycles
        self.link.request(Request.FREE_RUN, **keys)

    def stop(self, model: ModelInfo) -> None:
        """Ends a free run."""
        self.link.request(Request.FREE_RUN, model=model.index, on=0)

    def records(self) -> Iterator[Record | LogLine]:
        """What a free-running board reports, without end.

        Raises:
            BoardSilentError: no frame, heartbeats included, within the patience.
        """
        while True:
            frame = self._next_event()
            if frame.type == Event.RECORD:
                yield replies.record(self.link.board, frame.payload)
            elif frame.type == Event.LOG:
                yield replies.log_line(self.link.board, frame.payload)

    def logs(self) -> tuple[LogLine, ...]:
        """The firmware's words that came since they were last asked for."""
        lines = [frame for frame in self.link.events if frame.type == Event.LOG]
        for frame in lines:
            self.link.events.remove(frame)
        return tuple(replies.log_line(self.link.board, frame.payload) for frame in lines)

    def echo(self, data: bytes) -> bytes:
        """Sends bytes to the board and back."""
        payload = self.link.request(Request.ECHO, data=data)
        return Answer(self.link.board, "echo", payload).data()

    def burst(self, count: int, rate: int, size: int = 0) -> BurstResult:
        """Has the board send `count` telemetry frames at `rate` a second, and counts them.

        Args:
            size: bytes of data in each.
        """
        before = self.link.decoder.counters.bytes
        self.link.events.clear()
        # The bytes are of a model's description; the first will do.
        keys = {"model": 0, "length": size} if size else {}
        self.link.request(Request.BURST, count=count, rate=rate, **keys)
        seen: set[int] = set()
        first = last = 0.0
        while len(seen) < count:
            try:
                frame = self._next_event(quiet=2.0 + 2.0 / rate)
            except _QuietError:
                break
            if frame.type == Event.TELEMETRY:
                last = time.monotonic()
                first = first or last
                number = Answer(self.link.board, "burst", frame.payload).integer("sequence")
                seen.add(number)
                if number == count - 1:
                    break
        return BurstResult(
            asked=count,
            received=len(seen),
            lost=count - len(seen),
            seconds=last - first,
            bytes=self.link.decoder.counters.bytes - before,
        )

    def set_baud(self, baud: int) -> None:
        """Changes the speed of both sides and proves it with an echo.

        Raises:
            SessionError: the board cannot, or nothing comes through at that speed; the old one
                is restored then.
        """
        self._require(Capability.BAUD, "change its speed")
        before = self.transport.baud
        if baud == before:
            return
        self.link.request(Request.BAUD, baud=baud)
        self.transport.set_baud(baud)
        self.link.forget_times()
        try:
            self.echo(b"baud")
        except SessionError as error:
            # The board goes back by itself when it hears nothing good.
            self.transport.set_baud(before)
            self.link.forget_times()
            self.hello()
            raise SessionError(
                f"{self.link.board}: nothing comes through at {baud} baud; back at {before}. "
                "Choose a lower speed, or a shorter cable"
            ) from error

    def reset(self) -> BoardInfo:
        """Restarts the firmware and says hello again.

        Raises:
            SessionError: the board did not restart.
        """
        before = self.info
        begun = time.monotonic()
        self.link.restarting()
        self.link.request(Request.RESET)
        if self.transport.baud != WIRE.baud:
            self.transport.set_baud(WIRE.baud)
        self.link.forget_times()
        self._descriptions.clear()
        self.link.window = 1
        info = self.hello()
        if not _restarted(before, info, time.monotonic() - begun):
            raise SessionError(f"{self.link.board}: it did not restart; press its reset button")
        return info

    def _run(self, request: Request, model: ModelInfo, seed: int | None) -> Run:
        keys: dict[str, Any] = {"model": model.index}
        if seed is not None:
            keys["seed"] = seed
        payload = self.link.request(request, **keys)
        return replies.run(self.link.board, request.name.lower(), payload)

    def _piece(self) -> int:
        """Bytes of data in a frame: small ones, as far as they fit beside the other keys."""
        return min(self._chunk, self.info.max_payload - 32)

    def _read(
        self, request: Request, size: int, piece: int, *, start: int = 0, **keys: Any
    ) -> bytes:
        """Reads `size` bytes from `start`, in pieces, several on the way at a time."""
        out = bytearray(size)
        missing = [(offset, min(piece, size - offset)) for offset in range(0, size, piece)]
        while missing:
            asked = [{**keys, "offset": start + at, "length": length} for at, length in missing]
            answers = self.link.pipeline(request, asked)
            short = []
            for (at, length), payload in zip(missing, answers, strict=True):
                data = Answer(self.link.board, request.name.lower(), payload).data()
                if not data or len(data) > length:
                    raise SessionError(
                        f"{self.link.board}: {request.name.lower()} gave {len(data)} of "
                        f"{length} bytes at {start + at}; flash it anew"
                    )
                out[at : at + len(data)] = data
                if len(data) < length:
                    short.append((at + len(data), length - len(data)))
            missing = short
        return bytes(out)

    def _next_event(self, quiet: float | None = None) -> Frame:
        """The next event; with `quiet`, gives up after so many seconds without one."""
        link = self.link
        begun = heard = time.monotonic()
        mark: float | None = None
        while not link.events:
            bytes_before = link.decoder.counters.accepted
            link.receive_events(0.1)
            now = time.monotonic()
            if link.decoder.counters.accepted != bytes_before:
                heard, mark = now, None
            if quiet is not None and now - begun > quiet:
                raise _QuietError
            if now - heard > link.patience.silence:
                seconds = self.transport.board_seconds()
                stands = seconds is None or (mark is not None and seconds <= mark)
                if stands:
                    raise link.silence_error()
                mark, heard = seconds, now
        return link.events.popleft()

    def _require(self, capability: Capability, verb: str) -> None:
        if not self.info.capabilities & capability:
            raise SessionError(
                f"{self.link.board}: this firmware cannot {verb}; flash the profile app"
            )

    def _step_name(self, model: int, step: int) -> str | None:
        description = self._descriptions.get(model)
        if description is None or not 0 <= step < len(description.steps):
            return None
        layer = description.layers[description.steps[step].layer]
        return f"layer {layer.name} ({layer.op}, step {step})"


def _restarted(before: BoardInfo, after: BoardInfo, seconds: float) -> bool:
    """Whether a board began anew within the last `seconds`."""
    if before.boot_count is not None:
        return after.boot_count != before.boot_count
    # A board that counts no starts has been up for less than the time since the reset was asked.
    return after.uptime_cycles < seconds * after.clock_hz


class _QuietError(Exception):
    """No event came in time; `burst` counts what is missing."""
