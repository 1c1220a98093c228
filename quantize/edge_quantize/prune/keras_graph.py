"""A Keras 3 model as a float graph that says which layer each constant is of.

`ingest.from_keras` goes through TensorFlow's converter, which folds and renames; here each layer
becomes its own operators, so that what happens to the graph can be done to the model. Nothing here
imports Keras: the model is read through its configuration and its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """What a graph's operator is in its layer: "kernel", "depthwise", "pointwise" or "scale"."""

    operator: int
    layer: str
    part: str


@dataclass(frozen=True, eq=False)
class Mirror:
    """`graph` computes what the model does; `parts` are its operators with weights. `config` is
    that of the model as a functional one."""

    graph: Graph
    parts: tuple[Part, ...]
    config: dict[str, Any]


class _UnsupportedError(Exception):
    """A layer cannot be mirrored; the message is the reason."""


def mirror(model: Any, config: dict[str, Any]) -> Mirror:
    """`config` is `get_config()` of `model`, or of the functional model over its layers.

    Raises UnsupportedModelError, naming every layer that is not supported.
    """
    return _Mirroring(model, config).made()


class _Mirroring:
    def __init__(self, model: Any, config: dict[str, Any]) -> None:
        self.model, self.config = model, config
        self.builder = GraphBuilder(str(config.get("name") or "model"))
        self.parts: list[Part] = []
        self.tensors: dict[str, int] = {}  # by layer
        self.operators: list[str] = []  # the layer of each
        self.layer = ""

    def made(self) -> Mirror:
        problems = []
        left = list(self.config["layers"])
        while left:
            ready = [la for la in left if all(s in self.tensors for s in _sources(la))]
            if not ready:
                problems += [f"layer '{_name(la)}': its inputs are not layers" for la in left]
                break
            for layer in ready:
                left.remove(layer)
                try:
                    self.tensors[_name(layer)] = self.translated(layer)
                except _UnsupportedError as error:
                    problems.append(f"layer '{_name(layer)}' ({layer['class_name']}): {error}")
                    # Whatever is behind it still gets looked at.
                    self.tensors[_name(layer)] = self.stand_in(layer)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UnsupportedModelError(
                f"{self.config.get('name')}: {problems[0]}{more}", tuple(problems)
            )
        ends = _leaves(self.config["output_layers"])
        graph = self.builder.build([self.tensors[name] for name in ends])
        starts = _leaves(self.config["input_layers"])
        # Layers come in the order they are reached, inputs are fed in the model's.
        graph = replace(graph, inputs=tuple(self.tensors[name] for name in starts))
        return Mirror(graph, tuple(self.parts), self.config)

    def translated(self, layer: dict[str, Any]) -> int:
        translate = _LAYERS.get(layer["class_name"])
        if translate is None:
            raise _UnsupportedError(f"is not supported (supported: {', '.join(sorted(_LAYERS))})")
        if layer["class_name"] != "InputLayer" and len(layer["inbound_nodes"]) != 1:
            raise _UnsupportedError(f"is called {len(layer['inbound_nodes'])} times, not once")
        self.layer = _name(layer)
        config = layer["config"]
        if config.get("data_format") == "channels_first":
            raise _UnsupportedError("has channels first; only channels_last is supported")
        result = translate(self, config, [self.tensors[s] for s in _sources(layer)])
        activation = config.get("activation")
        if activation is not None:
            result = self.activation(activation, result)
        return result

    def stand_in(self, layer: dict[str, Any]) -> int:
        """A tensor of the layer's output shape, so that later problems are found too."""
        shape = tuple(self.model.get_layer(_name(layer)).output.shape)
        return self.builder.input(
            f"{_name(layer)}/unsupported", (1, *shape[1:]), dtype=DType.FLOAT32
        )

    def weights(self) -> list[Array]:
        return [np.asarray(w) for w in self.model.get_layer(self.layer).get_weights()]

    def constant(self, name: str, data: Array) -> int:
        return self.builder.constant(f"{self.layer}/{name}", np.ascontiguousarray(data))

    def bias(self, found: list[Array], outputs: int) -> int:
        """The layer's bias; zeros where it has none, since LiteRT's convolutions want one."""
        return self.constant("bias", found[0] if found else np.zeros(outputs, np.float32))

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.builder.shape_of(tensor)

    def operator(
        self, op: str, inputs: list[int], options: Options | None = None, part: str = ""
    ) -> int:
        if part:
            self.parts.append(Part(len(self.operators), self.layer, part))
        name = f"{self.layer}/{op.lower()}" if self.layer in self.operators else self.layer
        result = self.builder.operator(
            op, inputs, options or NoOptions(), dtype=DType.FLOAT32, name=name, version=1
        )
        self.operators.append(self.layer)
        return result

    def activation(self, name: Any, source: int) -> int:
        if name == "linear":
            return source
        if name in ("swish", "silu"):
            gate = self.operator("LOGISTIC", [source])
            return self.operator("MUL", [source, gate], ElementwiseOptions())
        if name == "softmax":
            return self.operator("SOFTMAX", [source], SoftmaxOptions())
        op = _ACTIVATIONS.get(name) if isinstance(name, str) else None
        if op is None:
            raise _UnsupportedError(f"activation {name!r} is not supported")
        return self.operator(op, [source])


