"""PyTorch models as float graphs, compared with PyTorch itself."""

from __future__ import annotations

import importlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Program

from edge_quantize.errors import ConversionError, InputDataError, QuantizeError
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.quiet import quiet
from edge_quantize.ingest.ways import convert_model, read_any

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


# Imported when the first test runs, not when tests are collected.
@pytest.fixture(scope="module")
def torch() -> Any:
    with quiet():
        pytest.importorskip("litert_torch", reason="no litert-torch here (extra: torch)")
        return pytest.importorskip("torch", reason="no torch here (extra: torch)")


@pytest.fixture(scope="module")
def nets(torch: Any) -> Any:
    del torch
    return importlib.import_module("torch_nets")


@pytest.fixture
def image(torch: Any) -> Any:
    return torch.zeros(1, 3, 16, 16)


def ops(graph: Graph) -> list[str]:
    return [operator.op for operator in graph.operators]


def shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {graph.tensors[i].name: graph.tensors[i].shape for i in graph.inputs}


def test_an_image_classifier_has_channels_last_and_no_transpose(nets: Any, image: Any) -> None:
    conversion = convert_model(nets.Cnn(), example_input=image)
    graph = conversion.graph
    assert shapes(graph) == {"image": (1, 16, 16, 3)}
    assert "TRANSPOSE" not in ops(graph)
    assert ops(graph)[-2:] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert conversion.comparison.max_relative < 1e-5
    assert "input 'image': channels last, [1, 3, 16, 16] became [1, 16, 16, 3]" in conversion.notes


class _Touch:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_a_pickle_inside_a_program_file_runs_nothing(torch: Any, tmp_path: Path) -> None:
    good, bad, ran = (tmp_path / name for name in ("good.pt2", "bad.pt2", "ran"))
    with quiet():
        torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),)), good)
    evil = io.BytesIO()
    torch.save(_Touch(ran), evil)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as copy:
        inputs = [name for name in source.namelist() if "sample_inputs" in name]
        assert inputs
        for name in source.namelist():
            copy.writestr(name, evil.getvalue() if name in inputs else source.read(name))
    with pytest.raises(ConversionError, match="PyTorch cannot load it"):
        read_any(bad)
    assert not ran.exists()


def test_what_was_specialised_is_said(nets: Any, image: Any) -> None:
    notes = convert_model(nets.Cnn(), example_input=(image, True)).notes
    assert "argument 'flip' = True: fixed, the branch that it takes too" in notes
    branch = "dimension 3: fixed at 16 (what was traced holds for 11 and more)"
    assert any(branch in note for note in notes)
    assert "training mode: switched off (BatchNorm2d, Dropout)" in notes


def test_the_branch_that_was_taken_is_the_one_that_runs(nets: Any, image: Any) -> None:
    straight = convert_model(nets.Cnn(), example_input=(image, False)).graph
    flipped = convert_model(nets.Cnn(), example_input=(image, True)).graph
    assert ops(flipped).count("MUL") == ops(straight).count("MUL") + 1


def test_a_module_and_its_parts_are_left_in_the_mode_that_they_were_in(
    nets: Any, image: Any
) -> None:
    module = nets.Cnn()
    module.norm.eval()
    read_any(module, example_input=image)
    assert module.training
    assert module.drop.training
    assert not module.norm.training


def test_a_line_is_turned_like_an_image(nets: Any, torch: Any) -> None:
    graph = read_any(nets.Line(), example_input=torch.zeros(1, 4, 20))
    assert shapes(graph) == {"x": (1, 20, 4)}
    assert "TRANSPOSE" not in ops(graph)


def test_an_image_that_comes_out_has_its_channels_last_too(torch: Any) -> None:
    conversion = convert_model(
        torch.nn.Sequential(
            torch.nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1), torch.nn.Sigmoid()
        ),
        example_input=torch.zeros(1, 3, 8, 8),
    )
    graph = conversion.graph
    assert graph.tensors[graph.outputs[0]].shape == (1, 16, 16, 2)
    assert "TRANSPOSE" not in ops(graph)


def test_arguments_and_results_in_containers_are_flattened_in_order(nets: Any, torch: Any) -> None:
    conversion = convert_model(
        nets.Pair(),
        example_input=([torch.ones(1, 4), torch.ones(1, 4)], np.ones((1, 1), np.float32)),
    )
    assert list(shapes(conversion.graph)) == ["pair_0", "pair_1", "scale"]
    assert len(conversion.graph.outputs) == 2


def test_recurrent_layers_are_traced_step_by_step(nets: Any, torch: Any) -> None:
    conversion = convert_model(nets.Lstm(), example_input=torch.zeros(1, 5, 4))
    assert conversion.comparison.max_relative < 1e-5


def test_a_program_and_its_file_bring_their_own_example(
    tmp_path: Path, nets: Any, torch: Any, image: Any
) -> None:
    automatic = dict.fromkeys(range(4), torch.export.Dim.AUTO)
    program = torch.export.export(nets.Cnn().eval(), (image,), dynamic_shapes={"image": automatic})
    path = tmp_path / "cnn.pt2"
    torch.export.save(program, path)
    live, stored = convert_model(program), convert_model(path)
    assert stored.kind == "torch.export file"
    assert stored.graph.name == "cnn"
    for conversion in (live, stored):
        assert shapes(conversion.graph) == {"image": (1, 16, 16, 3)}
        assert any("dimension 3: fixed at 16" in note for note in conversion.notes)


def test_a_branch_on_what_a_tensor_holds_is_refused_by_its_line(nets: Any, torch: Any) -> None:
    words = r"branches on what a tensor holds.*x\.sum\(\) > 0"
    with pytest.raises(ConversionError, match=words) as e:
        read_any(nets.Branch(), example_input=torch.zeros(1, 3))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (None, "give an example input"),
        ((3,), "has no tensor"),
    ],
)
def test_an_example_that_is_missing_or_empty_is_said(example: Any, words: str, nets: Any) -> None:
    with pytest.raises(InputDataError, match=words):
        read_any(nets.Cnn(), example_input=example)


def test_an_example_that_the_module_cannot_take_is_said_with_its_reason(
    nets: Any, torch: Any
) -> None:
    with pytest.raises(ConversionError, match=r"it fails on the example input: RuntimeError") as e:
        read_any(nets.Cnn(), example_input=torch.zeros(1, 5, 16, 16))
    assert "\n" not in str(e.value)


def test_a_batch_of_several_is_refused(nets: Any, torch: Any) -> None:
    with pytest.raises(QuantizeError, match="a batch of 2; give an example input of batch 1"):
        read_any(nets.Cnn(), example_input=torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_program_file_cut_short_is_one_line(keep: float, tmp_path: Path, torch: Any) -> None:
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),)), path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(QuantizeError) as caught:
        read_any(path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("torch")
def test_the_command_takes_a_function_and_keeps_torchs_noise_to_itself(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\n\ndef build():\n"
        "    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())\n"
        "    return module, torch.zeros(1, 3, 8, 8)\n"
    )
    done = Program(tmp_path).done("convert", "nets:build")
    assert all(line.endswith(" ...") for line in done.stderr.splitlines()), done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "PyTorch module, read with PyTorch" in done.stdout
    assert (tmp_path / "build.tflite").is_file()
