"""PyTorch: modules with an example input, `torch.export` programs and their `.pt2` files.

Tracing gives one static graph: what the module decided in Python, on values or on sizes, is decided
for good. `_specialised` says what.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_quantize.errors import (
    ConversionError,
    InputDataError,
    MissingExtraError,
    UnsupportedModelError,
)
from edge_quantize.graph.model import Graph, Operator

from .conversion import Arrays, Conversion, Request, compared
from .float_graph import float_graph, renamed
from .quiet import quiet
from .tensorflow_converter import first_line
from .tflite import read_tflite
from .transposes import fold_transposes, transposes


def read_program_file(path: Path, request: Request) -> Conversion:
    """A `.pt2` file of `torch.export.save`. Raises as `read_torch`."""
    torch = _torch(f"{path}: a torch.export program", request)
    with quiet() as heard:
        try:
            program = torch.export.load(path)
        except Exception as error:  # damaged files make torch raise anything
            raise ConversionError(
                f"{path}: PyTorch cannot load it: {first_line(error)}", heard.text
            ) from error
    return read_torch(program, request, kind="torch.export file", name=path.stem)


def read_torch(source: Any, request: Request, kind: str = "", name: str = "") -> Conversion:
    """An `nn.Module` with an example input, or an `ExportedProgram`.

    The example is a tensor or array, a tuple of the arguments, or a mapping of keyword arguments;
    what is no tensor in it becomes a constant. A program brings its own.

    Raises MissingExtraError, InputDataError (no example), ConversionError, UnsoundResultError.
    """
    torch = _torch("a PyTorch model", request)
    from . import torch_module  # imports torch

    name = name or type(source).__name__
    if isinstance(source, torch.export.ExportedProgram):
        kind = kind or "torch.export program"
        module, names = source.module(), list(source.graph_signature.user_inputs)
        example = request.example_input
        args, kwargs = (
            _arguments(torch, example) if example is not None else source.example_inputs or ((), {})
        )
        ranges = _program_ranges(source)
    else:
        kind = kind or "PyTorch module"
        module, names = source, _parameters(source)
        if request.example_input is None:
            raise InputDataError(
                f"{name}: a PyTorch module has no shapes of its own: give an example input "
                "(in Python: example_input=)"
            )
        args, kwargs = _arguments(torch, request.example_input)
        ranges = None
    call = torch_module.flat_call(tuple(args), dict(kwargs), names)
    if not call.tensors:
        raise InputDataError(f"{name}: the example input has no tensor")
    was_training = bool(getattr(module, "training", False)) and not _is_program(module)
    if was_training:
        module.eval()
    try:
        return _converted(torch, module, call, ranges, request, kind, name, was_training)
    finally:
        if was_training:
            module.train()


def _is_program(module: Any) -> bool:
    return type(module).__module__.startswith("torch.fx")


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


def _parameters(module: Any) -> list[str]:
    return list(inspect.signature(module.forward).parameters)


def _arguments(torch: Any, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def tensor(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    if isinstance(example, Mapping):
        return (), {k: tensor(v) for k, v in example.items()}
    values = example if isinstance(example, tuple | list) else (example,)
    return tuple(tensor(v) for v in values), {}


def _converted(
    torch: Any,
    module: Any,
    call: Any,
    ranges: Mapping[tuple[int, int], str] | None,
    request: Request,
    kind: str,
    name: str,
    was_training: bool,
) -> Conversion:
    from . import torch_module

    tensors = [call.leaves[i] for i in call.tensors]
    names = [call.names[i] for i in call.tensors]
    request.say("tracing")
    with quiet() as heard, torch.no_grad():
        try:
            args, kwargs = call.packed(tensors)
            results = torch_module.flat_outputs(module(*args, **kwargs))
        except Exception as error:  # the module's own code
            raise ConversionError(
                f"{name}: it fails on the example input: {type(error).__name__}: "
                f"{first_line(error)}",
                heard.text,
            ) from error
        if ranges is None:
            ranges = _traced_ranges(torch, module, call)
    notes = [*_specialised(call, ranges)]
    if was_training:
        notes.insert(0, "training mode: switched off (dropout and batch statistics are fixed)")
    request.say("converting")
    graph, last = _best_layout(torch, module, call, tensors, results, name)
    notes += _laid_out(names, tensors, results, last)
    outputs = [f"output_{i}" if len(results) > 1 else "output" for i in range(len(results))]
    graph = renamed(graph, names, outputs)
    graph, settled = float_graph(graph)
    _check_batch(graph)

    def run(arrays: Arrays) -> Sequence[Any]:
        given = []
        for i, (array, tensor) in enumerate(zip(arrays, tensors, strict=True)):
            if i in last[0]:
                array = array.transpose(torch_module.channels_first(array.ndim))
            given.append(torch.from_numpy(np.ascontiguousarray(array)).to(tensor.dtype))
        args, kwargs = call.packed(given)
        with torch.no_grad():
            found = torch_module.flat_outputs(module(*args, **kwargs))
        arrays_out = [t.detach().numpy() for t in found]
        return [
            a.transpose(torch_module.channels_last(a.ndim)) if i in last[1] else a
            for i, a in enumerate(arrays_out)
        ]

    request.say("comparing")
    litert_torch = importlib.import_module("litert_torch")
    version = f"PyTorch {torch.__version__}"
    return Conversion(
        graph=graph,
        kind=kind,
        framework=f"{version}, litert-torch {litert_torch.__version__}",
        notes=(*notes, *settled),
        comparison=compared(graph, run, version),
    )


def _check_batch(graph: Graph) -> None:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if len(tensor.shape) > 2 and tensor.shape[0] != 1:
            raise UnsupportedModelError(
                f"{graph.name}: input '{tensor.name}' has a batch of {tensor.shape[0]}; give an "
                "example input of batch 1"
            )


Layout = tuple[frozenset[int], frozenset[int]]
"""The inputs and the outputs whose channels are last in the graph and not in the source."""


def _best_layout(
    torch: Any, module: Any, call: Any, tensors: Sequence[Any], results: Sequence[Any], name: str
) -> tuple[Graph, Layout]:
    """The graph whose inputs and outputs need the fewest TRANSPOSEs, and their layout.

    Images are tried with channels last first. Where a TRANSPOSE is at the edge all the same, that
    tensor is tried the other way.
    """
    first: Layout = (
        frozenset(i for i, t in enumerate(tensors) if t.ndim >= 4),
        frozenset(i for i, t in enumerate(results) if t.ndim >= 4),
    )
    graph = _graph(torch, module, call, tensors, first, name)
    at_inputs, at_outputs = _transposed_edges(graph)
    if not at_inputs and not at_outputs:
        return graph, first
    second: Layout = (first[0] ^ at_inputs, first[1] ^ at_outputs)
    other = _graph(torch, module, call, tensors, second, name)
    return (other, second) if transposes(other) < transposes(graph) else (graph, first)


def _transposed_edges(graph: Graph) -> Layout:
    """The inputs that are only transposed, the outputs that come from a TRANSPOSE; a RESHAPE
    between (a line as an image of one row) does not count."""
    readers: dict[int, list[Operator]] = {}
    writers: dict[int, Operator] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
        writers |= dict.fromkeys(operator.outputs, operator)

    def transposed_after(index: int) -> bool:
        found = readers.get(index, [])
        if len(found) == 1 and found[0].op == "RESHAPE":
            return transposed_after(found[0].outputs[0])
        return bool(found) and all(o.op == "TRANSPOSE" for o in found)

    def transposed_before(index: int) -> bool:
        writer = writers.get(index)
        if writer is not None and writer.op == "RESHAPE":
            return transposed_before(writer.inputs[0])
        return writer is not None and writer.op == "TRANSPOSE"

    def ranked(index: int) -> bool:
        return len(graph.tensors[index].shape) >= 3

    ins, outs = enumerate(graph.inputs), enumerate(graph.outputs)
    return (
        frozenset(i for i, index in ins if ranked(index) and transposed_after(index)),
        frozenset(i for i, index in outs if ranked(index) and transposed_before(index)),
    )


def _graph(
    torch: Any, module: Any, call: Any, tensors: Sequence[Any], last: Layout, name: str
) -> Graph:
    from . import torch_module

    litert_torch = importlib.import_module("litert_torch")
    given = tuple(
        t.permute(torch_module.channels_last(t.ndim)).contiguous() if i in last[0] else t
        for i, t in enumerate(tensors)
    )
    flat = torch_module.FlatModule(module, call, *last)
    with quiet() as heard:
        try:
            with torch.no_grad():
                content = litert_torch.convert(flat, given).model_content()
        except Exception as error:  # whatever tracing the module's code and the converter raise
            raise _failed(error, heard.text, name) from error
    graph = replace(read_tflite(content), name=name)
    return fold_transposes(_in_order(graph, len(tensors)))


def _in_order(graph: Graph, inputs: int) -> Graph:
    """Inputs and outputs as the module has them, from the names that the converter gives."""

    def order(indices: tuple[int, ...], pattern: str) -> tuple[int, ...]:
        found = [re.search(pattern, graph.tensors[i].name) for i in indices]
        numbers = [int(match[1]) for match in found if match]
        if len(set(numbers)) != len(indices):
            return indices
        return tuple(i for _, i in sorted(zip(numbers, indices, strict=True)))

    if len(graph.inputs) != inputs:
        raise ConversionError(
            f"{graph.name}: the converter kept {len(graph.inputs)} of {inputs} inputs; is one of "
            "them unused?"
        )
    return replace(
        graph,
        inputs=order(graph.inputs, r"args_(\d+)"),
        outputs=order(graph.outputs, r"output_(\d+)"),
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


def _program_ranges(program: Any) -> dict[tuple[int, int], str]:
    """(tensor input, dimension) -> sizes that the program is valid for, where that is a range."""
    inputs = set(program.graph_signature.user_inputs)
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in inputs]
    values = [n.meta["val"] for n in placeholders if hasattr(n.meta.get("val"), "shape")]
    found = {}
    for i, value in enumerate(values):
        for at, size in enumerate(value.shape):
            symbol = getattr(getattr(size, "node", None), "expr", None)
            limits = program.range_constraints.get(symbol)
            if limits is not None:
                upper = str(limits.upper)
                found[i, at] = (
                    f"{limits.lower} and more" if "oo" in upper else f"{limits.lower} to {upper}"
                )
    return found


def _traced_ranges(torch: Any, module: Any, call: Any) -> dict[tuple[int, int], str]:
    """The same of a module, traced once with its sizes left open.

    Branches on sizes then show as limits. A module that cannot be traced so has no range to tell.
    """
    from . import torch_module

    flat = torch_module.FlatModule(module, call, frozenset(), frozenset())
    tensors = tuple(call.leaves[i] for i in call.tensors)
    automatic = tuple(dict.fromkeys(range(t.ndim), torch.export.Dim.AUTO) for t in tensors)
    try:
        program = torch.export.export(flat, tensors, dynamic_shapes=(automatic,))
    except Exception:  # the module may well be static; the conversion itself tells what is wrong
        return {}
    return _program_ranges(program)


def _specialised(call: Any, ranges: Mapping[tuple[int, int], str]) -> list[str]:
    notes = [
        f"argument '{name}' = {leaf!r}: fixed, the branch that it takes too"
        for name, leaf in zip(call.names, call.leaves, strict=True)
        if not hasattr(leaf, "shape")
    ]
    for i, place in enumerate(call.tensors):
        shape = tuple(call.leaves[place].shape)
        for at, size in enumerate(shape):
            if (i, at) in ranges:
                notes.append(
                    f"input '{call.names[place]}', dimension {at}: fixed at {size} (what was "
                    f"traced holds for {ranges[i, at]})"
                )
    return notes


def _laid_out(
    names: Sequence[str], tensors: Sequence[Any], results: Sequence[Any], last: Layout
) -> list[str]:
    from . import torch_module

    notes = []
    for kind, values, chosen in (("input", tensors, last[0]), ("output", results, last[1])):
        for i in sorted(chosen):
            shape = list(values[i].shape)
            moved = [shape[at] for at in torch_module.channels_last(len(shape))]
            name = f" '{names[i]}'" if kind == "input" else f" {i}"
            notes.append(f"{kind}{name}: channels last, {shape} became {moved}")
    return notes
