"""Keras 3 models, pruned as models: the result can be trained on, saved and converted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_quantize.data.samples import Samples
from edge_quantize.errors import PruningError
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.conversion import Request
from edge_quantize.ingest.from_keras import load_keras_file
from edge_quantize.ingest.tensorflow_converter import framework

from .keras_build import built
from .keras_graph import Mirror, mirror
from .structured import Pruned, Stage, Structured, prune_channels
from .training import FineTuning, finetuned, require_labels


@dataclass(frozen=True, eq=False)
class PrunedModel:
    """`model` is the smaller Keras model; `pruned` what was taken out of its graph (before any
    fine-tuning); `original` and `graph` are both models' graphs as they are now."""

    model: Any
    pruned: Pruned
    original: Graph
    graph: Graph


def load_keras(path: Path, say: Any = lambda _: None) -> tuple[Any, Any]:
    """(the `keras` module, the model in a `.keras` or HDF5 file).

    Raises MissingExtraError without TensorFlow, ModelFileError, ConversionError, PruningError for a
    model that only Keras 2 can load.
    """
    model, keras, _ = load_keras_file(path, Request(say=say))
    if keras.__name__ != "keras":
        raise PruningError(
            f"{path}: only Keras 2 can load it, and Keras models are pruned with Keras 3; with "
            "-o m.tflite and no fine-tuning its graph is pruned"
        )
    return keras, model


def keras_mirror(keras: Any, model: Any) -> Mirror:
    """The model's graph. Raises UnsupportedModelError, naming what is not supported."""
    if not getattr(model, "inputs", None):
        raise PruningError(
            f"{getattr(model, 'name', 'model')}: a Keras model without fixed inputs (a subclassed "
            "one) cannot be pruned; wrap it: keras.Model(inputs, model(inputs))"
        )
    functional = model
    if "input_layers" not in model.get_config():  # a Sequential
        ends = [t[0] if len(t) == 1 else list(t) for t in (model.inputs, model.outputs)]
        functional = keras.Model(*ends, name=model.name)
    return mirror(model, functional.get_config())


def prune_keras(
    model: Any,
    samples: Samples | None,
    wanted: Structured,
    tuning: FineTuning | None = None,
    stage: Stage | None = None,
    keras: Any = None,
    most_ranked: int | None = None,
) -> PrunedModel:
    """A live Keras 3 model without the channels that matter least, repaired, and fine-tuned where
    `tuning` is given (then `samples` need labels). The model that is given stays as it is. At most
    `most_ranked` samples, evenly over all, rank and repair; all are trained on.

    Raises PruningError, UnsupportedModelError (naming the layers), InputDataError.
    """
    if keras is None:
        keras = framework("keras", "pruning a Keras model", Request())
    if tuning is not None:
        if samples is None:
            raise PruningError("fine-tuning needs labelled data")
        require_labels(samples)
    mirrored = keras_mirror(keras, model)
    ranked = samples
    if ranked is not None and most_ranked is not None and len(ranked) > most_ranked:
        ranked = ranked.take([n * len(ranked) // most_ranked for n in range(most_ranked)])
    pruned = prune_channels(mirrored.graph, ranked, wanted, stage)
    if tuning is not None:
        # Layers that drop at random draw their seeds when they are made.
        keras.utils.set_random_seed(tuning.seed)
        _determined(keras)
    smaller = built(keras, model, mirrored, pruned)
    graph = pruned.graph
    if tuning is not None:
        assert samples is not None
        progress = stage("fine-tuning") if stage else None
        finetuned(keras, smaller, samples, tuning, model, progress)
        graph = keras_mirror(keras, smaller).graph
    return PrunedModel(smaller, pruned, mirrored.graph, graph)


def _determined(keras: Any) -> None:
    """Ops that give the same bits each time, where the backend has them."""
    if keras.backend.backend() == "tensorflow":
        tf = framework("tensorflow", "fine-tuning", Request())
        tf.config.experimental.enable_op_determinism()


def saved(model: Any, folder: Path) -> bytes:
    """The `.keras` file's content, by way of a file in `folder`."""
    path = folder / "model.keras"
    model.save(path)
    content = path.read_bytes()
    path.unlink()
    return content
