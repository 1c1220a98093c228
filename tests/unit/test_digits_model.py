"""The demo's committed model is what its README says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edge_quantize.check import check_supported
from edge_quantize.graph.analysis import analyse
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import load_inputs, quantize_array
from edge_quantize.reference import best_reference

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "digits"
MODEL = FOLDER / "digits_int8.tflite"


@pytest.fixture(scope="module")
def data() -> ModuleType:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: the demo extra has it")
    spec = importlib.util.spec_from_file_location("digits_data", FOLDER / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_it_is_small_supported_and_labelled() -> None:
    graph = read_tflite(MODEL)
    analysis = analyse(graph)
    assert check_supported(graph) == ()
    assert analysis.macs == 124_640
    assert graph.labels == tuple("0123456789")
    assert [graph.layer_name(operator) for operator in graph.operators] == [
        "stem", "spatial1", "mix1", "spatial2", "mix2", "spatial3", "mix3", "join", "pool",
        "classify", "digit",
    ]  # fmt: skip


def test_the_readme_gives_its_size() -> None:
    text = (FOLDER / "README.md").read_text()
    assert f"({MODEL.stat().st_size:,} bytes)" in text
    assert f"{analyse(read_tflite(MODEL)).macs:,} multiply-accumulates" in text


def test_its_accuracy_on_the_held_back_images(data: ModuleType) -> None:
    graph = read_tflite(MODEL)
    reference = best_reference(MODEL.read_bytes())
    held = data.held_back()
    source = graph.tensors[graph.inputs[0]]
    right = sum(
        int(reference.run([quantize_array(image[np.newaxis], source)])[0].argmax()) == label
        for image, label in zip(held.images, held.labels, strict=True)
    )
    assert len(held.labels) == 360
    assert right == 358


def test_no_image_is_in_both_sets(data: ModuleType) -> None:
    training, held = data.load()
    seen = {image.tobytes() for image in training.images}
    assert len(training.labels) + len(held.labels) == 1797
    assert not any(image.tobytes() in seen for image in held.images)


def test_the_held_back_images_can_be_saved_and_loaded_as_inputs(
    data: ModuleType, tmp_path: Path
) -> None:
    held = data.held_back()
    np.save(tmp_path / "images.npy", held.images)
    inferences = load_inputs(read_tflite(MODEL), tmp_path / "images.npy")
    assert len(inferences) == 360
    assert inferences[0][0].dtype == np.int8
