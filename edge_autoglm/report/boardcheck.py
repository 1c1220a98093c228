"""The check of a board file as lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .tables import wrapped

if TYPE_CHECKING:
    from edge_autoglm.boardcheck import Finding
    from edge_boards.board import Board
    from edge_boards.errors import BoardFileError

_STATE, _SUBJECT = 9, 12


def finding_lines(finding: Finding) -> list[str]:
    """State, subject and detail in columns; under them what is missing would bring."""
    indent = " " * (_STATE + _SUBJECT)
    head = f"{finding.state:{_STATE}}{finding.subject:{_SUBJECT}}{finding.detail}"
    lines = [wrapped(head, indent)]
    if finding.brings:
        lines.append(wrapped(f"{indent}-> {finding.brings}", f"{indent}   "))
    return lines


def check_json(
    path: str, result: Board | BoardFileError, findings: Sequence[Finding]
) -> dict[str, Any]:
    """The same as plain values; `result` is the board, or why there is none."""
    if isinstance(result, Exception):
        faults = [asdict(fault) for fault in result.faults]
        return {"schema": 1, "file": path, "valid": False, "board": None, "faults": faults,
                "findings": []}  # fmt: skip
    return {
        "schema": 1,
        "file": path,
        "valid": True,
        "board": result.name,
        "faults": [],
        "findings": [asdict(finding) for finding in findings],
    }
