"""Two models, or two profiles, against each other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call
from small_classifier import float_classifier, images

from edge_autoglm.measure.bundle import write_bundle
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.output_metrics import output_metrics
from edge_quantize.prune import Structured, prune_channels
from edge_quantize.ptq import Precision, Recipe, quantize
from edge_quantize.ptq.equalize import equalize


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    graph, found = float_classifier(), images()
    plain = {"equalize": False, "correct_bias": False}
    for name, precision in (("int8", Precision.INT8), ("int4", Precision.INT4)):
        recipe = Recipe.uniform(precision, **plain)
        if precision is Precision.INT4:
            recipe = recipe.with_layers({"mean": Precision.INT8, "probabilities": Precision.INT8})
        made = quantize(graph, found, recipe).graph
        (folder / f"{name}.tflite").write_bytes(write_tflite(made))
    (folder / "float.tflite").write_bytes(write_tflite(graph))
    wanted = Structured(sparsity=0.7, importance="magnitude", repair=False)
    pruned = prune_channels(graph, None, wanted).graph
    (folder / "pruned.tflite").write_bytes(write_tflite(pruned))
    np.savez(folder / "d.npz", image=found.inputs[0], labels=found.labels)
    b = GraphBuilder("other")
    x = b.input("x", (1, 4), scale=0.1)
    w = b.weights("w", np.ones((3, 4), np.int8), [0.01])
    (folder / "other.tflite").write_bytes(
        write_tflite(b.build([b.fully_connected(x, w, None, 1, 0)]))
    )
    return folder


@pytest.fixture
def files(models, tmp_path, monkeypatch):
    for path in models.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / ".state"))
    return tmp_path


def profile(folder, cycles, board="stm32f746", kind="modelled", **changes):
    """A bundle of a run with two layers."""
    figure = lambda value, kind="exact": {"value": value, "kind": kind}  # noqa: E731
    document = {
        "schema": 1,
        "board": board,
        "virtual": True,
        "model": {"name": "m", "sha256": "00" * 32},
        "build_id": "abc",
        "toolchain": None,
        "clock_hz": 216000000,
        "counter": "cycles",
        "runs": 1,
        "warmup": 1,
        "totals": {
            "macs": figure(1000),
            "instructions": None,
            "cycles": figure(sum(cycles), kind),
            "latency_ms": figure(sum(cycles) / 216e3, kind),
            "energy_mj": None,
        },
        "memory": {"arena": 100, "static_ram": 50, "stack": 30, "code": 2000, "weights": 500},
        "layers": [
            {
                "index": number,
                "name": f"layer_{number}",
                "op": "CONV_2D",
                "kernels": [],
                "macs": figure(500),
                "instructions": None,
                "cycles": figure(count, kind),
                "latency_ms": figure(count / 216e3, kind),
                "share": 0.5,
            }
            for number, count in enumerate(cycles)
        ],
        "verdict": None,
        **changes,
    }
    write_bundle(folder, {"profile.json": json.dumps(document).encode()})


def test_two_models_side_by_side_with_outputs_and_layers(files, capsys):
    answer = call(
        capsys, "compare", "float.tflite", "int4.tflite", "--data", "d.npz", "--board", "stm32f746",
        "--json", "c.json", "--html", "c.html",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    document = json.loads((files / "c.json").read_text())
    before, after = document["before"]["figures"], document["after"]["figures"]
    assert before["file_bytes"]["value"] == (files / "float.tflite").stat().st_size
    assert after["weight_bytes"]["value"] < before["weight_bytes"]["value"] / 3
    assert after["arena"]["value"] > 0
    assert after["accuracy"]["low"] <= after["accuracy"]["value"] <= after["accuracy"]["high"]
    assert [layer["name"] for layer in document["layers"]][:3] == ["first", "second", "mean"]
    assert "the float" not in answer.out
    page = (files / "c.html").read_text()
    assert f"{document['quality']['sqnr_db']:,.4g}" in page
    first = next((layer for layer in document["layers"] if layer["hurts"]), None)
    if first is not None:
        assert f"the first layer that hurts: {first['name']}" in answer.out


def test_layers_that_could_not_be_compared_are_counted(files, capsys):
    """A layer is not the first that hurts if nothing is known of those before it."""
    answer = call(capsys, "compare", "float.tflite", "pruned.tflite", "--data", "d.npz", "--json",
                  "c.json")  # fmt: skip
    document = json.loads((files / "c.json").read_text())
    (first,) = [layer for layer in document["layers"] if layer["hurts"]]
    before = [layer["name"] for layer in document["compared_layers"]].index(first["name"])
    known = [layer["name"] for layer in document["layers"]].index(first["name"])
    assert first["not_compared_before"] == before - known > 0
    said = f"{before - known} layers before it could not be compared"
    assert said in " ".join(answer.out.split())


def test_a_float16_models_dequantized_weights_are_no_layers(files, capsys):
    graph, recipe = float_classifier(), Recipe.uniform(Precision.FLOAT16)
    (files / "f16.tflite").write_bytes(write_tflite(quantize(graph, images(), recipe).graph))
    answer = call(capsys, "compare", "float.tflite", "f16.tflite", "--data", "d.npz", "--json",
                  "c.json")  # fmt: skip
    assert answer.code == 0, answer.err
    document = json.loads((files / "c.json").read_text())
    assert "DEQUANTIZE" not in {layer["op"] for layer in document["compared_layers"]}
    assert all(layer["sqnr_db"] or layer["equal"] for layer in document["compared_layers"])
    for layer in document["compared_layers"]:
        one, half = (layer[side]["weight_bytes"]["value"] for side in ("first", "second"))
        assert 2 * half == one or layer["op"] == "MEAN"  # its axes are integers
    assert "alone:" not in answer.out
    assert "NSE 1 - error / variance of A" in " ".join(answer.out.split())


def test_layers_that_equalization_scaled_are_left_out_with_a_word(files, capsys):
    graph, found = float_classifier(), images()
    (files / "even.tflite").write_bytes(write_tflite(equalize(graph, found)))
    given = ("float.tflite", "even.tflite", "--data", "d.npz", "--json", "c.json")
    answer = call(capsys, "compare", *given)
    assert answer.code == 0, answer.err
    document = json.loads((files / "c.json").read_text())
    compared = {layer["name"]: layer["sqnr_db"] for layer in document["compared_layers"]}
    assert compared["first"] is None
    assert compared["probabilities"] > 80
    said = " ".join(answer.out.split())
    assert "Equalization scaled the channels of" in said
    assert "from first on" in said
    assert "no layer is under 20 dB" in said


@pytest.mark.usefixtures("files")
def test_a_model_is_the_same_as_itself(capsys):
    answer = call(
        capsys, "compare", "int8.tflite", "int8.tflite", "--data", "d.npz", "--min-sqnr", "200",
        "--max-drop", "0",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "outputs are the same, to the last bit, on 40 samples" in answer.out


def test_an_int8_model_may_be_the_first_and_its_own_integers_the_data(files, capsys):
    one = call(capsys, "compare", "int8.tflite", "float.tflite", "--data", "d.npz")
    assert one.code == 0
    np.savez("q.npz", image=np.clip(images().inputs[0] * 20, -128, 127).astype(np.int8))
    two = call(
        capsys, "compare", "int8.tflite", "int4.tflite", "--data", "q.npz", "--json", "j.json"
    )
    assert two.code == 0
    assert 5 < json.loads((files / "j.json").read_text())["quality"]["sqnr_db"] < 60


@pytest.mark.usefixtures("files")
def test_without_data_sizes_are_compared_and_that_is_said(capsys):
    answer = call(capsys, "compare", "float.tflite", "int8.tflite")
    assert answer.code == 0
    assert "no --data: outputs are not compared" in answer.out


@pytest.mark.parametrize(
    ("limit", "words"),
    [(["--min-sqnr", "90"], "SQNR is"), (["--max-drop", "1%"], "accuracy drops by")],
)
@pytest.mark.usefixtures("files")
def test_a_limit_that_does_not_hold_is_exit_1(capsys, limit, words):
    answer = call(capsys, "compare", "float.tflite", "pruned.tflite", "--data", "d.npz", *limit)
    assert answer.code == 1
    assert f"FAILED: {words}" in answer.out
    assert "worse than the limits allow" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["float.tflite", "other.tflite"], 1, "are two different models: inputs"),
        (["float.tflite", "none.tflite"], 1, "none.tflite: no such file"),
        (["float.tflite", "."], 1, "holds 5 .tflite files; name one"),
        (["float.tflite", "empty"], 1, "no bundle of `profile`"),
        (["float.tflite", "int8.tflite", "--max-drop", "many"], 2, "is no share"),
        (["float.tflite", "int8.tflite", "--max-drop", "1%"], 1, "class labels"),
        (["float.tflite", "int8.tflite", "--min-sqnr", "20"], 1, "judged on data"),
        (["float.tflite", "int8.tflite", "--max-slower", "5%"], 1, "name two bundles"),
        (["float.tflite", "int8.tflite", "--data", "x.npy", "--max-drop", "1%"], 1, "no labels"),
        (["float.tflite", "int8.tflite", "--board", "nothing"], 1, "nothing"),
    ],
)
def test_wrong_input_is_one_line(files, capsys, arguments, code, words):
    (files / "empty").mkdir()
    np.save("x.npy", images().inputs[0])
    answer = call(capsys, "compare", *arguments)
    assert answer.code == code
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_two_bundles_are_compared_layer_by_layer_and_a_regression_fails(files, capsys):
    profile(files / "a", (1000, 2000))
    profile(files / "b", (1000, 2200))
    answer = call(capsys, "compare", "a", "b", "--json", "p.json")
    assert answer.code == 0, answer.err
    assert "Profiles: cycles modelled, ms modelled" in answer.out
    layers = json.loads((files / "p.json").read_text())["compared_layers"]
    assert [layer["second"]["cycles"]["value"] for layer in layers] == [1000, 2200]
    assert call(capsys, "compare", "a", "b", "--max-slower", "7%").code == 0
    failed = call(capsys, "compare", "a", "b", "--max-slower", "5%")
    assert failed.code == 1
    assert "cycles +6.7 % (modelled), more than 5 %" in failed.out


def test_modelled_and_measured_cycles_are_never_set_against_each_other(files, capsys):
    profile(files / "a", (1000, 2000))
    profile(files / "b", (1000, 2200), kind="measured")
    answer = call(capsys, "compare", "a", "b", "--max-slower", "5%")
    assert answer.code == 1
    assert "of boards that count alike" in answer.err


def test_damaged_bundles_are_refused(files, capsys):
    profile(files / "a", (1000, 2000))
    profile(files / "old", (1, 1), schema=7)
    profile(files / "bare", (1, 1), totals={})
    assert "schema 7; this version reads 1" in call(capsys, "compare", "a", "old").err
    assert "profile.json: damaged" in call(capsys, "compare", "a", "bare").err
    (files / "a" / "profile.json").write_text("{}")
    assert "changed since the run" in call(capsys, "compare", "a", "a").err
    profile(files / "c", (1000, 2000))
    assert "not at hand" in call(capsys, "compare", "c", "int8.tflite", "--data", "d.npz").err


@pytest.mark.usefixtures("files")
def test_exported_code_says_what_it_takes(capsys):
    assert call(capsys, "export", "int8.tflite", "--board", "stm32f746", "-o", "c").code == 0
    answer = call(capsys, "compare", "c", "int8.tflite", "--board", "stm32f746", "--json", "j.json")
    assert answer.code == 0, answer.err
    assert "without the model that it was made from" in answer.out
    document = json.loads(Path("j.json").read_text())
    for key in ("arena", "constants"):
        one, two = (document[side]["figures"][key] for side in ("before", "after"))
        assert one == two


def test_a_folder_with_one_model_is_that_model(files, capsys):
    (files / "result" / "chosen").mkdir(parents=True)
    shutil.copy("int8.tflite", files / "result" / "chosen" / "m.tflite")
    answer = call(capsys, "compare", "result", "int8.tflite", "--data", "d.npz")
    assert answer.code == 0, answer.err
    assert "the same, to the last bit" in answer.out


def test_output_metrics_are_what_their_names_say():
    one = np.array([[1.0, 3.0], [2.0, 2.0]], np.float32)
    other = np.array([[2.0, 1.0], [2.0, 2.0]], np.float32)
    found = output_metrics("y", one, other, classes=True)
    assert found.acc == 0.5
    assert found.rmse == pytest.approx(np.sqrt(5 / 4))
    assert found.mae == 0.75
    assert found.l2r == pytest.approx(np.sqrt(5 / 18))
    assert (found.mean, found.nse) == (-0.25, pytest.approx(1 - 5 / 2))
    assert output_metrics("y", one * 0, one * 0).nse is None
