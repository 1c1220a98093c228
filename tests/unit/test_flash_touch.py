"""A board is brought into its bootloader through its port, where another may wait already (a tree
as /sys has it)."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk

from edge_autoglm.errors import FlashError
from edge_autoglm.flash import touch as touching
from edge_autoglm.flash.touch import into_bootloader

BOOTSEL = (0x2E8A, 0x0003)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(touching, "PATIENCE_SECONDS", 0.3)
    return Desk(tmp_path, monkeypatch)


def comes(desk: Desk, serial: str | None) -> list[str]:
    """What a touch brings: a bootloader of that serial number, or nothing. Gives who is touched."""
    touched: list[str] = []

    def touch(port: str) -> None:
        touched.append(port)
        if serial is not None:
            desk.plug(*BOOTSEL, serial, "RP2 Boot")

    desk.patch.setattr(touching, "touch", touch)
    return touched


def test_alone_it_need_not_be_told(desk: Desk) -> None:
    touched = comes(desk, "E660A")
    assert into_bootloader("ttyACM0", BOOTSEL) is None
    assert touched == ["ttyACM0"]


def test_beside_another_it_is_told_by_its_serial_number(desk: Desk) -> None:
    desk.plug(*BOOTSEL, "E660B", "RP2 Boot")
    touched = comes(desk, "E660A")
    assert into_bootloader("ttyACM0", BOOTSEL) == "E660A"
    assert touched == ["ttyACM0"]


def test_two_that_say_the_same_of_themselves_are_refused(desk: Desk) -> None:
    """As every RP2040 does in its ROM."""
    desk.plug(*BOOTSEL, "E0C9125B0D9B", "RP2 Boot")
    comes(desk, "E0C9125B0D9B")
    with pytest.raises(FlashError, match=r"cannot be told from another one .*unplug that"):
        into_bootloader("ttyACM0", BOOTSEL)


def test_the_other_is_not_taken_for_one_that_does_not_come(desk: Desk) -> None:
    desk.plug(*BOOTSEL, "E660B", "RP2 Boot")
    comes(desk, None)
    with pytest.raises(FlashError, match=r"did not come .*E660B.*unplug that"):
        into_bootloader("ttyACM0", BOOTSEL)
