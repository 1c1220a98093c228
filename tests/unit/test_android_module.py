"""An Android package as text; its Kotlin is compiled and run by an end-to-end test."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_export.errors import ExportError
from edge_export.mobile.android import write_android
from edge_export.mobile.android.module import module_texts
from edge_export.mobile.android.source import kotlin_class
from edge_export.mobile.android.text import comment, float_literal, literal
from edge_export.mobile.android.view import kotlin_model, names
from edge_export.mobile.model import (
    FirstWrong,
    Golden,
    OutputDifference,
    Place,
    Placement,
    Port,
    Variant,
)
from edge_export.mobile.template import fill
from edge_quantize.graph import DType, Quantization
from tests.android_packages import digits, golden_digits, package, packages, port, verdict


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in {".tflite", ".bin"}
    }


def test_the_module_has_the_files_that_gradle_looks_for(tmp_path: Path) -> None:
    written = write_android(digits(content=b"\x00model\xff"), tmp_path)
    assert [str(path) for path in written] == [
        ".gitignore",
        "README.md",
        "build.gradle.kts",
        "consumer-rules.pro",
        "src/androidTest/kotlin/edgeautoglm/digits/DigitsPhoneTest.kt",
        "src/main/AndroidManifest.xml",
        "src/main/assets/digits.tflite",
        "src/main/kotlin/edgeautoglm/digits/Digits.kt",
    ]
    assert (tmp_path / "src/main/assets/digits.tflite").read_bytes() == b"\x00model\xff"
    ET.parse(tmp_path / "src/main/AndroidManifest.xml")


def test_the_same_package_gives_the_same_bytes(tmp_path: Path) -> None:
    for each in packages():
        first, second = tmp_path / "first" / each.model.name[:9], tmp_path / "second"
        for folder in (first, second):
            write_android(each, folder)
        assert all(
            (second / path.relative_to(first)).read_bytes() == path.read_bytes()
            for path in first.rglob("*")
            if path.is_file()
        )


def test_nothing_is_left_of_a_template_nor_trailing_nor_doubly_blank(tmp_path: Path) -> None:
    for number, each in enumerate(packages()):
        write_android(each, tmp_path / str(number))
        for name, text in texts(tmp_path / str(number)).items():
            assert "@{" not in text, name
            assert not re.search(r"[ \t]+$", text, re.M), name
            assert "\n\n\n" not in text, name
            assert text.endswith("\n"), name


def test_code_keeps_to_a_hundred_columns(tmp_path: Path) -> None:
    for each in packages()[:9]:
        write_android(each, tmp_path / each.model.name)
    long = [
        f"{name}:{number}"
        for name, text in texts(tmp_path).items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > 100 and not line.startswith("|")
    ]
    assert not long


def test_litert_and_its_gpu_are_pinned_side_by_side(tmp_path: Path) -> None:
    write_android(digits(), tmp_path)
    build = (tmp_path / "build.gradle.kts").read_text("utf-8")
    assert '"com.google.ai.edge.litert:litert:2.3.0"' in build
    assert '"com.google.ai.edge.litert:litert-gpu:2.3.0"' in build
    assert "minSdk = 24\n" in build
    assert 'namespace = "edgeautoglm.digits"' in build
    assert 'noCompress += "tflite"' in build
    assert 'consumerProguardFiles("consumer-rules.pro")' in build


def test_r8_keeps_what_native_code_looks_up_by_name(tmp_path: Path) -> None:
    write_android(digits(), tmp_path)
    rules = (tmp_path / "consumer-rules.pro").read_text("utf-8")
    kept = re.findall(r"^-keep class (\S+)", rules, re.M)
    assert "com.google.ai.edge.litert.LiteRtException" in kept
    assert "native <methods>;" in rules


@pytest.mark.parametrize(
    ("state", "head"),
    [
        ("right", "Checked: the GPU computes what the CPU does."),
        ("wrong", "WRONG ON THE GPU"),
        ("refused", "THE GPU BACKEND REFUSED IT"),
        ("unchecked", "UNCHECKED: nobody compared"),
    ],
)
def test_the_verdict_and_its_limits_stand_in_the_readme_and_the_class(
    tmp_path: Path, state: str, head: str
) -> None:
    write_android(digits(judged=verdict(state)), tmp_path)
    for name in ("README.md", "src/main/kotlin/edgeautoglm/digits/Digits.kt"):
        text = " ".join(re.sub(r"^(?: \*|>)", "", texts(tmp_path)[name], flags=re.M).split())
        assert head in text
        assert "The greatest difference is 3.1e-05 of the greatest value (1e-3 allowed)." in text
        assert "A phone's own GPU was not there." in text


def test_the_readme_says_how_much_was_checked_and_where_it_runs(tmp_path: Path) -> None:
    write_android(digits(places=(Place.GPU, Place.CPU, Place.GPU)), tmp_path)
    readme = " ".join((tmp_path / "README.md").read_text("utf-8").split())
    assert "12 samples (pseudo-random input), on SwiftShader Device (Subzero), in float32" in readme
    assert "the GPU is expected to take 2 of 3 operators, by the log of LiteRT 2.3.0" in readme
    seen = digits()
    seen = replace(seen, delegation=replace(seen.delegation, observed=True))
    write_android(seen, tmp_path)
    readme = " ".join((tmp_path / "README.md").read_text("utf-8").split())
    assert "the GPU takes all 2 operators, by the log of LiteRT 2.3.0" in readme
    write_android(digits(judged=verdict("unchecked")), tmp_path)
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert "Checked before the export (`verdict.json`): nothing." in readme


def flat(folder: Path, name: str) -> str:
    """A file's words, without the marks of comments and quotations."""
    return " ".join(re.sub(r"^\s*(?:\*|>)", "", texts(folder)[name], flags=re.M).split())


