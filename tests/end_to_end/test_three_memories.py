"""A board whose RAM is in three pieces: a model that needs all of them gets them, and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from machine_transport import MachineTransport

from edge_autoglm.device.session import Session
from edge_boards.loader import load_board
from edge_boards.toolchain import BuildRequest, build_image, find_toolchain
from edge_export import HostModel, PlanError, export_model
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.inputs import lcg_inputs

BOARD = load_board("nucleo-l4r5zi")


def wide(side: int) -> Graph:
    """Two convolutions of one image, of which one is halved again: all three alive at once."""
    generator = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> int:
        values = generator.integers(-90, 91, shape).astype(np.int8)
        return b.weights(name, values, [0.004] * shape[0])

    b = GraphBuilder("wide")
    x = b.input("image", (1, side, side, 8), scale=0.05, zero_point=-4)
    y = b.conv_2d(x, weights("w0", 16, 3, 3, 8), None, 0.11, 3, stride=(2, 2))
    z = b.conv_2d(x, weights("w1", 24, 1, 1, 8), None, 0.1, 1, stride=(4, 4))
    u = b.conv_2d(y, weights("w2", 24, 1, 1, 16), None, 0.1, -2, stride=(2, 2))
    return b.build([b.elementwise("ADD", z, u, 0.12, 2)])


def test_a_model_gets_all_three_and_runs_as_on_the_host(tmp_path: Path) -> None:
    graph = wide(200)
    exported = export_model(graph, BOARD, tmp_path / "c")
    arena = dict(exported.arena)
    assert sorted(arena) == ["sram1", "sram2", "sram3"]
    assert arena["sram3"] >= 320_000  # the image fits nowhere else
    request = BuildRequest(BOARD, "profile", (exported.model_sources(),), tmp_path / "image")
    image = build_image(request, find_toolchain(BOARD))
    used = {use.name: use.used for use in image.sizes.memories}
    assert used["sram2"] == arena["sram2"]
    assert used["sram3"] == arena["sram3"]
    # Stack, rings and variables lie with the arena of the first.
    assert 9_000 < used["sram1"] - arena["sram1"] < BOARD.memory("sram1").reserved
    arrays, _ = lcg_inputs(graph)
    with (
        HostModel(exported) as host,
        Session(MachineTransport(BOARD, image.binary.read_bytes())) as session,
    ):
        model = session.model()
        session.write_input(model, 0, arrays[0].tobytes())
        session.invoke(model)
        assert session.read_output(model, 0) == host.run(arrays)[0].tobytes()


def test_a_buffer_larger_than_the_largest_is_refused_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"needs 401,408 B, and the largest memory has 393,216 B"):
        export_model(wide(224), BOARD, tmp_path / "c")
