"""Keras models and SavedModels as float graphs, compared with Keras and TensorFlow themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Program

from edge_quantize.errors import (
    ConversionError,
    ModelFileError,
    QuantizeError,
    UnsupportedModelError,
)
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.quiet import quiet
from edge_quantize.ingest.ways import convert_model, read_any

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


# Imported when the first test runs, not when tests are collected: TensorFlow takes ten seconds.
@pytest.fixture(scope="module")
def tf() -> Any:
    with quiet():
        return pytest.importorskip("tensorflow", reason="no TensorFlow here (extra: keras)")


@pytest.fixture(scope="module")
def keras(tf: Any) -> Any:
    del tf
    with quiet():
        return pytest.importorskip("keras", reason="no Keras here (extra: keras)")


@pytest.fixture(scope="module")
def tf_keras(tf: Any) -> Any:
    del tf
    with quiet():
        return pytest.importorskip("tf_keras", reason="no tf_keras here (extra: keras)")


def ops(graph: Graph) -> list[str]:
    return [operator.op for operator in graph.operators]


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {graph.tensors[i].name: graph.tensors[i].shape for i in graph.inputs}


@pytest.fixture(scope="module")
def small(keras: Any) -> Any:
    """An image classifier after one step of training, so that no weight is where it began."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12, 12, 3), name="image"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax", name="scores"),
        ],
        name="small",
    )
    model.compile("sgd", "mse")
    random = np.random.default_rng(0)
    model.fit(random.random((8, 12, 12, 3)), random.random((8, 5)), verbose=0)
    return model


@pytest.mark.parametrize(
    ("name", "loader", "kinds"),
    [
        ("ad", "Keras 3", {"FULLY_CONNECTED": 10}),
        ("ic", "Keras 3", {"CONV_2D": 9, "ADD": 3, "AVERAGE_POOL_2D": 1}),
        ("vww", "tf_keras", {"CONV_2D": 14, "DEPTHWISE_CONV_2D": 13}),
    ],
)
def test_a_real_hdf5_file_computes_as_in_keras(
    name: str, loader: str, kinds: dict[str, int], mlperf_tiny: Callable[[str], Path], tf_keras: Any
) -> None:
    del tf_keras  # all three need it or TensorFlow
    conversion = convert_model(mlperf_tiny(f"{name}.h5"))
    assert conversion.kind == "Keras HDF5 file"
    assert conversion.framework.startswith(loader)
    assert conversion.comparison.max_relative < 1e-5
    for op, count in kinds.items():
        assert ops(conversion.graph).count(op) == count
    assert all(
        tensor.shape[0] == 1 for tensor in map(conversion.graph.tensor, conversion.graph.inputs)
    )
    assert any("loaded with Keras 2" in note for note in conversion.notes) == (loader == "tf_keras")


def test_a_keras_file_gives_what_the_live_model_gives(small: Any, tmp_path: Path) -> None:
    small.save(tmp_path / "m.keras")
    from_file, live = convert_model(tmp_path / "m.keras"), convert_model(small)
    assert from_file.kind == "Keras file"
    assert live.kind == "Keras model"
    assert ops(from_file.graph) == ops(live.graph)
    assert shapes(live.graph) == {"image": (1, 12, 12, 3)}
    assert live.graph.tensors[live.graph.outputs[0]].name == "scores"
    for conversion in (from_file, live):
        assert conversion.comparison.max_relative < 1e-5


def test_inputs_given_by_name_keep_their_order_and_names(keras: Any) -> None:
    a, b = keras.Input((8,), name="wide"), keras.Input((4,), name="narrow")
    joined = keras.layers.Concatenate()([a, keras.layers.Dense(4)(b)])
    model = keras.Model(
        {"wide": a, "narrow": b}, {"sum": keras.layers.Dense(2)(joined), "all": joined}
    )
    graph = read_any(model)
    assert shapes(graph) == {"narrow": (1, 4), "wide": (1, 8)}
    assert len(graph.outputs) == 2


@pytest.mark.parametrize("wrapped", [False, True])
def test_recurrent_layers_are_unrolled_and_that_is_said(wrapped: bool, keras: Any) -> None:
    layers = keras.layers
    lstm = layers.LSTM(3, return_sequences=True, name="memory")
    recurrent = layers.Bidirectional(lstm, name="both") if wrapped else lstm
    model = keras.Sequential([layers.Input((4, 2)), recurrent, layers.GRU(3), layers.Dense(2)])
    conversion = convert_model(model)
    name = "both" if wrapped else "memory"
    assert f"layer '{name}': unrolled over its steps" in conversion.notes
    assert not conversion.graph.other_subgraphs


def test_an_lstm_of_keras_2_becomes_one_operator(tf_keras: Any) -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((4, 2)), layers.LSTM(3, return_sequences=True)])
    conversion = convert_model(model)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in ops(conversion.graph)
    # It agrees only where each sample starts anew, as it does in Keras.
    assert any("2 variable tensors" in note for note in conversion.notes)


def test_a_length_left_open_needs_an_example(keras: Any) -> None:
    model = keras.Sequential([keras.layers.Input((None, 6), name="steps"), keras.layers.Dense(3)])
    with pytest.raises(
        UnsupportedModelError, match=r"'steps': dimension 1 of \[\?, \?, 6\] is open"
    ):
        read_any(model)
    conversion = convert_model(model, example_input=np.zeros((1, 7, 6), np.float32))
    assert shapes(conversion.graph) == {"steps": (1, 7, 6)}
    assert any("fixed at the example's 7" in note for note in conversion.notes)


