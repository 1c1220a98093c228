"""Every command from a model to a measured virtual board, as a user runs them, in that order.

One board process serves the whole module; each test leaves the model flashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from aot_models import classifier
from cli_tools import Program, on_terminal

from edge_autoglm.measure.bundle import BundleError, read_bundle
from edge_quantize.graph.writer import write_tflite

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "edge_autoglm/report/profile.schema.json").read_text(encoding="utf-8"))
ON_BOARD = ["--board", "stm32f746", "--port", "virtual"]
INPUT_BYTES = 8 * 8 * 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("user"))
    (program.folder / "tiny.tflite").write_bytes(write_tflite(classifier()))
    yield program
    program.stop_boards()


@pytest.fixture(scope="module")
def first(program: Program) -> dict[str, object]:
    """The object that `flash MODEL --profile --json` wrote."""
    done = program.done("flash", "tiny.tflite", *ON_BOARD, "--profile", "--json", "first.json")
    assert "read back" in done.stdout
    found: dict[str, object] = json.loads((program.folder / "first.json").read_bytes())
    return found


def read(program: Program, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((program.folder / name).read_bytes())
    return found


def test_a_model_is_inspected_exported_and_built(program: Program) -> None:
    looked = program.done("inspect", "tiny.tflite", "--board", "stm32f746", "--json", "i.json")
    assert "Fits stm32f746" in looked.stdout
    assert read(program, "i.json")["macs"] == classifier_macs()
    made = program.done("export", "tiny.tflite", "--board", "stm32f746", "-o", "c")
    assert "liveness bound" in made.stdout
    built = program.done("build", "c", "--json", "b.json")
    assert built.stdout.count("flash") >= 1
    report = read(program, "b.json")
    for name in ("elf", "binary", "map"):
        assert Path(str(report[name])).is_file()
    assert "compiler: " in built.stdout
    for each in (looked, made, built):
        # Paths are there to be copied, and so are never broken.
        lines = [line for line in each.stdout.splitlines() if str(program.folder) not in line]
        assert max(map(len, lines)) <= 80


def classifier_macs() -> int:
    from edge_quantize.graph.analysis import analyse

    return analyse(classifier()).macs


def test_flash_and_profile_leaves_json_that_the_schema_takes(first: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(first, SCHEMA)
    totals = first["totals"]
    assert isinstance(totals, dict)
    kinds = {
        name: totals[name]["kind"] for name in ("macs", "instructions", "cycles", "latency_ms")
    }
    assert kinds == {
        "macs": "exact", "instructions": "exact", "cycles": "modelled", "latency_ms": "modelled",
    }  # fmt: skip
    assert totals["macs"]["value"] == classifier_macs()
    assert first["virtual"] is True
    assert first["runs"] == first["warmup"] == 1


def test_a_board_reached_by_its_ptys_path_has_no_measured_figures(
    program: Program, first: dict[str, object]
) -> None:
    path = program.state / "virtual/stm32f746/console"
    program.done("profile", "--board", "stm32f746", "--port", path, "--json", "path.json")
    found = read(program, "path.json")
    assert found["virtual"] is True
    assert found["totals"] == first["totals"]


def test_the_schema_insists_on_every_key_that_is_promised(first: dict[str, object]) -> None:
    promised = [
        ("schema",), ("board",), ("model", "sha256"), ("toolchain",), ("layers",),
        *(("totals", name) for name in ("macs", "instructions", "cycles", "latency_ms")),
        *(("memory", name) for name in ("arena", "static_ram", "stack", "code", "weights")),
        ("verdict", "bit_exact"), ("verdict", "max_abs_diff"),
        *(("totals", "cycles", name) for name in ("value", "kind")),
    ]  # fmt: skip
    for path in promised:
        poorer = json.loads(json.dumps(first))
        holder = poorer
        for name in path[:-1]:
            holder = holder[name]
        del holder[path[-1]]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(poorer, SCHEMA)


def test_the_layers_add_up_to_the_totals(first: dict[str, object]) -> None:
    layers, totals = first["layers"], first["totals"]
    assert isinstance(layers, list)
    assert isinstance(totals, dict)
    for name in ("macs", "instructions", "cycles"):
        assert sum(layer[name]["value"] for layer in layers) == totals[name]["value"]
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    assert [layer["op"] for layer in layers] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "AVERAGE_POOL_2D", "RESHAPE",
        "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip


def test_the_profile_names_the_model_and_its_sizes(
    program: Program, first: dict[str, object]
) -> None:
    content = (program.folder / "tiny.tflite").read_bytes()
    assert first["model"] == {"name": "tiny", "sha256": hashlib.sha256(content).hexdigest()}
    memory = first["memory"]
    assert isinstance(memory, dict)
    assert all(isinstance(count, int) and count > 0 for count in memory.values())
    reference = first["verdict"]
    assert isinstance(reference, dict)
    assert reference["max_abs_diff"] == 0


def test_the_bundle_holds_the_same_object_and_its_manifest_every_file(
    program: Program, first: dict[str, object]
) -> None:
    folder = program.folder / "runs" / "run-001"
    files = read_bundle(folder)
    assert set(files) == {"profile.json", "log.txt", "memory.map", "plan.json"}
    assert json.loads(files["profile.json"]) == first
    assert b"eag_step_call" in files["memory.map"]
    assert {path.name for path in folder.iterdir()} == {*files, "manifest.json"}
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "manifest.json"


def test_flashing_again_keeps_the_first_run(program: Program, first: dict[str, object]) -> None:
    program.done("flash", "tiny.tflite", *ON_BOARD, "--profile", "--json", "second.json")
    assert read(program, "second.json") == first  # a virtual board repeats itself exactly
    assert {path.name for path in (program.folder / "runs").iterdir()} >= {"run-001", "run-002"}


def test_a_bundle_that_was_tampered_with_is_found_out(
    program: Program, first: dict[str, object]
) -> None:
    program.done("profile", *ON_BOARD, "--bundle", "mine")
    file = program.folder / "mine" / "profile.json"
    assert json.loads(read_bundle(file.parent)["profile.json"])["board"] == first["board"]
    file.write_bytes(file.read_bytes().replace(b"modelled", b"measured"))
    with pytest.raises(BundleError, match=r"profile\.json: changed"):
        read_bundle(file.parent)


@pytest.mark.usefixtures("first")
def test_progress_goes_to_stderr_and_tables_to_stdout(program: Program) -> None:
    done = program.done("flash", "tiny.tflite", *ON_BOARD, "--profile")
    assert "compiling" in done.stderr
    assert "flashing" in done.stderr
    assert "profiling" in done.stderr
    assert "bundle: " in done.stderr
    assert "c/MAC" not in done.stderr
    assert "c/MAC" in done.stdout
    assert "..." not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    for line in ("1 run after 1 warm-up", "repeats", "memory: arena", "outputs: ", "build "):
        assert line in done.stdout


def test_an_exported_folder_is_flashed_as_it_is(program: Program, first: dict[str, object]) -> None:
    program.done("export", "tiny.tflite", "--board", "stm32f746", "-o", "folder")
    done = program.done("flash", "folder", *ON_BOARD, "--json", "flash.json")
    assert "flashed tiny" in done.stdout
    assert read(program, "flash.json")["build_id"] == first["build_id"]


@pytest.mark.usefixtures("first")
def test_several_runs_give_median_and_spread(program: Program) -> None:
    done = program.done("profile", *ON_BOARD, "-n", "3", "--warmup", "0", "--json", "three.json")
    assert "median of 3 runs after 0 warm-up" in done.stdout
    found = read(program, "three.json")
    jsonschema.validate(found, SCHEMA)
    assert found["runs"] == 3
    totals = found["totals"]
    assert isinstance(totals, dict)
    cycles = totals["cycles"]
    assert cycles["low"] <= cycles["value"] <= cycles["high"]


@pytest.mark.usefixtures("first")
def test_json_on_stdout_is_the_profile_alone(program: Program) -> None:
    done = program.done("profile", *ON_BOARD, "--json", "-")
    jsonschema.validate(json.loads(done.stdout), SCHEMA)
    assert "c/MAC" in done.stderr


@pytest.mark.usefixtures("first")
def test_a_model_that_the_image_lacks_is_named_with_those_it_has(program: Program) -> None:
    answer = program.run("profile", *ON_BOARD, "--model", "vww")
    assert answer.returncode == 1
    assert "vww" in answer.stderr
    assert "tiny" in answer.stderr


def test_verify_without_a_board_says_so(program: Program) -> None:
    done = program.done("verify", "tiny.tflite", "--board", "stm32f746", "--json", "v.json")
    assert "generated C on this machine: " in done.stdout
    assert "on 20 inputs" in done.stdout
    assert "no board took part" in done.stderr
    found = read(program, "v.json")
    assert found["good"] is True
    assert found["device"] is None


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("suffix", ["npy", "npz", "bin", "float.npy", "float.bin"])
def test_verify_takes_data_of_every_kind(suffix: str, program: Program) -> None:
    generator = np.random.default_rng(3)
    data = generator.integers(-128, 128, (3, 8, 8, 3)).astype(np.int8)
    file = program.folder / f"data.{suffix}"
    real = (data.astype(np.float32) + 4) * np.float32(0.05)
    if suffix == "npz":
        np.savez(file, image=data)
    elif suffix.endswith("npy"):
        np.save(file, real if "float" in suffix else data)
    else:
        file.write_bytes((real if "float" in suffix else data).tobytes())
    done = program.done("verify", "tiny.tflite", *ON_BOARD, "--data", file.name, "--json", "d.json")
    assert "on 3 inputs" in done.stdout
    found = read(program, "d.json")
    device = found["device"]
    assert isinstance(device, dict)
    assert device["against_host"]["bit_exact"] is True
    assert device["against_host"]["inputs"] == 3


@pytest.mark.usefixtures("first")
def test_verify_refuses_a_board_that_carries_another_model(program: Program) -> None:
    (program.folder / "other.tflite").write_bytes(write_tflite(classifier("other", seed=9)))
    answer = program.run("verify", "other.tflite", *ON_BOARD, "--inputs", "1")
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert "tiny" in last
    assert "other" in last
    assert last.endswith("edge-autoglm flash MODEL --board stm32f746 --port virtual")


@pytest.mark.usefixtures("first")
def test_monitor_writes_a_line_and_shows_a_row_for_each_inference(program: Program) -> None:
    done = program.done("monitor", *ON_BOARD, "-n", "5", "--jsonl", "watch.jsonl")
    lines = (program.folder / "watch.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 5
    assert [record["sequence"] for record in records] == list(range(5))
    for record in records:
        assert record["cycles"]["kind"] == record["latency_ms"]["kind"] == "modelled"
        assert record["label"] in ("a", "b", "c", "d", "e")
        assert 0 <= record["score"] <= 1
        assert record["lost"] == 0
        assert record["stack"] > 0
        assert record["supply_mv"] == pytest.approx(3300, abs=100)
        assert record["energy_mj"] is None  # the board file has no sourced figure
    assert [r["seconds"] for r in records] == sorted(r["seconds"] for r in records)
    assert "5 inferences, 0 records lost; cycles and ms modelled" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.usefixtures("first")
def test_monitor_can_be_a_stream_of_json_lines_alone(program: Program) -> None:
    done = program.done("monitor", *ON_BOARD, "-n", "3", "--jsonl", "-", "--period", "20")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 3
    starts = [record["seconds"] - record["latency_ms"]["value"] / 1e3 for record in records]
    assert starts[2] - starts[1] == pytest.approx(0.020, abs=0.004)


@pytest.mark.usefixtures("first")
def test_a_board_that_was_watched_can_be_profiled_afterwards(program: Program) -> None:
    program.done("monitor", *ON_BOARD, "-n", "2")
    assert "outputs: " in program.done("profile", *ON_BOARD).stdout


@pytest.mark.usefixtures("first")
def test_monitor_on_a_pipe_writes_rows_as_they_come_and_ends_when_nobody_reads(
    program: Program,
) -> None:
    running = program.start("monitor", *ON_BOARD)  # without end
    assert running.stdout is not None
    assert running.stderr is not None
    head = [running.stdout.readline() for _ in range(4)]
    running.stdout.close()
    try:
        assert running.wait(timeout=60) == 1
    finally:
        running.kill()
        said = running.stderr.read()
        running.stderr.close()
    assert head[0] == "cycles and ms modelled\n"
    assert head[1].split() == ["s", "seq", "cycles", "ms", "stack", "mV", "°C", "mJ", "result"]
    assert [row.split()[1] for row in head[2:]] == ["0", "1"]
    assert said in ("", "waiting for the board to finish an inference ...\n")
    assert "outputs: " in program.done("profile", *ON_BOARD).stdout  # it no longer runs by itself


def lines_shown(text: str) -> list[str]:
    """The lines on a terminal, without its commands."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n").splitlines()


@pytest.mark.usefixtures("first")
def test_on_a_terminal_the_table_of_a_watch_moves(program: Program) -> None:
    shown = on_terminal(program, "monitor", *ON_BOARD, "-n", "15")
    titles = [line for line in lines_shown(shown) if "records lost" in line]
    assert "1 inference, 0 records lost" in titles[0]
    assert "15 inferences, 0 records lost" in titles[-1]
    assert max(map(len, lines_shown(shown))) <= 80
    assert "\x1b[1A" in shown  # drawn over the one before
    last = shown[shown.rindex("15 inferences") :]
    assert sum(" 0." in line or re.search(r"^ +\d+\.\d{3} ", line) is not None
               for line in lines_shown(last)) == 12  # fmt: skip


@pytest.mark.usefixtures("first")
def test_on_a_terminal_progress_is_a_bar_that_goes_away(program: Program) -> None:
    shown = on_terminal(program, "flash", "tiny.tflite", *ON_BOARD, "--profile")
    assert "━" in shown
    assert max(len(line.rstrip()) for line in lines_shown(shown)) <= 80
    assert "compiling ..." not in shown
    assert shown.rindex("━") < shown.rindex("bundle: ")
