"""The table of programmers: the name in a board file, who does it, and how far it was tried.

A new one is a file with a function `program(job)`, a row here, and a section of docs/flashing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from edge_autoglm.flash import (
    dfu_util,
    esptool,
    mass_storage,
    openocd,
    picotool,
    platformio,
    pyocd,
    st_flash,
    stm32_uart,
    stm32flash,
    uf2,
)
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.tool import Tool

TESTED: Mapping[str, str] = MappingProxyType(
    {
        "hardware": "flashed a real board",
        "emulator": "flashed an emulated chip, as it would a real one",
        "stand-in": "its counterpart (a tool, a disk) was imitated",
    }
)
"""How far a programmer was tried, the most first; nothing may claim more."""


class Reach(Enum):
    """What must be attached for a programmer to serve, which is how one is chosen."""

    DISK = "a disk of the board's own"
    PROBE = "a debug probe"
    SERIAL = "a serial port"
    BOOTLOADER = "a bootloader of the board's own USB"
    PROJECT = "whatever PlatformIO uses"


@dataclass(frozen=True)
class Row:
    """One programmer.

    Attributes:
        program: takes a job and returns once the flash holds the image, or raises FlashError.
        tested: a key of `TESTED`.
        reach: what it goes through.
        probes: the kinds of debug probe that it can use (`device.probes.PROBE_KINDS`).
        tool: the external program that it runs; None where the work is done here.
    """

    program: Callable[[Job], None]
    tested: str
    reach: Reach
    probes: tuple[str, ...] = ()
    tool: Tool | None = None


def _install(linux: str, mac: str, windows: str) -> Mapping[str, str]:
    return MappingProxyType({"Linux": linux, "Darwin": mac, "Windows": windows})


_OPENOCD = Tool(
    executables=("openocd",),
    minimal=(0, 11),
    version_arguments=("--version",),
    version_pattern=r"Open On-Chip Debugger v?([\d.]+)",
    install=_install(
        "sudo apt install openocd",
        "brew install openocd",
        "get it from github.com/openocd-org/openocd/releases",
    ),
    package="tool-openocd",
)
_ST_FLASH = Tool(
    executables=("st-flash",),
    minimal=(1, 7),
    version_arguments=("--version",),
    version_pattern=r"v([\d.]+)",
    install=_install(
        "sudo apt install stlink-tools",
        "brew install stlink",
        "get it from github.com/stlink-org/stlink/releases",
    ),
    package="tool-stlink",
)
_STM32FLASH = Tool(
    executables=("stm32flash",),
    minimal=(0, 5),
    # It tells its version only when it has a port to open; this one it cannot use.
    version_arguments=("/dev/null",),
    version_pattern=r"stm32flash ([\d.]+)",
    install=_install(
        "sudo apt install stm32flash",
        "brew install stm32flash",
        "get it from stm32flash.sourceforge.net, or use the programmer stm32-uart",
    ),
    package="tool-stm32flash",
)
_PYOCD = Tool(
    executables=("pyocd",),
    minimal=(0, 34),
    version_arguments=("--version",),
    version_pattern=r"^([\d.]+)",
    install=_install(*["python -m pip install pyocd"] * 3),
    module="pyocd",
    package="tool-pyocd",
)
_ESPTOOL = Tool(
    executables=("esptool", "esptool.py"),
    minimal=(4, 0),
    version_arguments=("version",),
    version_pattern=r"esptool(?:\.py)? v([\d.]+)",
    install=_install(*["python -m pip install esptool"] * 3),
    module="esptool",
    package="tool-esptoolpy",
)
_DFU_UTIL = Tool(
    executables=("dfu-util",),
    minimal=(0, 9),
    version_arguments=("--version",),
    version_pattern=r"dfu-util ([\d.]+)",
    install=_install(
        "sudo apt install dfu-util",
        "brew install dfu-util",
        "get it from dfu-util.sourceforge.net",
    ),
    package="tool-dfuutil",
)
_PICOTOOL = Tool(
    executables=("picotool",),
    minimal=(1, 1),
    version_arguments=("version",),
    version_pattern=r"picotool v([\d.]+)",
    install=_install(
        "get it from github.com/raspberrypi/pico-sdk-tools/releases",
        "brew install picotool",
        "get it from github.com/raspberrypi/pico-sdk-tools/releases",
    ),
    package="tool-picotool",
)
_PLATFORMIO = Tool(
    executables=("pio", "platformio"),
    minimal=(6, 0),
    version_arguments=("--version",),
    version_pattern=r"version ([\d.]+)",
    install=_install(*["python -m pip install platformio"] * 3),
    module="platformio",
    home=("penv/bin", "penv/Scripts"),
)

PROGRAMMERS: Mapping[str, Row] = MappingProxyType(
    {
        "mass-storage": Row(mass_storage.program, "stand-in", Reach.DISK),
        "stm32-uart": Row(stm32_uart.program, "emulator", Reach.SERIAL),
        "stm32flash": Row(stm32flash.program, "emulator", Reach.SERIAL, tool=_STM32FLASH),
        "openocd": Row(
            openocd.program,
            "emulator",
            Reach.PROBE,
            probes=("st-link", "cmsis-dap", "j-link"),
            tool=_OPENOCD,
        ),
        "st-flash": Row(
            st_flash.program, "stand-in", Reach.PROBE, probes=("st-link",), tool=_ST_FLASH
        ),
        "pyocd": Row(
            pyocd.program,
            "stand-in",
            Reach.PROBE,
            probes=("st-link", "cmsis-dap", "j-link"),
            tool=_PYOCD,
        ),
        "dfu-util": Row(dfu_util.program, "stand-in", Reach.BOOTLOADER, tool=_DFU_UTIL),
        "esptool": Row(esptool.program, "stand-in", Reach.SERIAL, tool=_ESPTOOL),
        "picotool": Row(picotool.program, "stand-in", Reach.BOOTLOADER, tool=_PICOTOOL),
        "uf2": Row(uf2.program, "stand-in", Reach.DISK),
        "platformio": Row(platformio.program, "stand-in", Reach.PROJECT, tool=_PLATFORMIO),
    }
)
"""By the name in a board file; `edge_boards.schema.PROGRAMMERS` has the same names."""
