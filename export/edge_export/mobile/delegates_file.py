"""`delegates.json`: where each operator will run, why not on the GPU, how far that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .model import Delegation, Package, Placement, Target

SCHEMA = 1
_PHONE_ANDROID = (
    "that a phone's GPU takes the same: there it is LiteRT's OpenCL build, which nobody asked",
    "whether the phone's driver has OpenCL at all, how much memory it gives, and how fast it is",
)
_PHONE_METAL = (
    "the Metal delegate is other code than what runs here: its rules are read from its source",
    "the TensorFlow Lite that the package names is older than that source, and may take less",
    "whether it builds its program for this model, and how fast it is",
)


def delegates_json(package: Package) -> dict[str, Any]:
    """The file's content for a package."""
    return delegation_json(package.delegation, package.target)


def delegation_json(
    delegation: Delegation,
    target: Target,
    checked: Sequence[str] = (),
    unchecked: Sequence[str] = (),
) -> dict[str, Any]:
    """As `delegates.schema.json` says. `checked` and `unchecked` are sentences beside those that
    follow from the delegation itself."""
    return {
        "schema": SCHEMA,
        "target": str(target),
        "source": delegation.source,
        "observed": delegation.observed,
        "operators": [_operator(each) for each in delegation.operators],
        "partitions": _partitions(delegation),
        "transfers": [
            {
                "tensor": move.tensor,
                "bytes": move.nbytes,
                "from_partition": move.source,
                "to_partition": move.to,
                "to": str(move.place),
            }
            for move in delegation.moves
        ],
        "summary": {
            "gpu": len(delegation.counted) - len(delegation.refused),
            "cpu": len(delegation.refused),
            "unpacking": len(delegation.operators) - len(delegation.counted),
            "transfer_bytes": sum(move.nbytes for move in delegation.moves),
        },
        "disagreements": [
            {
                "index": each.index,
                "op": each.op,
                "rules": str(each.predicted),
                "backend": str(each.observed),
            }
            for each in delegation.disagreements
        ],
        "notes": list(delegation.notes),
        "checked_here": [*checked_here(delegation), *checked],
        "only_a_phone_shows": [*only_a_phone_shows(target), *unchecked],
    }


def checked_here(delegation: Delegation) -> tuple[str, ...]:
    """What of it was seen on this machine, a clause each."""
    if not delegation.observed:
        return ()
    return ("the model was compiled for the GPU alone, and the backend's own log says so",)


def only_a_phone_shows(target: Target) -> tuple[str, ...]:
    return _PHONE_METAL if target is Target.IOS_METAL else _PHONE_ANDROID


def _operator(each: Placement) -> dict[str, Any]:
    return {
        "index": each.index,
        "name": each.name,
        "op": each.op,
        "place": str(each.place),
        "partition": each.partition,
        "unpacks": each.unpacks,
        "code": each.code or None,
        "reason": each.reason or None,
        "mend": each.mend or None,
        "backend_words": each.words or None,
    }


def _partitions(delegation: Delegation) -> list[dict[str, Any]]:
    by_number: dict[int, list[Placement]] = {}
    for each in delegation.operators:
        by_number.setdefault(each.partition, []).append(each)
    return [
        {
            "partition": number,
            "place": str(members[0].place),
            "operators": [each.index for each in members],
        }
        for number, members in sorted(by_number.items())
    ]