README, CLASS = "README.md", "src/main/kotlin/edgeautoglm/digits/Digits.kt"


@pytest.mark.parametrize("state", ["unchecked", "refused"])
def test_where_nothing_was_compared_nothing_claims_it(tmp_path: Path, state: str) -> None:
    write_android(digits(judged=verdict(state, samples=0, outputs=())), tmp_path)
    assert "`FLOAT32` (default)," in flat(tmp_path, README)
    assert ", as checked" not in flat(tmp_path, README)
    assert "As the check" not in flat(tmp_path, CLASS)
    assert "Nothing was compared before the export." in flat(tmp_path, CLASS)
    assert "the tolerance of the check" not in flat(tmp_path, README)
    write_android(digits(), tmp_path)
    assert "`FLOAT32` (default, as checked)," in flat(tmp_path, README)
    assert "As the check before the export computed." in flat(tmp_path, CLASS)


@pytest.mark.parametrize("state", ["unchecked", "refused"])
def test_a_model_that_always_runs_on_the_cpu_says_so_and_what_would_help(
    tmp_path: Path, state: str
) -> None:
    given = digits(judged=verdict(state, samples=0, outputs=()))
    refused = Placement(
        2, "scores", "LOG_SOFTMAX", Place.CPU, 1, "the GPU has no LOG_SOFTMAX", "replace it"
    )
    placed = replace(given.delegation, operators=(*given.delegation.operators, refused))
    for observed, words in ((False, "is expected always to"), (True, "will always")):
        delegation = replace(placed, observed=observed)
        write_android(replace(given, delegation=delegation), tmp_path)
        for name in (README, CLASS):
            assert (
                f"On a phone the whole model {words} run on the CPU. LOG_SOFTMAX 'scores': the GPU "
                "has no LOG_SOFTMAX; what would help: replace it."
            ) in flat(tmp_path, name)


def test_a_wrong_package_says_where_it_goes_wrong_and_what_works(tmp_path: Path) -> None:
    judged = verdict(
        "wrong",
        first_wrong=FirstWrong(6, "conv2d_5", "CONV_2D", 166.0, None),
        works=Variant.FLOAT16,
        warnings=("Shape mismatch in `convolution1x1`",),
    )
    write_android(digits(judged=judged), tmp_path)
    readme = flat(tmp_path, README)
    first = "First wrong layer: 6 CONV_2D 'conv2d_5', off by 166 LSB, given right inputs."
    works = "The float16 variant is right: export it with --precision float16."
    assert readme.count(first) == readme.count(works) == 2
    assert "- The backend warned: Shape mismatch in `convolution1x1`." in readme


