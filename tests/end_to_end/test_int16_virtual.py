"""Models with int16 activations, whole and mixed with int8 layers, from a file to a virtual board:
a user's commands, and every output bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from aot_models import keyword_spotter
from cli_tools import Program

from edge_quantize.graph.writer import write_tflite

ON_BOARD = ["--board", "stm32f746", "--port", "virtual"]
MODELS = {"int16": None, "mixed": (0, 2, 3)}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("user"))
    for name, parts in MODELS.items():
        graph = keyword_spotter(channels=20, int16=parts)
        (program.folder / f"{name}.tflite").write_bytes(write_tflite(graph))
    yield program
    program.stop_boards()


@pytest.mark.parametrize("model", MODELS)
def test_it_is_flashed_profiled_and_verified(program: Program, model: str) -> None:
    flashed = program.done(
        "flash", f"{model}.tflite", *ON_BOARD, "--profile", "--json", f"{model}.json"
    )
    assert "read back" in flashed.stdout
    report = json.loads((program.folder / f"{model}.json").read_bytes())
    kernels = {step["kernel"] for layer in report["layers"] for step in layer.get("steps", [layer])}
    assert any(kernel.endswith("_s16_dsp") for kernel in kernels)
    assert any("requantize_s16_s8" in kernel for kernel in kernels) == (model != "int16")
    verified = program.done("verify", f"{model}.tflite", *ON_BOARD)
    assert verified.stdout.count("bit-exact to tflite_micro on 20 inputs") == 2


def test_float_data_is_quantized_to_an_int16_input(program: Program) -> None:
    data = np.random.default_rng(1).normal(0.0, 3.0, (5, 1, 49, 10, 1)).astype(np.float32)
    np.save(program.folder / "data.npy", data)
    program.done("flash", "int16.tflite", *ON_BOARD)
    verified = program.done("verify", "int16.tflite", *ON_BOARD, "--data", "data.npy")
    assert verified.stdout.count("bit-exact to tflite_micro on 5 inputs") == 2


def test_what_no_kernel_takes_is_named(program: Program) -> None:
    from edge_quantize.graph import DType
    from edge_quantize.graph.builder import GraphBuilder

    b = GraphBuilder("shifted")
    x = b.input("x", (1, 8), 0.001, 12, DType.INT16)
    w = b.weights("w", np.ones((2, 8), np.int8), [0.01])
    graph = b.build([b.fully_connected(x, w, None, 0.1, 0)])
    (program.folder / "shifted.tflite").write_bytes(write_tflite(graph))
    done = program.run("export", "shifted.tflite", "--board", "stm32f746", "-o", "out")
    assert done.returncode == 1
    assert "int16 with a zero point other than 0" in " ".join(done.stderr.split())
    assert not (program.folder / "out").exists()
