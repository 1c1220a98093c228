"""Brings an Arduino with USB of its own into its bootloader: the port is opened at 1200 baud.

The convention is Arduino's ("1200 bps touch"): the core's USB code resets into the bootloader when
a host leaves the port at that speed with DTR low.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import serial

from edge_autoglm.device.probes import UsbDevice, sees_all, usb_devices
from edge_autoglm.device.transport import open_error
from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import check_serial

SPEED = 1200
PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.2
_BLIND_SECONDS = 3.0

_Found = TypeVar("_Found")


def touch(port: str) -> None:
    """Opens and leaves `port`. Raises TransportError where it cannot be opened."""
    try:
        opened = serial.Serial(port, SPEED, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        raise open_error(port, error) from error
    # The board may be gone before it is asked.
    with contextlib.suppress(serial.SerialException, OSError):
        opened.dtr = False
    with contextlib.suppress(serial.SerialException, OSError):
        opened.close()


def into_bootloader(port: str, ids: tuple[int, int]) -> str | None:
    """Brings the board at `port` into its bootloader, which has these USB ids.

    Returns the serial number that a tool must be told, because another board waits in the same
    bootloader; else None.

    Raises:
        TransportError: `port` cannot be opened.
        FlashError: another board waits in the same bootloader, and this one does not come or
            cannot be told from it. Without another, that is for the flashing tool to tell.
    """

    def there() -> list[UsbDevice]:
        return [device for device in usb_devices() if device.ids == ids]

    before = there()
    touch(port)
    if not sees_all():
        time.sleep(_BLIND_SECONDS)
        return None
    # A device that comes has a number on its bus that no device before it had.
    came = wait_for(lambda: [each for each in there() if each not in before] or None)
    others = [each for each in there() if each in before]
    if not others:
        return None
    which = "; ".join(device.describe() for device in others)
    if came is None:
        raise FlashError(
            f"the board at {port} did not come into its bootloader, and another board is in the "
            f"same one ({which}); unplug that, then flash again"
        )
    serial = came[0].serial
    if len(came) > 1 or serial is None or serial in [device.serial for device in others]:
        raise FlashError(
            f"the board at {port} came into its bootloader, where it cannot be told from another "
            f"one ({which}); unplug that, then flash again"
        )
    check_serial(serial)
    return serial


def wait_for(look: Callable[[], _Found | None]) -> _Found | None:
    """What `look` finds once the bootloader is there, or None when it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found