def test_rounding_is_told_from_agreement(tmp_path: Path) -> None:
    rounded = OutputDifference("scores", 6.0, 0.95, None, 1.0, 1.0, False, rounding=True)
    write_android(digits(judged=verdict(outputs=(rounded,))), tmp_path)
    assert "what the CPU does, apart from rounding." in flat(tmp_path, README)
    row = "| `scores` | 6 LSB | 0.95 LSB |  | 1 LSB | 100 % | rounding alone |"
    assert row in texts(tmp_path)[README]


def test_the_readme_shows_options_and_labels(tmp_path: Path) -> None:
    write_android(digits(), tmp_path)
    readme = flat(tmp_path, README)
    assert "Digits.create( context, Digits.Options(" in readme
    assert "`Digits.Options(use = Digits.Use.GPU)` throws instead" in readme
    assert "`top(output, count)`" in readme
    write_android(digits(labels=()), tmp_path)
    assert "`labels`" not in flat(tmp_path, README)


def test_the_phones_test_allows_what_the_check_allowed(tmp_path: Path) -> None:
    write_android(digits(), tmp_path)
    test = next(text for name, text in texts(tmp_path).items() if name.endswith("PhoneTest.kt"))
    assert "Allowed(relative = 0.001, absolute = 0.0)" in test


def test_the_phones_test_has_the_references_result_where_there_is_one(tmp_path: Path) -> None:
    write_android(golden_digits(), tmp_path)
    test = next(text for name, text in texts(tmp_path).items() if name.endswith("PhoneTest.kt"))
    assert "Allowed(relative = 0.0, absolute = 0.01)" in test
    folder = tmp_path / "src/androidTest/assets/golden_digits"
    np.testing.assert_array_equal(np.fromfile(folder / "input_0.bin", "<f4"), np.full(64, 2.0))
    np.testing.assert_array_equal(np.fromfile(folder / "output_0.bin", "<f8"), np.arange(2.0, 12))


def test_a_quantized_reference_is_written_in_real_numbers(tmp_path: Path) -> None:
    scaled = port("x", (1, 3), DType.INT8, (0.5, 1))
    stored = np.array([-1, 1, 3], np.int8).tobytes()
    given = package("scaled", (scaled,), (scaled,))
    write_android(replace(given, golden=Golden((stored,), (stored,), (0.5,))), tmp_path)
    folder = tmp_path / "src/androidTest/assets/scaled"
    assert list(np.fromfile(folder / "input_0.bin", "<f4")) == [-1, 0, 1]
    assert list(np.fromfile(folder / "output_0.bin", "<f8")) == [-1, 0, 1]


def test_a_quantized_output_may_be_off_by_its_whole_step(tmp_path: Path) -> None:
    scaled = port("x", (1, 3), DType.INT8, (0.1, 1))
    write_android(package("scaled", (scaled,), (scaled,)), tmp_path)
    test = next(text for name, text in texts(tmp_path).items() if name.endswith("PhoneTest.kt"))
    (allowed,) = re.findall(r"Allowed\(relative = 0.0, absolute = (.*)\),", test)
    real = np.float32(0.1) * np.arange(-129, 127, dtype=np.float32)
    assert np.diff(real.astype(np.float64)).max() <= float(allowed) < 0.1001


