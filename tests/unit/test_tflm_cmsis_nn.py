"""Scratch memory of CMSIS-NN as it is modelled, against what its own functions answer.

`tests/golden/tflm/cmsis_nn_scratch.json` was asked of them by `tools/tflm_arena/scratch.py`, on a
core of each kind under QEMU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_export.tflm import cmsis_nn
from edge_export.tflm.cmsis_nn import Simd
from edge_export.tflm.structs import CMSIS_NN_COMMIT
from edge_quantize.graph import DType, Tensor
from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions, Padding

GOLDEN = Path(__file__).resolve().parents[1] / "golden/tflm/cmsis_nn_scratch.json"
ASKED: dict[str, Any] = json.loads(GOLDEN.read_text())


def modelled(simd: Simd, padding: Padding, layer: dict[str, int]) -> list[int]:
    def of(name: str) -> tuple[int, int]:
        return layer[f"{name}_h"], layer[f"{name}_w"]

    x = Tensor(0, "x", (layer["n"], layer["h"], layer["w"], layer["c"]), DType.INT8)
    out = Tensor(1, "y", (layer["n"], *of("out"), layer["out_c"]), DType.INT8)
    filters = (layer["out_c"], *of("kernel"), layer["filter_c"])
    depthwise_filters = (1, *of("kernel"), layer["out_c"])
    conv = Conv2DOptions(padding, *of("stride"), *of("dilation"))
    depthwise = DepthwiseConv2DOptions(padding, *of("stride"), 1, *of("dilation"))
    return [
        cmsis_nn.convolve_s8(simd, x, filters, layer["out_w"], conv),
        cmsis_nn.convolve_s16(simd, x, filters),
        cmsis_nn.depthwise(simd, x, depthwise_filters, out, depthwise),
        cmsis_nn.depthwise_s4(simd, x, depthwise_filters, of("dilation") != (1, 1)),
        *cmsis_nn.transpose_convolve(simd, x, filters, of("stride")),
        cmsis_nn.sums(simd, layer["out_c"]),
        cmsis_nn.sums(simd, layer["out_c"]),
        cmsis_nn.average_pool(simd, layer["c"]),
        cmsis_nn.average_pool(simd, layer["c"]),
    ]


def test_the_answers_are_of_the_cmsis_nn_that_is_modelled() -> None:
    assert ASKED["cmsis_nn"] == CMSIS_NN_COMMIT


@pytest.mark.parametrize("simd", Simd)
def test_every_layer_wants_what_cmsis_nn_says(simd: Simd) -> None:
    wrong = []
    for row in ASKED["rows"]:
        layer = dict(zip(ASKED["fields"], row["layer"], strict=True))
        # Groups are CONV_2D's alone; elsewhere the filter has the input's channels.
        found = modelled(simd, Padding(row["padding"]), layer)
        for answer, model, real in zip(ASKED["answers"], found, row[simd.value], strict=True):
            if model != real:
                wrong.append((answer, layer, model, real))
    assert not wrong