_ACTIVATIONS = {"relu": "RELU", "relu6": "RELU6", "sigmoid": "LOGISTIC", "tanh": "TANH"}


def _name(layer: dict[str, Any]) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _sources(layer: dict[str, Any]) -> list[str]:
    """Names of the layers that a layer reads, in order."""
    return [name for node in layer.get("inbound_nodes") or [] for name in _histories(node)]


def _histories(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield str(value["config"]["keras_history"][0])
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _histories(inner)


def _leaves(value: Any) -> list[str]:
    """Layer names of `input_layers` or `output_layers`: [name, node, tensor] at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [value[0]]
    return [name for inner in value for name in _leaves(inner)]


def _padding(config: dict[str, Any]) -> Padding:
    if config["padding"] not in ("same", "valid"):
        raise _UnsupportedError(f"padding {config['padding']!r} is not supported")
    return Padding[config["padding"].upper()]


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _input(made: _Mirroring, config: dict[str, Any], _: list[int]) -> int:
    shape: Any = config.get("batch_shape") or config.get("batch_input_shape")
    if any(n is None for n in shape[1:]):
        raise _UnsupportedError(f"its shape {list(shape)} is open beyond the batch")
    return made.builder.input(made.layer, (1, *shape[1:]), dtype=DType.FLOAT32)


def _conv(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    if config.get("groups", 1) != 1:
        raise _UnsupportedError("grouped convolutions are not supported")
    kernel, *bias = made.weights()
    options = Conv2DOptions(
        _padding(config), *_pair(config["strides"]), *_pair(config["dilation_rate"])
    )
    inputs = [*sources, made.constant("kernel", kernel.transpose(3, 0, 1, 2))]
    inputs.append(made.bias(bias, kernel.shape[3]))
    return made.operator("CONV_2D", inputs, options, "kernel")


def _depthwise_options(config: dict[str, Any], multiplier: int) -> DepthwiseConv2DOptions:
    strides, rate = _pair(config["strides"]), _pair(config["dilation_rate"])
    return DepthwiseConv2DOptions(_padding(config), *strides, multiplier, *rate)


def depthwise_layout(kernel: Array) -> Array:
    """Keras' `[h, w, in, multiplier]` as `[1, h, w, in x multiplier]`."""
    return kernel.reshape(1, *kernel.shape[:2], -1)


def _depthwise(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    kernel, *bias = made.weights()
    inputs = [*sources, made.constant("kernel", depthwise_layout(kernel))]
    inputs.append(made.bias(bias, kernel.shape[2] * kernel.shape[3]))
    options = _depthwise_options(config, kernel.shape[3])
    return made.operator("DEPTHWISE_CONV_2D", inputs, options, "depthwise")


def _separable(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    depthwise, pointwise, *bias = made.weights()
    options = _depthwise_options(config, depthwise.shape[3])
    between = depthwise.shape[2] * depthwise.shape[3]
    inputs = [*sources, made.constant("depthwise", depthwise_layout(depthwise))]
    inputs.append(made.bias([], between))
    spread = made.operator("DEPTHWISE_CONV_2D", inputs, options, "depthwise")
    inputs = [spread, made.constant("pointwise", pointwise.transpose(3, 0, 1, 2))]
    inputs.append(made.bias(bias, pointwise.shape[3]))
    return made.operator("CONV_2D", inputs, Conv2DOptions(Padding.VALID, 1, 1), "pointwise")


def _dense(made: _Mirroring, _: dict[str, Any], sources: list[int]) -> int:
    kernel, *bias = made.weights()
    inputs = [*sources, made.constant("kernel", kernel.T)]
    inputs.append(made.bias(bias, kernel.shape[1]))
    wide = len(made.shape(sources[0])) > 2
    return made.operator(
        "FULLY_CONNECTED", inputs, FullyConnectedOptions(keep_num_dims=wide), "kernel"
    )


def _normalization(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    axis = config["axis"]
    (axis,) = axis if isinstance(axis, list | tuple) else (axis,)
    if axis % len(made.shape(sources[0])) != len(made.shape(sources[0])) - 1:
        raise _UnsupportedError(f"normalises axis {axis}, which is not the last")
    found = made.weights()
    gamma = found.pop(0) if config["scale"] else None
    beta = found.pop(0) if config["center"] else None
    mean, variance = found
    scale = 1 / np.sqrt(variance.astype(np.float64) + config["epsilon"])
    scale = scale if gamma is None else scale * gamma
    offset = -mean * scale if beta is None else beta - mean * scale
    scaled = made.operator(
        "MUL", [*sources, made.constant("scale", scale.astype(np.float32))], ElementwiseOptions(),
        "scale",
    )  # fmt: skip
    constant = made.constant("offset", offset.astype(np.float32))
    return made.operator("ADD", [scaled, constant], ElementwiseOptions())


def _relu(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    if config.get("negative_slope") or config.get("threshold"):
        raise _UnsupportedError("a slope or threshold other than 0 is not supported")
    most = config.get("max_value")
    if most not in (None, 6, 6.0):
        raise _UnsupportedError(f"a largest value of {most} is not supported (6 and none are)")
    return made.operator("RELU" if most is None else "RELU6", sources)


def _pool(op: str) -> Translate:
    def translate(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
        strides = _pair(config["strides"] or config["pool_size"])
        options = Pool2DOptions(_padding(config), *strides, *_pair(config["pool_size"]))
        return made.operator(op, sources, options)

    return translate


def _global_average(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    axes = made.constant("axes", np.array([1, 2], np.int32))
    keep = bool(config.get("keepdims"))
    return made.operator("MEAN", [*sources, axes], ReducerOptions(keep))


def _global_max(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    _, height, width, channels = made.shape(sources[0])
    options = Pool2DOptions(Padding.VALID, 1, 1, height, width)
    pooled = made.operator("MAX_POOL_2D", sources, options)
    return pooled if config.get("keepdims") else _reshaped(made, pooled, (1, channels))


def _reshaped(made: _Mirroring, source: int, shape: tuple[int, ...]) -> int:
    constant = made.constant("shape", np.array(shape, np.int32))
    return made.operator("RESHAPE", [source, constant], ReshapeOptions(shape))


def _flatten(made: _Mirroring, _: dict[str, Any], sources: list[int]) -> int:
    return _reshaped(made, sources[0], (1, int(np.prod(made.shape(sources[0])))))


def _pad(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    rows, columns = config["padding"]
    paddings = np.array([(0, 0), _pair(rows), _pair(columns), (0, 0)], np.int32)
    return made.operator("PAD", [*sources, made.constant("paddings", paddings)])


def _add(made: _Mirroring, _: dict[str, Any], sources: list[int]) -> int:
    total = sources[0]
    for source in sources[1:]:
        total = made.operator("ADD", [total, source], ElementwiseOptions())
    return total


def _concatenate(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    axis = config["axis"] % len(made.shape(sources[0]))
    return made.operator("CONCATENATION", sources, ConcatenationOptions(axis))


def _rescaling(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    scale, offset = (np.asarray(config[key], np.float32) for key in ("scale", "offset"))
    if scale.ndim or offset.ndim:
        raise _UnsupportedError("a scale for each channel is not supported")
    scaled = made.operator("MUL", [*sources, made.constant("scale", scale)], ElementwiseOptions())
    return made.operator("ADD", [scaled, made.constant("offset", offset)], ElementwiseOptions())


def _softmax(made: _Mirroring, config: dict[str, Any], sources: list[int]) -> int:
    if config.get("axis", -1) not in (-1, len(made.shape(sources[0])) - 1):
        raise _UnsupportedError(f"a softmax over axis {config['axis']} is not supported")
    return made.operator("SOFTMAX", sources, SoftmaxOptions())


def _nothing(_: _Mirroring, __: dict[str, Any], sources: list[int]) -> int:
    """A layer that does something in training only."""
    return sources[0]


Translate = Callable[[_Mirroring, dict[str, Any], list[int]], int]
_LAYERS: dict[str, Translate] = {
    "InputLayer": _input,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _normalization,
    "ReLU": _relu,
    "Activation": _nothing,  # its activation is applied to every layer that has one
    "Softmax": _softmax,
    "MaxPooling2D": _pool("MAX_POOL_2D"),
    "AveragePooling2D": _pool("AVERAGE_POOL_2D"),
    "GlobalAveragePooling2D": _global_average,
    "GlobalMaxPooling2D": _global_max,
    "Flatten": _flatten,
    "ZeroPadding2D": _pad,
    "Add": _add,
    "Concatenate": _concatenate,
    "Rescaling": _rescaling,
    "Dropout": _nothing,
    "SpatialDropout2D": _nothing,
    "GaussianNoise": _nothing,
    "GaussianDropout": _nothing,
}
