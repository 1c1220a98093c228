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

from edge_autoglm.device.probes import sees_all, usb_devices
from edge_autoglm.device.transport import open_error

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


def into_bootloader(port: str | None, ids: tuple[int, int]) -> None:
    """Sees to it that a bootloader with these USB ids is attached, where it can be done.

    Raises TransportError where `port` cannot be opened. A bootloader that does not come is for the
    flashing tool to tell.
    """

    def there() -> bool | None:
        return any(device.ids == ids for device in usb_devices()) or None

    if port is None or there():
        return
    touch(port)
    if sees_all():
        wait_for(there)
    else:
        time.sleep(_BLIND_SECONDS)


def wait_for(look: Callable[[], _Found | None]) -> _Found | None:
    """What `look` finds once the bootloader is there, or None when it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found
