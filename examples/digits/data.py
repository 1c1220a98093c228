"""scikit-learn's bundled handwritten digits, split once and for all.

1,797 images of 8 x 8 pixels with values 0 to 16. A fifth is held back: no training, no
calibration and no choice of the best epoch ever sees it.

    python examples/digits/data.py held_back.npz    # images and labels of the held-back set
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

SPLIT_SEED = 2026
HELD_BACK = 360


@dataclass(frozen=True)
class Digits:
    """`images` is float32 [n, 8, 8, 1] with values 0 to 1; `labels` is int64 [n], 0 to 9."""

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def load() -> tuple[Digits, Digits]:
    """(training set of 1,437, held-back set of 360); the same on every machine."""
    bundled = load_digits()
    images = (bundled.images / 16.0).astype(np.float32)[..., np.newaxis]
    labels = bundled.target.astype(np.int64)
    # RandomState's stream is frozen by numpy's compatibility policy; default_rng's is not.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    held, kept = np.sort(order[:HELD_BACK]), np.sort(order[HELD_BACK:])
    return Digits(images[kept], labels[kept]), Digits(images[held], labels[held])


def held_back() -> Digits:
    return load()[1]


if __name__ == "__main__":
    digits = held_back()
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "held_back.npz")
    np.savez(path, images=digits.images, labels=digits.labels)
    print(f"{path}: {len(digits.labels)} images")
