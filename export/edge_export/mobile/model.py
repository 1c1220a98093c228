"""The values that go from stage to stage on the way to a package for a phone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_quantize.graph import DType, Quantization


class Target(StrEnum):
    """A platform, as `--target` names it."""

    ANDROID_GPU = "android-gpu"
    IOS_METAL = "ios-metal"


class Variant(StrEnum):
    """What the model's weights are stored as; activations are float except in `INT8`."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"
    INT8 = "int8"


@dataclass(frozen=True)
class Port:
    """An input or output of the model as an app sees it.

    `name` is the signature's where the model has one, else the tensor's; `shape` and `dtype` are
    the tensor's. With `quantization` the package turns real numbers into the tensor's integers and
    back, so that its caller never does.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None


@dataclass(frozen=True)
class MobileModel:
    """One variant of a model, ready for a package. `content` is the `.tflite` file; `signature` is
    the key of its signature, None where it has none. `labels` are class names of the only output,
    in order."""

    name: str
    variant: Variant
    content: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    signature: str | None = None
    labels: tuple[str, ...] = ()


# Codes of `REASONS` that lie in the rest of the model: with that mended the GPU takes the operator.
NOT_ITS_OWN = frozenset({"other-partition", "float16-unpacked", "not-loaded"})


class Place(StrEnum):
    """Where an operator runs."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True)
class Placement:
    """Where one operator of the model will run. `reason` says why not on the GPU, and `mend` what
    would change that; `partition` numbers the partitions in order of execution.

    `unpacks`: it only makes weights ready (a DEQUANTIZE of constants) and is not refused. It waits
    for no input, and GPUs do without it: such operators are not counted, wherever they are.
    """

    index: int
    name: str
    op: str
    place: Place
    partition: int
    reason: str = ""
    mend: str = ""
    code: str = ""  # of `edge_export.mobile.rules.reasons.REASONS`
    words: str = ""  # the backend's own, where it was asked
    unpacks: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is refused for what it is itself, not for what another operator is."""
        return self.place is Place.CPU and self.code not in NOT_ITS_OWN


@dataclass(frozen=True)
class Transfer:
    """A tensor that one partition makes and another, on the other side, reads."""

    tensor: str
    nbytes: int
    source: int
    to: int
    place: Place  # of the one that reads it


@dataclass(frozen=True)
class Disagreement:
    """An operator for which the rules say otherwise than the backend did."""

    index: int
    op: str
    predicted: Place
    observed: Place


@dataclass(frozen=True)
class Delegation:
    """Where everything will run. `transfers` are the tensors (names) that go from CPU to GPU or
    back between partitions; the model's own inputs and outputs are not among them. `source` names
    the rules or the log that it comes from, with its version.

    `moves` are the transfers with their sizes. `observed`: the backend itself said so. `notes` are
    what a reader has to know beside it. `disagreements`: where the rules were wrong; the backend's
    word stands in `operators`.
    """

    operators: tuple[Placement, ...]
    transfers: tuple[str, ...]
    source: str
    moves: tuple[Transfer, ...] = ()
    observed: bool = False
    notes: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def counted(self) -> tuple[Placement, ...]:
        """The operators that compute: all but those that only unpack weights."""
        return tuple(each for each in self.operators if not each.unpacks)

    @property
    def partitions(self) -> int:
        return len({each.partition for each in self.counted})

    @property
    def refused(self) -> tuple[Placement, ...]:
        """The counted ones that the CPU runs."""
        return tuple(each for each in self.counted if each.place is Place.CPU)


@dataclass(frozen=True)
class OutputDifference:
    """One output over all samples. `max_abs` and `rms` are in the output's own unit (LSB for
    integers, `relative` None then); `relative` = max|gpu-cpu| / max|cpu|. `agreement`: fraction of
    samples with the same argmax, None for outputs that have no classes. `within` the tolerance;
    where it is not, `rounding` says that integers between operators were rounded to neighbours and
    nothing else is wrong (see `rounding.only_rounding`)."""

    name: str
    max_abs: float
    rms: float
    relative: float | None
    tolerance: float
    agreement: float | None
    within: bool
    rounding: bool = False

    @property
    def good(self) -> bool:
        return self.within or self.rounding


@dataclass(frozen=True)
class Drift:
    """One output of a variant against the model as it was given, both on the CPU, over all samples
    and in real numbers. `relative` = max|variant-given| / max|given|, None where that is 0."""

    name: str
    max_abs: float
    rms: float
    relative: float | None
    agreement: float | None


@dataclass(frozen=True)
class FirstWrong:
    """The first operator whose own result is wrong on the GPU, given right inputs; with `alone`
    False the one behind which the model, cut there, is wrong first, though alone it is right."""

    index: int
    name: str
    op: str
    max_abs: float
    relative: float | None
    alone: bool = True


@dataclass(frozen=True)
class Verdict:
    """Whether the GPU computes the right thing, and how that is known.

    `state`: "right", "wrong", "refused" (the backend took not all of it, or did not run) or
    "unchecked" (--skip-check). `why` is one line for people. `adapter` and `arithmetic` say what
    computed ("SwiftShader Device (Subzero)", "float32"); `samples` and `source` what it was fed.
    `operators` compute (those that only unpack weights are not counted), and `on_gpu` of them ran
    on the GPU in the GPU-only compile; None where nothing was compiled. `warnings` are the
    backend's own (shape mismatches). `problems` lists what a "refused" one was refused for, and of
    an "unchecked" one what the rules say it would be refused for, an operator a line.
    `notes` are remarks on what was compared. `drift` is how far this variant is from the
    model as it was given, both on the CPU; it decides nothing. `half` is the simulation of float16
    arithmetic, see `edge_quantize.half.HalfReport`, None where nothing computes in float. `works`
    is the variant that was found right where this one is not.
    """

    state: str
    why: str
    variant: Variant
    outputs: tuple[OutputDifference, ...]
    on_gpu: int | None
    operators: int
    adapter: str | None
    arithmetic: str | None
    samples: int
    source: str
    runtime: str
    warnings: tuple[str, ...] = ()
    first_wrong: FirstWrong | None = None
    half: object | None = None
    works: Variant | None = None
    limits: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()

    @property
    def right(self) -> bool:
        return self.state == "right"


@dataclass(frozen=True)
class Golden:
    """One inference of the CPU reference, for the package's own test. `inputs` and `outputs` are
    the tensors' contents, little-endian, in the order of the ports; `tolerances` the greatest
    absolute difference allowed in each output in float32 arithmetic, in real numbers."""

    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    tolerances: tuple[float, ...]


@dataclass(frozen=True)
class Package:
    """All that a package is written from."""

    target: Target
    model: MobileModel
    delegation: Delegation
    verdict: Verdict
    golden: Golden | None = None
