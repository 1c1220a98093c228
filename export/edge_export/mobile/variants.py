"""The variants of a model that a package may hold, each made from the model as it was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edge_export.errors import MobileError
from edge_quantize.data import Samples
from edge_quantize.graph.edit import compacted
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import float16_weights, float_variant, int8_variant, tables
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.prepare import float_graph

from .model import MobileModel, Variant
from .source import mobile_model


@dataclass(frozen=True)
class Made:
    """One variant, and remarks on how it was made, a line each."""

    model: MobileModel
    notes: tuple[str, ...] = ()


def default_variant(source: MobileModel) -> Variant:
    """A model that computes in integers stays so; of any other the weights become float16."""
    return Variant.INT8 if source.variant is Variant.INT8 else Variant.FLOAT16


def alternatives(source: MobileModel, wanted: Variant) -> tuple[Variant, ...]:
    """What else can be made of a model without further data, the smaller first."""
    found = [Variant.FLOAT16, Variant.FLOAT32]
    if source.variant is Variant.INT8:
        found.insert(0, Variant.INT8)
    return tuple(each for each in found if each is not wanted)


def make(source: MobileModel, variant: Variant, samples: Samples | None = None) -> Made:
    """`source` as `variant`, with the names and order of its inputs and outputs.

    int8 of a float model takes its ranges from `samples`. Raises MobileError when there are none,
    UnsupportedModelError when the model has no such variant, and what quantizing raises.
    """
    if variant is source.variant:
        return Made(source)
    if variant is Variant.INT8:
        return _integers(source, samples)
    notes: list[str] = []
    content = source.content
    if source.variant is Variant.INT8:
        widened = float_variant(content)
        content, notes = widened.content, [*widened.notes]
    elif source.variant is Variant.FLOAT16:
        content = write_tflite(compacted(float_graph(read_tflite(content))))
    if variant is Variant.FLOAT32:
        return Made(_named_as(source, content, variant), tuple(notes))
    halved = float16_weights(content)
    notes += [*halved.notes, *_left(halved.left)]
    if not halved.converted:
        # What it is, it is called: nothing of it is float16.
        notes.append("no constant became float16, so that the variant is float32")
        return Made(_named_as(source, content, Variant.FLOAT32), tuple(notes))
    return Made(_named_as(source, halved.content, variant), tuple(notes))


def _left(constants: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line for each reason why constants stay float32."""
    reasons = [why for _, why in constants]
    for why in dict.fromkeys(reasons):
        count = reasons.count(why)
        said = "constants stay float32: each" if count > 1 else "constant stays float32:"
        yield f"{count} {said} {why}"


def check_variant(source: MobileModel, variant: Variant | None, samples: Samples | None) -> None:
    """Raises MobileError for a variant that cannot be made for want of samples."""
    if variant is Variant.INT8 and source.variant is not Variant.INT8 and samples is None:
        raise MobileError(
            f"{source.name}: int8 needs samples to take the ranges of activations from: --data FILE"
        )


def _integers(source: MobileModel, samples: Samples | None) -> Made:
    check_variant(source, Variant.INT8, samples)
    assert samples is not None
    made = int8_variant(source.content, samples)
    model = mobile_model(made.content, source.name, Variant.INT8, source.labels)
    return Made(model, made.notes)


def _named_as(source: MobileModel, content: bytes, variant: Variant) -> MobileModel:
    """The file `content` under the names that `source` has."""
    model = mobile_model(content, source.name, variant, source.labels)
    wanted = [port.name for port in (*source.inputs, *source.outputs)]
    if [port.name for port in (*model.inputs, *model.outputs)] == wanted:
        return model
    graph, file = read_tflite(content), tables.unpacked(content)
    names = dict(zip((*graph.inputs, *graph.outputs), wanted, strict=True))
    for signature in file.signatureDefs or []:
        if signature.subgraphIndex == 0:
            for entry in (*(signature.inputs or []), *(signature.outputs or [])):
                entry.name = names.get(entry.tensorIndex, entry.name)
            signature.signatureKey = source.signature or signature.signatureKey
            break
    else:
        for index, name in names.items():
            file.subgraphs[0].tensors[index].name = name
    renamed = mobile_model(tables.packed(file), source.name, variant, source.labels)
    return replace(renamed, signature=source.signature or renamed.signature)
