"""The Swift of a package for iOS: it parses, it calls only what TensorFlow Lite has, and whatever a
model's names are it stays Swift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ios_packages import EVERY_TYPE, INT8, package, port
from swift_syntax import declared, foreign_calls, foreign_names, syntax_errors

from edge_export.mobile.metal.package import ios_files
from edge_export.mobile.metal.words import KEYWORDS
from edge_export.mobile.model import Golden, Package
from edge_quantize.graph import DType, Quantization

_STUBS = Path(__file__).parent.parent / "stubs" / "ios"
_API = {
    name: parameters
    for header in _STUBS.glob("*/*.h")
    for name, parameters in declared(header).items()
}


def swift(made: Package) -> dict[str, str]:
    return {
        name: content.decode()
        for name, content in ios_files(made).items()
        if name.endswith("swift")
    }


def model_class(made: Package) -> str:
    (text,) = (t for name, t in swift(made).items() if re.search(r"Sources/.*Model\.swift", name))
    return text


def assert_swift(made: Package) -> None:
    for name, text in swift(made).items():
        assert not syntax_errors(text), name


def test_every_file_is_swift() -> None:
    golden = Golden((b"\0" * 16,), (b"\0" * 12,), (1e-3,))
    assert_swift(package())
    assert_swift(package(labels=("a", "b", "c"), golden=golden))
    assert_swift(package(EVERY_TYPE, EVERY_TYPE))
    assert not [name for name, content in ios_files(package()).items() if b"@{" in content]


def test_the_code_of_the_readme_is_swift_and_sets_options_that_there_are() -> None:
    made = package(labels=("a", "b", "c"))
    blocks = re.findall(r"```swift\n(.*?)```", ios_files(made)["README.md"].decode(), re.S)
    assert [block for block in blocks if syntax_errors(block)] == []
    chosen = re.findall(r"^options\.(?:metal\.)?(\w+) = ", "".join(blocks), re.M)
    assert chosen
    declarations = "".join(swift(made).values())
    assert all(f"public var {name}" in declarations for name in chosen)


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        ("public func close() {", "public func close( {"),
        ("guard let interpreter = interpreter else", "guard let interpreter = interpreter els"),
        ("    private var interpreter: ModelInterpreter?", "    private interpreter: ModelInt?"),
    ],
)
def test_a_broken_file_is_caught(whole: str, broken: str) -> None:
    text = model_class(package())
    assert whole in text
    assert syntax_errors(text.replace(whole, broken, 1))


def test_only_what_tensorflow_lite_has_is_used() -> None:
    calls = 0
    for name, text in swift(package(EVERY_TYPE, EVERY_TYPE)).items():
        assert foreign_names(text) <= {*_API, "TensorFlowLiteC", "TensorFlowLiteCMetal"}, name
        for function, arguments in foreign_calls(text):
            if _API[function] >= 0:
                assert arguments == _API[function], (name, function)
                calls += 1
    assert calls > 20


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("TfLiteInterpreterInvoke(", "TfLiteInterpreterRun("),
        ("TfLiteInterpreterInvoke(interpreter)", "TfLiteInterpreterInvoke(interpreter, 1)"),
        ("TFLGpuDelegateWaitTypeActive", "TFLGpuDelegateWaitTypeBusy"),
    ],
)
def test_a_misspelt_call_is_caught(right: str, wrong: str) -> None:
    (text,) = (t for name, t in swift(package()).items() if name.endswith("/Interpreter.swift"))
    assert right in text
    changed = text.replace(right, wrong, 1)
    unknown = foreign_names(changed) - set(_API)
    miscounted = [
        name for name, n in foreign_calls(changed) if name in _API and _API[name] not in (n, -1)
    ]
    assert unknown or miscounted


def test_a_quantized_port_takes_and_gives_real_numbers() -> None:
    text = model_class(
        package((port("x", (1, 4), DType.INT8, INT8),), (port("y", (1, 2), DType.INT8, INT8),))
    )
    assert "public var x: [Float]" in text
    assert "public let y: [Float]" in text
    assert "as: Int8.self, scale: 0.5, zeroPoint: -128" in text
    assert "stored as int8 (scale 0.5, zero point -128)" in " ".join(
        text.replace("///", "").split()
    )


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.5847029, 3.0517578e-05, 1.2e-38, 3.4e38, 16777216.0])
def test_scales_come_back_exactly(scale: float) -> None:
    import numpy as np

    quantization = Quantization((float(np.float32(scale)),), (0,))
    text = model_class(package((port("x", (2,), DType.INT8, quantization),)))
    (written,) = re.findall(r"scale: ([^,]+), zeroPoint: 0,", text)
    assert np.float32(float(written)) == np.float32(scale)


def test_labels_make_a_ranking() -> None:
    text = model_class(package(labels=("yes", 'say "no"', "\\ \n ☃")))
    assert "public func top(_ count: Int = 5) -> [(label: String, score: Float)]" in text
    assert r'"say \"no\"",' in text
    assert r'"\\ \u{A} \u{2603}",' in text


@pytest.mark.parametrize("labels", [(), ("one",), ("a", "b", "c", "d")])
def test_labels_of_another_number_make_none(labels: tuple[str, ...]) -> None:
    assert "func top" not in model_class(package(labels=labels))


_NAMES = st.one_of(
    st.sampled_from([*sorted(KEYWORDS), "1-weird name", "", "☃", "zeros", "top", "run", "a:0"]),
    st.text(max_size=30),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_NAMES, min_size=1, max_size=20), st.lists(_NAMES, min_size=1, max_size=6), _NAMES)
def test_any_names_make_swift(inputs: list[str], outputs: list[str], name: str) -> None:
    made = package(
        tuple(port(each, (1, 2)) for each in inputs),
        tuple(port(each, (1, 2)) for each in outputs),
        name=name,
    )
    assert_swift(made)
    text = model_class(made)
    for kind, count in (("var", len(inputs)), ("let", len(outputs))):
        names = re.findall(rf"^        public {kind} (\w+): \[Float\]", text, re.MULTILINE)
        assert len(set(names)) == count
        assert not set(names) & KEYWORDS
        assert all(re.fullmatch("[a-z][A-Za-z0-9_]*", each) for each in names)


def test_a_model_called_like_a_framework_is_another_module() -> None:
    paths = ios_files(package(name="tensor flow lite c"))
    assert "Sources/ModelTensorFlowLiteCMetal/Interpreter.swift" in paths


def test_code_is_no_wider_than_a_hundred_columns() -> None:
    many = tuple(port(f"input_number_{index}", (1, 224, 224, 3)) for index in range(20))
    long_name = package(name="mobilenet_v2_1.0_224_quantized")
    for made in (package(), package(many), package(EVERY_TYPE, EVERY_TYPE), long_name):
        for name, text in swift(made).items():
            for line in text.splitlines():
                assert len(line) <= 100, (name, line)
