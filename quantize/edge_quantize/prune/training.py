"""Fine-tuning and distillation of Keras 3 models, on Keras' public interface alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.errors import InputDataError, PruningError

from .keras_build import packed

Array = npt.NDArray[Any]
Epochs = Callable[[int, int], None]

AUTOMATIC = "auto"
_STEPS_AT_ONCE = 32
_WARM_UP = 0.05  # of all steps, in which the rate rises


@dataclass(frozen=True)
class FineTuning:
    """How a pruned model is trained on.

    `loss`: "auto" (cross-entropy for class labels, mean squared error for targets), or a loss that
    Keras knows by name. `distill`: the share of the loss that is the distance to the original
    model's answers, softened by `temperature` where they are of classes (Hinton, Vinyals and Dean
    2015, arXiv:1503.02531). The rate falls to zero on a cosine; weights decay as AdamW's do.
    """

    epochs: int
    loss: str = AUTOMATIC
    learning_rate: float = 1e-3
    batch: int = 32
    distill: float = 0.0
    temperature: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise PruningError(f"fine-tuning for {self.epochs} epochs trains nothing")
        if not self.learning_rate > 0:
            raise PruningError(f"a learning rate of {self.learning_rate:g} trains nothing")
        if not 0 <= self.distill <= 1:
            raise PruningError(f"a share of distillation of {self.distill:g} is not within 0..1")
        if not self.temperature > 0:
            raise PruningError(f"a temperature of {self.temperature:g} is not positive")
        if self.batch < 1:
            raise PruningError(f"a batch of {self.batch} holds nothing")


def require_labels(samples: Samples) -> Array:
    """Raises InputDataError where there are none."""
    if samples.labels is None:
        raise InputDataError(
            f"{samples.source or 'the data'}: has no labels, which fine-tuning needs (in an .npz, "
            "an array called labels)"
        )
    return np.asarray(samples.labels)


def finetuned(
    keras: Any,
    model: Any,
    samples: Samples,
    wanted: FineTuning,
    teacher: Any = None,
    progress: Epochs | None = None,
) -> Any:
    """`model`, trained in place and returned; the same weights for the same seed, data and machine.

    `samples` have labels: class indices (then the only output has one element a class), or targets.
    Raises InputDataError where labels are missing or do not fit, PruningError for an unknown loss.
    """
    labels = require_labels(samples)
    if len(model.outputs) != 1:
        raise PruningError(
            f"{model.name}: has {len(model.outputs)} outputs; fine-tuning is for models with one"
        )
    classes = labels.ndim == 1 and labels.dtype.kind in "iub"
    width = int(model.outputs[0].shape[-1])
    if classes and not 0 <= labels.min() <= labels.max() < max(width, 2):
        raise InputDataError(
            f"{samples.source or 'the data'}: labels {labels.min()}..{labels.max()}; the model's "
            f"classes are 0..{max(width, 2) - 1}"
        )
    keras.utils.set_random_seed(wanted.seed)
    probable = _probabilities(model)
    base = _loss(keras, wanted.loss, classes, probable, width)
    targets: Array = labels if classes else labels.astype(np.float32).reshape(len(labels), -1)
    loss = base
    inputs = [np.asarray(array, np.float32) for array in samples.inputs]
    fed = packed(keras, model, inputs)
    if wanted.distill and teacher is not None:
        shown = packed(keras, teacher, inputs)
        taught = np.asarray(teacher.predict(shown, batch_size=256, verbose=0))
        taught = taught.reshape(len(labels), -1).astype(np.float32)
        columns = targets.reshape(len(labels), -1).astype(np.float32)
        targets = np.concatenate([columns, taught], axis=1)
        soft = probable if classes and width > 1 else None
        loss = _distilling(keras, base, classes, columns.shape[1], soft, wanted)
    steps = wanted.epochs * -(-len(labels) // wanted.batch)
    warm = round(_WARM_UP * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        wanted.learning_rate * (0.1 if warm else 1.0),
        max(steps - warm, 1),
        warmup_target=wanted.learning_rate if warm else None,
        warmup_steps=warm,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-4),
        loss=loss,
        # Small models spend more time between steps than in them.
        steps_per_execution=min(-(-len(labels) // wanted.batch), _STEPS_AT_ONCE),
    )
    callbacks = [_told(keras, wanted.epochs, progress)] if progress is not None else []
    model.fit(
        fed, targets, epochs=wanted.epochs, batch_size=wanted.batch, verbose=0, callbacks=callbacks
    )
    return model


def _probabilities(model: Any) -> bool:
    """Whether the output is one of probabilities, and not of logits."""
    layer = model.layers[-1]
    if type(layer).__name__ == "Softmax":
        return True
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return name in ("softmax", "sigmoid")


def _loss(keras: Any, name: str, classes: bool, probable: bool, width: int) -> Any:
    losses = keras.losses
    if name == AUTOMATIC:
        if not classes:
            return losses.MeanSquaredError()
        if width == 1:
            return losses.BinaryCrossentropy(from_logits=not probable)
        return losses.SparseCategoricalCrossentropy(from_logits=not probable)
    if name in ("sparse_categorical_crossentropy", "binary_crossentropy"):
        kind = {"s": "SparseCategoricalCrossentropy", "b": "BinaryCrossentropy"}[name[0]]
        return getattr(losses, kind)(from_logits=not probable)
    try:
        found = losses.get(name)
    except ValueError as error:
        raise PruningError(
            f"no loss {name!r} is known to Keras; auto, mse, mae, huber, "
            "sparse_categorical_crossentropy are some"
        ) from error
    return found


def _distilling(
    keras: Any, base: Any, classes: bool, columns: int, soft: bool | None, wanted: FineTuning
) -> Callable[[Any, Any], Any]:
    """A loss of rows that hold the labels and the teacher's answers. `soft`: whether those are
    probabilities (else logits); None where they are no classes."""
    ops = keras.ops

    def softened(values: Any) -> Any:
        """log softmax(logits / T); the logarithm of probabilities is logits but for a constant."""
        logits = ops.log(ops.maximum(values, 1e-7)) if soft else values
        return ops.log_softmax(logits / wanted.temperature, axis=-1)

    def loss(rows: Any, predicted: Any) -> Any:
        flat = ops.reshape(predicted, (ops.shape(rows)[0], -1))
        labels, taught = rows[:, :columns], rows[:, columns:]
        if classes:
            labels = ops.cast(labels[:, 0], "int32") if soft is not None else labels
        hard = base(labels, flat)
        if soft is None:
            distance = ops.mean(ops.square(flat - taught))
        else:
            one, other = softened(taught), softened(flat)
            distance = ops.mean(ops.sum(ops.exp(one) * (one - other), axis=-1))
            distance *= wanted.temperature**2
        return (1 - wanted.distill) * hard + wanted.distill * distance

    return loss


def _told(keras: Any, epochs: int, progress: Epochs) -> Any:
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress(epoch + 1, epochs))
