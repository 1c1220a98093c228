"""Keras 3 models pruned as models: sizes, weights, training on, and what is written."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Program

from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError, PruningError, UnsupportedModelError
from edge_quantize.graph.analysis import analyse
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.prune import Structured

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None,
        reason="TensorFlow is not installed (extra: train)",
    ),
]
TRAINED = 2


@pytest.fixture(scope="module")
def keras() -> Any:
    from edge_quantize.ingest.conversion import Request
    from edge_quantize.ingest.tensorflow_converter import framework

    return framework("keras", "", Request())


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    """Every layer that is supported; batch norms that do something."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((12, 12, 1), name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="scaled")(image)
    x = layers.ZeroPadding2D(1, name="border")(x)
    x = layers.Conv2D(12, 3, padding="valid", use_bias=False, name="stem")(x)
    x = layers.ReLU(6.0, name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    x = layers.SeparableConv2D(16, 3, padding="same", activation="relu", name="separable")(x)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1, use_bias=False, name="deep")(
        x
    )
    y = layers.BatchNormalization(scale=False, name="deep_norm")(y)
    y = layers.Conv2D(16, 1, name="point")(layers.Activation("relu", name="deep_relu")(y))
    x = layers.Add(name="join")([x, y])
    z = layers.Conv2D(8, 3, 1, padding="same", activation="swish", name="side")(x)
    x = layers.Concatenate(name="both")([layers.MaxPooling2D(2, name="most")(x),
                                         layers.AveragePooling2D(2, name="mean")(z)])  # fmt: skip
    x = layers.SpatialDropout2D(0.1, name="dropped")(x)
    x = layers.Conv2D(12, 3, 2, padding="same", activation="tanh", name="narrow")(x)
    a = layers.GlobalAveragePooling2D(name="average")(x)
    b = layers.Dense(10, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    c = layers.GlobalMaxPooling2D(name="largest")(x)
    x = layers.Dropout(0.1, name="dropout")(layers.Concatenate(name="all")([a, b, c]))
    made = keras.Model(image, layers.Dense(4, activation="softmax", name="classes")(x), name="all")
    random = np.random.default_rng(0)
    made.compile("adam", "sparse_categorical_crossentropy")
    images, labels = pictures(200)
    made.fit(images, labels, epochs=TRAINED, verbose=0)
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights(
                [w + 0.1 * np.abs(random.standard_normal(w.shape)) for w in layer.get_weights()]
            )
    return made


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright quarter of an image, which of four is the label; and noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    images = random.random((count, 12, 12, 1)).astype(np.float32) * 0.6
    for image, label in zip(images, labels, strict=True):
        row, column = 6 * (label // 2), 6 * (label % 2)
        image[row : row + 6, column : column + 6] += 0.4
    return images, labels


def samples(count: int = 120, seed: int = 3) -> Samples:
    images, labels = pictures(count, seed)
    return Samples((images,), labels, source="pictures")


def accuracy(model: Any, seed: int = 9) -> float:
    images, labels = pictures(300, seed)
    return float((model.predict(images, verbose=0).argmax(1) == labels).mean())


def test_the_graph_of_a_model_computes_what_it_does(keras: Any, model: Any) -> None:
    from edge_quantize.prune.keras_prune import keras_mirror
    from edge_quantize.run import outputs

    graph = keras_mirror(keras, model).graph
    images, _ = pictures(5, 4)
    (found,) = outputs(graph, Samples((images,)))
    assert np.allclose(found, model.predict(images, verbose=0), atol=1e-5)


@pytest.mark.parametrize("repaired", [False, True])
def test_the_smaller_model_computes_what_the_pruned_graph_does(
    keras: Any, model: Any, repaired: bool
) -> None:
    from edge_quantize.prune.keras_prune import prune_keras
    from edge_quantize.run import outputs

    before = [w.copy() for w in model.get_weights()]
    found = prune_keras(model, samples(), Structured(sparsity=0.3, repair=repaired), keras=keras)
    images, _ = pictures(5, 4)
    (wanted,) = outputs(found.graph, Samples((images,)))
    assert np.allclose(found.model.predict(images, verbose=0), wanted, atol=1e-4)
    assert found.model.count_params() < 0.8 * model.count_params()
    sizes = [sum(m.get_layer(n).filters for n in ("stem", "point", "narrow")) for m in
             (found.model, model)]  # fmt: skip
    assert sizes[0] < sizes[1]
    assert [layer.name for layer in found.model.layers] == [layer.name for layer in model.layers]
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_sequential_model_is_pruned_too(keras: Any) -> None:
    from edge_quantize.prune.keras_prune import prune_keras

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
         layers.Dense(4)]
    )  # fmt: skip
    found = prune_keras(model, samples(), Structured(sparsity=0.5, align=4), keras=keras)
    assert found.model.layers[1].filters == 4
    assert found.model.output_shape == (None, 4)


