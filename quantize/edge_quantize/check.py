"""What of a sound model this tool does not support: all of it, each with its reason.

Kernels rely on what is checked here: shapes that follow from the operands, constants that are
constant, quantization that the int8 arithmetic can express. It is also what makes a model safe to
hand to the `tflite_micro` interpreter, which aborts the process on several of these.
"""

from __future__ import annotations

from .check_operators import RULES, SUPPORTED_OPS
from .errors import UnsupportedModelError
from .graph.model import DType, Graph, Tensor
from .problem import Problem, operator_problem

__all__ = ["SUPPORTED_OPS", "Problem", "check_supported", "require_supported"]

_MOST_IN_MESSAGE = 3
_MOST_LISTED = 1000


def check_supported(graph: Graph) -> tuple[Problem, ...]:
    """Every reason why `graph` cannot be compiled to integer C; empty when it can."""
    problems = [
        Problem(f"the file has another subgraph, '{name}': only one subgraph is supported")
        for name in graph.other_subgraphs
    ]
    if not graph.operators:
        problems.append(Problem("the model has no operator"))
    float_problems = _float_problems(graph)
    problems += float_problems
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs) if i >= 0}
    for index in sorted(used | set(graph.inputs) | set(graph.outputs)):
        problems += _tensor_problems(graph.tensors[index])
    for operator in graph.operators:
        rule = RULES.get(operator.op)
        if rule is None:
            reason = f"not supported; supported are {', '.join(sorted(SUPPORTED_OPS))}"
            if operator.op.startswith("CUSTOM:"):
                reason = "custom operators are not supported: replace it by built-in ones"
            problems.append(operator_problem(graph, operator, reason))
        elif not float_problems:
            problems += [
                operator_problem(graph, operator, reason, tensor)
                for tensor, reason in rule(graph, operator)
            ]
    return tuple(problems)


def require_supported(graph: Graph) -> None:
    """Raise UnsupportedModelError, with every problem, unless the graph can be compiled."""
    found = check_supported(graph)
    if not found:
        return
    problems = tuple(str(problem) for problem in found[:_MOST_LISTED])
    if len(found) > len(problems):
        problems += (f"and {len(found) - len(problems)} more",)
    message = f"{graph.name}: " + "; ".join(problems[:_MOST_IN_MESSAGE])
    if len(found) > _MOST_IN_MESSAGE:
        more = len(found) - _MOST_IN_MESSAGE
        message += f"; and {more} more, which `edge-autoglm inspect` lists"
    raise UnsupportedModelError(message, problems)


def _float_problems(graph: Graph) -> list[Problem]:
    """A model without integer activations gets one line, not one for every tensor."""
    results = [t for o in graph.operators if o.op in SUPPORTED_OPS for t in graph.results(o)]
    kinds = {t.dtype for t in results}
    if not kinds or not kinds <= {DType.FLOAT32, DType.FLOAT16}:
        return []
    if all(o.op in ("QUANTIZE", "DEQUANTIZE") for o in graph.operators):
        return []
    weights = {t.dtype for t in graph.constants() if len(t.shape) >= 2}
    narrow = [d.value for d in (DType.INT8, DType.INT4) if d in weights]
    also = f" (only its weights are {' and '.join(narrow)})" if narrow else ""
    return [
        Problem(
            f"the model computes in {results[0].dtype.value}{also}: make it int8 first, with "
            "`edge-autoglm quantize MODEL --data D`"
        )
    ]


def _tensor_problems(tensor: Tensor) -> list[Problem]:
    def problem(reason: str) -> Problem:
        return Problem(reason, tensor=tensor.name)

    problems = []
    if tensor.is_variable:
        problems.append(problem("variable tensors (state kept between runs) are not supported"))
    if tensor.encoding:
        problems.append(problem(f"{tensor.encoding} is not supported: store it dense, per channel"))
    if tensor.dtype is DType.INT4 and not tensor.is_constant:
        problems.append(problem("int4 activations are not supported: only weights may be int4"))
    elif tensor.dtype is DType.INT2:
        problems.append(problem("int2 weights are not supported: quantize them to int8 or int4"))
    elif tensor.dtype.opaque:
        problems.append(problem(f"element type {tensor.dtype.value} is not supported"))
    # An open batch dimension that the converter fixed at 1 is what Keras models always have.
    open_dimensions = [i for i, n in enumerate(tensor.shape_signature) if n < 0]
    if open_dimensions and (open_dimensions != [0] or tensor.shape[:1] != (1,)):
        problems.append(
            problem(
                f"dynamic shape {list(tensor.shape_signature)}: convert the model with every "
                "dimension fixed"
            )
        )
    elif tensor.elements == 0:
        problems.append(problem(f"shape {list(tensor.shape)} is empty or was left open"))
    return problems
