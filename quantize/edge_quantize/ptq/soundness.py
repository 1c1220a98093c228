"""A result is run before it is handed out: the ways in which quantized models are wrong without a
word, each an error with its name.

Raised is UnsoundResultError. None of these is the user's fault; each says what to try all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.data.samples import Samples
from edge_quantize.errors import UnsoundResultError
from edge_quantize.graph.model import DType, Graph, Operator, Quantization
from edge_quantize.graph.writer import write_tflite
from edge_quantize.run import activations, outputs

from .recipe import Precision

Floats = npt.NDArray[np.float32]

MOST_SAMPLES = 32  # that a result is run on
_SATURATED = 0.5  # of an output's values at an end of its range
_LEAST_SQNR = 1.0  # dB; a layer of zeros would have 0
_FLOATS = {DType.FLOAT32, DType.FLOAT16}
_QUANTIZED = {DType.INT4, DType.INT8, DType.INT16, DType.UINT8}


def check_file(before: Graph, after: Graph, asked: Mapping[str, Precision]) -> None:
    """What can be seen without a run: nothing changed, weights outside the flatbuffer, int8
    weights beside float activations that nobody asked for. `asked` is by layer name."""
    content = write_tflite(after)
    wanted = [p for p in asked.values() if p is not Precision.FLOAT32]
    if wanted and content == write_tflite(before):
        raise UnsoundResultError(
            f"{after.name}: unchanged file: {wanted[0].value} was asked for, and the result is the "
            "model that went in"
        )
    outside = buffers_outside(content)
    if outside:
        raise UnsoundResultError(
            f"{after.name}: {outside} buffers lie outside the flatbuffer, which TensorFlow Lite "
            "Micro reads as nothing"
        )
    for operator in weight_only(after):
        name = after.layer_name(operator)
        if asked.get(name) is not Precision.DYNAMIC:
            raise UnsoundResultError(
                f"{after.name}: weight-only: layer '{name}' ({operator.op}) has integer weights "
                "and float activations, which TensorFlow Lite Micro computes wrongly"
            )


def buffers_outside(content: bytes) -> int:
    """How many buffers of a `.tflite` have their bytes behind the flatbuffer."""
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    return sum(1 for b in buffers if b.Offset() > 1 or b.Size() > 1)


def weight_only(graph: Graph) -> Iterator[Operator]:
    """Operators with quantized constants and a float32 operand."""
    for operator in graph.operators:
        if operator.op == "DEQUANTIZE":
            continue
        operands = [t for t in graph.operands(operator) if t is not None]
        integers = any(
            t.is_constant and t.dtype in _QUANTIZED and t.quantization is not None for t in operands
        )
        floats = any(not t.is_constant and t.dtype is DType.FLOAT32 for t in operands)
        if integers and floats:
            yield operator


def check_outputs(before: Graph, after: Graph, samples: Samples, *, real: bool = True) -> None:
    """Runs both on up to 32 of `samples`: no number, constant or saturated outputs where the float
    model's are not, and the first layer whose values have nothing to do with the float model's.

    `samples` are the float model's inputs; `real` says that they are data of somebody's, whose
    range is then told: data scaled otherwise than the model was trained on is the usual cause.
    """
    rows = np.unique(np.linspace(0, len(samples) - 1, min(MOST_SAMPLES, len(samples))).astype(int))
    few = samples.take(rows)
    wanted, given = outputs(before, few), outputs(after, few)
    faults = []
    for index, reference, values in zip(after.outputs, wanted, given, strict=True):
        tensor = after.tensors[index]
        fault = output_fault(reference, values, tensor.quantization, tensor.dtype)
        if fault:
            faults.append(f"output '{tensor.name}' {fault}")
    collapsed = first_collapsed(before, after, few)
    cause = _ranges(before, samples) if real else ""
    if faults:
        blame = f"; the first layer that is wrong is {collapsed}" if collapsed else ""
        raise UnsoundResultError(f"{after.name}: {faults[0]}{blame}{cause}")
    if collapsed:
        raise UnsoundResultError(f"{after.name}: collapsed layer: {collapsed}{cause}")


def _ranges(graph: Graph, samples: Samples) -> str:
    found = [
        f"'{graph.tensors[index].name}' {float(array.min()):g} to {float(array.max()):g}"
        for index, array in zip(graph.inputs, samples.inputs, strict=True)
    ]
    return (
        f"; the data's range is a likely cause: input {', '.join(found)} (was the model trained on "
        "that?)"
    )


def output_fault(
    reference: Floats, values: Floats, quantization: Quantization | None, dtype: DType
) -> str:
    """What is wrong with an output `[samples, ...]`; empty when nothing is."""
    if not np.isfinite(values).all():
        return "is not a number"
    if len(values) > 1 and _constant(values) and not _constant(reference):
        return "is a constant output: the same for inputs whose float outputs differ"
    if quantization is None or dtype not in _QUANTIZED:
        return ""
    kind = np.iinfo(dtype.value)
    low, high = (
        (limit - quantization.zero_point) * quantization.scale for limit in (kind.min, kind.max)
    )
    step = quantization.scale
    for end, beyond in ((low, reference < low - step), (high, reference > high + step)):
        at_end = np.abs(values - end) < step / 2
        if float(np.mean(at_end & beyond)) > _SATURATED:
            return (
                f"is a saturated output: most values stand at {end:g}, the end of its range, "
                "while the float model's go beyond it"
            )
    return ""


def first_collapsed(before: Graph, after: Graph, samples: Samples) -> str:
    """The first layer, matched by its result's name, whose error is larger than its signal; empty
    when there is none."""
    places = {before.layer_name(o): o.outputs[0] for o in before.operators}
    results = [
        (after.layer_name(o), o, places[after.layer_name(o)], o.outputs[0])
        for o in after.operators
        if after.layer_name(o) in places
    ]
    signal = dict.fromkeys(places, 0.0)
    noise = dict.fromkeys(places, 0.0)
    for wanted, given in zip(
        activations(before, samples), activations(after, samples), strict=True
    ):
        for name, _, old, new in results:
            if old in wanted and new in given:
                reference = wanted[old].astype(np.float64)
                difference = reference - given[new]
                signal[name] += float((reference * reference).sum())
                noise[name] += float((difference * difference).sum())
    for name, operator, _, _ in results:
        if not np.isfinite(noise[name]):
            return f"'{name}' ({operator.op}), which is not a number"
        if signal[name] > 0 and noise[name] > 0:
            sqnr = 10 * np.log10(signal[name] / noise[name])
            if sqnr < _LEAST_SQNR:
                return f"'{name}' ({operator.op}), whose SQNR is {sqnr:.1f} dB"
    return ""


def _constant(values: Floats) -> bool:
    return bool((values == values[0]).all())
