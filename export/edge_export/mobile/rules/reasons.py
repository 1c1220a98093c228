"""Why a GPU refuses an operator, and what would change that; in our words, by a code.

A reason's fields in braces are filled by the check that found it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reason:
    """`why` and `mend` are for people, each a clause without a full stop."""

    why: str
    mend: str = ""


@dataclass(frozen=True)
class Refused:
    """What a check returns: a code of `REASONS` and the fields of its texts."""

    code: str
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def why(self) -> str:
        return REASONS[self.code].why.format(**self.fields)

    @property
    def mend(self) -> str:
        return REASONS[self.code].mend.format(**self.fields)


def refused(code: str, **fields: object) -> Refused:
    return Refused(code, fields)


_FLOAT = "give it float32 or int8 activations"
_FIXED = "make it a constant of the model"

REASONS = {
    "unknown-op": Reason(
        "the GPU has no {op}",
        "replace it by operators that the GPU has, or move it to the model's start or end",
    ),
    "custom-op": Reason(
        "{op} is a custom operator, which the GPU does not know", "express it with built-in ones"
    ),
    "version": Reason(
        "version {version} of {op} is newer than the GPU's ({most})",
        "convert the model again without what that version brought (int16 is the usual cause)",
    ),
    "rank": Reason(
        "'{tensor}' has {rank} dimensions, the GPU takes {most} at most",
        "fold dimensions of size 1 into others",
    ),
    "rank-exact": Reason(
        "'{tensor}' has {rank} dimensions, the GPU takes {allowed} here",
        "reshape it before and after",
    ),
    "element-type": Reason("'{tensor}' is {dtype}, which the GPU does not take here", _FLOAT),
    "activation": Reason(
        "the fused activation {activation} is unknown to the GPU", "use RELU, RELU6 or TANH"
    ),
    "operand-count": Reason(
        "it has {count} operands, the GPU takes {allowed}", "split it into several operators"
    ),
    "broadcast": Reason(
        "the GPU cannot broadcast {first} with {second} here",
        "give both operands the same number of dimensions",
    ),
    "scalar-operand": Reason(
        "'{tensor}' is computed and has no dimension", "reshape it to [1] before"
    ),
    "constant-operand": Reason(
        "the GPU cannot read the constant '{tensor}' ({dtype} {shape})",
        "make it float32, or int32 of one element",
    ),
    "same-operand": Reason("both operands are the same tensor", "use SQUARE or a constant instead"),
    "softmax-beta": Reason(
        "beta is {beta:g}, the GPU takes 1 only", "multiply the input by {beta:g} and set beta to 1"
    ),
    "prelu-slope": Reason(
        "the slope '{tensor}' has shape {shape}, which the GPU does not take",
        "give one slope a channel, as a constant",
    ),
    "per-channel": Reason(
        "'{tensor}' is computed and quantized per channel", "quantize activations per tensor"
    ),
    "runtime-weights": Reason("its {what} are computed while running", _FIXED),
    "runtime-bias": Reason(
        "its bias is computed while running, which the GPU cannot read (LiteRT 2.3 aborts on it)",
        "make it a constant, or add it with ADD",
    ),
    "weights-type": Reason(
        "the GPU does not read {dtype} weights here",
        "quantize the weights to int8, or make them float",
    ),
    "constant-input": Reason("its input is a constant", "compute the result before the export"),
    "constant-matrix": Reason(
        "the GPU cannot read the constant matrix '{tensor}' ({dtype} {shape})",
        "let it be the second operand, of 4 dimensions at most, in float32 or int8",
    ),
    "permutation": Reason(
        "it permutes {rank} dimensions, the GPU permutes 2 to 4",
        "fold dimensions that stay together",
    ),
    "block-size": Reason(
        "its block size is 1: it does nothing, and the GPU refuses it", "leave it out"
    ),
    "start-constant": Reason(
        "its start is a constant, the GPU takes a computed one only", "use CONCATENATION and SLICE"
    ),
    "paddings": Reason(
        "it pads {rank} dimensions, the GPU pads 3 or 4", "reshape to 4 dimensions before and after"
    ),
    "pad-value": Reason(
        "the GPU does not read a pad value of type {dtype}", "pad with zero (PAD), or use float32"
    ),
    "pad-value-crash": Reason(
        "the GPU cannot read a pad value of type int32 (LiteRT 2.3 crashes on it)",
        "pad with zero (PAD), or use float32",
    ),
    "mirror-mode": Reason(
        "the GPU mirrors with REFLECT only, this is SYMMETRIC",
        "use REFLECT, or CONCATENATION of slices",
    ),
    "begin-runtime": Reason("where it begins is computed while running", _FIXED),
    "index-type": Reason(
        "'{tensor}' is {dtype}, the GPU takes int32 here", "convert the model with int32 indices"
    ),
    "reverse-slice": Reason("it slices with a negative stride", "use REVERSE_V2 first"),
    "slice-mask": Reason("the GPU has no {mask}", "slice without it and RESHAPE"),
    "slice-short": Reason("it names {count} of {rank} dimensions", "name all of them"),
    "select-shape": Reason(
        "the shapes {shapes} are not ones that the GPU selects from",
        "give all operands the result's shape, or a constant of one element",
    ),
    "one-hot-axis": Reason("the GPU takes the last axis only", "TRANSPOSE the result"),
    "one-hot-channels": Reason("the last dimension of its indices is not 1", "reshape them"),
    "cumsum-type": Reason("the GPU sums float only, this is {dtype}", "CAST to float32 before"),
    "index-rank": Reason(
        "its indices have {rank} dimensions, the GPU takes 1",
        "reshape them before, and the result after",
    ),
    "dequantize-type": Reason(
        "the GPU does not dequantize {dtype}", "quantize to int8, or make it a constant in float16"
    ),
    "dequantize-crash": Reason(
        "the GPU does not dequantize a computed int4 tensor (LiteRT 2.3 aborts on it)",
        "keep activations in int8",
    ),
    "axes-runtime": Reason("its axes are computed while running", _FIXED),
    "axes-type": Reason("its axes are {dtype}, the GPU takes int32", "convert with int32 axes"),
    "table-runtime": Reason(
        "its table is computed while running, which the GPU cannot read (LiteRT 2.3 crashes on it)",
        "use GATHER",
    ),
    "shuffled": Reason("its weights are in an old shuffled layout", "convert the model again"),
    "cast-types": Reason("the GPU does not cast {source} to {result}", "cast through float32"),
    "resize-mode": Reason("align_corners and half_pixel_centers are both set", "set one of them"),
    "lstm-form": Reason("this form of LSTM is not the GPU's", "unroll it into built-in operators"),
    "add-n": Reason("ADD_N has {count} operands, the GPU takes 2", "use a chain of ADD"),
    "computed-operand": Reason(
        "the GPU wants a constant for '{tensor}', which is computed",
        "fix the sizes of the model's inputs, so that the converter makes it a constant",
    ),
    "compared-only": Reason(
        "the GPU compares only for one CAST or SELECT to float that reads the result",
        "CAST the result to float32 at once",
    ),
    "one-hot-form": Reason(
        "its indices must be int32 with sizes of 1 before the last, its values float constants",
        "reshape the indices to [1, 1, n]",
    ),
    "no-kernel": Reason(
        "'{name}' is a custom operator that the runtime has no code for: without it the model does "
        "not load, neither on the GPU nor on the CPU",
        "express it with built-in operators, or register a kernel of the app's own",
    ),
    "said": Reason("{words}", ""),
    "not-loaded": Reason("the model does not load, for '{name}'", ""),
    "dynamic": Reason(
        "the size of '{tensor}' ({op}) is known only while running, and then the GPU takes "
        "nothing of the model",
        "give {op} constants, or move it out of the model",
    ),
    "other-partition": Reason(
        "the GPU could run it, but takes one partition only, the largest ({largest}); "
        "this one is cut off by {cut}",
        "replace {cut}",
    ),
    "float16-unpacked": Reason(
        "it only unpacks float16 weights: the GPU reads these as they are, and does without it",
        "",
    ),
}
