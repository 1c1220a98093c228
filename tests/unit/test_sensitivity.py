"""What each layer costs: that it is that layer's, and sorted."""

import itertools
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from cli_tools import call, command, environment
from small_classifier import float_classifier, images

from edge_autoglm.report.sensitivity import sensitivity_report
from edge_quantize.errors import InputDataError, PruningError, UnsupportedModelError
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq import Precision
from edge_quantize.quality import Interval, Quality
from edge_quantize.sensitivity import Cost, Mode, Sensitivity, Study, sensitivity


@pytest.fixture(scope="module")
def result():
    return sensitivity(float_classifier(), images(60))


def costs_of(result):
    return {(cost.layer, cost.change): cost.quality for cost in result.costs}


def test_every_layer_has_a_cost_for_every_change_that_it_can_have(result):
    assert result.changes == ("int8", "int16x8", "int4", "-25 %", "-50 %")
    found = costs_of(result)
    for layer in ("first", "second"):
        assert {change for name, change in found if name == layer} == set(result.changes)
    # What has no weights has no int4, what makes the outputs loses no channels, and SOFTMAX comes
    # after the logits, where noise is measured.
    assert {change for name, change in found if name == "mean"} == {"int8", "int16x8"}
    assert {change for name, change in found if name == "dense"} == {"int8", "int16x8", "int4"}
    assert "probabilities" not in {name for name, _ in found}


def test_fewer_bits_and_fewer_channels_cost_more(result):
    found = costs_of(result)
    for layer in ("first", "second", "dense"):
        int4, int8, int16 = (found[layer, c].sqnr_db for c in ("int4", "int8", "int16x8"))
        assert int4 + 10 < int8 < int16
    for layer in ("first", "second"):
        assert found[layer, "-50 %"].sqnr_db < found[layer, "-25 %"].sqnr_db


def test_all_layers_cost_about_what_the_worst_costs_or_more(result):
    """Small noises add up, and may cancel a little; those of int4 are not small."""
    whole = dict(result.uniform)["int8"].sqnr_db
    assert whole < 1 + min(q.sqnr_db for (_, c), q in costs_of(result).items() if c == "int8")


def test_samples_are_halved_and_labels_give_accuracy(result):
    assert (result.calibrated, result.samples) == (30, 30)
    assert result.reference_accuracy > 0.8
    for cost in result.costs:
        assert cost.quality.samples == 30
        assert cost.quality.paired_drop is not None


def test_the_most_expensive_come_first(result):
    certain = [c.quality.paired_drop.low > 0 for c in result.sorted()]
    assert certain == sorted(certain, reverse=True)
    in_doubt = [c.quality.sqnr_db for c in result.sorted() if c.quality.paired_drop.low <= 0]
    assert len(in_doubt) > 3
    assert in_doubt == sorted(in_doubt)
    without = sensitivity(float_classifier(), unlabelled(), Study(sparsities=()))
    decibels = [cost.quality.sqnr_db for cost in without.sorted()]
    assert decibels == sorted(decibels)


def cost_of(layer, decibels, drop):
    quality = Quality(60, decibels, 0.1, 0.1, 0.9, paired_drop=drop)
    return Cost(layer, "CONV_2D", "int8", quality)


def test_accuracy_within_the_noise_decides_nothing():
    """One sample of 60 is 1.6 points: it must not put 40 dB before 15 dB."""
    costs = (
        cost_of("fine", 40.0, Interval(0.016, -0.04, 0.07)),
        cost_of("noisy", 15.5, Interval(-0.016, -0.07, 0.04)),
        cost_of("wrong", 16.0, Interval(0.4, 0.3, 0.5)),
    )
    found = Sensitivity(Mode.ONE, 60, 60, costs, (), 0.9)
    assert [cost.layer for cost in found.sorted()] == ["wrong", "noisy", "fine"]
    whole = cost_of("all", 10.0, Interval(0.3, 0.2, 0.4)).quality
    found = Sensitivity(Mode.ALL_BUT, 60, 60, costs, (("int8", whole),), 0.9)
    assert [cost.layer for cost in found.sorted()] == ["noisy", "fine", "wrong"]
    report = sensitivity_report(found, {}, (), "costs")
    worst = next(grid for grid in report.grids if grid.title == "What brings back most")
    assert [row[0] for row in worst.rows] == ["noisy", "fine", "wrong"]
    assert [bar.label for bar in report.charts[0].bars] == ["noisy", "fine", "wrong"]
    assert "differs for certain" in report.charts[0].text