def test_an_operator_that_tflite_lacks_is_named(keras: Any, tf: Any) -> None:
    class Bessel(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.math.bessel_i0(x)

    with pytest.raises(UnsupportedModelError, match="no operator for TensorFlow's BesselI0"):
        read_any(keras.Sequential([keras.layers.Input((6,)), Bessel()]))


def test_a_subclassed_model_is_refused_with_what_to_do(keras: Any) -> None:
    class Mine(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(UnsupportedModelError, match=r"wrap it: keras.Model\(inputs"):
        read_any(Mine())


def test_weights_alone_are_told_from_a_model(small: Any, tmp_path: Path) -> None:
    small.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ModelFileError, match=r"only weights, no model.*module:function"):
        read_any(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m2.h5"])
def test_code_in_a_file_does_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    keras = request.getfixturevalue("tf_keras" if name == "m2.h5" else "keras")
    layers = keras.layers
    given = layers.Input((3,))
    spy = layers.Lambda(lambda x: (__import__("pathlib").Path("ran").touch(), x)[1])
    with quiet():
        keras.Model(given, layers.Dense(2)(spy(given))).save(tmp_path / name)
    Path("ran").unlink()
    with pytest.raises(ModelFileError, match="holds Python code") as caught:
        read_any(tmp_path / name)
    assert not Path("ran").exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_file_cut_short_is_one_line(name: str, small: Any, tmp_path: Path) -> None:
    whole = tmp_path / name
    with quiet():
        small.save(whole)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError, match="cut short") as caught:
        read_any(whole)
    assert "\n" not in str(caught.value)


def test_a_layer_that_nobody_registered_is_named(tmp_path: Path, keras: Any) -> None:
    class Twice(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    keras.Sequential([keras.layers.Input((3,)), Twice()]).save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match="Twice") as caught:
        read_any(tmp_path / "m.keras")
    assert "\n" not in str(caught.value)


# SavedModel


def test_a_saved_model_of_keras_computes_as_in_tensorflow(small: Any, tmp_path: Path) -> None:
    with quiet():
        small.export(tmp_path / "saved")
    conversion = convert_model(tmp_path / "saved")
    assert conversion.kind == "SavedModel"
    assert conversion.comparison.max_relative < 1e-5
    assert list(shapes(conversion.graph).values()) == [(1, 12, 12, 3)]


@pytest.fixture(scope="module")
def two_signatures(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Path:
    class Two(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3))

        @tf.function
        def product(self, x: Any) -> Any:
            return {"y": tf.matmul(x, self.w)}

        @tf.function
        def double(self, x: Any) -> Any:
            return {"y": tf.nn.relu(x) * 2.0}

    folder, module = tmp_path_factory.mktemp("two") / "saved", Two()
    spec = tf.TensorSpec([None, 4], tf.float32, name="x")
    named = {
        name: getattr(module, name).get_concrete_function(spec) for name in ("product", "double")
    }
    with quiet():
        tf.saved_model.save(module, str(folder), signatures=named)
    return folder


def test_of_several_signatures_one_must_be_chosen(two_signatures: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"several signatures \(.*\).*--signature"):
        read_any(two_signatures)
    with pytest.raises(UnsupportedModelError, match="no signature 'other'"):
        convert_model(two_signatures, signature="other")
    assert ops(convert_model(two_signatures, signature="product").graph) == ["FULLY_CONNECTED"]
    assert "MUL" in ops(convert_model(two_signatures, signature="double").graph)


def test_a_damaged_saved_model_is_one_line(two_signatures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    content = (two_signatures / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(content[: len(content) // 2])
    with pytest.raises(QuantizeError) as caught:
        read_any(folder)
    assert "\n" not in str(caught.value)


# The command


def test_the_command_keeps_tensorflows_noise_to_itself(small: Any, tmp_path: Path) -> None:
    small.save(tmp_path / "m.keras")
    program = Program(tmp_path)
    done = program.done("convert", "m.keras", "-o", "m.tflite", "--json", "m.json")
    assert all(line.endswith(" ...") for line in done.stderr.splitlines()), done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.startswith("m: Keras file, read with Keras 3")
    said = json.loads((tmp_path / "m.json").read_text())
    assert 0 <= said["comparison"]["max_relative"] < 1e-5
    assert said["bytes"] == (tmp_path / "m.tflite").stat().st_size


NETS = """
import keras

class Odd(keras.layers.Layer):
    def call(self, x):
        print("a hint")
        if not isinstance(x, keras.KerasTensor):
            raise ValueError("odd\\nindeed")
        return x

    def compute_output_shape(self, shape):
        return shape

def build():
    return keras.Sequential([keras.Input((3,)), Odd()])
"""


def test_a_failure_is_one_line_and_can_be_logged_whole(tmp_path: Path, keras: Any) -> None:
    del keras
    (tmp_path / "nets.py").write_text(NETS)
    done = Program(tmp_path).run("convert", "nets:build", "-o", "m.tflite", "--log", "log.txt")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-autoglm: ")]
    assert len(lines) == 1
    assert "TensorFlow cannot convert it: ValueError" in lines[0]
    assert "a hint" in (tmp_path / "log.txt").read_text()
    assert not (tmp_path / "m.tflite").exists()
