"""A package for iOS under the Swift compiler, and its class at work with TensorFlow Lite's C
library. The Metal delegate is a stand-in that says what the real one would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from ios_packages import EVERY_TYPE, from_file, package, port
from swift_compiler import Runtime, build, compiler, run, typecheck

from edge_export.mobile.metal import write_ios
from edge_export.mobile.model import Golden, Package


def sources(made: Package, folder: Path) -> list[Path]:
    write_ios(made, folder)
    return sorted(folder.glob("Sources/*/*.swift"))


ODD_NAMES = package(
    (port("class"), port("self"), port("1-weird"), port("☃"), port("☃")),
    name="loaded",  # LoadedModel, beside the types that every package has
)


@pytest.mark.parametrize(
    ("made", "metal"),
    [
        (package(labels=("a", "b", "c")), True),
        (package(EVERY_TYPE, EVERY_TYPE), True),
        (ODD_NAMES, True),
        (ODD_NAMES, False),
    ],
    ids=["labels", "every type", "odd names", "without Metal"],
)
def test_a_package_compiles_without_a_warning(made: Package, metal: bool, tmp_path: Path) -> None:
    compiler()
    assert typecheck(sources(made, tmp_path), metal=metal) == []


def test_an_app_that_gives_the_wrong_type_does_not_compile(tmp_path: Path) -> None:
    compiler()
    files = sources(package(), tmp_path)
    app = tmp_path / "App.swift"
    app.write_text("func use(_ m: Model) throws { _ = try m.run(.init(image: [true])) }\n")
    assert any("cannot convert value of type 'Bool'" in line for line in typecheck([*files, app]))


@pytest.mark.parametrize("made", [package(labels=("a", "b", "c")), package(EVERY_TYPE, EVERY_TYPE)])
def test_the_code_of_the_readme_compiles(made: Package, tmp_path: Path) -> None:
    compiler()
    files = sources(made, tmp_path)
    readme = (tmp_path / "README.md").read_text()
    load, choose, call, actor = re.findall(r"```swift\n(.*?)```", readme, re.DOTALL)
    load = "".join(line for line in load.splitlines(True) if not line.startswith("import"))
    types = re.findall(r"^\| input \| `(\w+)` \| `(\[\w+\])`", readme, re.MULTILINE)
    given = ", ".join(f"{name}: {type_}" for name, type_ in types)
    example = tmp_path / "Example.swift"
    example.write_text(
        f"func example({given}) throws {{\n{load}{call}}}\n"
        f"func chosen() throws {{\n{choose}_ = model\n}}\n{actor}"
    )
    assert typecheck([*files, example]) == []


def test_the_swift_package_is_read_by_its_tool(tmp_path: Path) -> None:
    swift = compiler("swift")
    write_ios(package(golden=Golden((b"\0" * 16,), (b"\0" * 12,), (0.0,))), tmp_path)
    done = subprocess.run(
        [swift, "package", "dump-package"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    described = json.loads(done.stdout)
    assert {each["name"]: each["type"] for each in described["targets"]} == {
        "ModelMetal": "regular",
        "TensorFlowLiteC": "binary",
        "TensorFlowLiteCMetal": "binary",
        "ModelMetalTests": "test",
    }


_CODING = """
import Foundation

enum Model {}

func numbers<T>(_ path: String, _ type: T.Type) -> [T] {
    let data = FileManager.default.contents(atPath: path)!
    return data.withUnsafeBytes { Array($0.bindMemory(to: type)) }
}

func keep<T>(_ values: [T], _ path: String) {
    let data = values.withUnsafeBytes { Data($0) }
    FileManager.default.createFile(atPath: path, contents: data)
}

