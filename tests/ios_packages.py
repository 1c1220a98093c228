"""Packages as the stages before hand them to the writer for iOS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_export.mobile.model import (
    Delegation,
    Golden,
    MobileModel,
    OutputDifference,
    Package,
    Place,
    Placement,
    Port,
    Target,
    Variant,
    Verdict,
)
from edge_quantize.graph import DType, Graph, Quantization
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import LiteRtReference

LIMIT = "checked on WebGPU; the Metal delegate is other code, unchecked"


def port(
    name: str = "x",
    shape: tuple[int, ...] = (1, 4),
    dtype: DType = DType.FLOAT32,
    quantization: Quantization | None = None,
) -> Port:
    return Port(name, name, shape, dtype, quantization)


INT8 = Quantization((0.5,), (-128,))
# Every element type that Swift can hand over, with and without quantization, of ranks 0 to 5.
EVERY_TYPE = (
    port("floats", (1, 2)),
    port("halves", (2,), DType.FLOAT16),
    port("doubles", (2,), DType.FLOAT64),
    port("quantized", (1, 8, 8, 3), DType.INT8, INT8),
    port("bytes", (1, 4), DType.UINT8, Quantization((0.00390625,), (0,))),
    port("shorts", (1, 4), DType.INT16, Quantization((3.0517578e-05,), (0,))),
    port("raw8", (3,), DType.INT8),
    port("raw16", (3,), DType.INT16),
    port("tokens", (1, 128), DType.INT32),
    port("unsigned", (2,), DType.UINT32),
    port("big", (2,), DType.INT64),
    port("bigger", (2,), DType.UINT64),
    port("flag", (), DType.BOOL),
    port("deep", (1, 2, 3, 4, 5)),
)


def delegation(operators: int = 3, refused: int = 0) -> Delegation:
    """`refused` operators at the end stay on the CPU."""
    return Delegation(
        tuple(
            Placement(
                index=index,
                name=f"layer{index}",
                op="CONV_2D" if index < operators - refused else "WHERE",
                place=Place.GPU if index < operators - refused else Place.CPU,
                partition=0 if index < operators - refused else 1,
                reason="" if index < operators - refused else "Operation is not supported",
            )
            for index in range(operators)
        ),
        ("joint",) if refused else (),
        "the log of LiteRT 2.3.0",
    )


def verdict(state: str = "right", variant: Variant = Variant.FLOAT16) -> Verdict:
    difference = OutputDifference("scores", 1.2e-5, 3e-6, 2e-5, 1e-3, 1.0, True)
    return Verdict(
        state=state,
        why="The GPU's output is within 0.001 of the CPU's on 16 samples",
        variant=variant,
        outputs=(difference,),
        on_gpu=3,
        operators=3,
        adapter="SwiftShader Device (Subzero)",
        arithmetic="float32",
        samples=16,
        source="pseudo-random input",
        runtime="LiteRT 2.3.0",
        limits=("nothing was checked",) if state == "unchecked" else (LIMIT,),
    )


def package(
    inputs: tuple[Port, ...] = (port("image", (1, 2, 2, 1)),),
    outputs: tuple[Port, ...] = (port("scores", (1, 3)),),
    *,
    name: str = "model",
    content: bytes = b"TFL3",
    labels: tuple[str, ...] = (),
    variant: Variant = Variant.FLOAT16,
    state: str = "right",
    refused: int = 0,
    golden: Golden | None = None,
) -> Package:
    model = MobileModel(name, variant, content, inputs, outputs, None, labels)
    return Package(
        Target.IOS_METAL, model, delegation(refused=refused), verdict(state, variant), golden
    )


def from_file(path: Path, labels: tuple[str, ...] = ()) -> Package:
    """A `.tflite` file as it is, with a golden inference of LiteRT's."""
    return from_content(path.read_bytes(), path.stem, labels)


def from_content(content: bytes, name: str, labels: tuple[str, ...] = ()) -> Package:
    graph = read_tflite(content)
    variant = (
        Variant.INT8 if graph.tensors[graph.inputs[0]].dtype is DType.INT8 else Variant.FLOAT32
    )
    return package(
        _ports(graph, graph.inputs),
        _ports(graph, graph.outputs),
        name=name,
        content=content,
        labels=labels,
        variant=variant,
        golden=golden(content, graph),
    )


def golden(content: bytes, graph: Graph) -> Golden:
    inputs, _ = lcg_inputs(graph)
    outputs = LiteRtReference(content).run(list(inputs))
    return Golden(
        tuple(array.tobytes() for array in inputs),
        tuple(array.tobytes() for array in outputs),
        tuple(_tolerance(graph, i, a) for i, a in zip(graph.outputs, outputs, strict=True)),
    )


def _tolerance(graph: Graph, index: int, values: np.ndarray) -> float:
    """One LSB of a quantized output, 0.001 of the greatest value of another."""
    quantization = graph.tensors[index].quantization
    if quantization is not None and quantization.scales:
        return 1.01 * quantization.scale
    return 1e-3 * float(np.abs(values).max())


def _ports(graph: Graph, indices: tuple[int, ...]) -> tuple[Port, ...]:
    tensors = [graph.tensors[index] for index in indices]
    return tuple(Port(t.name, t.name, t.shape, t.dtype, t.quantization) for t in tensors)
