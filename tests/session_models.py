"""Models in C for tests of the session: hand-written, with a description as the exporter makes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from firmware_host import build_host_firmware

VWW_INPUT = 27_648
"""Bytes of MLPerf Tiny's VWW input: 96 x 96 x 3."""

_HEAD = """
#define _DEFAULT_SOURCE
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
#include "eag_model.h"
extern const eag_model {name}_model;
static const uint8_t sha256[32] = {{{sha}}};
static const uint8_t description[] = {{{description}}};
static uint8_t arena[{arena}];
"""

_TAIL = """
static const eag_step_fn steps[] = {{{steps}}};
static const eag_tensor inputs[] = {{{{arena, {input}}}}};
static const eag_tensor outputs[] = {{{{arena + {input}, {output}}}}};
static const eag_block blocks[] = {{{{arena, sizeof arena}}}};
const eag_model {name}_model = {{
    .name = "{name}", .sha256 = sha256, .description = description,
    .description_size = sizeof description, .steps = steps, .inputs = inputs,
    .outputs = outputs, .arena = blocks, .step_count = {count}, .input_count = 1,
    .output_count = 1, .arena_count = 1}};
"""


def description(layers: Sequence[tuple[str, str, int]], input_size: int, output: int) -> bytes:
    """A description with one step a layer; the last layer's result is the output."""
    value = {
        "v": 1,
        "layers": [list(layer) for layer in layers],
        "steps": [[index, "eag_test", layer[2]] for index, layer in enumerate(layers)],
        "inputs": [_tensor("x", input_size)],
        "outputs": [_tensor("y", output)],
        "labels": [],
        "blocks": ["dtcm"],
        "results": [[index, 0, input_size, output] for index in range(len(layers))],
        "input_preserved": True,
        "weights": 12,
    }
    return zlib.compress(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), 9)


def _tensor(name: str, size: int) -> dict[str, object]:
    return {"name": name, "shape": [1, size], "dtype": "int8", "scale": 0.5, "zero_point": -3}


def build_model_firmware(
    folder: Path,
    name: str = "sum",
    *,
    input_size: int = VWW_INPUT,
    output: int = 16,
    body: str = "",
) -> Path:
    """A firmware with one model of two steps.

    The first step adds up the input's bytes, modulo 256, into output byte 0; the second counts
    the inferences since boot into output byte 1, runs `body`, and writes output byte i (from 2)
    as byte 0 plus i.
    """
    packed = description(
        [("first", "CONV_2D", 1000), ("second", "FULLY_CONNECTED", 500)], input_size, output
    )
    source = folder / f"{name}_model.c"
    source.write_text(
        _HEAD.format(
            name=name,
            sha=",".join(str(ord(c)) for c in name),
            description=",".join(str(byte) for byte in packed),
            arena=input_size + output,
        )
        + f"""
static void first(void) {{
  uint8_t sum = 0;
  for (int i = 0; i < {input_size}; i++) sum += arena[i];
  arena[{input_size}] = sum;
}}
static void second(void) {{
  static uint8_t runs;
  arena[{input_size} + 1] = ++runs;
  {body}
  for (int i = 2; i < {output}; i++) arena[{input_size} + i] = arena[{input_size}] + i;
}}
"""
        + _TAIL.format(name=name, steps="first, second", input=input_size, output=output, count=2),
        encoding="utf-8",
    )
    return build_host_firmware(folder, models=(), sources=[(name, [source], [])])