let folder = CommandLine.arguments[1]
let reals = numbers(folder + "/reals", Float.self)
keep(TensorCoding.halves(reals), folder + "/halves")
keep(TensorCoding.floats((0...UInt16.max).map { $0 }), folder + "/floats")
let finite = reals.filter { !$0.isNaN }
let whole: [Int8] = try TensorCoding.quantized(
    finite, as: Int8.self, scale: 0.1, zeroPoint: -3, name: "x")
keep(whole, folder + "/quantized")
keep(TensorCoding.real(whole, scale: 0.1, zeroPoint: -3), folder + "/real")
do {
    _ = try TensorCoding.quantized([0, .nan], as: Int8.self, scale: 1, zeroPoint: 0, name: "x")
} catch {
    print(error)
}
"""


def test_numbers_are_coded_as_numpy_does(tmp_path: Path) -> None:
    compiler()
    files = [
        f
        for f in sources(package(), tmp_path)
        if f.name in ("TensorCoding.swift", "Settings.swift")
    ]
    main = tmp_path / "main.swift"
    main.write_text(_CODING)
    program = build([*files, main], tmp_path / "coding", "ModelMetal")
    generator = np.random.default_rng(5)
    every_half = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    usual = generator.normal(size=4000) * 10 ** generator.uniform(-9, 6, 4000)
    edges = [0.05, -0.05, 0.15, 65519.996, 65520, 2**-25, 2**-24 * 1.5, 3.4e38, np.inf, -np.inf]
    reals = np.concatenate([every_half, np.array([*usual, *edges, np.nan], np.float32)])
    reals.tofile(tmp_path / "reals")
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == 'notANumber(name: "x", index: 1)'

    with np.errstate(over="ignore"):
        expected = reals.astype(np.float16)
    halves = np.fromfile(tmp_path / "halves", np.float16)
    number = ~np.isnan(reals)
    np.testing.assert_array_equal(halves[number].view(np.uint16), expected[number].view(np.uint16))
    assert np.isnan(halves[~number]).all()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "floats", np.float32), every_half)
    with np.errstate(over="ignore"):
        scaled = (reals[number] / np.float32(0.1)).astype(np.float64)
    integers = np.clip(np.copysign(np.floor(np.abs(scaled) + 0.5), scaled) - 3, -128, 127)
    quantized = np.fromfile(tmp_path / "quantized", np.int8)
    np.testing.assert_array_equal(quantized, integers.astype(np.int8))
    np.testing.assert_array_equal(
        np.fromfile(tmp_path / "real", np.float32),
        ((quantized.astype(np.float64) + 3) * np.float64(np.float32(0.1))).astype(np.float32),
    )


_APP = """
import Foundation

func numbers(_ path: String) -> [Float] {
    let data = FileManager.default.contents(atPath: path)!
    return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
}

