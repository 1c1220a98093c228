"""The folder for iOS around its Swift: files, README, podspec, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tree_sitter_ruby
from hypothesis import given, settings
from hypothesis import strategies as st
from ios_packages import LIMIT, from_file, package, port
from tree_sitter import Language, Parser

from edge_export.errors import ExportError
from edge_export.mobile.metal import write_ios
from edge_export.mobile.metal.package import ios_files
from edge_export.mobile.model import (
    FirstWrong,
    Golden,
    OutputDifference,
    Package,
    Place,
    Placement,
    Variant,
)
from edge_quantize.graph import DType, Quantization
from edge_quantize.half import HalfLayer, HalfOutput, HalfReport


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
    assert f"This was {LIMIT}." in text
    assert f"- C{LIMIT[1:]}." in text
    assert "16 samples (pseudo-random input), on SwiftShader Device (Subzero), in float32" in text
    assert "3 of 3 operators ran on the GPU." in text
    assert "| `scores` | 1.2e-05 | 3e-06 | 2e-05 | 0.001 | 100 % |" in readme(package())


def test_a_forced_package_warns_wherever_it_is_read() -> None:
    made = package(state="wrong", variant=Variant.INT8)
    assert "**Do not ship this: wrong.**" in readme(made)
    sources = [c.decode() for n, c in ios_files(made).items() if n.endswith("Model.swift")]
    assert any("- Warning: Not shown to be right on a GPU (wrong)." in text for text in sources)


CLASS = "Sources/ModelMetal/Model.swift"
SETTINGS = "Sources/ModelMetal/Settings.swift"


def judged(made: Package, **changes: object) -> Package:
    return replace(made, verdict=replace(made.verdict, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["unchecked", "refused"])
def test_where_nothing_was_compared_nothing_claims_it(state: str) -> None:
    made = judged(package(state=state), samples=0, outputs=(), on_gpu=2)
    text = flat(readme(made))
    assert "operators ran on the GPU" not in text
    assert "This was checked" not in text
    files = ios_files(made)
    assert b"This was checked" not in files[CLASS]
    assert b"What was checked" not in files[SETTINGS]
    assert b"What was checked before the export is" in ios_files(package())[SETTINGS]
    if state == "refused":
        assert "nothing was compared, because the GPU backend (LiteRT 2.3.0, Swift" in text
        assert "It was WebGPU that refused; the Metal delegate is other code" in text


def test_what_would_let_the_gpu_take_it_stands_in_the_readme_however_many_there_are() -> None:
    made = package(state="unchecked")
    lacking = [
        Placement(
            index, f"log{index}", "LOG_SOFTMAX", Place.CPU, 1, "the GPU has none", "replace it"
        )
        for index in range(3)
    ]
    follows = Placement(
        3, "weights", "DEQUANTIZE", Place.CPU, 0, "it only unpacks", code="float16-unpacked"
    )
    made = replace(made, delegation=replace(made.delegation, operators=(follows, *lacking)))
    text = flat(readme(made))
    assert "LOG_SOFTMAX 'log0' and 2 more: the GPU has none; what would help: replace it." in text
    assert "| LOG_SOFTMAX | log0 and 2 more | the GPU has none | replace it |" in text
    assert text.index("| LOG_SOFTMAX |") < text.index("| DEQUANTIZE |")
    assert "DEQUANTIZE" not in text.split("## 1.")[0]


def test_a_wrong_package_says_where_it_goes_wrong_and_what_works() -> None:
    found = FirstWrong(6, "conv2d_5", "CONV_2D", 166.0, None)
    made = judged(package(state="wrong"), first_wrong=found, works=Variant.FLOAT16)
    text = flat(readme(made))
    first = "First wrong layer: 6 CONV_2D 'conv2d_5', off by 166 LSB, given right inputs."
    assert text.count(first) == 2
    assert "The float16 variant is right: export it with --precision float16." in text


def test_rounding_is_told_from_agreement() -> None:
    rounded = OutputDifference("scores", 6.0, 0.95, None, 1.0, 1.0, False, rounding=True)
    text = readme(judged(package(), outputs=(rounded,)))
    assert "**Checked: right, apart from rounding.**" in text
    assert "| `scores` | 6 LSB | 0.95 LSB |  | 1 LSB | 100 % | rounding alone |" in text
    assert "| 100 % | within |" in readme(package())


def test_the_readme_says_what_to_call_the_folder_and_shows_options() -> None:
    text = flat(readme(package()))
    assert "Copy this folder beside the app's `Podfile`, name it `ModelMetal`," in text
    assert "var options = Model.Options() options.metal.waitType" in text
    assert "try Model(options: options)" in text


def half(overflows: bool) -> HalfReport:
    layer = HalfLayer(
        index=0,
        name="dense",
        op="FULLY_CONNECTED",
        sums="float16",
        largest=70000.0,
        overflowed=3 if overflows else 0,
        overflowed_samples=1 if overflows else 0,
        own_overflowed=0,
        subnormal=0,
        vanished=0,
        max_abs=1.0,
        relative=0.004,
        own_max_abs=1.0,
        own_relative=0.004,
    )
    output = HalfOutput("scores", 0.002, 0.004, 1.0, not overflows)
    return HalfReport("half", 4, (layer,), (output,))


@pytest.mark.parametrize(
    ("overflows", "words"),
    [
        (False, "outputs are then off by up to 4.0e-03 of their largest value (modelled)"),
        (True, "do not take it: layer dense passes 65504, the largest float16 (modelled)"),
    ],
)
def test_what_float16_does_stands_at_the_option(overflows: bool, words: str) -> None:
    made = package()
    made = replace(made, verdict=replace(made.verdict, half=half(overflows)))
    assert words in flat(readme(made))
    settings_file = ios_files(made)["Sources/ModelMetal/Settings.swift"].decode()
    assert words in flat(settings_file.replace("///", ""))


def test_remarks_warnings_and_refusals_of_the_check_are_in_the_readme() -> None:
    made = package(state="refused")
    said = replace(
        made.verdict,
        notes=("one constant stays float32",),
        warnings=("Shape mismatch in `convolution1x1`",),
        problems=("WHERE: not supported",),
    )
    text = readme(replace(made, verdict=said))
    assert "Remarks:\n\n- One constant stays float32.\n" in text
    assert "The backend warned:\n\n- Shape mismatch in `convolution1x1`.\n" in text
    assert "Refused for:\n\n- WHERE: not supported.\n" in text
    assert "\n\n\n" not in text


def test_an_unchecked_package_says_so() -> None:
    text = flat(readme(package(state="unchecked")))
    assert "**Unchecked.**" in text
    assert "**Checked" not in text
    assert "Checked before the export: nothing." in text
    assert "WebGPU" not in text
    sources = ios_files(package(state="unchecked"))
    assert b"WebGPU" not in sources["Sources/ModelMetal/Model.swift"]


def test_operators_left_to_the_cpu_are_listed_and_expected() -> None:
    made = package(refused=1)
    text = readme(made)
    assert "The GPU is expected to take 2 of 3 operators" in flat(text)
    assert "With `.shared` it runs in 2 partitions, and 1 tensor goes" in flat(text)
    assert "| WHERE | layer2 | Operation is not supported |" in text
    said = (
        "On a phone the whole model is expected always to run on the CPU (in part with `.shared`)"
    )
    assert said in flat(text)
    assert said in flat(ios_files(made)[CLASS].decode().replace("///", ""))
    tests = ios_files(made)["Tests/ModelMetalTests/ModelTests.swift"].decode()
    assert "XCTAssertEqual(model.accelerator, .cpu, model.fallback" in tests


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


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.sampled_from(["it's \\ '; exit", "\u2603\n#{x}", "\\"]), st.text(max_size=40)))
def test_the_podspec_is_ruby_whatever_the_model_is_called(name: str) -> None:
    spec = next(c for n, c in ios_files(package(name=name)).items() if n.endswith(".podspec"))
    tree = Parser(Language(tree_sitter_ruby.language())).parse(spec)
    assert not tree.root_node.has_error, spec.decode()
    (line,) = (each for each in spec.decode().split("\n") if "s.summary" in each)
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
