"""Runs a flashing tool: its progress shown, its failure explained, and never left behind.

The tool gets a process group of its own, so that it and all that it started can be ended together;
what a terminal's Ctrl-C would do to it is done here, once it is known what to say.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import Meaning, explain
from edge_boards.board import Board

_LAST_LINES = 8
_POLL_SECONDS = 0.1
_END_SECONDS = 3.0
_HOLD_SECONDS = 1.0


class ToolError(FlashError):
    """A flashing tool failed, hung, or was killed.

    Attributes:
        problems: its last lines.
    """

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Limits:
    """How long a tool may take.

    Attributes:
        silence: seconds without any output, and
        total: in all; both beside what the image's size takes, for OpenOCD says nothing meanwhile.
        speed: bytes a second through the slowest line that is in use.
    """

    silence: float = 120.0
    total: float = 180.0
    speed: float = 2048.0

    def of(self, size: int) -> Limits:
        """For an image of `size` bytes."""
        more = size / self.speed
        return replace(self, silence=self.silence + more, total=self.total + more)


LIMITS = Limits()
NEVER = r"(?!)"
"""A pattern for what no line says."""


@dataclass(frozen=True)
class Stage:
    """What a line of a tool's output says of how far it is.

    Attributes:
        pattern: found in the line. A first group is a figure, or a bar of so many strokes, that
            goes up to `full` between `begin` and `end`; without a group the line stands for `end`.
        begin, end: parts of the whole.
        full: where the figure ends.
        after: what must have been printed before; empty where nothing.
    """

    pattern: str
    begin: float
    end: float
    full: float = 100
    after: str = ""

    def part(self, line: str, before: str) -> float | None:
        """The part of the whole that is done, None where the line says nothing of it."""
        match = re.search(self.pattern, line)
        if match is None or (self.after and not re.search(self.after, before)):
            return None
        if not match.re.groups:
            return self.end
        figure = float(match[1]) if match[1][0].isdigit() else len(match[1])
        return self.begin + (self.end - self.begin) * min(self.full, figure) / self.full


@dataclass(frozen=True)
class Script:
    """How to read one tool.

    Attributes:
        stages: its progress.
        meanings: what its failures mean, the most telling first.
        touches: in its output once the flash is being changed; None where nothing tells.
        proof: in its output when it has done its work; None where its exit code is enough.
        cut: what state a board may be in when the tool was ended in mid-work.
        forgiven: exit codes that are no failure where the proof is there.
        environment: variables that it gets beside ours.
    """

    stages: tuple[Stage, ...]
    meanings: tuple[Meaning, ...]
    touches: str | None
    proof: str | None
    cut: Callable[[Board], str]
    forgiven: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def run(job: Job, arguments: Sequence[str | Path], script: Script) -> str:
    """Runs the job's tool to its end; returns all it printed.

    Raises:
        ToolError: it failed, was killed, or hung and was ended.
        KeyboardInterrupt: with `script.cut` for text where the flash was already being changed.
    """
    tool = job.needed_tool
    output = _Output(job, script)
    limits = LIMITS.of(len(job.image))
    process = _start([*tool.command, *map(str, arguments)], job, script)
    try:
        hung = _follow(process, output, limits, time.monotonic() + limits.total)
    except KeyboardInterrupt:
        _end(process)
        raise KeyboardInterrupt(script.cut(job.board) if output.touched else "") from None
    except BaseException:
        _end(process)
        raise
    if hung is not None:
        _end(process)
        raise output.error(f"{tool.name} {hung} and was ended")
    code = process.returncode
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        raise output.error(f"{tool.name} was killed in mid-work ({name})")
    proven = script.proof is not None and re.search(script.proof, output.text) is not None
    if code and not (proven and code in script.forgiven):
        raise output.error(f"{tool.name} failed (exit code {code})")
    if script.proof is not None and not proven:
        raise output.error(f"{tool.name} ended without having done its work")
    return output.text


@dataclass
class _Output:
    job: Job
    script: Script
    text: str = ""
    done: float = 0.0
    touched: bool = False
    _rest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.touched = self.script.touches is None

    def add(self, piece: str) -> None:
        self.text += piece
        # A progress bar overwrites its line with \r, and may be in the middle of one.
        *lines, self._rest = re.split(r"[\r\n]+", self._rest + piece)
        for line in [*lines, self._rest]:
            self._line(line)

    def _line(self, line: str) -> None:
        if self.script.touches is not None and re.search(self.script.touches, line):
            self.touched = True
        for stage in self.script.stages:
            part = stage.part(line, self.text)
            if part is not None and part > self.done:
                self.done = part
                total = len(self.job.image)
                self.job.progress(round(part * total), total)

    def error(self, what: str) -> ToolError:
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", self.text) if line.strip()]
        meaning, told = explain(self.script.meanings, lines, self.job)
        said = (told or (lines[-1].strip() if lines else "")).rstrip(".")
        parts = [f"{self.job.board.title}: {what}"]
        if meaning:
            parts[0] += f": {meaning}"
        if said:
            parts.append(f"it said: {said}")
        parts.append(self.script.cut(self.job.board) if self.touched else "nothing was written")
        return ToolError("; ".join(parts), tuple(lines[-_LAST_LINES:]))


def _start(command: list[str], job: Job, script: Script) -> subprocess.Popen[bytes]:
    windows = sys.platform == "win32"
    try:
        return subprocess.Popen(
            command, env={**os.environ, **script.environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=not windows,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
    except OSError as error:
        raise ToolError(
            f"{job.board.title}: {command[0]} does not start ({error.strerror or error})"
        ) from error


def _follow(
    process: subprocess.Popen[bytes], output: _Output, limits: Limits, deadline: float
) -> str | None:
    """Reads the tool until it ends; returns how it hung, where it did."""
    assert process.stdout is not None
    pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, pieces), daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    heard = time.monotonic()
    while True:
        with contextlib.suppress(queue.Empty):
            piece = pieces.get(timeout=_POLL_SECONDS)
            if not piece:
                break
            output.add(decoder.decode(piece))
            heard = time.monotonic()
        now = time.monotonic()
        if process.poll() is not None and now - heard > _HOLD_SECONDS:
            break  # it ended, though something that it started still holds the pipe
        if now - heard > limits.silence:
            return f"has said nothing for {limits.silence:.0f} s"
        if now > deadline:
            return "does not come to an end"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "does not come to an end"
    return None


def _read(pipe: IO[bytes], pieces: queue.SimpleQueue[bytes]) -> None:
    with pipe, contextlib.suppress(OSError):
        while piece := os.read(pipe.fileno(), 65536):
            pieces.put(piece)
    pieces.put(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the tool and all that it started: asked first, then killed."""
    try:
        _signal(process, "SIGTERM")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    finally:
        _signal(process, "SIGKILL")
        process.wait()


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))