let arguments = CommandLine.arguments
var options = @Class.Options()
if arguments.contains("gpu") { options.placement = .gpu }
if arguments.contains("cpu") { options.placement = .cpu }
if arguments.contains("shared") { options.placement = .shared }
if arguments.contains("aggressive") { options.metal.waitType = .aggressive }
options.threadCount = 1
do {
    let model = try @Class(options: options, modelURL: URL(fileURLWithPath: arguments[1]))
    print(model.accelerator)
    print(model.fallback ?? "nil")
    let golden = URL(fileURLWithPath: arguments[2])
    let output = try model.run(.init(@input: numbers(golden.path + "/input0.bin")))
    let expected = numbers(golden.path + "/output0.bin")
    print(zip(output.@output, expected).map { abs($0 - $1) }.max()!)
    do {
        _ = try model.run(.init(@input: [1]))
    } catch {
        print(error.localizedDescription)
    }
    model.close()
    _ = try model.run(.zeros)
} catch {
    print(error.localizedDescription)
    print((error as? LocalizedError)?.recoverySuggestion ?? "")
}
"""

_PART = """Following operations are not supported by GPU delegate:
CUSTOM Odd: Operation is not supported.
10 operations will run on the GPU, and the remaining 3 operations will run on the CPU."""
# What is said of a model with float16 weights: the unpacking of them is no operator in the end.
_UNPACKED = """Following operations are not supported by GPU delegate:
DEQUANTIZE:
13 operations will run on the GPU, and the remaining 0 operations will run on the CPU."""
_NOTHING = """Following operations are not supported by GPU delegate:
CONV_2D: Operation is not supported.
No operations will run on the GPU, and all 13 operations will run on the CPU."""
_OTHER_WORDS = "Some things are not supported by GPU delegate."


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, mlperf_tiny: Callable[[str], Path]
) -> Callable[..., list[str]]:
    """Runs an app around the kws int8 model; gives the lines it prints."""
    compiler()
    folder = tmp_path_factory.mktemp("ios")
    runtime = Runtime(folder)
    files = sources(from_file(mlperf_tiny("kws_int8.tflite")), folder)
    text = _APP.replace("@Class", "KwsInt8Model").replace("@input", "input1")
    main = folder / "main.swift"
    main.write_text(text.replace("@output", "output"))
    program = build([*files, main], folder / "app", "KwsInt8Metal", runtime.options)
    (model,) = folder.glob("Sources/*/Resources/*.tflite")
    (golden,) = folder.glob("Tests/*/Golden")

    def call(
        *words: str, environment: Mapping[str, str] | None = None, file: Path = model
    ) -> list[str]:
        done = run(program, file, golden, *words, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return call


_XCTEST = """
import XCTest

extension Bundle { static let module = Bundle(path: CommandLine.arguments.last!)! }

let tests = @Class.self
XCTMain(
    [testCase([
        ("loads", tests.testLoadsAndSaysWhereItRuns), ("sizes", tests.testEveryOutputHasItsSize),
        ("refused", tests.testAnInputOfAnotherSizeIsRefused),
        ("closed", tests.testNothingRunsAfterClose),
        ("agrees", tests.testGPUAgreesWithTheReference), ("latency", tests.testLatency),
    ])], arguments: ["tests"])
"""


@pytest.fixture(scope="module")
def phone(
    tmp_path_factory: pytest.TempPathFactory, mlperf_tiny: Callable[[str], Path]
) -> tuple[Path, Path]:
    """The package's own tests of the kws int8 model as a program, and the folder of its files."""
    compiler()
    folder = tmp_path_factory.mktemp("ios_tests")
    runtime = Runtime(folder)
    files = sources(from_file(mlperf_tiny("kws_int8.tflite")), folder)
    (tests,) = folder.glob("Tests/*/*.swift")
    tests.write_text(tests.read_text().replace("import KwsInt8Metal\n", ""))
    main = folder / "main.swift"
    main.write_text(_XCTEST.replace("@Class", "KwsInt8ModelTests"))
    options = ["-D", "SWIFT_PACKAGE", *runtime.options]
    program = build([*files, tests, main], folder / "tests", "KwsInt8Metal", options)
    resources = folder / "resources"
    shutil.copytree(next(folder.glob("Tests/*/Golden")), resources / "Golden")
    shutil.copy(next(folder.glob("Sources/*/Resources/*.tflite")), resources)
    return program, resources


