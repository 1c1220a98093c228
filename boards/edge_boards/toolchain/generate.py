"""The C that the build step itself writes: board facts, build id, the list of models."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_boards.board import Board
from edge_boards.errors import ToolchainError
from edge_boards.schema import FRAMEWORK_PORTS

_C_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT_PIN = re.compile(r"P([A-Z])(\d+)")
_NUMBERED_PIN = re.compile(r"(?:GPIO|D)(\d+)")  # Arduino cores call these by their number


def board_header(board: Board) -> str:
    """`eag_board.h`: what the port and the runtime take from the board file.

    A pin that a port letter and a number name, `PA9`, is `'A', 9`, or for a framework its own name
    for it; others are left out.
    """
    console = board.link("console")
    facts: list[tuple[str, str | int]] = [
        ("EAG_BOARD_NAME", f'"{board.name}"'),
        ("EAG_CLOCK_HZ", f"{board.clock.hz}u"),
        ("EAG_OSCILLATOR_HZ", f"{board.clock.oscillator_hz}u"),
        ("EAG_OSCILLATOR_BYPASS", int(board.clock.oscillator == "hse-bypass")),
        ("EAG_OSCILLATOR_INTERNAL", int(board.clock.oscillator == "internal")),
        ("EAG_ICACHE", int(board.execution.icache)),
        ("EAG_DCACHE", int(board.execution.dcache)),
        ("EAG_FLASH_ADDRESS", f"{board.code_address:#010x}u"),
        ("EAG_FLASH_BYTES", f"{board.flash.size:#x}u"),
        ("EAG_MPU_REGIONS", board.core.mpu_regions),
        ("EAG_CONSOLE_BAUD", f"{console.baud}u"),
        # A name of its own for each UART: C can ask which it is, and refuse what it does not know.
        ("EAG_CONSOLE_" + re.sub(r"\W", "_", console.peripheral.upper()), 1),
    ]
    if console.alternate is not None:
        facts.append(("EAG_CONSOLE_ALTERNATE", console.alternate))
    pins = (
        ("CONSOLE_TX", console.tx),
        ("CONSOLE_RX", console.rx),
        ("TIMING_PIN", board.timing_pin),
    )
    for name, pin in pins:
        place = _PORT_PIN.fullmatch(pin or "")
        number = _NUMBERED_PIN.fullmatch(pin or "")
        if board.soc.port in FRAMEWORK_PORTS:
            named = number[1] if number else place and pin
            facts += [(f"EAG_{name}", named)] if named and name == "TIMING_PIN" else []
        elif place:
            facts.append((f"EAG_{name}", f"'{place[1]}', {place[2]}"))
    lines = [f"/* Made from the board file {board.name}. */", "#ifndef EAG_BOARD_H"]
    lines.append("#define EAG_BOARD_H")
    lines += [f"#define {name} {value}" for name, value in facts]
    return "\n".join([*lines, "#endif", ""])


def build_id_header(build_id: bytes) -> str:
    """`eag_build_id.h`: the build id, and the board's facts with it."""
    digits = ", ".join(f"0x{byte:02x}" for byte in build_id)
    return (
        "/* Made by the build. */\n#ifndef EAG_BUILD_ID_H\n#define EAG_BUILD_ID_H\n"
        f'#include "eag_board.h"\n#define EAG_BUILD_ID {{{digits}}}\n#endif\n'
    )


def models_source(names: Sequence[str]) -> str:
    """`eag_models.c`: `eag_models[]` and `eag_model_count`."""
    for name in names:
        if not _C_NAME.fullmatch(name):
            raise ToolchainError(f"model name {name!r} is no C name; export it under another")
    lines = ['#include "eag_model.h"', ""]
    lines += [
        "extern const eag_model *const eag_models[];",
        "extern const unsigned eag_model_count;",
    ]
    lines += [f"extern const eag_model {name}_model;" for name in names]
    entries = ", ".join(f"&{name}_model" for name in names) or "0"
    lines.append(f"const eag_model *const eag_models[] = {{{entries}}};")
    lines.append(f"const unsigned eag_model_count = {len(names)};")
    return "\n".join(lines) + "\n"
