"""QEMU's control line: answers found among events, and a line for each way to fail."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.qemu import qmp
from edge_boards.virtual.qemu.program import check_version, last_words

GREETING = {"QMP": {"version": {"qemu": {"major": 8, "minor": 2, "micro": 1}}, "capabilities": []}}
DONE: dict[str, object] = {"return": {}}
EVENT = {"event": "RESET", "data": {"guest": True}}


class Far:
    """The far end: answers each command with the next of its scripts, in pieces."""

    def __init__(self, connection: socket.socket, *scripts: bytes) -> None:
        self.asked: list[dict[str, object]] = []
        self._connection = connection
        self._scripts = scripts
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        heard = self._connection.makefile("rb")
        for number, script in enumerate(self._scripts):
            if number:
                line = heard.readline()
                if not line:
                    return
                self.asked.append(json.loads(line))
            for at in range(0, len(script), 7):
                self._connection.sendall(script[at : at + 7])
        heard.close()
        self._connection.close()


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\r\n" for message in messages)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    yield near, far
    near.close()
    far.close()


Ends = tuple[socket.socket, socket.socket]


def test_the_greeting_tells_the_version_and_answers_are_found_among_events(ends: Ends) -> None:
    near, far = ends
    scripts = (
        lines(GREETING),
        lines(DONE),
        lines(EVENT, EVENT, {"return": {"status": "running"}}, EVENT),
        lines({"return": 7}),
    )
    peer = Far(far, *scripts)
    control = qmp.Qmp(near)
    control.greet()
    assert control.version == (8, 2, 1)
    assert control.ask("query-status") == {"status": "running"}
    assert control.ask("memsave", {"val": 1}) == 7
    assert peer.asked[-1] == {"execute": "memsave", "arguments": {"val": 1}}


def test_a_refusal_carries_qemus_own_words(ends: Ends) -> None:
    near, far = ends
    Far(far, lines(GREETING), lines(DONE), lines({"error": {"class": "x", "desc": "no such"}}))
    control = qmp.Qmp(near)
    control.greet()
    with pytest.raises(VirtualBoardError, match="QEMU refuses memsave: no such"):
        control.ask("memsave")


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"", "ended before its greeting"),
        (b"hello\n", "which is no JSON"),
        (b"[1]\n", "greets with"),
        (b'{"QMP": {"version": 3}}\n', "greets with"),
    ],
)
def test_what_is_no_greeting_is_said(ends: Ends, greeting: bytes, words: str) -> None:
    near, far = ends
    Far(far, greeting)
    with pytest.raises(VirtualBoardError, match=words):
        qmp.Qmp(near).greet()


def test_silence_is_a_hang(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "_TIMEOUT_S", 0.1)
    with pytest.raises(VirtualBoardError, match="QEMU hangs: nothing came before its greeting"):
        qmp.Qmp(ends[0]).greet()


def test_a_closed_line_is_seen(ends: Ends) -> None:
    near, far = ends
    control = qmp.Qmp(near)
    assert control.look()
    far.sendall(lines(EVENT))
    assert control.look()
    far.close()
    assert not control.look()
    with pytest.raises(VirtualBoardError, match="QEMU"):
        control.ask("cont")


def test_the_last_words_are_the_fatal_ones_with_the_pc() -> None:
    fatal = [
        "Invalid read at addr 0x0, size 4",
        "qemu: fatal: Lockup: can't escalate 3 to HardFault (current priority -1)",
        "",
        "R00=00000000 R01=00000000",
        "R12=00000000 R13=20001ff0 R14=fffffff9 R15=a8000000",
        "FPSCR: 00000000",
    ]
    assert last_words(fatal) == (
        "Lockup: can't escalate 3 to HardFault (current priority -1) (PC 0xa8000000)"
    )
    assert last_words(["/usr/bin/qemu-system-arm: unsupported machine type", ""]) == (
        "unsupported machine type"
    )
    assert last_words(["", " "]) == last_words([]) == "it said nothing"


def test_versions_below_the_oldest_are_refused() -> None:
    check_version((7, 2, 0))
    check_version((10, 0, 0))
    with pytest.raises(VirtualBoardError, match=r"QEMU 7\.1\.9 is too old .* apt install"):
        check_version((7, 1, 9))
