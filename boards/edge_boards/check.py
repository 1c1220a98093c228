"""The checks of a board file: its form against the schema, then its facts against each other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from edge_boards.board import STACK_GUARD_BYTES, Board, Memory, Programmer
from edge_boards.data import data_path
from edge_boards.ports import known_ports, port_needs
from edge_boards.schema import (
    FRAMEWORK_PORTS,
    LINKED_CORES,
    PROGRAMMERS,
    REQUIRED_TABLES,
    SCHEMA,
    TABLES,
    Key,
)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong at one key."""

    key: KeyPath
    words: str

    @property
    def dotted(self) -> str:
        text = ""
        for part in self.key:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                plain = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else repr(part)
                text += f".{plain}" if text else plain
        return text or "(file)"


_MOST_SECTORS = 1 << 16


def check_document(data: dict[str, Any]) -> list[Problem]:
    """Form: every key known, present where it must be, of its type and within its limits."""
    version = data.get("schema")
    if isinstance(version, int) and not isinstance(version, bool) and version != SCHEMA:
        return [
            Problem(
                ("schema",), f"is {version}, this edge-autoglm reads {SCHEMA}; allowed: {SCHEMA}"
            )
        ]
    problems = list(_unknown(data, (), {*TABLES[""], *_top_tables()}))
    problems += _keys({k: v for k, v in data.items() if k not in _top_tables()}, (), "")
    for name in TABLES:
        if not name:
            continue
        top = re.split(r"[.\[]", name)[0]
        if top not in data:
            if name in REQUIRED_TABLES:
                problems.append(Problem((top,), f"missing; it needs a table [{_shown(name)}]"))
            continue
        problems += _table(data[top], top, name)
    return problems or [p for name, m in data["memories"].items() for p in _erase_units(name, m)]


def _erase_units(name: str, memory: dict[str, Any]) -> Iterator[Problem]:
    """A size for all of them, or one each; and no more than a flash has."""
    size = memory.get("sector_size")
    if size is None:
        return
    at: KeyPath = ("memories", name, "sector_size")
    if "sectors" in memory:
        yield Problem(at, "stands beside sectors; allowed: one of the two")
    if memory["size"] % size or memory["size"] // size > _MOST_SECTORS:
        yield Problem(at, f"{size}; allowed: what divides the size into at most {_MOST_SECTORS}")


def _shown(name: str) -> str:
    return name.replace("*", "NAME") if "[]" not in name else f"[{name[:-2]}]"


def _top_tables() -> set[str]:
    return {re.split(r"[.\[]", name)[0] for name in TABLES if name}


def _table(value: Any, top: str, name: str) -> Iterator[Problem]:
    if name.endswith("[]"):
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            yield Problem((top,), f"is {_kind(value)}; allowed: tables [[{top}]]")
            return
        for index, entry in enumerate(value):
            yield from _whole(entry, (top, index), name)
    elif name.endswith(".*"):
        if not isinstance(value, dict) or not value:
            yield Problem((top,), f"is {_kind(value)}; allowed: tables [{top}.NAME]")
            return
        for key, entry in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
                yield Problem((top, key), "not a name; allowed: lower-case letters, digits and _")
            elif not isinstance(entry, dict):
                yield Problem((top, key), f"is {_kind(entry)}; allowed: a table [{top}.{key}]")
            else:
                yield from _whole(entry, (top, key), name)
    elif not isinstance(value, dict):
        yield Problem((top,), f"is {_kind(value)}; allowed: a table [{top}]")
    else:
        yield from _whole(value, (top,), name)


def _whole(entry: dict[str, Any], at: KeyPath, name: str) -> Iterator[Problem]:
    yield from _unknown(entry, at, set(TABLES[name]))
    yield from _keys(entry, at, name)


def _unknown(entry: dict[str, Any], at: KeyPath, known: set[str]) -> Iterator[Problem]:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(known))}"
            yield Problem((*at, key), f"unknown key; {hint}")


