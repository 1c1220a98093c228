"""Keras models: `.keras` and `.h5` files, and live ones, of Keras 3 and of Keras 2."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_quantize.errors import ConversionError, ModelFileError, UnsupportedModelError
from edge_quantize.graph.model import Graph

from .conversion import Arrays, Conversion, Request, compared
from .float_graph import float_graph
from .open_shapes import OpenInput, fixed_shapes
from .quiet import quiet
from .source import MAX_FILE_BYTES
from .tensorflow_converter import Shaped, converted, first_line, framework


def read_keras_file(path: Path, request: Request) -> Conversion:
    """A `.keras` or HDF5 file as a graph.

    Raises MissingExtraError, ModelFileError (not a whole model), ConversionError,
    UnsupportedModelError, UnsoundResultError.
    """
    model, keras, notes = load_keras_file(path, request)
    kind = "Keras file" if zipfile.is_zipfile(path) else "Keras HDF5 file"
    return _converted(model, keras, kind, path.stem, request, notes)


def load_keras_file(path: Path, request: Request) -> tuple[Any, Any, tuple[str, ...]]:
    """(live model, the `keras` or `tf_keras` module that it is of, notes) from a `.keras` or HDF5
    file. Keras 3 is tried first; what only Keras 2 can load, `tf_keras` does.

    Raises MissingExtraError, ModelFileError (not a whole model), ConversionError.
    """
    archive = zipfile.is_zipfile(path)
    kind = "Keras file" if archive else "Keras HDF5 file"
    framework("tensorflow", f"{path}: a {kind}", request)
    _refuse_code(path, _zipped_config(path) if archive else _hdf5_config(path))
    keras = framework("keras", f"{path}: a {kind}", request)
    model, why = _loaded(keras, path)
    notes: tuple[str, ...] = ()
    if model is None and not archive:
        keras = framework("tf_keras", f"{path}: a model of Keras 2", request)
        model, why_not_2 = _loaded(keras, path)
        notes = (f"loaded with Keras 2 (tf_keras): Keras {_version(request)} cannot ({why})",)
        why = f"{why}; Keras 2: {why_not_2}"
    if model is None:
        raise ConversionError(f"{path}: Keras cannot load it: {why}")
    return model, keras, notes


def read_keras_model(model: Any, request: Request) -> Conversion:
    """A live model of Keras 3 (on TensorFlow) or of `tf_keras`. Raises as `read_keras_file`."""
    module = "tf_keras" if _is_keras_2(model) else "keras"
    keras = framework(module, "a Keras model", request)
    name = getattr(model, "name", "") or "model"
    return _converted(model, keras, "Keras model", name, request, ())


def _is_keras_2(model: Any) -> bool:
    return any(kind.__module__.split(".")[0] == "tf_keras" for kind in type(model).__mro__)


def _version(request: Request) -> str:
    return str(framework("keras", "", request).__version__)


def _zipped_config(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.rsplit("/", 1)[-1] == "config.json")
            with archive.open(name) as file:
                return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except (StopIteration, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(
            f"{path}: a damaged Keras file (was it cut short?): {first_line(error)}"
        ) from error


def _hdf5_config(path: Path) -> str:
    """The architecture in a whole HDF5 file; that it is whole, Keras' own messages do not say."""
    import h5py  # TensorFlow brings it

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
    except OSError as error:
        raise ModelFileError(
            f"{path}: a damaged HDF5 file (was it cut short?): {first_line(error)}"
        ) from error
    if config is None:
        raise ModelFileError(
            f"{path}: only weights, no model: save the whole of it with model.save(), or build "
            "the model in a function, load the weights there and name it as module:function"
        )
    return config.decode("utf-8", "replace") if isinstance(config, bytes) else str(config)


def _refuse_code(path: Path, config: str) -> None:
    """Refuses compiled Python in a file: `tf_keras`, and Keras 3 in some versions, run it unasked.

    It is what a Lambda layer of a `lambda` is stored as. Raises ModelFileError.
    """
    try:
        parts: list[Any] = [json.loads(config)]
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path}: its architecture is no JSON; is the file damaged?") from None
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            kinds = [value for key, value in part.items() if key.endswith("_type")]  # of Keras 2
            if part.get("class_name") == "__lambda__" or "lambda" in kinds:
                raise ModelFileError(
                    f"{path}: holds Python code (a Lambda layer), which would run when it is "
                    "loaded: build the model in a function, load the weights there and name it as "
                    "module:function"
                )
            parts += part.values()