@pytest.mark.parametrize(
    ("inputs", "outputs", "complaints"),
    [
        (
            (port("a", (1,), DType.FLOAT16), port("b", (1,), DType.INT16, (0.1, 0))),
            (port("c", (1,), DType.COMPLEX64),),
            ["input 'a' is float16", "input 'b' is int16", "output 'c' is complex64"],
        ),
        ((port("a", (1, 0)),), (port("b", (-1, 3)),), ["'a' has no fixed shape", "'b' has no"]),
        ((port("a", (1,)), port("a", (2,))), (port("b", (1,)),), ["2 inputs are called 'a'"]),
        ((port("", (1,)),), (port("b", (1,)),), ["an input has no name"]),
        ((), (port("b", (1,)),), ["the model has no inputs"]),
        ((port("a", (1,)),), (), ["the model has no outputs"]),
        (
            (Port("a", "a", (1, 2), DType.INT8, Quantization((0.1, 0.2), (0, 0))),),
            (port("b", (1,), DType.INT32, (0.1, 0)),),
            ["'a' has a scale for each channel", "'b' is int32 with a scale"],
        ),
    ],
)
def test_what_kotlin_cannot_hold_is_refused_all_at_once_and_nothing_is_written(
    tmp_path: Path, inputs: tuple[Port, ...], outputs: tuple[Port, ...], complaints: list[str]
) -> None:
    with pytest.raises(ExportError) as refusal:
        write_android(package("odd", inputs, outputs), tmp_path / "module")
    assert all(complaint in str(refusal.value) for complaint in complaints)
    assert not (tmp_path / "module").exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": ("a", "b")}, "The model names 2 classes for 10 values"),
        ({"labels": ()}, ""),
    ],
)
def test_class_names_that_do_not_fit_are_left_out_and_the_readme_says_so(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    write_android(digits(**changes), tmp_path)
    assert "fun top(" not in texts(tmp_path)["src/main/kotlin/edgeautoglm/digits/Digits.kt"]
    readme = texts(tmp_path)["README.md"]
    assert (f"{why}, so there is no list of them." in readme) == bool(why)


@pytest.mark.parametrize(
    ("name", "word", "kind"),
    [
        ("kws_int8", "kws_int8", "KwsInt8"),
        ("1-weird name", "model_1_weird_name", "Model1WeirdName"),
        ("Context", "context", "ModelContext"),
        ("native", "model_native", "Native"),
        ("日本", "model", "Model"),
        ("class", "model_class", "Class"),
        ("Output", "output", "ModelOutput"),
        ("CON", "model_con", "ModelCon"),
    ],
)
def test_a_models_name_gives_a_namespace_and_a_class(name: str, word: str, kind: str) -> None:
    named = names(package(name, (port("x", (1,)),), (port("y", (1,)),)).model)
    assert (named.package, named.type) == (f"edgeautoglm.{word}", kind)


def test_no_model_is_called_like_a_type_that_the_generated_code_names() -> None:
    used = set()
    for each in packages()[:7]:
        kotlin = kotlin_model(each.model)
        for name, text in module_texts(each, kotlin).items():
            if name.endswith(".kt"):
                code = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', "", text, flags=re.S)
                found = re.findall(r"(?<![\w.])[A-Z]\w*[a-z]\w*", code)
                used |= {word for word in found if not word.startswith(kotlin.names.type)}
    assert {"Test", "Random", "TensorBuffer", "Golden", "Throws"} <= used
    for word in used:
        model = replace(digits().model, name=word)
        assert names(model).type == f"Model{word}"


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=20), min_size=1, unique=True))
def test_no_name_ends_a_comment_or_a_string(name: str, ports: list[str]) -> None:
    given_package = package(
        name, tuple(port(each, (1, 2)) for each in ports), (port("y", (2,)),), labels=("a", name)
    )
    source = kotlin_class(given_package, kotlin_model(given_package.model))
    code = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', re.sub(r"/\*.*?\*/", "", source, flags=re.S))
    assert "*/" not in code
    assert "/*" not in code
    assert code.count('"') % 2 == 0
    assert code.isascii()


@given(st.text())
def test_a_string_literal_holds_the_text_again(text: str) -> None:
    written = literal(text)
    assert written[0] == written[-1] == '"'
    assert not re.search(r'(?<!\\)(?:\\\\)*[$"]', written[1:-1])
    simple = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "$": "$", "\\": "\\"}
    units = re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else simple[m[2]],
        written[1:-1],
    )
    assert units.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") == text


@given(st.text())
def test_a_comment_is_one_line_that_ends_nothing(text: str) -> None:
    line = comment(text)
    assert line.splitlines() in ([line], [])
    assert "*/" not in line
    assert "/*" not in line


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_literal_is_that_float32(value: float) -> None:
    written = float_literal(value)
    assert re.fullmatch(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?f", written)
    assert np.float32(written[:-1]) == np.float32(value)


def test_a_block_keeps_its_indentation_and_an_empty_one_leaves_no_gap() -> None:
    template = "a\n\n  @{block}\n\nb @{word}\n"
    assert fill(template, {"block": "x\n  y", "word": "c"}) == "a\n\n  x\n    y\n\nb c\n"
    assert fill(template, {"block": "", "word": "@{c}"}) == "a\n\nb @{c}\n"
    with pytest.raises(KeyError):
        fill(template, {"block": ""})
