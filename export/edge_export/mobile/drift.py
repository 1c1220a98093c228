"""How far a variant is from the model as it was given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_quantize.errors import QuantizeError
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.quality import classifies
from edge_quantize.run import Floats, real

from .expected import Cpu, Outputs
from .model import Drift, MobileModel
from .probe import Probe


def drift(
    given: MobileModel, variant: MobileModel, probe: Probe, outputs: Sequence[Outputs]
) -> tuple[Drift, ...]:
    """One for each output; `outputs` are those of `variant` on the CPU, a tuple a row of `probe`.
    Empty where the two are one file, or where the CPU does not run the model as given."""
    if given.content == variant.content:
        return ()
    try:
        one, other = _outputs(given, probe), _real(variant, outputs)
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
        outputs = [cpu.run(probe.fed(graph, number)) for number in range(len(probe.rows))]
    return _real(model, outputs)


def _real(model: MobileModel, rows: Sequence[Outputs]) -> list[tuple[Floats, ...]]:
    return [
        tuple(real(a, port.quantization) for a, port in zip(row, model.outputs, strict=True))
        for row in rows
    ]
