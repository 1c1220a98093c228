"""`edge-autoglm prune` as a user meets it: what it shows, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import call
from float_graphs import FloatNet

from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A float model, samples of it with labels and without, and an int8 model."""
    monkeypatch.chdir(tmp_path)
    net = FloatNet("net", 0)
    x = net.conv(net.conv(net.input(8, 8, 2), 16, "stem", size=3), 12, "point")
    x = net.add(x, net.conv(net.depthwise(x, "deep"), 12, "back"), "sum")
    graph = net.build(net.softmax(net.dense(net.mean(x), 4, "classes")))
    (tmp_path / "m.tflite").write_bytes(write_tflite(graph))
    samples = net.samples(graph, 60).inputs[0]
    np.save(tmp_path / "d.npy", samples)
    np.savez(tmp_path / "labelled.npz", x=samples, labels=np.arange(60) % 4)
    (tmp_path / "int8.tflite").write_bytes(write_tflite(classifier()))
    (tmp_path / "m.keras").write_bytes(b"")
    first = replace(graph.tensors[graph.inputs[0]], shape_signature=(1, -1, 8, 2))
    tensors = tuple(first if t.index == first.index else t for t in graph.tensors)
    (tmp_path / "open.tflite").write_bytes(write_tflite(replace(graph, tensors=tensors)))
    return tmp_path


def test_channels_are_pruned_to_a_target_and_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = analyse(read_tflite(folder / "m.tflite")).macs
    answer = call(
        capsys, "prune", "m.tflite", "--data", "labelled.npz", "--target-macs", before // 2,
        "-o", "small.tflite", "--json", "r.json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    after = read_tflite(folder / "small.tflite")
    assert analyse(after).macs <= before // 2
    assert all(t.shape[-1] % 4 == 0 for o in after.operators[:4] for t in after.results(o))
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("repaired", "accuracy", "12 samples held back", "multiple of 4"):
        assert words in " ".join(answer.out.split()), words
    report = json.loads((folder / "r.json").read_text())
    layers = {row["name"]: row for row in report["pruned_layers"]}
    assert sum(row["macs_after"] for row in layers.values()) == analyse(after).macs
    assert layers["stem"]["channels_before"] == 16
    assert all(r["error_after"] <= r["error_before"] for r in report["repairs"])


def test_magnitude_without_repair_needs_no_data(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--sparsity", "30%", "--importance", "magnitude", "--no-repair", "-o", "s.tflite"]
    answer = call(capsys, "prune", "m.tflite", *arguments)
    assert answer.code == 0, answer.err
    assert "Nothing was measured" in answer.out
    assert (folder / "s.tflite").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "weights", "--sparsity", "0.5"], "zeros"),
        (["--method", "weights", "--pattern", "2:4"], "zeros"),
        (["--method", "clusters", "--clusters", "16", "--data", "d.npy"], "distinct values"),
    ],
)
def test_what_saves_no_time_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    answer = call(capsys, "prune", "m.tflite", *options, "-o", "w.tflite", "--json", "r.json")
    assert answer.code == 0, answer.err
    text = " ".join(answer.out.split())
    assert words in text
    assert "time stay as they were" in text
    assert max(map(len, answer.out.splitlines())) <= 80
    for sizes in json.loads((folder / "r.json").read_text())["int8_deflated"]:
        assert sizes["after"] < sizes["before"] < sizes["bytes"] * 1.1
    macs = [analyse(read_tflite(folder / name)).macs for name in ("m.tflite", "w.tflite")]
    assert macs[0] == macs[1]


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ("m.tflite --data d.npy", "which of them?", 2),
        ("m.tflite --data d.npy --sparsity 0.5 --target-macs 9", "one of the two", 2),
        ("m.tflite --data d.npy --sparsity 1.5", "'1.5' is not between 0 and 1", 2),
        ("m.tflite --data d.npy --sparsity lots", "'lots' is not between 0 and 1", 2),
        ("m.tflite --data d.npy --sparsity nan", "is not between 0 and 1", 2),
        ("m.tflite --sparsity 0.5", "--data: is needed for activation importance", 2),
        ("m.tflite --data d.npy --sparsity 0.5 --distill 0.5", "add --finetune", 2),
        ("m.tflite --data d.npy --sparsity 0.5 --finetune 3", "only Keras models", 2),
        ("m.keras --sparsity 0.5 --finetune 3", "is needed for fine-tuning, with labels", 2),
        ("m.tflite --data d.npy --sparsity 0.5 -o out.keras", "only a Keras model", 2),
        ("m.tflite --data d.npy --sparsity 0.5 -o out.bin", "a .tflite or a .keras", 2),
        ("m.tflite --data d.npy --sparsity 0.5 -o m.tflite", "is the MODEL itself", 2),
        ("m.tflite --method weights", "which of them?", 2),
        ("m.tflite --method weights --pattern 4:2", "'4:2' is none", 2),
        ("m.tflite --method weights --clusters 4", "belongs to --method clusters", 2),
        ("m.tflite --method clusters", "how many values", 2),
        ("m.tflite --method luck --sparsity 0.5", "no 'luck'", 2),
        ("m.tflite --method clusters --clusters 1000", "2 to 256", 2),
        ("m.tflite --method clusters --clusters 1", "2 to 256", 2),
        ("m.tflite --data d.npy --target-macs -1", "--target-macs", 2),
        ("m.tflite --data d.npy --sparsity 0.5 --samples 1", "at least 2 are needed", 2),
        ("m.tflite --data d.npy --sparsity 0.5 --scale 0..2", "no '0..2'", 2),
        ("m.tflite --data d.npy --sparsity 0.5 -o out.h5", "a .tflite or a .keras", 2),
        ("int8.tflite --data d.npy --sparsity 0.5", "already quantized", 1),
        ("int8.tflite --method weights --sparsity 0.5", "already quantized", 1),
        ("open.tflite --data d.npy --sparsity 0.5", "dynamic shape [1, -1, 8, 2] of tensor", 1),
        ("open.tflite --method weights --sparsity 0.5", "dynamic shape [1, -1, 8, 2]", 1),
        ("m.tflite --data d.npy --target-macs 10", "4 channels in each layer", 1),
        ("m.tflite --data d.npy --target-macs 99999999", "no more than the 99,999,999", 1),
        ("m.tflite --data d.npy --sparsity 0.5 --align 64", "nothing can be pruned", 1),
        ("m.tflite --data gone.npy --sparsity 0.5", "gone.npy", 1),
        ("gone.tflite --data d.npy --sparsity 0.5", "gone.tflite", 1),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, words: str, code: int
) -> None:
    before = {path.name for path in folder.iterdir()}
    out = [] if "-o" in arguments else ["-o", "out.tflite"]
    answer = call(capsys, "prune", *arguments.split(), *out)
    last = answer.err.strip().splitlines()[-1]
    assert answer.code == code, answer.err
    assert last.startswith("edge-autoglm: ")
    assert words in last
    assert "Traceback" not in answer.err
    assert {path.name for path in folder.iterdir()} == before
