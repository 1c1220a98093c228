"""The board file's schema: one table of keys, read by the loader and by docs/boards.md's test."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = 1
"""Version of the board file; raised when a key changes its meaning."""

ARM_CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
"""Cores with Arm's instruction set."""
LINKED_CORES = ("cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
"""Cores that ports of our own start, which takes Armv7-M or later; frameworks start the others."""
OTHER_CORES = ("xtensa-lx6", "xtensa-lx7", "riscv32imc")
"""Cores that only a framework's toolchain compiles for."""
CORES = (*ARM_CORES, *OTHER_CORES)
FPUS = ("fpv4-sp-d16", "fpv5-sp-d16", "fpv5-d16")
MEMORY_KINDS = ("flash", "itcm", "dtcm", "sram", "sdram", "qspi")
PROGRAMMERS: dict[str, tuple[str, ...]] = {
    "mass-storage": ("volume",),
    "stm32-uart": ("link",),
    "stm32flash": ("link",),
    "openocd": ("configs",),
    "st-flash": (),
    "pyocd": ("target",),
    "dfu-util": ("usb", "alt"),
    "esptool": ("link", "target"),
    "picotool": (),
    "uf2": ("volume",),
    "platformio": (),
}
"""Ways to flash, and the keys of `[[programmers]]` that each cannot do without."""
THROUGH = ("st-link", "probe", "adapter", "usb", "rs232")
POWER_KINDS = ("datasheet", "measured")
TESTED = ("hardware", "emulator", "compiled", "data only")
"""How far a board was tried, the most first; nothing may claim more."""
MODELS = ("stm32f746", "stm32l4r5", "qemu")


@dataclass(frozen=True)
class Key:
    """One key of a table: its type, its limits, whether it must be there, and what it means."""

    type: str  # "string", "integer", "number", "boolean", "strings", "integers", "addresses"
    meaning: str
    required: bool = True
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    pattern_words: str = ""


_NAME = r"[a-z0-9][a-z0-9_-]{0,31}"
_NAME_WORDS = "at most 32 lower-case letters, digits, - and _"
_PIN = r"P[A-K]([0-9]|1[0-5])|P[01]\.[0-9]{2}|GPIO[0-9]{1,2}|D[0-9]{1,2}"
_PIN_WORDS = "a pin such as PA9, P0.06, GPIO4 or D1"
_USB_ID = r"[0-9a-f]{4}:[0-9a-f]{4}"
_USB_ID_WORDS = "vendor:product in hexadecimal, such as 0483:374b"

TABLES: dict[str, dict[str, Key]] = {
    "": {
        "schema": Key("integer", "version of this file's schema: 1"),
        "name": Key(
            "string",
            "the board's name, equal to the file's",
            pattern=_NAME,
            pattern_words=_NAME_WORDS,
        ),
        "title": Key("string", "the name people know it by"),
        "vendor": Key("string", "who makes it", required=False),
        "aliases": Key("strings", "other names that find it", required=False),
        "tested": Key(
            "string",
            "how far this board was tried; left out: data only",
            required=False,
            choices=TESTED,
        ),
        "sources": Key("strings", "documents that the facts of this file are from", required=False),
    },
    "platformio": {
        "board": Key("string", "PlatformIO's board id"),
        "platform": Key("string", "its platform: a name, or an address of one"),
        "framework": Key("string", "its framework; left out: none", required=False),
        "options": Key(
            "strings", "further lines of its platformio.ini, `key = value`", required=False
        ),
    },
    "soc": {
        "name": Key("string", "the chip"),
        "port": Key(
            "string",
            "folder of firmware/ports that brings the chip up",
            pattern=_NAME,
            pattern_words=_NAME_WORDS,
        ),
        "chip_id": Key(
            "integer",
            "STM32: the device id that ROM and debug port tell",
            required=False,
            low=1,
            high=0xFFF,
        ),
    },
    "core": {
        "name": Key("string", "the CPU", choices=CORES),
        "features": Key("strings", "dsp (SMLAD and friends), mve (Helium)", choices=("dsp", "mve")),
        "fpu": Key("string", "the compiler's -mfpu; left out: none", required=False, choices=FPUS),
        "mpu_regions": Key("integer", "regions of the MPU, 0 where there is none", low=0, high=32),
    },
    "clock": {
        "hz": Key("integer", "core clock that the port sets up", low=1, high=10**10),
        "oscillator_hz": Key("integer", "what the clock is made from", low=1, high=10**10),
        "oscillator": Key(
            "string",
            "its kind",
            choices=("hse-crystal", "hse-bypass", "crystal", "internal"),
        ),
    },
    "execution": {
        "flash_alias": Key("string", "axi, or a key of the flash's aliases", required=False),
        "icache": Key("boolean", "instruction cache on", required=False),
        "dcache": Key("boolean", "data cache on", required=False),
    },
    "memories.*": {
        "kind": Key("string", "what it is", choices=MEMORY_KINDS),
        "address": Key("integer", "first address", low=0, high=0xFFFF_FFFF),
        "size": Key("integer", "bytes", low=32, high=0x1_0000_0000),
        "reserved": Key(
            "integer", "bytes kept from the planner, for stack and runtime", required=False, low=0
        ),
        "sectors": Key("integers", "flash: erase units, bytes, in order", required=False, low=1),
        "sector_size": Key(
            "integer", "flash: the erase unit, bytes, where all are alike", required=False, low=1
        ),
        "aliases": Key("addresses", "flash: the same bytes at other addresses", required=False),
    },
    "stack": {
        "memory": Key("string", "the memory it lies in"),
        "size": Key(
            "integer",
            "bytes, a multiple of 32; the start takes 1.1 KB of it",
            low=2048,
            high=1 << 20,
        ),
    },
    "serial.*": {
        "peripheral": Key("string", "the UART's name in the manual, or USB"),
        "tx": Key("string", "pin", required=False, pattern=_PIN, pattern_words=_PIN_WORDS),
        "rx": Key("string", "pin", required=False, pattern=_PIN, pattern_words=_PIN_WORDS),
        "alternate": Key(
            "integer", "STM32: both pins' alternate function", required=False, low=0, high=15
        ),
        "baud": Key("integer", "bits a second after reset", low=300, high=20_000_000),
        "through": Key("string", "how a PC gets at it", choices=THROUGH),
        "protocol": Key("string", "spoken by the ROM", required=False, choices=("an3155",)),
    },
    "programmers[]": {
        "name": Key("string", "the way to flash", choices=tuple(PROGRAMMERS)),
        "volume": Key("string", "mass-storage, uf2: the disk's label", required=False),
        "link": Key("string", "through a serial port: the serial link", required=False),
        "configs": Key("strings", "openocd: configuration files, in order", required=False),
        "target": Key("string", "pyocd: target; esptool: chip; uf2: family", required=False),
        "usb": Key(
            "string",
            "dfu-util: the bootloader's vendor:product",
            required=False,
            pattern=_USB_ID,
            pattern_words=_USB_ID_WORDS,
        ),
        "alt": Key("integer", "dfu-util: alternate setting", required=False, low=0, high=255),
    },
    "usb[]": {
        "id": Key(
            "string",
            "vendor:product of a port of this board's own",
            pattern=_USB_ID,
            pattern_words=_USB_ID_WORDS,
        ),
        "role": Key("string", "what answers there", choices=("console", "bootloader", "probe")),
    },
    "pins": {
        "timing": Key(
            "string",
            "raised around an inference, for a power instrument",
            required=False,
            pattern=_PIN,
            pattern_words=_PIN_WORDS,
        ),
    },
    "virtual": {
        "model": Key("string", "the emulation", choices=MODELS),
        "bootloader_version": Key(
            "integer", "what the ROM bootloader says", required=False, low=0, high=255
        ),
        "machine": Key("string", "qemu: its machine", required=False),
    },
    "power[]": {
        "mode": Key("string", "run, sleep, stop, ... with the clock", pattern=r"\S.*"),
        "ma": Key("number", "supply current, mA", low=0, high=100_000),
        "v": Key("number", "supply voltage, V", low=0.5, high=60),
        "kind": Key("string", "whose figure it is", choices=POWER_KINDS),
        "source": Key(
            "string",
            "document, table and conditions",
            pattern=r".*\S.{6,}",
            pattern_words="the document and its table, or how it was measured",
        ),
    },
}
"""Keys of each table. `x.*`: a table of named tables; `x[]`: an array of tables."""

REQUIRED_TABLES = ("soc", "core", "clock", "memories.*", "serial.*")
"""The others may be left out whole."""

FRAMEWORK_PORTS = ("arduino",)
"""Ports whose framework brings startup, linker script and stack."""
