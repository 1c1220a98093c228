"""A model file as what a package is made of: its inputs and outputs as an app sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from edge_export.errors import MobileError
from edge_quantize.graph import DType, Graph
from edge_quantize.ingest.flatbuffer import Walk
from edge_quantize.ingest.tflite import read_tflite

from .model import MobileModel, Port, Variant

_INTEGERS = frozenset({DType.INT8, DType.UINT8, DType.INT16})


def variant_of(graph: Graph) -> Variant:
    """What a model is already: INT8 where an operator computes in integers, FLOAT16 where weights
    are stored so, else FLOAT32 (weights alone in int8 count as that)."""
    results = [tensor for o in graph.operators for tensor in graph.results(o)]
    if any(t.dtype in _INTEGERS and t.quantization is not None for t in results):
        return Variant.INT8
    if any(t.dtype is DType.FLOAT16 for t in graph.constants()):
        return Variant.FLOAT16
    return Variant.FLOAT32


def mobile_model(
    content: bytes, name: str, variant: Variant | None = None, labels: tuple[str, ...] = ()
) -> MobileModel:
    """The file `content` as it is. Names of inputs and outputs are its first signature's where it
    has one. Raises ModelFileError, MobileError where only other subgraphs have one."""
    graph = read_tflite(content)
    found = tuple(_signatures(content))
    main = next((each for each in found if each.subgraph == 0), None)
    names = main.names if main is not None else {}
    if main is None and found:
        others = ", ".join(each.key for each in found)
        raise MobileError(
            f"{name}: its signatures ({others}) are none of the main subgraph's, which a package "
            "runs; convert it with that one alone"
        )
    ports = {
        index: Port(
            names.get(index) or graph.tensors[index].name,
            graph.tensors[index].name,
            graph.tensors[index].shape,
            graph.tensors[index].dtype,
            graph.tensors[index].quantization,
        )
        for index in (*graph.inputs, *graph.outputs)
    }
    return MobileModel(
        name=name,
        variant=variant or variant_of(graph),
        content=content,
        inputs=tuple(ports[index] for index in graph.inputs),
        outputs=tuple(ports[index] for index in graph.outputs),
        signature=main.key if main is not None else None,
        labels=labels or graph.labels,
    )


def signatures(content: bytes) -> tuple[str, ...]:
    """The keys of all signatures of the file, in its order. Raises ModelFileError."""
    return tuple(each.key for each in _signatures(content))


@dataclass(frozen=True)
class _Signature:
    """`names` are those of inputs and outputs, by tensor index."""

    key: str
    subgraph: int
    names: Mapping[int, str]


def _signatures(content: bytes) -> Iterator[_Signature]:
    walk = Walk(len(content))
    model = walk.get("the file", schema.Model.GetRootAs, content)
    for number in range(walk.count("the signatures", model.SignatureDefsLength)):
        where = f"signature {number}"
        signature = walk.get(where, model.SignatureDefs, number)
        names = {}
        for entry, length in (
            (signature.Inputs, signature.InputsLength),
            (signature.Outputs, signature.OutputsLength),
        ):
            for at in range(walk.count(where, length)):
                port = walk.get(where, entry, at)
                names[walk.get(where, port.TensorIndex)] = walk.text(where, port.Name)
        key = walk.text(where, signature.SignatureKey)
        yield _Signature(key, walk.get(where, signature.SubgraphIndex), names)
