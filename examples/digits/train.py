"""Trains the demo's CNN and writes it as a full-integer int8 `.tflite`, and as a float one.

    pip install -e '.[train]'
    python examples/digits/train.py            # some minutes on two cores
    python examples/digits/train.py --epochs 30 --output quick.tflite

The held-back set is looked at once, at the end, to print the figures for the README.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.model import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import LABELS_METADATA, read_tflite
from edge_quantize.inputs import quantize_array
from edge_quantize.reference import LiteRtReference

SEED = 7
EPOCHS = 120
BATCH = 32
OUTPUT = Path(__file__).resolve().parent / "digits_int8.tflite"
FLOAT_NAME = "digits_float.tflite"  # beside the int8 one


def network() -> Any:
    """3x3 convolution, two depthwise-separable blocks, one of them with a residual, classifier."""
    layers = tf.keras.layers

    def convolution(x: Any, name: str, channels: int, size: int, activation: bool = True) -> Any:
        x = layers.Conv2D(channels, size, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x) if activation else x

    def depthwise(x: Any, name: str, stride: int) -> Any:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    image = tf.keras.Input((8, 8, 1), name="image")
    x = convolution(image, "stem", 16, 3)
    x = convolution(depthwise(x, "spatial1", 1), "mix1", 32, 1)
    x = convolution(depthwise(x, "spatial2", 2), "mix2", 48, 1)
    branch = convolution(depthwise(x, "spatial3", 1), "mix3", 48, 1, activation=False)
    x = layers.ReLU(name="join_relu")(layers.Add(name="join")([x, branch]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    logits = layers.Dense(10, name="classify")(x)
    return tf.keras.Model(image, layers.Softmax(name="digit")(logits), name="digits")


def augmented(training: data.Digits, epochs: int) -> Iterator[tuple[Any, Any]]:
    """Batches, each image rotated, scaled and shifted by a little."""
    random = np.random.RandomState(SEED)
    count = len(training.labels)
    for _ in range(epochs * (count // BATCH)):
        chosen = random.choice(count, BATCH, replace=False)
        yield moved(training.images[chosen], random), training.labels[chosen]


def moved(
    images: npt.NDArray[np.float32], random: np.random.RandomState
) -> npt.NDArray[np.float32]:
    """Bilinear resampling under a random affine map for each image."""
    count = len(images)
    angle = random.uniform(-0.2, 0.2, count)
    zoom = random.uniform(0.9, 1.1, count)
    shift_y, shift_x = random.uniform(-0.7, 0.7, (2, count))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    ys, xs = np.mgrid[0:8, 0:8] - 3.5
    source_y = cos[:, None, None] * ys - sin[:, None, None] * xs + shift_y[:, None, None] + 3.5
    source_x = sin[:, None, None] * ys + cos[:, None, None] * xs + shift_x[:, None, None] + 3.5
    padded = np.pad(images[..., 0], ((0, 0), (2, 2), (2, 2)))
    source_y, source_x = np.clip(source_y + 2, 0, 10.999), np.clip(source_x + 2, 0, 10.999)
    y0, x0 = source_y.astype(int), source_x.astype(int)
    dy, dx = source_y - y0, source_x - x0
    which = np.arange(count)[:, None, None]
    top = padded[which, y0, x0] * (1 - dx) + padded[which, y0, x0 + 1] * dx
    bottom = padded[which, y0 + 1, x0] * (1 - dx) + padded[which, y0 + 1, x0 + 1] * dx
    result: npt.NDArray[np.float32] = (top * (1 - dy) + bottom * dy).astype(np.float32)
    return result[..., np.newaxis]


def converted(model: Any, training: data.Digits) -> bytes:
    """Full-integer int8, calibrated on training images."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in training.images[:400])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def converted_float(model: Any) -> bytes:
    """As it was trained, in float32: what `edge-autoglm optimize` starts from."""
    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def readable(graph: Graph) -> Graph:
    """The converter's names, `digits_1/stem_relu_1/Relu;digits_1/...`, cut to the layer's."""
    results = {i for operator in graph.operators for i in operator.outputs}
    names = {graph.inputs[0]: "image", graph.outputs[0]: "digit"}
    tensors = []
    for tensor in graph.tensors:
        name = names.get(tensor.index, tensor.name)
        if tensor.index in results and tensor.index not in names:
            layer = tensor.name.split(";")[0].split("/")[1]
            name = re.sub(r"(_norm|_relu)?(_\d+)?$", "", layer)
        tensors.append(dataclasses.replace(tensor, name=name))
    labels = tuple("0123456789")
    return dataclasses.replace(
        graph,
        name="digits",
        tensors=tuple(tensors),
        labels=labels,
        metadata={LABELS_METADATA: "\n".join(labels).encode()},
    )


def accuracy_int8(graph: Graph, held: data.Digits) -> float:
    reference = LiteRtReference(graph)
    source = graph.tensors[graph.inputs[0]]
    right = 0
    for image, label in zip(held.images, held.labels, strict=True):
        (scores,) = reference.run([quantize_array(image[np.newaxis], source)])
        right += int(scores.argmax() == label)
    return right / len(held.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    training, held = data.load()
    model = network()
    steps = len(training.labels) // BATCH
    rate = tf.keras.optimizers.schedules.CosineDecay(2e-3, options.epochs * steps)
    loss = tf.keras.losses.SparseCategoricalCrossentropy()
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=1e-3)
    model.compile(optimizer, loss, metrics=["accuracy"])
    batches = tf.data.Dataset.from_generator(
        lambda: augmented(training, options.epochs),
        output_signature=(
            tf.TensorSpec((BATCH, 8, 8, 1), tf.float32),
            tf.TensorSpec((BATCH,), tf.int64),
        ),
    )
    model.fit(batches, epochs=options.epochs, steps_per_epoch=steps, verbose=2)

    graph = readable(read_tflite(converted(model, training)))
    options.output.write_bytes(write_tflite(graph))
    floating = readable(read_tflite(converted_float(model)))
    options.output.with_name(FLOAT_NAME).write_bytes(write_tflite(floating))

    analysis = analyse(graph)
    float_accuracy = float(model.evaluate(held.images, held.labels, verbose=0)[1])
    print(f"parameters {model.count_params()}, MACs {analysis.macs}")
    int8_accuracy = accuracy_int8(graph, held)
    print(f"accuracy on {len(held.labels)} held-back images: ", end="")
    print(f"float {float_accuracy:.4f}, int8 {int8_accuracy:.4f}")
    size = options.output.stat().st_size
    print(f"{options.output.name}: {size} bytes; {dict(analysis.op_counts)}")


if __name__ == "__main__":
    main()
