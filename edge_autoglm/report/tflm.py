"""A TFLM export as lines and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_export.tflm.structs import TFLM_COMMIT
from edge_export.tflm.tree import REFERENCE

from .tables import size

if TYPE_CHECKING:
    from edge_export import TflmExport


def kernels_title(kernels: str) -> str:
    """How a kernel set is called in a sentence."""
    return "CMSIS-NN" if kernels == "cmsis-nn" else "TFLM's reference kernels"


def _arena(result: TflmExport) -> str:
    if result.arena_needed is None or result.arena_plain is None:
        return (
            f"Arena: {result.arena_bytes:,} B in {result.region}, as was given; what the model "
            "needs could not be stated"
        )
    arena = (
        f"Arena: {result.arena_needed:,} B in {result.region}, with "
        f"{kernels_title(result.kernels)} (modelled after TFLM {TFLM_COMMIT})"
    )
    if result.arena_plain != result.arena_needed:
        arena += f"; {result.arena_plain:,} B where TFLM plans it on the board"
    if result.arena_reference is not None and result.kernels != REFERENCE:
        arena += f"; {result.arena_reference:,} B with {kernels_title(REFERENCE)}"
    return arena


def tflm_lines(result: TflmExport) -> list[str]:
    """What was generated, and what it will take."""
    lines = [_arena(result)]
    if result.arena_needed is not None and result.arena_bytes != result.arena_needed:
        only = result.arena_bytes < result.arena_needed
        lines.append(
            f"--arena sets aside only {result.arena_bytes:,} B: the firmware will say so, not run"
            if only
            else f"--arena sets aside {result.arena_bytes:,} B"
        )
    lines += [
        f"A TFLM with its checks in it (BUILD_TYPE=default) stops in the first inference: {stop}"
        for stop in result.stops
    ]
    ops = ", ".join(result.ops)
    lines.append(f"Ops: {ops} (MicroMutableOpResolver<{len(result.registrations)}>)")
    lines.append(
        f"{result.directory}: the model as an array of {size(result.model_bytes)}, the firmware "
        "around it, and build files"
    )
    return lines


def tflm_json(result: TflmExport) -> dict[str, Any]:
    """What was generated. `arena_bytes` is what the model needs, `arena_plain_bytes` the same for
    an interpreter that plans on the board, `arena_bytes_reference` the same as the first with
    TFLM's reference kernels (both null where they could not be stated), `arena_set_aside` what the
    firmware sets aside."""
    return {
        "schema": 1,
        "folder": str(result.directory),
        "name": result.name,
        "runtime": result.runtime,
        "model": {"sha256": result.model_sha256, "bytes": result.model_bytes},
        "board": result.board,
        "kernels": result.kernels,
        "ops": list(result.ops),
        "resolver": [
            f"{method}({f'tflite::{given}()' if given else ''})"
            for method, given in result.registrations
        ],
        "stops_with_checks": list(result.stops),
        "sources": list(result.sources),
        "arena_bytes": result.arena_needed or result.arena_bytes,
        "arena_bytes_reference": result.arena_reference,
        "arena_plain_bytes": result.arena_plain,
        "arena_set_aside": result.arena_bytes,
        "arena": {result.region: result.arena_bytes},
    }
