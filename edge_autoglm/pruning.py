"""A model pruned from start to end: read, cut, repaired, trained on, compared with what it was."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_autoglm.errors import UsageError
from edge_quantize.data.samples import Samples
from edge_quantize.graph.model import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.conversion import Request as Conversion
from edge_quantize.ingest.from_keras import read_keras_model
from edge_quantize.prune import (
    Pruned,
    Reweighted,
    Structured,
    Unstructured,
    cluster_weights,
    prune_channels,
    prune_weights,
)
from edge_quantize.prune.keras_prune import keras_mirror, load_keras, prune_keras, saved
from edge_quantize.prune.structured import Stage, require_float
from edge_quantize.prune.training import FineTuning
from edge_quantize.quality import Quality, evaluate, logits
from edge_quantize.run import Floats, outputs

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
# More samples than these tell little more of which channels matter, or of what was lost.
MOST_RANKED = 256
MOST_MEASURED = 512
_HELD_BACK = 0.2
_LEAST_TO_HOLD_BACK = 10


@dataclass(frozen=True)
class Request:
    """`what` is taken out of the model in `source`; `clusters` is how many values a layer's
    weights share, 0 for any number."""

    source: str
    target: Path
    what: Structured | Unstructured | None
    clusters: int = 0
    tuning: FineTuning | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target.suffix not in (".tflite", ".keras"):
            raise UsageError(f"-o {self.target}: name a .tflite or a .keras file")
        if self.as_keras and not isinstance(self.what, Structured):
            raise UsageError(
                f"-o {self.target}: single weights are pruned and clustered in a .tflite; name one"
            )
        if self.target.suffix == ".keras" and not _is_keras(self.source):
            raise UsageError(
                f"-o {self.target}: only a Keras model (.keras, .h5) becomes one; name a .tflite"
            )
        if self.tuning is not None and not _is_keras(self.source):
            raise UsageError(
                f"--finetune: only Keras models (.keras, .h5) can be trained on, not {self.source}"
            )

    @property
    def as_keras(self) -> bool:
        """Whether the model is pruned as a Keras model, and not as a graph."""
        return self.target.suffix == ".keras" or self.tuning is not None


@dataclass(frozen=True, eq=False)
class Outcome:
    """`original` and `result` as graphs, the file's `content`, and what each stage kept of the
    original's outputs, on samples that had no part in pruning (or, where `shared`, that had)."""

    original: Graph
    result: Graph
    content: bytes
    done: Pruned | Reweighted
    qualities: tuple[tuple[str, Quality], ...]
    shared: bool = False


Load = Callable[[Graph], Samples | None]


def prune(request: Request, read: Callable[[str], Graph], load: Load, stage: Stage) -> Outcome:
    """Prunes the model that `request` names. `read` makes a graph of any model, `load` gives the
    samples for one. Raises what reading and pruning raise; writes nothing."""
    if request.as_keras:
        return _keras(request, load, stage)
    graph = read(request.source)
    require_float(graph)
    samples = load(graph)
    used, measured, shared = _split(samples, request.seed)
    if isinstance(request.what, Structured):
        pruned = prune_channels(graph, _at_most(used, MOST_RANKED), request.what, stage)
        stages = _stages(pruned)
        done: Pruned | Reweighted = pruned
    else:
        done = _reweighted(graph, request, stage)
        stages = [("pruned" if request.what else "clustered", done.graph)]
    qualities = _measured(graph, stages, measured, stage)
    return Outcome(graph, done.graph, write_tflite(done.graph), done, qualities, shared)


def _reweighted(graph: Graph, request: Request, stage: Stage) -> Reweighted:
    found = None
    if isinstance(request.what, Unstructured):
        found = prune_weights(graph, request.what)
    if request.clusters:
        source = graph if found is None else found.graph
        found = cluster_weights(source, request.clusters, stage("clustering weights"))
    assert found is not None
    return found


def _keras(request: Request, load: Load, stage: Stage) -> Outcome:
    assert isinstance(request.what, Structured)
    keras, model = load_keras(Path(request.source), lambda _: stage("loading TensorFlow"))
    samples = load(keras_mirror(keras, model).graph)
    used, measured, shared = _split(samples, request.seed)
    found = prune_keras(
        model, used, request.what, request.tuning, stage, keras, most_ranked=MOST_RANKED
    )
    stages = _stages(found.pruned)
    if request.tuning is not None:
        stages.append(("fine-tuned", found.graph))
    qualities = _measured(found.original, stages, measured, stage)
    if request.target.suffix == ".keras":
        with tempfile.TemporaryDirectory() as folder:
            content = saved(found.model, Path(folder))
    else:
        stage("converting")
        content = write_tflite(read_keras_model(found.model, Conversion()).graph)
    return Outcome(found.original, found.graph, content, found.pruned, qualities, shared)


def _stages(pruned: Pruned) -> list[tuple[str, Graph]]:
    cut = pruned.unrepaired or pruned.graph
    return [("cut", cut), ("repaired", pruned.graph)] if pruned.repairs else [("cut", cut)]


def _measured(
    original: Graph, stages: list[tuple[str, Graph]], samples: Samples | None, stage: Stage
) -> tuple[tuple[str, Quality], ...]:
    if samples is None:
        return ()
    stage("measuring")
    wanted: tuple[Floats, ...] = outputs(logits(original), samples)
    return tuple((name, evaluate(logits(graph), samples, wanted)) for name, graph in stages)


def _split(samples: Samples | None, seed: int) -> tuple[Samples | None, Samples | None, bool]:
    """(what pruning sees, what is measured on, whether these are the same for want of samples)."""
    if samples is None or len(samples) < _LEAST_TO_HOLD_BACK:
        return samples, samples, samples is not None
    used, held = samples.split(_HELD_BACK, seed)
    return used, _at_most(held, MOST_MEASURED), False


def capped(samples: Samples, what: object, seed: int) -> tuple[str, ...]:
    """Where fewer samples are used than are there, a line each."""
    used, measured, shared = _split(samples, seed)
    assert used is not None
    assert measured is not None
    found = []
    if isinstance(what, Structured) and what.needs_data and len(used) > MOST_RANKED:
        found.append(f"channels are weighed on {MOST_RANKED} of {len(used)} samples evenly")
    held = len(samples) - len(used)
    if not shared and held > len(measured):
        found.append(f"what was lost is measured on {len(measured)} of {held} samples held back")
    return tuple(found)


def _at_most(samples: Samples | None, most: int) -> Samples | None:
    """`most` of them, evenly over all."""
    if samples is None or len(samples) <= most:
        return samples
    return samples.take([number * len(samples) // most for number in range(most)])


def _is_keras(source: str) -> bool:
    return Path(source).suffix.lower() in KERAS_SUFFIXES
