"""The TFLM export with the real library, on the virtual board: EDGE_AUTOGLM_TFLM names a
tflite-micro checkout whose CMSIS-NN library was made for the STM32F746. Outputs equal those of the
ahead-of-time C and of tflite_micro, and the arena in use is what was stated."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from cli_tools import Program
from machine_transport import MachineTransport
from tflm_fakes import real_tree

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_autoglm.errors import ModelUnreadyError
from edge_autoglm.measure.candidates import candidate
from edge_autoglm.measure.verify import infer
from edge_boards.elf import Elf
from edge_boards.loader import load_board
from edge_boards.toolchain.seal import crc_place, image_crc
from edge_boards.virtual import native
from edge_export import HostModel, TflmExport
from edge_export.tflm.ops import tflm_problems
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs

BOARD = load_board("stm32f746")
ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "digits_int8.tflite"
GOLDEN = [
    path
    for path in sorted((ROOT / "tests" / "golden" / "models").glob("*.tflite"))
    if not tflm_problems(read_tflite(path))
]
SEEDS = 3
# TensorFlow Lite Micro 90b983c2b3f1 with CMSIS-NN 4ab83cc3cc98, on QEMU's mps2-an500: instructions
# of its best build, and bytes of arena in use.
PEERS = {
    "ad": (582_797, 2_580),
    "kws": (7_642_320, 22_820),
    "ic": (29_939_730, 54_996),
    "vww": (24_026_000, 100_708),
}


def built(path: Path, folder: Path, **asked: int) -> tuple[TflmExport, pipeline.Built]:
    tree = real_tree()
    exported = pipeline.export(path, BOARD, folder, pipeline.Asked("tflm", **asked))
    assert isinstance(exported, TflmExport)
    return exported, pipeline.build(exported, BOARD, "gcc", tflm=tree)


@pytest.mark.parametrize("name", PEERS)
def test_outputs_equal_compiled_codes_and_the_arena_is_what_was_stated(
    name: str, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    path = mlperf_tiny(name)
    exported, image = built(path, tmp_path / "tflm")
    graph = candidate(path).graph
    reference = candidate(path).reference()
    instructions, arena = PEERS[name]
    assert arena <= exported.arena_needed <= 1.02 * arena
    compiled = pipeline.export(path, BOARD, tmp_path / "aot")
    assert not isinstance(compiled, TflmExport)
    with (
        HostModel(compiled) as host,
        Session(MachineTransport(BOARD, image.image.binary.read_bytes())) as session,
    ):
        model = session.model()
        seed = 2
        for _ in range(SEEDS):
            arrays, after = lcg_inputs(graph, seed)
            run = session.invoke(model, seed)
            found = session.read_output(model)
            assert found == host.run(arrays)[0].tobytes()
            assert found == np.ascontiguousarray(reference.run(arrays)[0]).tobytes()
            # Without the counter a cycle is an instruction; our steps add a few each.
            assert abs(run.cycles - instructions) < 0.01 * instructions
            assert run.seed == after
            seed = after
        (used,) = session.stats(model).arena_used or ()
        assert 0.97 * exported.arena_needed < used <= exported.arena_needed


@pytest.mark.slow
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_model_runs_in_the_arena_that_was_stated(path: Path, tmp_path: Path) -> None:
    exported, image = built(path, tmp_path / "out")
    chosen = candidate(path)
    arrays, _ = lcg_inputs(chosen.graph, 2)
    expected = tuple(np.ascontiguousarray(a).tobytes() for a in chosen.reference().run(arrays))
    with Session(MachineTransport(BOARD, image.image.binary.read_bytes())) as session:
        model = session.model()
        try:
            outputs: tuple[bytes, ...] | str = infer(session, model, arrays)
        except ModelUnreadyError as error:
            outputs = str(error)
        # A library with its checks in it stops where the export said so, and nowhere else.
        if exported.stops and isinstance(outputs, str):
            assert "a check inside TFLM failed" in outputs
            return
        assert outputs == expected
        assert sum(session.stats(model).arena_used or ()) <= exported.arena_needed


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[TflmExport, pipeline.Built]:
    return built(DIGITS, tmp_path_factory.mktemp("digits") / "out")


def with_arena(image: pipeline.Built, arena: int, needed: int) -> bytes:
    """The image with another arena, and another need of it stated."""
    content = bytearray(image.image.binary.read_bytes())
    elf = Elf.load(image.image.elf)
    place = elf.symbol("eag_tflm_program").value - BOARD.code_address
    struct.pack_into("<II", content, place + 8, arena, needed)
    # What was changed is not what the image's CRC is of.
    crc = crc_place(elf, BOARD)
    assert crc is not None
    struct.pack_into("<I", content, crc, image_crc(bytes(content), crc))
    return bytes(content)


def test_an_arena_below_what_is_needed_is_not_even_tried(
    digits: tuple[TflmExport, pipeline.Built],
) -> None:
    exported, image = digits
    needed = exported.arena_needed
    for size in (0, 16, needed // 2, needed - 1):
        with Session(MachineTransport(BOARD, with_arena(image, size, needed))) as session:
            words = f"the arena of {size} B is too small, {needed} B needed;"
            with pytest.raises(ModelUnreadyError, match=words):
                session.invoke(session.model(), 2)
    with Session(MachineTransport(BOARD, with_arena(image, needed, needed))) as session:
        session.invoke(session.model(), 2)


def test_had_too_little_been_stated_it_would_neither_crash_nor_hang(
    digits: tuple[TflmExport, pipeline.Built],
) -> None:
    """As with a TFLM of another version, which needs more than the one that was modelled."""
    exported, image = digits
    # What is stated covers a planner inside the arena too, which this firmware has outside.
    too_little = exported.arena_needed - 80
    for size in [*range(0, 700, 20), *range(700, too_little, 97), too_little]:
        with Session(MachineTransport(BOARD, with_arena(image, size, 0))) as session:
            with pytest.raises(ModelUnreadyError):
                session.invoke(session.model(), 2)
            assert session.stats().runs == 0


def test_double_precision_software_runs_at_the_start_only(
    digits: tuple[TflmExport, pipeline.Built],
) -> None:
    """TFLM computes scales in doubles, which this FPU lacks; what it links for that is of no cost
    to an inference."""
    _, image = digits
    elf = Elf.load(image.image.elf)
    doubles = [
        (symbol.address, symbol.address + max(symbol.size, 4))
        for symbol in elf.functions
        if symbol.name.startswith(("__aeabi_d", "__aeabi_i2d", "__aeabi_f2d", "__aeabi_ui2d"))
    ]
    assert doubles
    blocks: set[int] = set()

    def listen(view: memoryview) -> None:
        pairs = view.tolist()
        kinds = native.TRACE_DATA | native.TRACE_CUT
        blocks.update(a for a, s in zip(pairs[::2], pairs[1::2], strict=True) if not s & kinds)

    transport = MachineTransport(BOARD, image.image.binary.read_bytes())
    with Session(transport) as session:
        model = session.model()
        transport.machine.trace.start(listen)
        session.invoke(model, 2)
        transport.machine.trace.drain()
        transport.machine.trace.stop()
    assert len(blocks) > 100
    assert not [b for b in blocks if any(low <= b < high for low, high in doubles)]


def test_each_op_can_be_looked_at_where_it_ends(
    digits: tuple[TflmExport, pipeline.Built],
) -> None:
    _, image = digits
    chosen = candidate(DIGITS)
    reference = chosen.reference(preserve=True)
    arrays, _ = lcg_inputs(chosen.graph, 2)
    reference.run(arrays)
    tensors = reference.tensors()
    with Session(MachineTransport(BOARD, image.image.binary.read_bytes())) as session:
        model = session.model()
        session.write_input(model, 0, arrays[0].tobytes())
        results = session.describe(model).results
        for operator, result in zip(chosen.graph.operators, results, strict=True):
            session.step(model, operator.index)
            found = session.peek(model, result.block, result.offset, result.size)
            assert found == np.ascontiguousarray(tensors[operator.outputs[0]]).tobytes()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    real_tree()
    program = Program(tmp_path)
    yield program
    program.stop_boards()


def test_flash_profile_and_verify_from_the_command_line(program: Program) -> None:
    tree = real_tree()
    program.done("export", DIGITS, "-b", "stm32f746", "--runtime", "tflm", "-o", "out")
    said = program.done(
        "flash", "out", "-b", "stm32f746", "--port", "virtual", "--profile", "--tflm", tree,
        "--json", "profile.json",
    ).stdout  # fmt: skip
    profile = json.loads((program.folder / "profile.json").read_text())
    assert profile["runtime"] == "tflm"
    assert len(profile["layers"]) == len(candidate(DIGITS).graph.operators)
    assert all(layer["instructions"]["value"] > 100 for layer in profile["layers"])
    memory = profile["memory"]
    assert memory["arena_used"] <= memory["arena_stated"] == memory["arena"]
    assert f"TFLM uses {memory['arena_used']:,} B" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    verified = program.done("verify", DIGITS, "-b", "stm32f746", "--port", "virtual").stdout
    assert verified.count("bit-exact to tflite_micro") == 2


def test_compare_runtimes_sets_both_beside_each_other(program: Program) -> None:
    tree = real_tree()
    said = program.done(
        "compare-runtimes", DIGITS, "-b", "stm32f746", "--port", "virtual", "--tflm", tree,
        "--json", "compare.json",
    ).stdout  # fmt: skip
    found = json.loads((program.folder / "compare.json").read_text())
    assert found["outputs_equal"] is True
    aot, tflm = found["runtimes"]["aot"], found["runtimes"]["tflm"]
    for side in (aot, tflm):
        assert side["missing"] is None
        assert side["verdict"]["bit_exact"] is True
    for figure in ("flash", "code", "arena", "static_ram", "stack", "instructions", "cycles"):
        assert aot["figures"][figure]["value"] < tflm["figures"][figure]["value"], figure
    assert tflm["figures"]["instructions"]["kind"] == "exact"
    assert tflm["figures"]["cycles"]["kind"] == "modelled"
    assert "the same, byte for byte" in said
    assert max(map(len, said.splitlines())) <= 80


def test_an_arena_too_small_is_one_line_with_the_needed_size(program: Program) -> None:
    tree = real_tree()
    program.done(
        "export", DIGITS, "-b", "stm32f746", "--runtime", "tflm", "-o", "out", "--arena", 1000
    )
    found = program.run("flash", "out", "-b", "stm32f746", "--port", "virtual", "--tflm", tree)
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("edge-autoglm: stm32f746: the model cannot run: the arena of 1000 B is")
    assert "B needed" in last