def _loaded(keras: Any, path: Path) -> tuple[Any, str]:
    """(the model, "") or (None, the reason in a few words)."""
    with quiet():
        try:
            # What it was trained with is of no use here, and may need code that is not.
            return keras.models.load_model(path, compile=False), ""
        except Exception as error:  # a file can make Keras raise anything
            return None, _reason(error)


def _reason(error: Exception) -> str:
    """Keras' reason without the layer's whole configuration, which it quotes."""
    inner = re.search(r"Exception encountered: (.+?)[.](?:\s|$)", str(error))
    words = inner[1] if inner else first_line(error, 160).rstrip(".")
    return words.split(" using config=")[0]


def _converted(
    model: Any, keras: Any, kind: str, name: str, request: Request, notes: tuple[str, ...]
) -> Conversion:
    tf = framework("tensorflow", "a Keras model", request)
    backend = keras.backend.backend() if keras.__name__ == "keras" else "tensorflow"
    if backend != "tensorflow":
        raise ConversionError(
            f"{name}: Keras runs on {backend} here; the way to .tflite is TensorFlow's: set "
            "KERAS_BACKEND=tensorflow"
        )
    if not getattr(model, "inputs", None):
        raise UnsupportedModelError(
            f"{name}: a Keras model without fixed inputs (a subclassed one); wrap it: "
            "keras.Model(inputs, model(inputs))"
        )
    declared = [OpenInput(_plain(i.name), tuple(i.shape)) for i in model.inputs]
    shapes, fixed = fixed_shapes(declared, request.example_input)
    inputs = [
        Shaped(given.name, shape, tf.as_dtype(tensor.dtype))
        for given, shape, tensor in zip(declared, shapes, model.inputs, strict=True)
    ]
    request.say("converting")
    graph, unrolled = _graph(model, keras, tf, inputs, name)
    graph, settled = float_graph(graph)

    def run(arrays: Arrays) -> Sequence[Any]:
        return [np.asarray(t) for t in _call(model, keras, tf, [tf.constant(a) for a in arrays])]

    request.say("comparing")
    version = f"{'Keras' if keras.__name__ == 'keras' else 'tf_keras'} {keras.__version__}"
    return Conversion(
        graph=graph,
        kind=kind,
        framework=f"{version}, TensorFlow {tf.__version__}",
        notes=(*notes, *fixed, *unrolled, *settled),
        comparison=compared(graph, run, version),
    )


def _plain(name: str) -> str:
    return name.split(":")[0].split("/")[0]


def _graph(
    model: Any, keras: Any, tf: Any, inputs: Sequence[Shaped], name: str
) -> tuple[Graph, tuple[str, ...]]:
    """The graph, its recurrent layers unrolled where they would be loops, and what was."""
    graph = _traced(model, keras, tf, inputs, name)
    recurrent = [layer.name for layer in model.layers if "unroll" in str(layer.get_config())]
    if not graph.other_subgraphs or not recurrent:
        return graph, ()
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(_unrolled(layer.get_config()))
    )
    copy.set_weights(model.get_weights())
    graph = _traced(copy, keras, tf, inputs, name)
    return graph, tuple(f"layer '{layer}': unrolled over its steps" for layer in recurrent)


def _unrolled(config: Any) -> Any:
    """A layer's configuration with `unroll` set, in layers inside it too."""
    if not isinstance(config, dict):
        return config
    return {k: True if k == "unroll" else _unrolled(value) for k, value in config.items()}


def _traced(model: Any, keras: Any, tf: Any, inputs: Sequence[Shaped], name: str) -> Graph:
    # Keras 3 wraps TensorFlow's variables in its own; the converter knows only the former.
    third = keras.__name__ == "keras"
    variables = [v.value if third else v for v in model.variables]
    outputs = _output_names(model, keras)
    graph = converted(
        tf, lambda *tensors: _call(model, keras, tf, tensors), variables, inputs, outputs, name
    )
    return replace(graph, name=name)


def _output_names(model: Any, keras: Any) -> list[str]:
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    names = list(getattr(model, "output_names", None) or [])
    count = len(model.outputs)
    return names if len(names) == count else [f"output_{i}" for i in range(count)]


def _call(model: Any, keras: Any, tf: Any, tensors: Sequence[Any]) -> Sequence[Any]:
    """The model's outputs, flat, from inputs in the order of `model.inputs`."""
    tree = keras.tree if keras.__name__ == "keras" else tf.nest
    if isinstance(model, keras.Sequential):
        packed = tensors[0]  # it has no `input` before it is called
    else:
        packed = tree.pack_sequence_as(model.input, list(tensors))
    return list(tree.flatten(model(packed, training=False)))
