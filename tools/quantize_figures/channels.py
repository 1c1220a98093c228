"""Dead channels of the reference vww model, taken out with the outputs left as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.passes import lossless
from edge_quantize.reference import best_reference

from .row import Row

MACS, WEIGHT_BYTES, IMAGES = 3_727_313, 33_122, 100


def images(shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.int8]]:
    """Half of them random; the others flat, with edges, ramps and a bright border, since a channel
    that is constant inside may not be where zeros are padded."""
    random = np.random.default_rng(5)
    rows, columns = np.indices(shape[1:3])
    for number in range(IMAGES):
        level = int(random.integers(-128, 128))
        if number % 2 == 0:
            image = random.integers(-128, 128, shape)
        elif number % 8 == 1:
            image = np.full(shape, level)
        elif number % 8 == 3:
            image = np.where(rows > int(random.integers(96)), level, -level - 1)[None, ..., None]
        elif number % 8 == 5:
            image = ((rows * 3 + columns * (number % 5)) % 256 - 128)[None, ..., None]
        else:
            inside = (rows > 0) & (rows < 95) & (columns > 0) & (columns < 95)
            image = np.where(inside, level, 127)[None, ..., None]
        yield np.broadcast_to(image, shape).astype(np.int8)


def rows(folder: Path) -> Iterator[Row]:
    graph = read_tflite(folder / "mlperf_tiny" / "vww_int8.tflite")
    result = lossless(graph)
    yield Row("vww: MACs before", result.before.macs, kind="exact")
    yield Row("vww: MACs", result.after.macs, most=MACS, kind="exact")
    yield Row("vww: weights and biases before", result.before.weight_bytes, "B", kind="exact")
    after = result.after.weight_bytes
    yield Row("vww: weights and biases", after, "B", most=WEIGHT_BYTES, kind="exact")
    first, second = best_reference(graph), best_reference(result.graph)
    shape = graph.tensors[graph.inputs[0]].shape
    differ = sum(
        not np.array_equal(first.run((image,))[0], second.run((image,))[0])
        for image in images(shape)
    )
    yield Row(f"vww: of {IMAGES} images differ in {first.name}", differ, most=0, kind="exact")
