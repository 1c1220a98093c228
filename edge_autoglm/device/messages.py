"""What a board says, as frozen values.

Cycles are counts of the board's counter, 64 bit; `BoardInfo.counter` says what it counts. Sizes are
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_autoglm.device.wiredefs import Capability, Counted


@dataclass(frozen=True)
class Tensor:
    """An input or output as the model's description gives it; scale 0 for one not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Layer:
    """A layer of the model: its name, operator and multiply-accumulates."""

    name: str
    op: str
    macs: int


@dataclass(frozen=True)
class Step:
    """A step of an inference: the layer it belongs to, its kernel, its multiply-accumulates."""

    layer: int
    kernel: str
    macs: int


@dataclass(frozen=True)
class LayerResult:
    """Where a layer's output lies once `step` has run: an arena block, an offset, a size."""

    step: int
    block: int
    offset: int
    size: int


@dataclass(frozen=True)
class Description:
    """What the image carries about a model, for hosts.

    Attributes:
        layers: in the model's order.
        steps: in the order of running.
        inputs, outputs: in the model's order.
        labels: names of the classes, where the model has them.
        blocks: the region of each arena block.
        results: one for each layer.
        input_preserved: an inference leaves its inputs as they were.
        weights: the .tflite's own constant bytes.
        runtime: "aot" for compiled code, "tflm" for TFLM's interpreter.
        arena_stated: what an interpreter was stated to use of its arena at export.
    """

    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...]
    blocks: tuple[str, ...]
    results: tuple[LayerResult, ...]
    input_preserved: bool
    weights: int
    runtime: str = "aot"
    arena_stated: int | None = None


@dataclass(frozen=True)
class ModelInfo:
    """A model in the image, as HELLO lists it.

    Attributes:
        index: its number in requests.
        sha256: of the .tflite, 32 bytes.
        inputs, outputs: sizes.
        step_count: steps of an inference.
        arena: sizes of the arena's blocks.
        description_size: compressed bytes.
    """

    index: int
    name: str
    sha256: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    step_count: int
    arena: tuple[int, ...]
    description_size: int


@dataclass(frozen=True)
class BoardInfo:
    """HELLO's answer. `clock_hz` is the counts of the counter in a second.

    `uid` is empty and `boot_count` None where the board cannot tell.
    """

    protocol: tuple[int, int]
    board: str
    uid: bytes
    boot_count: int | None
    build_id: bytes
    capabilities: Capability
    max_payload: int
    window: int
    models: tuple[ModelInfo, ...]
    clock_hz: int
    counter: Counted
    reset_cause: str
    state: int
    uptime_cycles: int

    @property
    def counts_instructions(self) -> bool:
        """Whether its counter is of instructions, so that it knows no cycles and no times."""
        return self.counter is Counted.INSTRUCTIONS


@dataclass(frozen=True)
class Run:
    """One inference.

    Attributes:
        cycles: of all steps; instructions where the board counts those.
        seed: the generator's state after, where the inputs came from it.
        stack_used: the stack's high water since boot, None where it is not watched.
        result: the first 64 bytes of the outputs.
    """

    cycles: int
    seed: int | None
    stack_used: int | None
    result: bytes


@dataclass(frozen=True)
class Stats:
    """Watermarks, counters and sensors; None where the board cannot tell.

    Attributes:
        rx_frames, rx_bad: frames that the board took, and pieces that it dropped.
        rx_lost: bytes that the port lost before framing.
        rx_missing: frames that the sequence numbers say never arrived whole.
        retries: answers given from memory.
    """

    stack_used: int | None
    stack_size: int | None
    arena_used: tuple[int, ...] | None
    uptime_cycles: int
    supply_mv: int | None
    die_celsius: float | None
    rx_frames: int
    rx_bad: int
    rx_lost: int | None
    rx_missing: int
    unknown_types: int
    unknown_keys: int
    retries: int
    runs: int
    state: int


@dataclass(frozen=True)
class Record:
    """One inference of a free run.

    Attributes:
        sequence: counts the free run's inferences; a gap is a lost record.
        uptime_cycles: when it ended.
        result: the first 64 bytes of the outputs.
    """

    model: int
    sequence: int
    cycles: int
    seed: int | None
    result: bytes
    stack_used: int | None
    uptime_cycles: int
    supply_mv: int | None
    die_celsius: float | None


@dataclass(frozen=True)
class LogLine:
    """What the firmware said in words."""

    detail: str
    code: int | None


@dataclass(frozen=True)
class BurstResult:
    """A test of the link.

    Attributes:
        asked: telemetry frames asked for.
        received: that came, each once.
        lost: that did not.
        seconds: from the first to the last, on this machine's clock.
        bytes: on the line.
    """

    asked: int
    received: int
    lost: int
    seconds: float
    bytes: int

    @property
    def rate(self) -> float:
        """Frames a second."""
        return (self.received - 1) / self.seconds if self.seconds > 0 else 0.0
