"""Accuracy on handwritten digits, mean over five models trained from different seeds.

Needs TensorFlow: training is the one thing that nothing else here does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_quantize.data import Samples
from edge_quantize.graph import Graph
from edge_quantize.ptq import Precision, Recipe, quantize
from edge_quantize.run import outputs

from .row import Row

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
SEEDS, CALIBRATION = 5, 200
INT8_POINTS, INT4_POINTS, PRUNED_POINTS = 0.3, 1.0, 0.5


def rows(_folder: Path) -> Iterator[Row]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(EXAMPLE))
    import data
    import half_macs
    import keras

    from edge_quantize.prune.keras_prune import keras_mirror

    training, held = data.load()
    samples = Samples((training.images[:CALIBRATION],), source="training images")
    judged = Samples((held.images,), held.labels, source="held back")
    lost: dict[str, list[float]] = {"int8": [], "int4": [], "pruned": []}
    floats = []
    for seed in range(SEEDS):
        model = half_macs.float_model(training, seed)
        graph = keras_mirror(keras, model).graph
        best = accuracy(graph, judged)
        floats.append(best)
        for name in ("int8", "int4"):
            small = quantize(graph, samples, Recipe.uniform(Precision(name))).graph
            lost[name].append(best - accuracy(small, judged))
        pruned = half_macs.outcome_of(model, training, held, seed)
        lost["pruned"].append(100 * (pruned.float_accuracy - pruned.pruned_accuracy))
        assert pruned.macs_left <= pruned.macs // 2
    yield Row("digits: float, accuracy", float(np.mean(floats)), "%")
    yield Row("digits: int8 loses", float(np.mean(lost["int8"])), "points", most=INT8_POINTS)
    yield Row("digits: int4 weights lose", float(np.mean(lost["int4"])), "points", most=INT4_POINTS)
    words = "digits: half the MACs pruned loses"
    yield Row(words, float(np.mean(lost["pruned"])), "points", most=PRUNED_POINTS)


def accuracy(graph: Graph, judged: Samples) -> float:
    """In percent."""
    (answers,) = outputs(graph, judged)
    assert judged.labels is not None
    return 100 * float((answers.reshape(len(judged), -1).argmax(1) == judged.labels).mean())