def unlabelled():
    found = images(60)
    return type(found)(found.inputs)


def test_a_layer_left_float_brings_back_what_it_costs():
    study = Study((Precision.INT8,), (), Mode.ALL_BUT)
    found = sensitivity(float_classifier(), unlabelled(), study)
    ((_, whole),) = found.uniform
    gains = [cost.quality.sqnr_db - whole.sqnr_db for cost in found.sorted()]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1


def test_bad_asks_are_refused():
    with pytest.raises(PruningError, match="not between 0 and 1"):
        Study(sparsities=(1.5,))
    with pytest.raises(InputDataError, match="too few to hold back"):
        sensitivity(float_classifier(), images(40).take([0]))
    with pytest.raises(UnsupportedModelError, match="no layer can be changed"):
        sensitivity(float_classifier(), images(60), Study((), ()))


def test_a_quantized_model_is_refused(mlperf_tiny):
    graph = read_tflite(mlperf_tiny("ad"))
    with pytest.raises(UnsupportedModelError, match="quantized already"):
        sensitivity(graph, images(60))


# The command.


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "m.tflite").write_bytes(write_tflite(float_classifier()))
    found = images(60)
    np.savez(tmp_path / "d.npz", image=found.inputs[0], labels=found.labels)
    return tmp_path


def test_the_command_prints_tables_of_80_columns_json_and_a_page(files, capsys):
    given = ("sensitivity", "m.tflite", "--data", "d.npz", "--json", "s.json", "--html", "s.html")
    answer = call(capsys, *given)
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "lost, points" in answer.out
    document = json.loads((files / "s.json").read_text())
    assert document["samples"] == {"calibration": 30, "measured": 30}
    assert document["facts"]["command"] == " ".join(("edge-autoglm", *given))
    worst = document["costs"][0]
    assert worst["quality"]["paired_drop"]["low"] <= worst["quality"]["paired_drop"]["value"]
    assert (
        f"{worst['layer']}: {worst['quality']['sqnr_db']:,.1f} dB" in (files / "s.html").read_text()
    )
    assert sorted(p.name for p in files.iterdir()) == ["d.npz", "m.tflite", "s.html", "s.json"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_it_and_leaves_nothing(files):
    before = sorted(files.iterdir())
    process = subprocess.Popen(
        command("sensitivity", "m.tflite", "--data", "d.npz", "--html", "s.html"),
        cwd=files, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = "".join(itertools.takewhile(lambda line: "one layer" not in line, process.stderr))
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, said + errors
    assert out == ""
    assert errors.rstrip().endswith("edge-autoglm: interrupted")
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.tflite", "--data", "d.npz"], 1, "none.tflite: no such file"),
        (["m.tflite", "--data", "none.npz"], 1, "none.npz: no such file"),
        (["m.tflite", "--data", "d.npz", "--sparsity", "3"], 2, "is not between 0 and 1"),
        (["m.tflite", "--data", "d.npz", "--precision", "int2"], 2, "no 'int2'; of int8"),
        (["m.tflite", "--data", "d.npz", "--mode", "two"], 2, "no 'two'; one of one, all-but"),
        (["m.tflite", "--data", "d.npz", "--samples", "3"], 2, "at least 4 are needed"),
        (["m.tflite", "--data", "d.npz", "--html", "no/s.html"], 1, "there is no folder no"),
        (
            ["m.tflite", "--data", "d.npz", "--precision", "none", "--sparsity", "none"],
            2,
            "nothing to measure",
        ),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(files, capsys, arguments, code, words):
    before = sorted(files.iterdir())
    answer = call(capsys, "sensitivity", *arguments)
    assert answer.code == code
    assert words in answer.err
    assert answer.out == ""
    assert sorted(files.iterdir()) == before
