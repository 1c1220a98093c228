"""The folder for iOS around its Swift: files, README, podspec, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ios_packages import LIMIT, from_file, package, port

from edge_export.errors import ExportError
from edge_export.mobile.metal import write_ios
from edge_export.mobile.metal.package import ios_files
from edge_export.mobile.model import Golden, Package, Variant
from edge_quantize.graph import DType, Quantization


def readme(made: Package) -> str:
    return ios_files(made)["README.md"].decode()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_folder_has_a_pod_a_swift_package_the_model_and_tests(tmp_path: Path) -> None:
    written = write_ios(package(name="kws", content=b"the model"), tmp_path)
    assert {str(path) for path in written} == {
        "Frameworks/.gitignore",
        "KwsMetal.podspec",
        "Package.swift",
        "README.md",
        "Sources/KwsMetal/Interpreter.swift",
        "Sources/KwsMetal/KwsModel.swift",
        "Sources/KwsMetal/Loading.swift",
        "Sources/KwsMetal/Resources/kws.tflite",
        "Sources/KwsMetal/Settings.swift",
        "Sources/KwsMetal/TensorCoding.swift",
        "Tests/KwsMetalTests/KwsModelTests.swift",
    }
    assert all((tmp_path / path).is_file() for path in written)
    assert (tmp_path / "Sources/KwsMetal/Resources/kws.tflite").read_bytes() == b"the model"


def test_the_same_package_is_the_same_bytes() -> None:
    assert ios_files(package(labels=("a", "b", "c"))) == ios_files(package(labels=("a", "b", "c")))


@pytest.mark.parametrize("name", ["kws_int8.tflite", "ad_float.tflite"])
def test_a_real_model_becomes_a_package(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    made = from_file(mlperf_tiny(name))
    write_ios(made, tmp_path)
    assert made.golden is not None
    for kind, contents, ports in (
        ("input", made.golden.inputs, made.model.inputs),
        ("output", made.golden.outputs, made.model.outputs),
    ):
        (file,) = tmp_path.glob(f"Tests/*/Golden/{kind}0.bin")
        stored = np.frombuffer(contents[0], ports[0].dtype.numpy)
        given = np.frombuffer(file.read_bytes(), "<f4")
        quantization = ports[0].quantization
        if quantization is None:
            np.testing.assert_array_equal(given, stored)
        else:
            back = np.round(given / quantization.scale) + quantization.zero_point
            np.testing.assert_array_equal(back, stored)


def test_the_readme_says_what_was_checked_and_what_was_not() -> None:
    text = flat(readme(package()))
    assert "**Checked: right.** The GPU's output is within 0.001" in text
    assert LIMIT in text
    assert "SwiftShader Device (Subzero)" in text
    assert "float32" in text
    assert "| `scores` | 1.2e-05 | 3e-06 | 2e-05 | 0.001 | 100 % |" in readme(package())


def test_a_forced_package_warns_wherever_it_is_read() -> None:
    made = package(state="wrong", variant=Variant.INT8)
    assert "**Do not ship this: wrong.**" in readme(made)
    sources = [c.decode() for n, c in ios_files(made).items() if n.endswith("Model.swift")]
    assert any("- Warning: Not shown to be right on a GPU (wrong)." in text for text in sources)


def test_an_unchecked_package_says_so() -> None:
    text = flat(readme(package(state="unchecked")))
    assert "**Unchecked.**" in text
    assert "**Checked" not in text


def test_operators_left_to_the_cpu_are_listed_and_expected() -> None:
    made = package(refused=1)
    text = readme(made)
    assert "2 of 3 operators are expected to run on the GPU, in 2 partitions" in flat(text)
    assert "| WHERE | layer2 | Operation is not supported |" in text
    tests = ios_files(made)["Tests/ModelMetalTests/ModelTests.swift"].decode()
    assert "XCTAssertEqual(model.accelerator, .gpuAndCPU" in tests


def test_the_pod_and_the_swift_package_ask_for_the_same_things() -> None:
    files = ios_files(package(name="kws"))
    pod = files["KwsMetal.podspec"].decode()
    swift = files["Package.swift"].decode()
    assert re.search(r"s\.dependency 'TensorFlowLiteSwift/Metal', '~> 2\.17\.0'", pod)
    assert re.search(r"s\.ios\.deployment_target = '12\.0'", pod)
    assert ".iOS(.v12)" in swift
    for path in ("Sources/KwsMetal/Resources/kws.tflite", "Tests/KwsMetalTests"):
        assert path in pod
    assert '.copy("Resources/kws.tflite")' in swift
    for framework in ("TensorFlowLiteC", "TensorFlowLiteCMetal"):
        assert f'path: "Frameworks/{framework}.xcframework"' in swift


@pytest.mark.parametrize("name", ["kws", "it's \\ '; exit", "☃\n#{x}"])
def test_the_podspec_is_ruby(tmp_path: Path, name: str) -> None:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("ruby is not installed")
    spec = next(c for n, c in ios_files(package(name=name)).items() if n.endswith(".podspec"))
    path = tmp_path / "x.podspec"
    path.write_bytes(spec)
    done = subprocess.run([ruby, "-c", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_no_name_ends_a_string_of_the_podspec(name: str) -> None:
    spec = next(
        c.decode() for n, c in ios_files(package(name=name)).items() if n.endswith(".podspec")
    )
    (line,) = (each for each in spec.split("\n") if "s.summary" in each)
    assert re.fullmatch(r"  s\.summary = '(?:[^'\\]|\\.)*'", line)


def test_all_that_swift_cannot_hand_over_is_named_at_once(tmp_path: Path) -> None:
    ports = (
        port("words", (1,), DType.STRING),
        port("nibbles", (1, 4), DType.INT4),
        port("image", (1, -1, -1, 3)),
        port("axes", (1, 2), DType.INT8, Quantization((0.5, 0.25), (0, 0))),
        port("dead", (1, 2), DType.INT8, Quantization((0.0,), (0,))),
    )
    with pytest.raises(ExportError) as refused:
        write_ios(package(ports), tmp_path / "out")
    message = str(refused.value)
    assert "input 'words' is string" in message
    assert "input 'nibbles' is int4" in message
    assert "input 'image' has the open shape 1x-1x-1x3; give the model a fixed one" in message
    assert "input 'axes' is quantized per channel" in message
    assert "input 'dead' has the scale 0.0" in message
    assert not (tmp_path / "out").exists()


def test_a_model_without_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the model has no output"):
        write_ios(package(outputs=()), tmp_path)


def test_a_golden_of_another_size_is_refused() -> None:
    golden = Golden((b"\0" * 16,), (b"\0" * 8,), (1e-3,))
    with pytest.raises(ExportError, match="golden scores has 2 values, not 3"):
        ios_files(package(golden=golden))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="cannot be written"):
        write_ios(package(), tmp_path / "file")