def _keys(entry: dict[str, Any], at: KeyPath, name: str) -> Iterator[Problem]:
    for key, rule in TABLES[name].items():
        if key not in entry:
            if rule.required:
                yield Problem((*at, key), f"missing; it needs {_allowed(rule)} ({rule.meaning})")
            continue
        words = _wrong(entry[key], rule)
        if words:
            yield Problem((*at, key), f"{words}; allowed: {_allowed(rule)} ({rule.meaning})")


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    kinds |= {list: "an array", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _allowed(rule: Key) -> str:
    if rule.choices:
        return ("any of " if rule.type == "strings" else "") + ", ".join(rule.choices)
    if rule.pattern_words:
        return rule.pattern_words
    words = {"strings": "an array of strings", "integers": "an array of integers"}
    words |= {"addresses": "a table of names and addresses", "integer": "an integer"}
    text = words.get(rule.type, f"a {rule.type}")
    if rule.low is not None and rule.high is not None:
        return f"{text} from {rule.low} to {rule.high}"
    return f"{text} from {rule.low}" if rule.low is not None else text


def _wrong(value: Any, rule: Key) -> str | None:
    """What is wrong with the value, or None."""
    if rule.type in ("strings", "integers"):
        if not isinstance(value, list):
            return f"is {_kind(value)}"
        each = Key(rule.type[:-1], "", True, rule.low, rule.high, rule.choices)
        return next((w for w in (_wrong(v, each) for v in value) if w), None)
    if rule.type == "addresses":
        if not isinstance(value, dict):
            return f"is {_kind(value)}"
        each = Key("integer", "", True, 0, 0xFFFF_FFFF)
        return next((w for w in (_wrong(v, each) for v in value.values()) if w), None)
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    if not isinstance(value, types[rule.type]) or (
        isinstance(value, bool) and rule.type != "boolean"
    ):
        return f"is {_kind(value)}"
    if isinstance(value, str):
        if rule.choices and value not in rule.choices:
            near = difflib.get_close_matches(value, rule.choices, n=1)
            return f"{value!r}" + (f", did you mean {near[0]}?" if near else "")
        if rule.pattern is not None and not re.fullmatch(rule.pattern, value):
            return f"{value!r}"
        return None if value else "is empty"
    if not isinstance(value, (int, float)):
        return None
    if isinstance(value, int) and value.bit_length() > 64:
        return "is far too large"  # and perhaps too long to be printed
    # Written so that NaN is out of every range.
    if rule.low is not None and not value >= rule.low:
        return f"{value}"
    return f"{value}" if rule.high is not None and not value <= rule.high else None


def check_facts(board: Board) -> list[Problem]:
    """Facts: what the keys say of each other."""
    problems: list[Problem] = []
    if PurePath(board.path).stem != board.name:
        problems.append(
            Problem(
                ("name",),
                f"{board.name!r} in a file named {board.path.name}; allowed: the "
                f"file's own name, {board.path.stem!r}",
            )
        )
    if not any(m.kind == "flash" for m in board.memories):
        problems.append(Problem(("memories",), "no memory of kind flash; allowed: at least one"))
    else:
        problems += _flash_facts(board)
    problems += _memory_facts(board)
    problems += _stack_facts(board)
    problems += _serial_facts(board)
    problems += _port_facts(board)
    if not board.programmers and board.virtual is None:
        problems.append(
            Problem(("programmers",), "missing; a board without [virtual] needs [[programmers]]")
        )
    for index, programmer in enumerate(board.programmers):
        problems += _programmer_facts(board, index, programmer)
    problems += _virtual_facts(board)
    return problems


def _serial_facts(board: Board) -> Iterator[Problem]:
    if "console" not in {s.name for s in board.serial}:
        yield Problem(("serial",), "no link named console; allowed: [serial.console]")
    for link in board.serial:
        for pin, value in (("tx", link.tx), ("rx", link.rx)):
            plug = link.peripheral == "USB" or link.through in ("usb", "rs232")
            if value is None and not plug:
                yield Problem(
                    ("serial", link.name, pin),
                    f"missing; it needs a pin, {link.peripheral} being no USB",
                )


def _port_facts(board: Board) -> Iterator[Problem]:
    port = board.soc.port
    if port in FRAMEWORK_PORTS and board.platformio is None:
        yield Problem(
            ("platformio",),
            f"missing; port {port!r} is built by PlatformIO: it needs a table [platformio]",
        )
    ports = data_path("firmware", "ports")
    if port not in known_ports(ports):
        return  # of somebody's own firmware, or still to be written: `boards check` tells
    for key in port_needs(ports, port):
        *tables, last = key.split(".")
        if _value(board, key) is None:
            table = tables[0] if len(tables) == 1 else f"{tables[0]}.*"
            meaning = TABLES[table][last].meaning
            yield Problem((*tables, last), f"missing; port {port} needs it ({meaning})")


def _value(board: Board, key: str) -> object:
    """A value by its key in the file: "serial.console.alternate"; None where it is left out."""
    value: object = board
    for part in key.split("."):
        if isinstance(value, tuple):
            value = next((each for each in value if each.name == part), None)
        else:
            value = getattr(value, part, None)
    return value


def _programmer_facts(board: Board, index: int, programmer: Programmer) -> Iterator[Problem]:
    at: KeyPath = ("programmers", index)
    for key in PROGRAMMERS[programmer.name]:
        if getattr(programmer, key) in (None, ()):
            meaning = TABLES["programmers[]"][key].meaning
            yield Problem((*at, key), f"missing; {programmer.name} needs it ({meaning})")
    links = {s.name for s in board.serial}
    if programmer.link is not None and programmer.link not in links:
        yield Problem(
            (*at, "link"),
            f"{programmer.link!r} is no serial link of this board; "
            f"allowed: {', '.join(sorted(links))}",
        )
    if programmer.name == "platformio" and board.platformio is None:
        yield Problem((*at, "name"), "needs a table [platformio]")


def _virtual_facts(board: Board) -> Iterator[Problem]:
    virtual = board.virtual
    if virtual is None:
        return
    key = "machine" if virtual.model == "qemu" else "bootloader_version"
    if not getattr(virtual, key):
        meaning = TABLES["virtual"][key].meaning
        yield Problem(("virtual", key), f"missing; {virtual.model} needs it ({meaning})")
    if virtual.model != "qemu" and board.soc.chip_id is None:
        meaning = TABLES["soc"]["chip_id"].meaning
        yield Problem(("soc", "chip_id"), f"missing; {virtual.model} needs it ({meaning})")


def _flash_facts(board: Board) -> Iterator[Problem]:
    flash = board.flash
    buses = {"axi", *dict(flash.aliases)}
    if board.execution.flash_alias not in buses:
        yield Problem(
            ("execution", "flash_alias"),
            f"{board.execution.flash_alias!r}; allowed: {', '.join(sorted(buses))}",
        )
    for memory in board.memories:
        if memory.sectors and sum(memory.sectors) != memory.size:
            yield Problem(
                ("memories", memory.name, "sectors"),
                f"add up to {sum(memory.sectors)}; allowed: the size, {memory.size}",
            )


def _ranges(board: Board) -> list[tuple[int, int, KeyPath, str]]:
    ranges: list[tuple[int, int, KeyPath, str]] = []
    for m in board.memories:
        ranges.append((m.address, m.size, ("memories", m.name, "address"), m.name))
        for alias, address in m.aliases:
            at: KeyPath = ("memories", m.name, "aliases")
            ranges.append((address, m.size, at, f"{m.name} (alias {alias})"))
    return sorted(ranges, key=lambda r: r[0])


def _memory_facts(board: Board) -> Iterator[Problem]:
    for memory in board.memories:
        at: KeyPath = ("memories", memory.name)
        if memory.reserved > memory.size:
            yield Problem(
                (*at, "reserved"),
                f"{memory.reserved} is more than the memory has; allowed: 0 to {memory.size}",
            )
        if memory.end > 0x1_0000_0000:
            yield Problem((*at, "size"), "runs past the end of the 32-bit address space")
        if memory.address % 32 or memory.size % 32:
            yield Problem((*at, "address"), "not aligned; allowed: multiples of 32, size as well")
        if memory.kind not in ("flash", "qspi") and memory.sectors:
            yield Problem((*at, "sectors"), f"a {memory.kind} has none; allowed: flash and qspi")
    ranges = _ranges(board)
    for (low, size, _, first), (high, _, key, second) in pairwise(ranges):
        if low + size > high:
            yield Problem(
                key, f"{second} at {high:#010x} overlaps {first}, which ends at {low + size:#010x}"
            )


def _stack_facts(board: Board) -> Iterator[Problem]:
    writable = [m.name for m in board.memories if m.writable]
    if not writable:
        yield Problem(("memories",), "no memory that can be written; allowed: at least one RAM")
        return
    framework = board.soc.port in FRAMEWORK_PORTS
    if board.core.name not in LINKED_CORES and not framework:
        yield Problem(
            ("core", "name"),
            f"{board.core.name!r} is started by a framework only, ports of our own need Armv7-M or "
            f"later, and port {board.soc.port!r} is one of these; allowed with it: soc.port "
            f"{', '.join(FRAMEWORK_PORTS)}",
        )
    if board.stack is None:
        if not framework:
            yield Problem(("stack",), "missing; it needs a table [stack]")
        return
    if framework:
        yield Problem(("stack",), f"port {board.soc.port!r} brings its own; leave the table out")
        return
    memory: Memory | None = next((m for m in board.memories if m.name == board.stack.memory), None)
    if memory is None or not memory.writable:
        why = "is no memory of this board" if memory is None else f"is {memory.kind}"
        yield Problem(
            ("stack", "memory"),
            f"{board.stack.memory!r} {why}; allowed: {', '.join(writable) or 'a RAM'}",
        )
        return
    if board.stack.size % 32:
        yield Problem(("stack", "size"), f"{board.stack.size}; allowed: a multiple of 32")
    needed = board.stack.size + STACK_GUARD_BYTES
    if needed > (memory.reserved or memory.size):
        yield Problem(
            ("stack", "size"),
            f"{board.stack.size} and its guard of {STACK_GUARD_BYTES} are more than {memory.name} "
            f"reserves; allowed: up to {(memory.reserved or memory.size) - STACK_GUARD_BYTES}",
        )
