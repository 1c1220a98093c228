"""PyTorch: modules with an example input, `torch.export` programs and their `.pt2` files.

Tracing gives one static graph: what the module decided in Python, on values or on sizes, is decided
for good. `torch_specialised` says what.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_quantize.errors import (
    ConversionError,
    InputDataError,
    MissingExtraError,
    UnsupportedModelError,
)
from edge_quantize.graph.model import Graph

from .conversion import Arrays, Conversion, Request, compared
from .float_graph import float_graph, renamed
from .quiet import quiet
from .signature import in_order
from .tensorflow_converter import first_line
from .tflite import read_tflite
from .torch_layout import Layout, best_layout
from .transposes import fold_transposes


def read_program_file(path: Path, request: Request) -> Conversion:
    """A `.pt2` file of `torch.export.save`. Raises as `read_torch`."""
    torch = _torch(f"{path}: a torch.export program", request)
    with quiet() as heard, _no_pickled_code():
        try:
            program = torch.export.load(path)
        except Exception as error:  # damaged files make torch raise anything
            raise ConversionError(
                f"{path}: PyTorch cannot load it: {first_line(error)}", heard.text
            ) from error
    return read_torch(program, request, kind="torch.export file", name=path.stem)


@contextlib.contextmanager
def _no_pickled_code() -> Iterator[None]:
    """Pickles in a `.pt2` may hold tensors and plain values only: PyTorch falls back to loading
    anything, which runs the code that a pickle names."""
    changed = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def read_torch(source: Any, request: Request, kind: str = "", name: str = "") -> Conversion:
    """An `nn.Module` with an example input, or an `ExportedProgram`.

    The example is a tensor or array, a tuple of the arguments, or a mapping of keyword arguments;
    what is no tensor in it becomes a constant. A program brings its own.

    Raises MissingExtraError, InputDataError (no example), ConversionError, UnsoundResultError.
    """
    torch = _torch("a PyTorch model", request)
    from . import torch_module, torch_specialised  # these import torch

    name = name or type(source).__name__
    if isinstance(source, torch.export.ExportedProgram):
        kind = kind or "torch.export program"
        module, names = source.module(), list(source.graph_signature.user_inputs)
        ranges = torch_specialised.program_ranges(source)
        args, kwargs = source.example_inputs or ((), {})
    else:
        kind = kind or "PyTorch module"
        module, names = source, list(inspect.signature(source.forward).parameters)
        ranges, args, kwargs = None, (), {}
        if request.example_input is None:
            raise InputDataError(
                f"{name}: a PyTorch module has no shapes of its own: give an example input "
                "(in Python: example_input=)"
            )
    if request.example_input is not None:
        args, kwargs = _arguments(torch, request.example_input)
    call = torch_module.flat_call(tuple(args), dict(kwargs), names)
    if not call.tensors:
        raise InputDataError(f"{name}: the example input has no tensor")
    layers = torch_specialised.switched_off(module)
    notes = [f"training mode: switched off ({', '.join(layers)})"] if layers else []
    training = [m for m in module.modules() if m.training]
    # By attribute, not by `eval()`: a program refuses that, and what was frozen stays frozen.
    for part in training:
        part.training = False
    try:
        return _converted(torch, _Source(module, call, name), ranges, request, kind, notes)
    finally:
        for part in training:
            part.training = True


@dataclass(frozen=True)
class _Source:
    module: Any
    call: Any  # a torch_module.Call
    name: str

    @property
    def tensors(self) -> list[Any]:
        return [self.call.leaves[i] for i in self.call.tensors]

    @property
    def names(self) -> list[str]:
        return [self.call.names[i] for i in self.call.tensors]

    def run(self, tensors: Sequence[Any]) -> list[Any]:
        """The module's output tensors, flat."""
        from . import torch_module

        args, kwargs = self.call.packed(tensors)
        return torch_module.flat_outputs(self.module(*args, **kwargs))


def _torch(what: str, request: Request) -> Any:
    if "litert_torch" not in sys.modules:
        request.say("loading torch")
    with quiet():
        for module in ("torch", "litert_torch"):
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise MissingExtraError(
                    f"{what} needs {error.name}: pip install 'edge-autoglm[torch]'"
                ) from error
            except ImportError as error:
                raise ConversionError(
                    f"{module} cannot be imported: {first_line(error)}"
                ) from error
    return importlib.import_module("torch")


