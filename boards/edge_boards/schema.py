"""The board file's schema: one table of keys, read by the loader and by docs/boards.md's test."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = 1
"""Version of the board file; raised when a key changes its meaning."""

CORES = ("cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
FPUS = ("fpv4-sp-d16", "fpv5-sp-d16", "fpv5-d16")
MEMORY_KINDS = ("flash", "itcm", "dtcm", "sram", "sdram", "qspi")
PROGRAMMERS = ("mass-storage", "stm32-uart")
POWER_KINDS = ("datasheet", "measured")


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


_NAME = r"[a-z0-9][a-z0-9_-]*"
_NAME_WORDS = "lower-case letters, digits, - and _"
_PIN = r"P[A-K]([0-9]|1[0-5])|GPIO[0-9]{1,2}"

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
        "platformio": Key("string", "PlatformIO's board id", required=False),
    },
    "soc": {
        "name": Key("string", "the chip"),
        "port": Key(
            "string",
            "folder of firmware/ports that brings the chip up",
            pattern=_NAME,
            pattern_words=_NAME_WORDS,
        ),
    },
    "core": {
        "name": Key("string", "the CPU", choices=CORES),
        "features": Key("strings", "dsp (SMLAD and friends), mve (Helium)", choices=("dsp", "mve")),
        "fpu": Key("string", "the compiler's -mfpu; left out: none", required=False, choices=FPUS),
        "mpu_regions": Key("integer", "0 where there is no MPU", low=0, high=32),
    },
    "clock": {
        "hz": Key("integer", "core clock that the port sets up", low=1, high=10**10),
        "oscillator_hz": Key("integer", "what the clock is made from", low=1, high=10**10),
        "oscillator": Key("string", "its kind", choices=("hse-crystal", "hse-bypass", "internal")),
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
        "aliases": Key("addresses", "flash: the same bytes at other addresses", required=False),
    },
    "stack": {
        "memory": Key("string", "the memory it lies in"),
        "size": Key("integer", "bytes, a multiple of 32", low=1024, high=1 << 20),
    },
    "serial.*": {
        "peripheral": Key("string", "the UART's name in the manual"),
        "tx": Key("string", "pin", pattern=_PIN, pattern_words="a pin such as PA9 or GPIO4"),
        "rx": Key("string", "pin", pattern=_PIN, pattern_words="a pin such as PA9 or GPIO4"),
        "baud": Key("integer", "bits a second after reset", low=300, high=20_000_000),
        "through": Key(
            "string", "how a PC gets at it", choices=("st-link", "probe", "adapter", "usb")
        ),
        "protocol": Key("string", "spoken by the ROM", required=False, choices=("an3155",)),
    },
    "programmers[]": {
        "name": Key("string", "the way to flash", choices=PROGRAMMERS),
        "volume": Key("string", "mass-storage: the disk's label", required=False),
        "link": Key("string", "stm32-uart: the serial link", required=False),
    },
    "virtual": {
        "model": Key("string", "the emulation", choices=("stm32f746",)),
        "chip_id": Key("integer", "what the ROM bootloader says", low=0, high=0xFFFF),
        "bootloader_version": Key("integer", "what the ROM bootloader says", low=0, high=255),
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

REQUIRED_TABLES = ("soc", "core", "clock", "memories.*", "stack", "serial.*", "programmers[]")
"""The others may be left out whole."""
