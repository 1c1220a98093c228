"""TensorFlow SavedModel folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_quantize.errors import ConversionError, UnsupportedModelError

from .conversion import Arrays, Conversion, Request, compared
from .float_graph import float_graph
from .open_shapes import OpenInput, fixed_shapes
from .quiet import quiet
from .tensorflow_converter import Shaped, converted, first_line, framework

SERVING = "serving_default"


def read_saved_model(path: Path, request: Request) -> Conversion:
    """One signature of a SavedModel: the one asked for, else `serving_default`, else the only one.

    Raises MissingExtraError, ConversionError, UnsupportedModelError, UnsoundResultError.
    """
    tf = framework("tensorflow", f"{path}: a SavedModel", request)
    request.say("loading the model")
    with quiet() as heard:
        try:
            loaded = tf.saved_model.load(str(path))
        except Exception as error:  # damaged files make TensorFlow raise anything
            raise ConversionError(
                f"{path}: TensorFlow cannot load it: {first_line(error)}", heard.text
            ) from error
    name, notes = _signature(path, list(loaded.signatures), request.signature)
    signature = loaded.signatures[name]
    # A model with no keras in it is called by the names of its inputs.
    specs = signature.structured_input_signature[1]
    names = sorted(specs)
    declared = [OpenInput(n, _shape(path, n, specs[n])) for n in names]
    shapes, fixed = fixed_shapes(declared, request.example_input)
    inputs = [Shaped(n, shape, specs[n].dtype) for n, shape in zip(names, shapes, strict=True)]
    outputs = sorted(signature.structured_outputs)

    def call(*tensors: Any) -> Sequence[Any]:
        results = signature(**dict(zip(names, tensors, strict=True)))
        return [results[output] for output in outputs]

    request.say("converting")
    graph = converted(tf, call, [loaded], inputs, outputs, path.name)
    graph, settled = float_graph(graph)

    def run(arrays: Arrays) -> Sequence[Any]:
        return [np.asarray(t) for t in call(*(tf.constant(a) for a in arrays))]

    request.say("comparing")
    version = f"TensorFlow {tf.__version__}"
    return Conversion(
        graph=graph,
        kind="SavedModel",
        framework=version,
        notes=(*notes, *fixed, *settled),
        comparison=compared(graph, run, version),
    )


def _shape(path: Path, name: str, spec: Any) -> tuple[int | None, ...]:
    if spec.shape.rank is None:
        raise UnsupportedModelError(f"{path}: input '{name}' has no fixed number of dimensions")
    return tuple(spec.shape)


def _signature(path: Path, names: list[str], wanted: str | None) -> tuple[str, tuple[str, ...]]:
    listed = ", ".join(names)
    if not names:
        raise UnsupportedModelError(
            f"{path}: has no signature; save it with one (tf.saved_model.save(..., signatures=))"
        )
    if wanted is not None:
        if wanted not in names:
            raise UnsupportedModelError(f"{path}: no signature '{wanted}'; it has {listed}")
        return wanted, ()
    # Keras 3 writes `serve` and `serving_default` for one and the same function.
    if len(names) == 1 or set(names) == {"serve", SERVING}:
        return (SERVING if SERVING in names else names[0]), ()
    raise UnsupportedModelError(
        f"{path}: has several signatures ({listed}); choose one with --signature (in Python: "
        "signature=)"
    )