def _arguments(torch: Any, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def tensor(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    if isinstance(example, Mapping):
        return (), {k: tensor(v) for k, v in example.items()}
    values = example if isinstance(example, tuple | list) else (example,)
    return tuple(tensor(v) for v in values), {}


def _converted(
    torch: Any, source: _Source, ranges: Any, request: Request, kind: str, notes: list[str]
) -> Conversion:
    from . import torch_specialised

    tensors = source.tensors
    request.say("tracing")
    with quiet() as heard, torch.no_grad():
        try:
            results = source.run(tensors)
        except Exception as error:  # the module's own code
            raise ConversionError(
                f"{source.name}: it fails on the example input: {type(error).__name__}: "
                f"{first_line(error)}",
                heard.text,
            ) from error
        if ranges is None:
            ranges = torch_specialised.traced_ranges(source.module, source.call)
    notes += torch_specialised.specialised(source.call, ranges)
    request.say("converting")
    graph, layout = best_layout(
        lambda layout: _graph(torch, source, len(results), layout), tensors, results
    )
    notes += torch_specialised.laid_out(source.names, tensors, results, layout)
    outputs = [f"output_{i}" for i in range(len(results))] if len(results) > 1 else ["output"]
    graph, settled = float_graph(renamed(graph, source.names, outputs))
    _check_batch(graph)
    request.say("comparing")
    litert_torch = importlib.import_module("litert_torch")
    version = f"PyTorch {torch.__version__}"
    return Conversion(
        graph=graph,
        kind=kind,
        framework=f"{version}, litert-torch {litert_torch.__version__}",
        notes=(*notes, *settled),
        comparison=compared(graph, partial(_run, torch, source, layout), version),
    )


def _run(torch: Any, source: _Source, layout: Layout, arrays: Arrays) -> list[Any]:
    """The module on the graph's inputs; outputs as the graph lays them out."""
    from . import torch_module

    given = []
    for i, (array, tensor) in enumerate(zip(arrays, source.tensors, strict=True)):
        if i in layout[0]:
            array = array.transpose(torch_module.channels_first(array.ndim))
        given.append(torch.from_numpy(np.ascontiguousarray(array)).to(tensor))
    with torch.no_grad():
        found = [t.detach().cpu().numpy() for t in source.run(given)]
    return [
        a.transpose(torch_module.channels_last(a.ndim)) if i in layout[1] else a
        for i, a in enumerate(found)
    ]


def _graph(torch: Any, source: _Source, results: int, layout: Layout) -> Graph:
    from . import torch_module

    litert_torch = importlib.import_module("litert_torch")
    given = tuple(
        t.permute(torch_module.channels_last(t.ndim)).contiguous() if i in layout[0] else t
        for i, t in enumerate(source.tensors)
    )
    flat = torch_module.FlatModule(source.module, source.call, *layout)
    with quiet() as heard, torch.no_grad():
        try:
            content = litert_torch.convert(flat, given).model_content()
        except Exception as error:  # whatever tracing the module's code and the converter raise
            raise _failed(error, heard.text, source.name) from error
    graph = replace(read_tflite(content), name=source.name)
    names = [f"args_{i}" for i in range(len(given))], [f"output_{i}" for i in range(results)]
    return fold_transposes(in_order(graph, content, *names))


def _check_batch(graph: Graph) -> None:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if len(tensor.shape) > 2 and tensor.shape[0] != 1:
            raise UnsupportedModelError(
                f"{graph.name}: input '{tensor.name}' has a batch of {tensor.shape[0]}; give an "
                "example input of batch 1"
            )


def _failed(error: Exception, log: str, name: str) -> ConversionError:
    said = str(error)
    kind = type(error).__name__
    whole = f"{log}\n{said}"
    if "data-dependent" in said:
        place = re.search(r'File "([^"]+)", line (\d+), in \w+\s*\n\s*(.+)', said)
        where = f": {Path(place[1]).name}:{place[2]}: {place[3].strip()}" if place else ""
        return ConversionError(
            f"{name}: it branches on what a tensor holds, which a static graph cannot{where}; use "
            "torch.where, or decide outside of the module",
            whole,
        )
    return ConversionError(
        f"{name}: PyTorch cannot trace or convert it: {kind}: {first_line(error)}", whole
    )
