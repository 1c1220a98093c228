"""TensorFlow's converter: a function of fixed shapes as a float graph."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_quantize.errors import ConversionError, MissingExtraError, UnsupportedModelError
from edge_quantize.graph.model import Graph

from .conversion import Request
from .float_graph import named_in, renamed
from .quiet import quiet
from .signature import in_order
from .tflite import read_tflite

_MOST_WORDS = 300


@dataclass(frozen=True)
class Shaped:
    """A tensor's name, shape and TensorFlow dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: Any


def framework(module: str, what: str, request: Request) -> Any:
    """Imports `tensorflow`, `keras` or `tf_keras`, silently. Raises MissingExtraError."""
    # Read when TensorFlow is imported; what it logs then is noise about processors and GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Keras' own files hold no backend, and the converter is TensorFlow's.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if module not in sys.modules:
        request.say(f"loading {module}")
    with quiet() as heard:
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in ("tensorflow", "keras", "tf_keras"):
                raise ConversionError(
                    f"{module} cannot be imported: {error}", heard.text
                ) from error
            raise MissingExtraError(
                f"{what} needs {error.name}: pip install 'edge-autoglm[keras]'"
            ) from error
        except ImportError as error:
            raise ConversionError(
                f"{module} cannot be imported: {first_line(error)}", heard.text
            ) from error


def first_line(error: BaseException, most: int = _MOST_WORDS) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith("in user code:"):  # TensorFlow then shows the calls, and the error last
        text = lines[-1]
    return text if len(text) <= most else text[: most - 3] + "..."


def converted(
    tf: Any,
    call: Callable[..., Sequence[Any]],
    held: Sequence[Any],
    inputs: Sequence[Shaped],
    outputs: Sequence[str],
    name: str,
) -> Graph:
    """`call(*tensors)`, which gives one tensor for each of `outputs`, as a graph.

    `held` is what its variables belong to: the converter turns into constants only those that it
    finds there. Raises ConversionError, UnsupportedModelError (operators that `.tflite` lacks).
    """
    root = tf.Module()
    root.held = list(held)

    def serving(*tensors: Any) -> dict[str, Any]:
        # The converter sorts by names.
        return {f"output_{i:03}": tensor for i, tensor in enumerate(call(*tensors))}

    with quiet() as heard:
        try:
            root.serving = tf.function(serving)
            function = root.serving.get_concrete_function(
                *(
                    tf.TensorSpec(given.shape, given.dtype, name=f"input_{i:03}")
                    for i, given in enumerate(inputs)
                )
            )
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function], root)
            content = converter.convert()
        except Exception as error:  # whatever a model's own code and the converter raise
            raise _failed(error, heard.text, name) from error
    graph = replace(read_tflite(content), name=name)
    given_names = [f"input_{i:03}" for i in range(len(inputs))]
    result_names = [f"output_{i:03}" for i in range(len(outputs))]
    graph = in_order(graph, content, given_names, result_names)
    return renamed(graph, [given.name for given in inputs], outputs)


def _failed(error: Exception, log: str, name: str) -> Exception:
    said = str(error)
    custom = re.search(r"(?:Custom|Flex) ops: (.+)", said)
    if custom:
        kinds = [kind.strip() for kind in custom[1].split(",")]
        problems = tuple(
            f"TensorFlow's operator {kind} does not exist in .tflite: replace it by others"
            for kind in kinds
        )
        return UnsupportedModelError(
            f"{name}: .tflite has no operator for TensorFlow's {named_in(kinds)}: replace it",
            problems,
        )
    kind = type(error).__name__
    return ConversionError(
        f"{name}: TensorFlow cannot convert it: {kind}: {first_line(error)}", f"{log}\n{said}"
    )
