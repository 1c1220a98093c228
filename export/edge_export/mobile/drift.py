"""How far a variant is from the model as it was given."""

from __future__ import annotations

import math

import numpy as np

from edge_quantize.errors import QuantizeError
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.quality import classifies
from edge_quantize.run import Floats, real

from .expected import Cpu
from .model import Drift, MobileModel
from .probe import Probe


def drift(given: MobileModel, variant: MobileModel, probe: Probe) -> tuple[Drift, ...]:
    """One for each output; empty where the two are one file, or where the CPU runs one of them
    not."""
    if given.content == variant.content:
        return ()
    try:
        one, other = _outputs(given, probe), _outputs(variant, probe)
    except QuantizeError:
        return ()  # the verdict does not stand on it
    classes = classifies(read_tflite(given.content)) or bool(given.labels)
    found = []
    for position, port in enumerate(given.outputs):
        first = np.stack([row[position] for row in one]).astype(np.float64)
        second = np.stack([row[position] for row in other]).astype(np.float64)
        apart = np.abs(second - first)
        scale = float(np.abs(first).max(initial=0.0))
        flat = (len(first), -1)
        same = first.reshape(flat).argmax(axis=1) == second.reshape(flat).argmax(axis=1)
        most = float(apart.max(initial=0.0))
        found.append(
            Drift(
                port.name,
                most,
                math.sqrt(float((apart**2).mean())),
                most / scale if scale else None,
                float(same.mean()) if classes and position == 0 and first[0].size > 1 else None,
            )
        )
    return tuple(found)


def _outputs(model: MobileModel, probe: Probe) -> list[tuple[Floats, ...]]:
    graph = read_tflite(model.content)
    with Cpu(graph, model.content) as cpu:
        return [
            tuple(
                real(array, graph.tensors[index].quantization)
                for index, array in zip(graph.outputs, cpu.run(probe.fed(graph, n)), strict=True)
            )
            for n in range(len(probe.rows))
        ]
