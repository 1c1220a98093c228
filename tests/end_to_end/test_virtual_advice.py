"""A virtual board that runs no firmware is named as such, with what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import call

pytest.importorskip("unicorn", reason="the virtual board needs unicorn")

from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import TransportError
from edge_boards import virtual
from edge_boards.loader import load_board


@pytest.fixture
def info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[virtual.VirtualInfo]:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    yield virtual.start(load_board("stm32f746"), boot0=True)
    virtual.stop("stm32f746")


@pytest.mark.usefixtures("info")
def test_a_board_in_its_bootloader_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert "in its ROM bootloader" in call(capsys, "virtual", "list").out
    answer = call(capsys, "profile", "--board", "stm32f746", "--port", "virtual")
    assert answer.code == 1
    assert "is in its ROM bootloader" in answer.err
    assert "edge-autoglm virtual reset stm32f746" in answer.err


@pytest.mark.usefixtures("info")
def test_a_stopped_board_is_listed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "virtual", "reset").code == 0
    said = call(capsys, "virtual", "list").out
    while "stopped" not in said:  # it has an instruction to run first
        said = call(capsys, "virtual", "list").out
    assert "the flash is erased" in said


def test_who_holds_a_port_is_not_the_virtual_board_itself(info: virtual.VirtualInfo) -> None:
    path = info.links["console"]
    with SerialTransport(path), pytest.raises(TransportError, match="busy") as caught:
        SerialTransport(path)
    assert f"pid {info.pid}" not in str(caught.value)
    assert info.pid != os.getpid()
