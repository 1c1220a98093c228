"""The class of real models, held against the runtime that will load them: LiteRT's CompiledModel,
whose Kotlin form finds inputs and outputs by the same names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ai_edge_litert.compiled_model import CompiledModel

from edge_export.mobile.android.source import kotlin_class
from edge_export.mobile.android.view import kotlin_model
from edge_export.mobile.source import mobile_model
from tests.android_packages import digits

MODELS = [f"{model}_{kind}" for model in ("ad", "ic", "kws", "vww") for kind in ("float", "int8")]


@pytest.mark.parametrize("name", MODELS)
def test_the_class_names_and_sizes_buffers_as_the_runtime_does(
    mlperf_tiny: Callable[[str], Path], name: str
) -> None:
    path = mlperf_tiny(f"{name}.tflite")
    model = mobile_model(path.read_bytes(), name)
    kotlin = kotlin_model(model)
    source = kotlin_class(replace(digits(), model=model), kotlin)
    signature, inputs, outputs = (
        re.findall(r'"([^"]*)"', re.search(pattern, source)[1])  # type: ignore[index]
        for pattern in (
            r"const val SIGNATURE = (.*)",
            r"INPUTS = listOf\((.*?)\)\n",
            r"OUTPUTS = listOf\((.*?)\)\n",
        )
    )
    runtime = CompiledModel.from_file(str(path))
    for key in inputs:
        runtime.create_input_buffer_by_name(signature[0], key)
    for key in outputs:
        runtime.create_output_buffer_by_name(signature[0], key)
    assert len(inputs) == len(kotlin.inputs)
    assert len(outputs) == len(kotlin.outputs)
    for index, port in enumerate(kotlin.inputs):
        needed = runtime.get_input_buffer_requirements(index)["buffer_size"]
        assert needed == port.elements * port.dtype.itemsize
    for index, port in enumerate(kotlin.outputs):
        needed = runtime.get_output_buffer_requirements(index)["buffer_size"]
        assert needed == port.elements * port.dtype.itemsize


def test_the_runtime_refuses_a_name_that_the_model_does_not_have(
    mlperf_tiny: Callable[[str], Path],
) -> None:
    runtime = CompiledModel.from_file(str(mlperf_tiny("kws_float.tflite")))
    with pytest.raises(RuntimeError):
        runtime.create_input_buffer_by_name("", "another")
