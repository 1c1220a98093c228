"""Runs the program as a user does; its entry in this process where many short runs are needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_autoglm.cli import main

ROOT = Path(__file__).resolve().parents[1]
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def environment(**changes: str) -> dict[str, str]:
    """This process's, with the checkout importable and 80 columns."""
    paths = [ROOT, *(ROOT / name for name in ("quantize", "export", "boards"))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "COLUMNS": "80",
        **changes,
    }


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge_autoglm", *map(str, arguments)]


@dataclass(frozen=True)
class Program:
    """The program with a state folder and a working folder of its own."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def environment(self, **changes: str) -> dict[str, str]:
        return environment(EDGE_AUTOGLM_STATE=str(self.state), **changes)

    def run(
        self, *arguments: object, timeout: float = 600, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), cwd=self.folder, env=self.environment(**(env or {})),
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def done(self, *arguments: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """A run that must end well."""
        answer = self.run(*arguments, timeout=timeout)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """A run that goes on; the caller ends it."""
        return subprocess.Popen(
            command(*arguments), cwd=self.folder, env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop_boards(self) -> None:
        """Ends whatever virtual boards of this state folder run."""
        self.run("virtual", "stop")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    def refused(self, *words: str, code: int = 1) -> str:
        """Checks that this is one clear line on stderr with all of `words`; gives the line."""
        lines = self.err.strip().splitlines()
        assert self.code == code, self
        assert "Traceback" not in self.err
        assert len(lines) == 1, self.err
        assert lines[0].startswith("edge-autoglm: ")
        for word in words:
            assert word in lines[0], (word, lines[0])
        return lines[0]


def of(done: subprocess.CompletedProcess[str]) -> Answer:
    return Answer(done.returncode, done.stdout, done.stderr)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Answer:
    """The program's entry in this process; 80 columns."""
    before = [signal.getsignal(number) for number in _SIGNALS]
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        try:
            code = main([str(argument) for argument in arguments])
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
    captured = capsys.readouterr()
    return Answer(code, captured.out, captured.err)


def on_terminal(program: Program, *arguments: object, columns: int = 80, rows: int = 24) -> str:
    """What the program writes on a terminal of that size, with the terminal's commands."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = program.environment(TERM="xterm")
    del env["COLUMNS"]
    process = subprocess.Popen(
        command(*arguments), cwd=program.folder, env=env, stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the last writer is gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(timeout=240) == 0, shown.decode("utf-8", "replace")
    return shown.decode("utf-8")
