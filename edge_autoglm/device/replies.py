"""From payloads to the values of `messages`, checked."""

from __future__ import annotations

import json
import zlib
from typing import Any

from edge_autoglm.device.answer import Answer, Payload
from edge_autoglm.device.messages import (
    BoardInfo,
    Description,
    Layer,
    LayerResult,
    LogLine,
    ModelInfo,
    Record,
    Run,
    Stats,
    Step,
    Tensor,
)
from edge_autoglm.device.wiredefs import WIRE, Capability, Counted, reset_cause_name
from edge_autoglm.errors import SessionError

_DESCRIPTION_VERSION = 1
_MAX_DESCRIPTION = 1 << 20


def check_protocol(board: str, payload: Payload) -> tuple[int, int]:
    """The firmware's protocol version.

    Raises:
        SessionError: another major version; both are named.
    """
    version = Answer(board, "hello", payload).integers("protocol")
    if len(version) != 2:
        raise SessionError(f"{board}: hello's answer has no protocol version; flash it anew")
    if version[0] != WIRE.major:
        raise SessionError(
            f"{board}: the firmware speaks protocol {version[0]}.{version[1]}, this program "
            f"{WIRE.major}.{WIRE.minor}; flash the board with this program "
            "(`edge-autoglm flash`), or use the version that flashed it"
        )
    return version[0], version[1]


def board_info(payload: Payload, name: str) -> BoardInfo:
    """HELLO's answer."""
    answer = Answer(name, "hello", payload)
    return BoardInfo(
        protocol=check_protocol(name, payload),
        board=answer.text("board"),
        uid=answer.data("uid"),
        boot_count=_optional(answer, "boot_count"),
        build_id=answer.data("build_id"),
        capabilities=Capability(answer.integer("capabilities")),
        max_payload=answer.integer("max_payload"),
        window=max(1, answer.integer("window")),
        models=model_infos(name, payload, 0),
        clock_hz=answer.integer("clock_hz"),
        counter=counted(name, payload),
        reset_cause=reset_cause_name(answer.integer("reset_cause")),
        state=answer.integer("state"),
        uptime_cycles=answer.integer("uptime_cycles"),
    )


def counted(board: str, payload: Payload) -> Counted:
    """What the numbers of cycles in this board's answers count; cycles, where it does not say."""
    number = _optional(Answer(board, "hello", payload), "counter")
    try:
        return Counted.CYCLES if number is None else Counted(number)
    except ValueError:
        raise SessionError(
            f"{board}: its counter counts something that this program does not know (counter "
            f"{number}); use the version that flashed it"
        ) from None


def model_infos(board: str, payload: Payload, first: int) -> tuple[ModelInfo, ...]:
    """The models that one answer to HELLO lists, numbered from `first`."""
    models = payload.get("models", [])
    if not isinstance(models, list):
        raise SessionError(f"{board}: hello's answer has no list of models; flash it anew")
    return tuple(_model_info(board, first + index, each) for index, each in enumerate(models))


def _model_info(board: str, index: int, item: object) -> ModelInfo:
    if not isinstance(item, dict):
        raise SessionError(f"{board}: hello's answer has a model that is no map; flash it anew")
    names = {number: name for name, number in WIRE.keys.items()}
    answer = Answer(board, "hello", {names.get(key, ""): value for key, value in item.items()})
    return ModelInfo(
        index=index,
        name=answer.text("name"),
        sha256=answer.data("sha256"),
        inputs=answer.integers("inputs"),
        outputs=answer.integers("outputs"),
        step_count=answer.integer("step_count"),
        arena=answer.integers("arena"),
        description_size=answer.integer("total"),
    )


def run(board: str, request: str, payload: Payload) -> Run:
    """The answer to INVOKE and PROFILE."""
    answer = Answer(board, request, payload)
    return Run(
        cycles=answer.integer("cycles"),
        seed=_optional(answer, "seed"),
        stack_used=_optional(answer, "stack_used"),
        result=answer.data("result"),
    )


