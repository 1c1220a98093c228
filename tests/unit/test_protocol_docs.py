"""docs/protocol.md says what wire.toml and both encoders do."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import cbor2
import pytest

from edge_autoglm.device import cobs
from edge_autoglm.device.wire import Decoder, encode
from edge_autoglm.device.wiredefs import WIRE

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def table(first_column: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table whose head begins so, by their first cell."""
    _, _, after = TEXT.partition(f"| {first_column} |")
    rows = {}
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            break
        name, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = tuple(rest)
    return rows


@pytest.mark.parametrize(
    ("head", "numbers"),
    [
        ("key | number", WIRE.keys),
        ("request | type", WIRE.requests),
        ("event | type", WIRE.events),
        ("error | code", WIRE.errors),
        ("capability | bit", WIRE.capabilities),
        ("reset cause | number", WIRE.reset_cause),
        ("counter | number", WIRE.counter),
    ],
)
def test_every_number_is_there_and_right(head: str, numbers: dict[str, int]) -> None:
    assert {name: int(cells[0], 0) for name, cells in table(head).items()} == dict(numbers)


def test_every_message_has_its_keys() -> None:
    for name, cells in table("request | type").items():
        message = WIRE.messages[name]
        assert tuple(cells[1].split()) == message.request
        assert tuple(cells[2].split()) == message.answer
    for name, cells in table("event | type").items():
        assert tuple(cells[1].split()) == WIRE.messages[name].event


def examples() -> list[dict[str, bytes]]:
    lines = re.findall(r"^    (payload|frame|sent) +([0-9a-f ]+)$", TEXT, re.MULTILINE)
    found = [(name, bytes.fromhex(data)) for name, data in lines]
    return [dict(found[i : i + 3]) for i in range(0, len(found), 3)]


def test_the_examples_are_what_goes_over_the_line() -> None:
    assert len(examples()) == 2
    for example in examples():
        body = example["frame"][:-4]
        assert body[4:] == example["payload"]
        assert zlib.crc32(body).to_bytes(4, "little") == example["frame"][-4:]
        assert example["sent"] == b"\0" + cobs.encode(example["frame"]) + b"\0"
        (frame,) = Decoder().feed(example["sent"])
        assert encode(frame) == example["sent"]
        assert {WIRE.keys[k]: v for k, v in frame.payload.items()} == cbor2.loads(
            example["payload"]
        )


def test_the_version_and_the_sizes_are_the_wires() -> None:
    assert TEXT.startswith(f"# The wire protocol, version {WIRE.major}.{WIRE.minor}\n")
    assert f"| 0 to {WIRE.max_payload} | payload" in TEXT
    assert f"{WIRE.baud} baud at\nboot" in TEXT
