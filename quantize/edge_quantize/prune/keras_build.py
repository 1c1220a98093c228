"""The smaller Keras model: layers' sizes in the configuration, and the weights that are left."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsoundResultError
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.conversion import random_inputs, relative_difference
from edge_quantize.reference import LiteRtReference

from .keras_graph import Mirror, Part
from .layers import bias_vector
from .structured import Pruned

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# float32 sums in another order differ by less.
_TOLERANCE = 1e-4
_SIZES = {"Conv2D": "filters", "SeparableConv2D": "filters", "Dense": "units"}


def built(keras: Any, model: Any, mirrored: Mirror, pruned: Pruned) -> Any:
    """A Keras model that computes what `pruned.graph` does, from the model that was mirrored.

    Raises UnsoundResultError when it does not.
    """
    by_layer: dict[str, list[Part]] = {}
    for part in mirrored.parts:
        by_layer.setdefault(part.layer, []).append(part)
    config = copy.deepcopy(mirrored.config)
    weights: dict[str, list[Array]] = {}
    for layer in config["layers"]:
        # It holds the shapes that the layer was built for.
        layer.pop("build_config", None)
        name = layer["name"]
        if name not in by_layer:
            continue
        if layer["class_name"] == "BatchNormalization":
            (part,) = by_layer[name]
            kept = kept_places(mirrored.graph, pruned, part.operator)
            weights[name] = [np.asarray(w)[kept] for w in model.get_layer(name).get_weights()]
            continue
        found = [_kernel(pruned.graph, part) for part in by_layer[name]]
        last = pruned.graph.operators[by_layer[name][-1].operator]
        if layer["class_name"] in _SIZES:
            layer["config"][_SIZES[layer["class_name"]]] = pruned.graph.results(last)[0].shape[-1]
        bias = bias_vector(pruned.graph, last).astype(np.float32)
        # What was removed may leave a mean behind where there was no bias.
        layer["config"]["use_bias"] = bool(layer["config"]["use_bias"] or bias.any())
        weights[name] = [*found, bias] if layer["config"]["use_bias"] else found
    smaller = keras.Model.from_config(config)
    for name, arrays in weights.items():
        smaller.get_layer(name).set_weights(arrays)
    _compare(keras, smaller, pruned.graph)
    return smaller


def packed(keras: Any, model: Any, arrays: list[Array]) -> Any:
    """Arrays in the order of `model.inputs`, as the model wants them."""
    structure = getattr(model, "input", None)  # a Sequential has none
    return arrays[0] if structure is None else keras.tree.pack_sequence_as(structure, arrays)


def kept_places(graph: Graph, pruned: Pruned, operator: int) -> Mask:
    """Which channels of an operator's result in `graph` the pruned graph still has."""
    result = graph.operators[operator].outputs[0]
    kept = np.ones(graph.tensors[result].shape[-1], np.bool_)
    for group, mask in pruned.keep.items():
        for member in group.members:
            if member.tensor == result and member.operator < 0:
                kept &= np.where(member.channels < 0, True, mask[member.channels])
    return kept


def _kernel(pruned: Graph, part: Part) -> Array:
    """An operator's weights as Keras lays them out."""
    operator = pruned.operators[part.operator]
    kernel = np.asarray(pruned.tensors[operator.inputs[1]].data)
    if operator.op == "DEPTHWISE_CONV_2D":
        depth = pruned.tensors[operator.inputs[0]].shape[3]
        return kernel.reshape(*kernel.shape[1:3], depth, -1)
    return kernel.transpose(1, 2, 3, 0) if operator.op == "CONV_2D" else kernel.T


def _compare(keras: Any, model: Any, graph: Graph) -> None:
    reference = LiteRtReference(graph, optimized=True)
    for arrays in random_inputs(graph):
        made = model(packed(keras, model, list(arrays)), training=False)
        outputs = keras.tree.flatten(made)
        for ours, theirs in zip(outputs, reference.run(arrays), strict=True):
            apart = relative_difference(keras.ops.convert_to_numpy(ours), theirs)
            if not apart <= _TOLERANCE:
                raise UnsoundResultError(
                    f"{graph.name}: the Keras model that was built differs from the pruned graph "
                    f"by {apart:.2g} of its largest value; nothing was written"
                )
