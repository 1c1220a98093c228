"""The ways in: what a model is, and what reads it. One row a way.

A way's module is imported when a model of its kind is there, and a framework when the way needs it:
nothing heavy for a `.tflite`.
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.model import Graph
from edge_quantize.user_code import place_of

from .conversion import Conversion, Request, Say
from .source import other_format, read_model_file
from .user_function import call_named


@dataclass(frozen=True)
class FileWay:
    """A kind of file or folder. `recognises` gets the path and a file's first bytes."""

    kind: str
    recognises: Callable[[Path, bytes], bool]
    reader: str  # module and function


@dataclass(frozen=True)
class ObjectWay:
    """A kind of live object: `package` and `type_name` of a class it is an instance of."""

    package: str
    type_name: str
    reader: str


def _zip_with(*names: str) -> Callable[[Path, bytes], bool]:
    def recognises(path: Path, head: bytes) -> bool:
        if not head.startswith(b"PK"):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                held = {name.rsplit("/", 1)[-1] for name in archive.namelist()}
        except (OSError, zipfile.BadZipFile):
            return False
        return bool(held & set(names))

    return recognises


FILES = (
    FileWay(".tflite", lambda _, head: head[4:8] == b"TFL3", "from_tflite:read_tflite_file"),
    FileWay("Keras .h5", lambda _, head: head.startswith(b"\x89HDF"), "from_keras:read_keras_file"),
    FileWay("Keras .keras", _zip_with("config.json"), "from_keras:read_keras_file"),
    FileWay(
        "SavedModel folder",
        lambda path, _: any((path / f"saved_model.{end}").is_file() for end in ("pb", "pbtxt")),
        "from_saved_model:read_saved_model",
    ),
    FileWay(
        "torch.export .pt2",
        _zip_with("archive_format", "serialized_exported_program.json"),
        "from_torch:read_program_file",
    ),
    # Protobuf has no mark at its start: the name has to tell.
    FileWay(".onnx", lambda path, _: path.suffix == ".onnx", "from_onnx:read_onnx_file"),
)
OBJECTS = (
    ObjectWay("keras", "Model", "from_keras:read_keras_model"),
    ObjectWay("tf_keras", "Model", "from_keras:read_keras_model"),
    ObjectWay("torch", "Module", "from_torch:read_torch"),
    ObjectWay("torch", "ExportedProgram", "from_torch:read_torch"),
)
_HEAD_BYTES = 64


def read_any(source: Any, *, example_input: Any = None) -> Graph:
    """Any model that this tool takes as a float graph of batch 1; see `convert_model`."""
    return convert_model(source, example_input=example_input).graph


def convert_model(
    source: Any,
    *,
    example_input: Any = None,
    signature: str | None = None,
    say: Say = lambda _: None,
) -> Conversion:
    """A model as a float graph, with what was specialised and how far it is from its source.

    `source` is a path (`.tflite`, `.keras`, `.h5`, SavedModel, `.pt2`, `.onnx`), a live Keras
    model, an `nn.Module` (with `example_input`), an `ExportedProgram`, or "module:function" or
    "file.py:function", which names a function that returns one of these, or (model, example input).

    Raises ModelFileError, UnsupportedModelError, MissingExtraError, ConversionError,
    UnsoundResultError, InputDataError.
    """
    request = Request(example_input, signature, say)
    if isinstance(source, str | Path):
        place = place_of(source) if isinstance(source, str) else None
        if place is not None:
            named = call_named(place)
            example = named.example_input if named.example_input is not None else example_input
            return _read_object(named.model, Request(example, signature, say), place.text)
        return _read_file(Path(source), request)
    return _read_object(source, request, "")


def _read_file(path: Path, request: Request) -> Conversion:
    head = b"" if path.is_dir() else read_model_file(path)[:_HEAD_BYTES]
    if not head and not path.is_dir():
        raise ModelFileError(f"{path}: the file is empty")
    for way in FILES:
        if way.recognises(path, head):
            found: Conversion = _reader(way.reader)(path, request)
            return found
    kinds = ", ".join(way.kind for way in FILES)
    if path.is_dir():
        raise ModelFileError(f"{path}: a folder that is no SavedModel (no saved_model.pb in it)")
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path}: a damaged zip archive; was it cut short?")
    if head.startswith(b"PK") and _zip_with("data.pkl")(path, head):
        raise ModelFileError(
            f"{path}: a pickled PyTorch object, which runs code when it is loaded: name a function "
            "that builds the module, as module:function"
        )
    meaning = other_format(head)
    looks = f"it looks like {meaning}" if meaning else f"known are {kinds}, and module:function"
    raise ModelFileError(f"{path}: not a model that is known here: {looks}")


def _read_object(source: Any, request: Request, name: str) -> Conversion:
    ancestors = {(c.__module__.split(".")[0], c.__name__) for c in type(source).__mro__}
    for way in OBJECTS:
        if (way.package, way.type_name) in ancestors:
            found: Conversion = _reader(way.reader)(source, request)
            return found
    if name and isinstance(source, str | Path):
        return _read_file(Path(source), request)
    of = f"{name} returned" if name else "the source is"
    raise ModelFileError(
        f"{of} a {type(source).__module__}.{type(source).__qualname__}: a Keras model, an "
        "nn.Module, an ExportedProgram or a path is needed"
    )


def _reader(place: str) -> Callable[..., Conversion]:
    module, _, function = place.partition(":")
    found: Callable[..., Conversion] = getattr(
        importlib.import_module(f"{__package__}.{module}"), function
    )
    return found
