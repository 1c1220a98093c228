"""What half the MACs cost in accuracy: the demo's float model, trained anew for each seed, pruned
and fine-tuned.

    pip install -e '.[train]'
    python examples/digits/half_macs.py             # five seeds, some minutes on two cores
    python examples/digits/half_macs.py --seeds 1

No image of the held-back set is seen in training, in ranking channels or in fine-tuning.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import data
import keras
import numpy as np
import tensorflow as tf
import train

from edge_quantize.data import Samples
from edge_quantize.graph.analysis import analyse
from edge_quantize.prune import Structured
from edge_quantize.prune.keras_prune import keras_mirror, prune_keras
from edge_quantize.prune.training import FineTuning, finetuned

SEEDS = 5
_EPOCHS = 80
_BATCH = 64
_RANKED = 400  # images that channels are ranked and repaired by
_COPIES = 20  # of the training set, each image moved by a little
_FINE_TUNING = FineTuning(epochs=6, learning_rate=3e-3, batch=_BATCH, distill=0.5)


@dataclass(frozen=True)
class Outcome:
    """One seed. Accuracies are shares of the held-back images, measured in Keras."""

    seed: int
    macs: int
    macs_left: int
    float_accuracy: float
    repaired_accuracy: float  # pruned and repaired, before fine-tuning
    pruned_accuracy: float  # after fine-tuning


def moved_copies(training: data.Digits, copies: int, seed: int) -> Samples:
    """The training set and copies of it, moved as in training the demo's model."""
    random = np.random.RandomState(seed)
    images = [training.images]
    images += [train.moved(training.images, random) for _ in range(copies - 1)]
    labels = np.tile(training.labels, copies)
    return Samples((np.concatenate(images),), labels, source="digits")


def float_model(training: data.Digits, seed: int) -> Any:
    """The demo's network, trained from `seed` on."""
    keras.utils.set_random_seed(seed)
    model = train.network()
    samples = moved_copies(training, _EPOCHS, seed)
    steps = len(samples) // _BATCH
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy()
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3)
    model.compile(optimizer, loss, steps_per_execution=32)
    model.fit(samples.inputs[0], samples.labels, batch_size=_BATCH, epochs=1, verbose=0)
    return model


def accuracy(model: Any, held: data.Digits) -> float:
    answers = model.predict(held.images, batch_size=len(held.labels), verbose=0).argmax(1)
    return float((answers == held.labels).mean())


def outcome(seed: int) -> Outcome:
    training, held = data.load()
    return outcome_of(float_model(training, seed), training, held, seed)


def outcome_of(model: Any, training: data.Digits, held: data.Digits, seed: int) -> Outcome:
    """Half the MACs of a trained model pruned, with fine-tuning and distillation."""
    macs = analyse(keras_mirror(keras, model).graph).macs
    plain = Samples((training.images[:_RANKED],), training.labels[:_RANKED])
    found = prune_keras(model, plain, Structured(target_macs=macs // 2))
    repaired = accuracy(found.model, held)
    samples = moved_copies(training, _COPIES, 1000 + seed)
    tuned = finetuned(keras, found.model, samples, replace(_FINE_TUNING, seed=seed), model)
    return Outcome(
        seed, macs, found.pruned.macs_after,
        accuracy(model, held), repaired, accuracy(tuned, held),
    )  # fmt: skip


def outcomes(seeds: int = SEEDS) -> Iterator[Outcome]:
    """One seed after the other; some 40 s each on two cores."""
    tf.config.experimental.enable_op_determinism()
    return (outcome(seed) for seed in range(seeds))


def mean_loss(found: Sequence[Outcome]) -> float:
    """Points of accuracy that pruning cost, mean over the seeds."""
    return 100 * float(np.mean([one.float_accuracy - one.pruned_accuracy for one in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    found = []
    for one in outcomes(options.seeds):
        print(
            f"seed {one.seed}: {one.macs:,} -> {one.macs_left:,} MACs; accuracy float "
            f"{one.float_accuracy:.4f}, pruned and repaired {one.repaired_accuracy:.4f}, "
            f"fine-tuned {one.pruned_accuracy:.4f}",
            flush=True,
        )
        found.append(one)
    print(f"mean loss of accuracy: {mean_loss(found):.2f} points ({len(found)} seeds, measured)")


if __name__ == "__main__":
    main()
