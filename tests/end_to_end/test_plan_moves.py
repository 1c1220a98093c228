"""A plan file that moves constants elsewhere: the generated C follows, holes included."""

from __future__ import annotations

import json
from pathlib import Path

import aot_models
import numpy as np
import pytest

from edge_export import HostModel, export_model
from edge_quantize.inputs import lcg_inputs


@pytest.mark.parametrize("kind", ["weights", "table"])
def test_every_second_constant_moved_to_ram_leaves_the_outputs_as_they_were(
    kind: str, tmp_path: Path
) -> None:
    graph, board = aot_models.classifier(), aot_models.board()
    plain = export_model(graph, board, tmp_path / "plain")
    plan = json.loads((plain.directory / "plan.json").read_text(encoding="utf-8"))
    moved = [record for record in plan["constants"] if record["kind"] == kind][::2]
    assert moved
    for record in moved:
        record["region"] = "sram"
        del record["offset"]
    changed = tmp_path / "plan.json"
    changed.write_text(json.dumps(plan), encoding="utf-8")
    other = export_model(graph, board, tmp_path / "other", plan=changed)
    assert {c.region for c in other.constants} == {"flash", "sram"}
    arrays, _ = lcg_inputs(graph)
    with HostModel(plain) as one, HostModel(other) as two:
        for wanted, found in zip(one.run(arrays), two.run(arrays), strict=True):
            assert np.array_equal(wanted, found)
