"""Dimensions that a model leaves open, fixed at the size that a package is for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge_export.errors import MobileError
from edge_quantize.graph import Graph
from edge_quantize.half import tables
from edge_quantize.reference import lacks_kernel

from .model import MobileModel
from .source import mobile_model

Shapes = Mapping[str, tuple[int, ...]]


def with_shapes(model: MobileModel, graph: Graph, shapes: Shapes) -> MobileModel:
    """`model`, whose file `graph` was read from, with inputs of the shapes that `shapes` names and
    every other shape as it follows. An open batch becomes 1, since GPUs take fixed sizes; itself
    where nothing is open.

    Raises MobileError: an open dimension that nobody gave, an unknown input, a shape that the input
    cannot take, or one that the model cannot compute with.
    """
    names = {port.name: at for at, port in enumerate(model.inputs)}
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise MobileError(
            f"--shape {unknown[0]}: the model has no such input; it has {', '.join(names)}"
        )
    problems, wanted = [], dict[int, tuple[int, ...]]()
    for port, index in zip(model.inputs, graph.inputs, strict=True):
        declared = graph.tensors[index].shape_signature or port.shape
        given = shapes.get(port.name)
        if given is None:
            if any(size < 0 for size in declared[1:]):
                example = ",".join(str(n if n > 0 else 1 if not at else 224)
                                   for at, n in enumerate(declared))  # fmt: skip
                problems.append(
                    f"input '{port.name}' is [{_shown(declared)}]: say which size the package is "
                    f"for, as in --shape {port.name}={example}"
                )
            elif declared[:1] == (-1,):
                wanted[index] = (1, *port.shape[1:])
        elif len(given) != len(declared) or any(
            size not in (-1, asked) for size, asked in zip(declared, given, strict=True)
        ):
            problems.append(
                f"--shape {port.name}={','.join(map(str, given))}: the input is "
                f"[{_shown(declared)}]; only what is ? can be chosen"
            )
        elif given != port.shape or graph.tensors[index].shape_signature:
            wanted[index] = given
    if problems:
        raise MobileError(problems[0], tuple(problems))
    return _resized(model, wanted) if wanted else model


def _resized(model: MobileModel, wanted: Mapping[int, tuple[int, ...]]) -> MobileModel:
    """LiteRT says what every other shape becomes; the file then says so too."""
    try:
        interpreter = _interpreter(model.content)
        for index, shape in wanted.items():
            interpreter.resize_tensor_input(index, shape)
        interpreter.allocate_tensors()
        found = {
            int(each["index"]): tuple(int(n) for n in each["shape"])
            for each in interpreter.get_tensor_details()
        }
    except (RuntimeError, ValueError, OverflowError) as error:
        said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise _unfit(model, wanted, said) from error
    if any(0 in shape for shape in found.values()):
        raise _unfit(model, wanted, "a tensor inside would have no element")
    file = tables.unpacked(model.content)
    for index, tensor in enumerate(file.subgraphs[0].tensors):
        tensor.shapeSignature = None
        if index in found:
            tensor.shape = np.array(found[index], np.int32)
    return mobile_model(tables.packed(file), model.name, model.variant, model.labels)


def _interpreter(content: bytes) -> Interpreter:
    kinds = OpResolverType
    try:
        return Interpreter(model_content=content, experimental_op_resolver_type=kinds.BUILTIN_REF)
    except (RuntimeError, ValueError) as error:
        if not lacks_kernel(error):
            raise
        return Interpreter(
            model_content=content,
            experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )


def _unfit(model: MobileModel, wanted: Mapping[int, tuple[int, ...]], why: str) -> MobileError:
    shown = " and ".join(f"[{_shown(shape)}]" for shape in wanted.values())
    return MobileError(f"{model.name}: cannot compute with inputs of {shown}: {why}")


def _shown(shape: tuple[int, ...]) -> str:
    return ", ".join("?" if size < 0 else str(size) for size in shape)