def test_the_packages_own_tests_pass_where_the_gpu_is_right(phone: tuple[Path, Path]) -> None:
    done = run(*phone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Executed 6 tests, with 0 failures" in done.stdout
    assert re.search(r"median [\d.]+ ms, 95th percentile [\d.]+ ms", done.stdout)


@pytest.mark.parametrize(
    ("at", "wrong"), [(0, np.nan), (3, np.nan), (3, np.inf), (3, 2 / 256)], ids=str
)
def test_the_packages_own_test_fails_where_a_value_is_off(
    phone: tuple[Path, Path], tmp_path: Path, at: int, wrong: float
) -> None:
    program, right = phone
    resources = shutil.copytree(right, tmp_path / "resources")
    expected = np.fromfile(resources / "Golden" / "output0.bin", "<f4")
    expected[at] += np.float32(wrong)
    expected.tofile(resources / "Golden" / "output0.bin")
    done = run(program, resources)
    assert done.returncode != 0
    assert re.search(r"off by \S+, 0\.0039\S* allowed", done.stdout)


def test_a_phone_without_the_gpu_for_it_is_told_apart(phone: tuple[Path, Path]) -> None:
    done = run(*phone, environment={"METAL_SAYS": _NOTHING})
    assert done.returncode != 0  # testLoadsAndSaysWhereItRuns expects the GPU
    assert "1 test skipped" in done.stdout


def test_a_model_runs_and_answers_as_litert_does(app: Callable[..., list[str]]) -> None:
    accelerator, fallback, difference, size, closed, _ = app()
    assert (accelerator, fallback) == ("gpu", "nil")
    assert float(difference) <= 0.00390625  # one step of the output
    assert size == "Input input1 takes 490 values, shape [1, 49, 10, 1], and was given 1."
    assert closed == "The model is closed."


@pytest.mark.parametrize(
    ("environment", "accelerator", "shared", "reason"),
    [
        ({"METAL_SAYS": _PART}, "cpu", "gpuAndCPU", _PART),
        ({"METAL_SAYS": _OTHER_WORDS}, "cpu", "gpuAndCPU", _OTHER_WORDS),
        ({"METAL_SAYS": _UNPACKED}, "gpu", "gpu", "nil"),
        ({"METAL_SAYS": _NOTHING}, "cpu", "cpu", _NOTHING),
        ({"METAL_MISSING": "1"}, "cpu", "cpu", "TensorFlow Lite made no Metal delegate"),
        ({"METAL_SAYS": "Out of memory", "METAL_FAILS": "1"}, "cpu", "cpu", "Out of memory"),
    ],
)
def test_no_fall_back_is_silent(
    app: Callable[..., list[str]],
    environment: Mapping[str, str],
    accelerator: str,
    shared: str,
    reason: str,
) -> None:
    for words, expected in (((), accelerator), (("shared",), shared)):
        lines = app(*words, environment=environment)
        assert lines[0] == expected
        assert lines[1 : 1 + len(reason.splitlines())] == reason.splitlines()


@pytest.mark.parametrize(
    "environment", [{"METAL_SAYS": _PART}, {"METAL_SAYS": _NOTHING}, {"METAL_MISSING": "1"}]
)
def test_gpu_only_takes_nothing_less(
    app: Callable[..., list[str]], environment: Mapping[str, str]
) -> None:
    lines = app("gpu", environment=environment)
    assert lines[0].startswith("The GPU does not take the whole model: ")
    assert lines[-1].startswith("Load with Placement.gpuOrCPU")


def test_cpu_only_asks_no_gpu(app: Callable[..., list[str]]) -> None:
    assert app("cpu", environment={"METAL_MISSING": "1"})[:2] == ["cpu", "nil"]


def test_options_reach_the_delegate(app: Callable[..., list[str]]) -> None:
    assert app("aggressive", environment={"METAL_EXPECTS_WAIT": "3"})[0] == "gpu"
    assert app(environment={"METAL_EXPECTS_WAIT": "0"})[0] == "gpu"
    assert app("aggressive", environment={"METAL_EXPECTS_WAIT": "0"})[0] == "cpu"


def test_another_file_is_refused(
    app: Callable[..., list[str]], mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    other = app(file=mlperf_tiny("vww_int8.tflite"))
    assert other[0].startswith("This is another model than this package was made for: input")
    junk = tmp_path / "junk.tflite"
    junk.write_bytes(b"no model at all, nothing of it")
    assert app(file=junk)[0] == f"{junk} is no TensorFlow Lite model."
    assert app(file=tmp_path / "absent")[0] == f"There is no model file at {tmp_path / 'absent'}."
