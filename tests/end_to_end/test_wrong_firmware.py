"""A board whose firmware computes wrongly: `profile` notices, `verify` names the layer.

The firmware is wrong on purpose: a copy of an exported folder gets a faulty kernel, or a damaged
constant, and is flashed under the model's true hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Program

from edge_export.sealed import digest
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite

ON_BOARD = ["--board", "stm32f746", "--port", "virtual"]
CONV, DEPTHWISE, POINTWISE, ADD = range(4)  # layers of `branches`


def branches() -> bytes:
    """A convolution, and two more beside it that are added to it. No layer hides a difference,
    as a saturated softmax would."""
    generator = np.random.default_rng(5)

    def weights(*shape: int) -> np.ndarray:
        return generator.integers(-60, 61, shape).astype(np.int8)

    b = GraphBuilder("tiny")
    x = b.input("image", (1, 8, 8, 3), scale=0.05, zero_point=-4)
    w = b.weights("w0", weights(8, 3, 3, 3), [0.004] * 8)
    y = b.conv_2d(x, w, None, 0.11, 3, stride=(2, 2))
    w = b.weights("w1", weights(1, 3, 3, 8), [0.004] * 8, axis=3)
    z = b.depthwise_conv_2d(y, w, None, 0.1, -7)
    w = b.weights("w2", weights(8, 1, 1, 8), [0.004] * 8)
    u = b.conv_2d(z, w, None, 0.1, 1)
    return write_tflite(b.build([b.elementwise("ADD", y, u, 0.12, 2)]))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("user"))
    (program.folder / "tiny.tflite").write_bytes(branches())
    program.done("export", "tiny.tflite", "--board", "stm32f746", "-o", "right")
    yield program
    program.stop_boards()


@pytest.fixture
def wrong(program: Program, request: pytest.FixtureRequest) -> Path:
    folder = program.folder / re.sub(r"\W", "_", request.node.name)
    shutil.copytree(program.folder / "right", folder)
    return folder


def kernel_of(folder: Path, layer: int) -> str:
    steps = json.loads((folder / "export.json").read_bytes())["description"]["steps"]
    name: str = next(kernel for number, kernel, _ in steps if number == layer)
    return name


def spoil_kernel(folder: Path, layer: int, byte: int) -> None:
    """Puts a function in the kernel's place that turns one bit of one result byte after it."""
    kernel = kernel_of(folder, layer)
    head = re.compile(rf"^void {kernel}\(([^)]*)\) {{", re.MULTILINE)
    source = next(p for p in folder.glob("kernels/*.c") if head.search(p.read_text("utf-8")))
    text = source.read_text(encoding="utf-8")
    found = head.search(text)
    assert found is not None
    parameters = found.group(1)
    names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
    text = head.sub(f"void {kernel}_right({parameters}) {{", text, count=1)
    text += (
        f"\nvoid {kernel}({parameters}) {{\n  {kernel}_right({names});\n"
        f"  ((unsigned char *)out)[{byte}] ^= 64;\n}}\n"
    )
    source.write_text(text, encoding="utf-8")
    seal(folder, source)


def seal(folder: Path, source: Path) -> None:
    """Makes the folder look as if it had been exported like that."""
    listing = folder / "export.json"
    document = json.loads(listing.read_bytes())
    name = source.relative_to(folder).as_posix()
    document["files"][name] = hashlib.sha256(source.read_bytes()).hexdigest()
    document["digest"] = digest(document)
    listing.write_text(json.dumps(document), encoding="utf-8")


def verified(program: Program) -> tuple[str, dict[str, Any]]:
    """What `verify` says of the wrong board, on stdout and as JSON."""
    done = program.run("verify", "tiny.tflite", *ON_BOARD, "--inputs", "3", "--json", "v.json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines() == ["comparing ...", "finding the first layer that differs ..."]
    found: dict[str, Any] = json.loads((program.folder / "v.json").read_bytes())
    assert found["good"] is False
    assert found["host"]["max_abs_diff"] == 0  # the C on this machine is right
    return " ".join(done.stdout.split()), found


@pytest.mark.parametrize(
    ("layer", "op", "byte", "element"),
    [
        (CONV, "CONV_2D", 0, [0, 0, 0, 0]),
        (DEPTHWISE, "DEPTHWISE_CONV_2D", 127, [0, 3, 3, 7]),
        (ADD, "ADD", 13, [0, 0, 1, 5]),
    ],
)
def test_a_wrong_kernel_is_found_at_its_layer(
    layer: int, op: str, byte: int, element: list[int], wrong: Path, program: Program
) -> None:
    spoil_kernel(wrong, layer, byte)
    program.done("flash", wrong.name, *ON_BOARD)
    said, found = verified(program)
    first = found["device"]["first_difference"]
    assert first["layer"] == layer
    assert (first["op"], first["element"], first["input_number"]) == (op, element, 0)
    assert abs(first["expected"] - first["actual"]) == 64
    assert f"first differing layer {first['name']} ({op}), element {element}" in said
    assert found["device"]["against_host"]["bit_exact"] is False


def test_a_damaged_constant_is_found_at_its_layer(wrong: Path, program: Program) -> None:
    source = next(wrong.glob("src/*_weights.c"))
    text = source.read_text(encoding="utf-8")
    found = re.search(r"\.mac_2_doubled = {\s*(-?\d+),", text)
    assert found is not None
    source.write_text(
        f"{text[: found.start(1)]}{int(found.group(1)) // 3}{text[found.end(1) :]}",
        encoding="utf-8",
    )
    seal(wrong, source)
    program.done("flash", wrong.name, *ON_BOARD)
    _, report = verified(program)
    first = report["device"]["first_difference"]
    assert (first["layer"], first["op"]) == (POINTWISE, "CONV_2D")


def test_profile_notices_wrong_outputs_and_points_to_verify(wrong: Path, program: Program) -> None:
    spoil_kernel(wrong, ADD, 0)
    program.done("flash", wrong.name, *ON_BOARD)
    # The build is remembered with the model that it stands for.
    kept = max((program.state / "builds").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    document = json.loads(kept.read_bytes())
    kept.write_text(
        json.dumps(document | {"model": str(program.folder / "tiny.tflite")}), encoding="utf-8"
    )
    done = program.run("profile", *ON_BOARD, "--json", "p.json")
    assert done.returncode == 1
    assert "edge-autoglm verify" in done.stderr
    verdict = json.loads((program.folder / "p.json").read_bytes())["verdict"]
    assert verdict["bit_exact"] is False
    assert verdict["max_abs_diff"] > 0