def test_fine_tuning_and_distillation_bring_accuracy_back_the_same_way_each_time(
    keras: Any,
) -> None:
    from edge_quantize.prune.keras_prune import prune_keras
    from edge_quantize.prune.training import FineTuning

    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Conv2D(16, 3, 2, use_bias=False),
         layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(16, 3, 2, activation="relu"),
         layers.Flatten(), layers.Dropout(0.1), layers.Dense(4, activation="softmax")]
    )  # fmt: skip
    data = samples(600)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(data.inputs[0], data.labels, epochs=10, verbose=0)
    assert accuracy(model) > 0.9
    wanted = Structured(sparsity=0.85, importance="magnitude", repair=False)
    cut = accuracy(prune_keras(model, None, wanted, keras=keras).model)
    assert cut < 0.8
    plain = FineTuning(8, learning_rate=3e-3)
    for tuning in (plain, replace(plain, distill=0.5, seed=1)):
        one, two = (prune_keras(model, data, wanted, tuning, keras=keras) for _ in range(2))
        assert accuracy(one.model) > max(cut + 0.1, accuracy(model) - 0.05)
        pairs = zip(one.model.get_weights(), two.model.get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_targets_are_trained_for_with_a_squared_error(keras: Any) -> None:
    from edge_quantize.prune.keras_prune import prune_keras
    from edge_quantize.prune.training import FineTuning

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((6,)), layers.Dense(16, "relu"), layers.Dense(2)])
    random = np.random.default_rng(0)
    inputs = random.standard_normal((300, 6)).astype(np.float32)
    data = Samples((inputs,), np.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2]], 1))

    def error(one: Any) -> float:
        return float(np.mean((one.predict(inputs, verbose=0) - data.labels) ** 2))

    cut = prune_keras(model, data, Structured(sparsity=0.5), keras=keras)
    for distill in (0.0, 0.3):
        tuning = FineTuning(20, loss="huber" if distill else "auto", distill=distill)
        tuned = prune_keras(model, data, Structured(sparsity=0.5), tuning, keras=keras)
        assert error(tuned.model) < 0.8 * error(cut.model)


def test_what_is_not_supported_is_named(keras: Any) -> None:
    from edge_quantize.prune.keras_prune import prune_keras
    from edge_quantize.prune.training import FineTuning

    layers = keras.layers
    x = image = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, groups=2, name="grouped")(x)
    x = layers.Conv2D(4, 3, activation="selu", name="odd")(x)
    x = layers.Conv2DTranspose(4, 3, name="up")(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    data = Samples((np.zeros((4, 8, 8, 2), np.float32),))
    with pytest.raises(UnsupportedModelError) as caught:
        prune_keras(model, data, Structured(sparsity=0.5), keras=keras)
    named = [re.findall(r"layer '(\w+)'", problem)[0] for problem in caught.value.problems]
    assert named == ["grouped", "odd", "up"]
    small = keras.Sequential([keras.Input((3,)), layers.Dense(8, "relu"), layers.Dense(2)])
    rows = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    wrong, right = (Samples((rows,), np.array(pair * 4)) for pair in ([0, 5], [0, 1]))
    with pytest.raises(InputDataError, match="has no labels, which fine-tuning needs"):
        prune_keras(small, Samples((rows,)), Structured(0.5), FineTuning(1), keras=keras)
    with pytest.raises(InputDataError, match=r"labels 0\.\.5; the model's classes are 0\.\.1"):
        prune_keras(small, wrong, Structured(0.5), FineTuning(1), keras=keras)
    with pytest.raises(PruningError, match="no loss 'nonsense' is known"):
        prune_keras(small, right, Structured(0.5), FineTuning(1, "nonsense"), keras=keras)


def test_the_command_writes_a_keras_model_and_a_tflite(
    keras: Any, model: Any, tmp_path: Path
) -> None:
    images, labels = pictures(150, 5)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    model.save(tmp_path / "m.keras")
    program = Program(tmp_path)
    options = ["--data", "data.npz", "--sparsity", "40%", "--finetune", "2", "--distill", "0.5"]
    answer = program.done("prune", "m.keras", *options, "-o", "small.keras", "--json", "r.json")
    assert "fine-tuned" in answer.stdout
    assert max(len(line) for line in answer.stdout.splitlines()) <= 80
    small = keras.models.load_model(tmp_path / "small.keras", compile=False)
    assert small.count_params() < model.count_params()
    program.done("prune", "m.keras", *options, "-o", "small.tflite")
    graph = read_tflite(tmp_path / "small.tflite")
    from edge_quantize.prune.keras_prune import keras_mirror

    assert analyse(graph).macs == analyse(keras_mirror(keras, small).graph).macs
    program.done("prune", "m.keras", "--data", "data.npz", "--sparsity", "0.4", "-o", "cut.tflite")
    assert {p.name for p in tmp_path.iterdir()} - {"state"} == {
        "data.npz", "m.keras", "small.keras", "r.json", "small.tflite", "cut.tflite",
    }  # fmt: skip
