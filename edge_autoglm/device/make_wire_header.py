"""Writes `firmware/runtime/eag_wire_defs.h` from `firmware/wire/wire.toml`.

    python -m edge_autoglm.device.make_wire_header            write it
    python -m edge_autoglm.device.make_wire_header --check    exit 1 when it is out of date

The header is committed, so that building the firmware needs a C compiler only; a test runs the
check.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from edge_autoglm.device.wiredefs import WIRE, WireDefinition
from edge_boards.data import data_path


def _group(prefix: str, numbers: Mapping[str, int], width: int) -> list[str]:
    return [
        f"#define EAG_{prefix}_{name.upper()} {number:#0{width + 2}x}"
        if width
        else f"#define EAG_{prefix}_{name.upper()} {number}"
        for name, number in numbers.items()
    ]


def wire_header(wire: WireDefinition) -> str:
    """The header's text: one macro a number, in the order of wire.toml."""
    lines = [
        "/* Made from firmware/wire/wire.toml by `python -m edge_autoglm.device.make_wire_header`;",
        " * edit that file instead. */",
        "#ifndef EAG_WIRE_DEFS_H",
        "#define EAG_WIRE_DEFS_H",
        "",
        f"#define EAG_WIRE_MAJOR {wire.major}",
        f"#define EAG_WIRE_MINOR {wire.minor}",
        f"#define EAG_WIRE_DELIMITER {wire.delimiter:#04x}",
        f"#define EAG_WIRE_MAX_PAYLOAD {wire.max_payload}",
        f"#define EAG_WIRE_HEADER {wire.header}",
        f"#define EAG_WIRE_BAUD {wire.baud}",
    ]
    groups = (
        _group("FLAG", wire.flags, 2),
        _group("REQUEST", wire.requests, 2),
        [f"#define EAG_REQUESTS {max(wire.requests.values()) + 1}"],
        _group("EVENT", wire.events, 2),
        _group("KEY", wire.keys, 0),
        [f"#define EAG_KEYS {max(wire.keys.values()) + 1}"],
        _group("ERROR", wire.errors, 0),
        _group("CAPABILITY", wire.capabilities, 2),
        _group("RESET", wire.reset_cause, 0),
        _group("COUNTER", wire.counter, 0),
    )
    for group in groups:
        # A count belongs to the group before it.
        lines += group if len(group) == 1 else ["", *group]
    return "\n".join([*lines, "", "#endif", ""])


def main(arguments: list[str]) -> int:
    """Writes the header, or with `--check` says whether it is up to date."""
    path: Path = data_path("firmware", "runtime") / "eag_wire_defs.h"
    text = wire_header(WIRE)
    if "--check" not in arguments:
        path.write_text(text, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        print(f"{path} is out of date: run python -m edge_autoglm.device.make_wire_header")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
