"""A model file as what a package is made of: its inputs and outputs as an app sees them."""

from __future__ import annotations

from collections.abc import Mapping

from ai_edge_litert import schema_py_generated as schema

from edge_export.errors import MobileError
from edge_quantize.graph import DType, Graph
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
    key, names = _signature(content)
    if key is None and (others := signatures(content)):
        raise MobileError(
            f"{name}: its signatures ({', '.join(others)}) are none of the main subgraph's, which "
            "a package runs; convert it with that one alone"
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
        signature=key,
        labels=labels or graph.labels,
    )


def signatures(content: bytes) -> tuple[str, ...]:
    """The keys of all signatures of the file, in its order."""
    model = schema.Model.GetRootAs(content)
    found = (model.SignatureDefs(number) for number in range(model.SignatureDefsLength()))
    return tuple(_text(each.SignatureKey()) for each in found)


def _signature(content: bytes) -> tuple[str | None, Mapping[int, str]]:
    """Key of the main subgraph's first signature, and its names by tensor index."""
    model = schema.Model.GetRootAs(content)
    for number in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(number)
        if signature.SubgraphIndex() != 0:
            continue
        names = {}
        for entry, count in (
            (signature.Inputs, signature.InputsLength()),
            (signature.Outputs, signature.OutputsLength()),
        ):
            for at in range(count):
                names[entry(at).TensorIndex()] = _text(entry(at).Name())
        return _text(signature.SignatureKey()), names
    return None, {}


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
