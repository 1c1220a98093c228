"""The wire's numbers, read from `firmware/wire/wire.toml`.

The same file makes the firmware's header, so the two sides cannot disagree. `WIRE` is the parsed
description; its tables are frozen and typed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_boards.data import data_path


@dataclass(frozen=True)
class Message:
    """The keys of one message; a key ending in `?` may be left out.

    Attributes:
        name: its name in `[requests]` or `[events]`.
        number: its type byte.
        request: keys of the request (empty for an event).
        answer: keys of the answer (empty for an event).
        event: keys of the event (empty for a request).
    """

    name: str
    number: int
    request: tuple[str, ...]
    answer: tuple[str, ...]
    event: tuple[str, ...]


@dataclass(frozen=True)
class WireDefinition:
    """All of `wire.toml`: names to numbers, table by table."""

    major: int
    minor: int
    delimiter: int
    max_payload: int
    header: int
    baud: int
    flags: Mapping[str, int]
    requests: Mapping[str, int]
    events: Mapping[str, int]
    keys: Mapping[str, int]
    errors: Mapping[str, int]
    capabilities: Mapping[str, int]
    reset_cause: Mapping[str, int]
    counter: Mapping[str, int]
    messages: Mapping[str, Message]


def _numbers(tables: Mapping[str, Any], name: str) -> Mapping[str, int]:
    table = {str(key): int(value) for key, value in tables[name].items()}
    if len(set(table.values())) != len(table):
        raise ValueError(f"wire.toml: [{name}] uses a number twice")
    return MappingProxyType(table)


def load_wire(path: Path) -> WireDefinition:
    """Reads and checks a wire description.

    Raises:
        ValueError: a number is used twice, or a message names a key that [keys] lacks.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    protocol = tables["protocol"]
    requests, events = _numbers(tables, "requests"), _numbers(tables, "events")
    keys = _numbers(tables, "keys")
    messages: dict[str, Message] = {}
    for name, number in {**requests, **events}.items():
        described = tables["messages"].get(name)
        if described is None:
            raise ValueError(f"wire.toml: [messages.{name}] is missing")
        parts = {part: tuple(described.get(part, ())) for part in ("request", "answer", "event")}
        for part, names in parts.items():
            for key in names:
                if key.rstrip("?") not in keys:
                    raise ValueError(f"wire.toml: messages.{name}.{part} names {key}: no such key")
        messages[name] = Message(name, number, parts["request"], parts["answer"], parts["event"])
    if strays := set(tables["messages"]) - set(messages):
        raise ValueError(f"wire.toml: [messages] has no number for {', '.join(sorted(strays))}")
    return WireDefinition(
        major=int(protocol["major"]),
        minor=int(protocol["minor"]),
        delimiter=int(protocol["delimiter"]),
        max_payload=int(protocol["max_payload"]),
        header=int(protocol["header"]),
        baud=int(protocol["baud"]),
        flags=_numbers(tables, "flags"),
        requests=requests,
        events=events,
        keys=keys,
        errors=_numbers(tables, "errors"),
        capabilities=_numbers(tables, "capabilities"),
        reset_cause=_numbers(tables, "reset_cause"),
        counter=_numbers(tables, "counter"),
        messages=MappingProxyType(messages),
    )


WIRE = load_wire(data_path("firmware", "wire", "wire.toml"))


class Request(IntEnum):
    """Types of requests; an answer has its request's type."""

    HELLO = WIRE.requests["hello"]
    DESCRIBE = WIRE.requests["describe"]
    WRITE = WIRE.requests["write"]
    READ = WIRE.requests["read"]
    INVOKE = WIRE.requests["invoke"]
    PROFILE = WIRE.requests["profile"]
    STEPS = WIRE.requests["steps"]
    STEP = WIRE.requests["step"]
    PEEK = WIRE.requests["peek"]
    STATS = WIRE.requests["stats"]
    FREE_RUN = WIRE.requests["free_run"]
    BAUD = WIRE.requests["baud"]
    RESET = WIRE.requests["reset"]
    ECHO = WIRE.requests["echo"]
    BURST = WIRE.requests["burst"]


class Event(IntEnum):
    """Types of what the board sends without being asked."""

    HEARTBEAT = WIRE.events["heartbeat"]
    RECORD = WIRE.events["record"]
    FAULT = WIRE.events["fault"]
    LOG = WIRE.events["log"]
    TELEMETRY = WIRE.events["telemetry"]


class Flag(IntFlag):
    """Bits of a frame's flags byte."""

    RESPONSE = WIRE.flags["response"]
    ERROR = WIRE.flags["error"]


class Capability(IntFlag):
    """What a board says in HELLO that it can do."""

    PROFILE = WIRE.capabilities["profile"]
    STEP = WIRE.capabilities["step"]
    PEEK = WIRE.capabilities["peek"]
    FREE_RUN = WIRE.capabilities["free_run"]
    BAUD = WIRE.capabilities["baud"]
    SUPPLY = WIRE.capabilities["supply"]
    TEMPERATURE = WIRE.capabilities["temperature"]
    FPU_DOUBLE = WIRE.capabilities["fpu_double"]


class Counted(IntEnum):
    """What a board's counter counts; `word` is how reports call it."""

    CYCLES = WIRE.counter["cycles"]
    INSTRUCTIONS = WIRE.counter["instructions"]
    MICROSECONDS = WIRE.counter["microseconds"]

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def tells_time(self) -> bool:
        """Whether counts over `clock_hz` are seconds."""
        return self is not Counted.INSTRUCTIONS


def reset_cause_name(number: int) -> str:
    """The name of a reset cause, or `cause N` for one of a newer minor version."""
    for name, value in WIRE.reset_cause.items():
        if value == number:
            return name.replace("_", " ")
    return f"cause {number}"


def error_name(number: int) -> str:
    """The name of an answer's error code, or `error N` for one of a newer minor version."""
    for name, value in WIRE.errors.items():
        if value == number:
            return name.replace("_", " ")
    return f"error {number}"