def stats(board: str, payload: Payload) -> Stats:
    """The answer to STATS."""
    answer = Answer(board, "stats", payload)
    return Stats(
        stack_used=_optional(answer, "stack_used"),
        stack_size=_optional(answer, "stack_size"),
        arena_used=answer.integers("arena_used") if "arena_used" in payload else None,
        uptime_cycles=answer.integer("uptime_cycles"),
        supply_mv=_optional(answer, "supply_mv"),
        die_celsius=_celsius(answer),
        rx_frames=answer.integer("rx_frames"),
        rx_bad=answer.integer("rx_bad"),
        rx_lost=_optional(answer, "rx_lost"),
        rx_missing=answer.integer("rx_missing"),
        unknown_types=answer.integer("unknown_types"),
        unknown_keys=answer.integer("unknown_keys"),
        retries=answer.integer("retries"),
        runs=answer.integer("runs"),
        state=answer.integer("state"),
    )


def record(board: str, payload: Payload) -> Record:
    """A RECORD event."""
    answer = Answer(board, "free_run", payload)
    return Record(
        model=answer.integer("model"),
        sequence=answer.integer("sequence"),
        cycles=answer.integer("cycles"),
        seed=_optional(answer, "seed"),
        result=answer.data("result"),
        stack_used=_optional(answer, "stack_used"),
        uptime_cycles=answer.integer("uptime_cycles"),
        supply_mv=_optional(answer, "supply_mv"),
        die_celsius=_celsius(answer),
    )


def log_line(board: str, payload: Payload) -> LogLine:
    """A LOG event."""
    answer = Answer(board, "log", payload)
    return LogLine(answer.text("detail"), _optional(answer, "code"))


def _optional(answer: Answer, key: str) -> int | None:
    return answer.integer(key) if key in answer.payload else None


def _celsius(answer: Answer) -> float | None:
    tenths = _optional(answer, "die_decicelsius")
    return None if tenths is None else tenths / 10


def parse_description(board: str, model: str, packed: bytes) -> Description:
    """Unpacks a model's description (zlib over JSON, version 1).

    Raises:
        SessionError: damaged, or of another version; both are named.
    """
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, _MAX_DESCRIPTION)
        if not unpacker.eof:
            raise SessionError(f"{board}: the description of {model} is cut short; flash it anew")
        value = json.loads(text)
        version = value["v"]
        if version != _DESCRIPTION_VERSION:
            raise SessionError(
                f"{board}: the description of {model} has version {version}, this program reads "
                f"{_DESCRIPTION_VERSION}; flash the board with this program"
            )
        return Description(
            layers=tuple(Layer(str(n), str(op), int(macs)) for n, op, macs in value["layers"]),
            steps=tuple(Step(int(ly), str(k), int(macs)) for ly, k, macs in value["steps"]),
            inputs=tuple(_tensor(each) for each in value["inputs"]),
            outputs=tuple(_tensor(each) for each in value["outputs"]),
            labels=tuple(str(label) for label in value.get("labels") or ()),
            blocks=tuple(str(block) for block in value["blocks"]),
            results=tuple(LayerResult(*(int(n) for n in each)) for each in value["results"]),
            input_preserved=bool(value["input_preserved"]),
            weights=int(value["weights"]),
            runtime=str(value.get("runtime", "aot")),
            arena_stated=None if value.get("arena_stated") is None else int(value["arena_stated"]),
        )
    except (zlib.error, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise SessionError(
            f"{board}: the description of {model} cannot be read ({error}); flash it anew"
        ) from error


def _tensor(item: dict[str, Any]) -> Tensor:
    return Tensor(
        name=str(item["name"]),
        shape=tuple(int(size) for size in item["shape"]),
        dtype=str(item["dtype"]),
        scale=float(item["scale"] or 0),
        zero_point=int(item["zero_point"] or 0),
    )
