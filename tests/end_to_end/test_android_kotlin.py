"""The Kotlin of Android packages, by the real compiler against stubs of LiteRT's API, and run on a
phone that the stubs play."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_export.mobile.android import write_android
from edge_export.mobile.android.view import kotlin_model
from edge_export.mobile.model import Package
from edge_quantize.graph import DType, Quantization, Tensor
from edge_quantize.inputs import quantize_array
from tests.android_packages import digits, packages
from tests.kotlin_compiler import Kotlin, find_kotlin

STUBS = Path(__file__).resolve().parents[1] / "stubs" / "android"
BEHAVIOURS = re.findall(
    r'behaviour\("([^"$]+)"\)', (STUBS / "checks" / "behaviour.kt").read_text("utf-8")
)
WRONG_GPUS = [
    f"the phone's test fails where the GPU is {how}" for how in ("off by 1 percent", "not a number")
]


@dataclass(frozen=True)
class Built:
    """The stubs, all modules and the checks, compiled in one go."""

    kotlin: Kotlin
    assets: Path  # of all modules, as an app holds them
    classes: Path
    compiled: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    kotlin = find_kotlin()
    folder = tmp_path_factory.mktemp("kotlin")
    modules = folder / "modules"
    sources = sorted(STUBS.glob("*/*.kt"))
    for number, package in enumerate(packages()):
        module = modules / str(number)
        sources += [
            module / path for path in write_android(package, module) if path.suffix == ".kt"
        ]
        sources += [_snippet(module, number, package), _build_file(module, number)]
    assets = folder / "assets"
    assets.mkdir()
    for asset in [*modules.glob("*/src/main/assets"), *modules.glob("*/src/androidTest/assets")]:
        shutil.copytree(asset, assets, dirs_exist_ok=True)
    classes = folder / "classes"
    compiled = kotlin.compile(sources, classes)
    return Built(kotlin, assets, classes, compiled)


def _snippet(module: Path, number: int, package: Package) -> Path:
    """The README's third step, and its call with options, as functions of what an app has."""
    kotlin = kotlin_model(package.model)
    readme = (module / "README.md").read_text("utf-8")
    third, options = re.findall(r"```kotlin\n(.*?)```", readme, re.S)[2:]
    code = third.splitlines()
    imports = [line.strip() for line in code if line.strip().startswith("import ")]
    body = [line for line in code if not line.strip().startswith("import ")]
    given = ", ".join(f"{port.name}: {port.array}" for port in kotlin.inputs)
    path = module / "Snippet.kt"
    path.write_text(
        "\n".join(
            [
                f"package snippets.s{number}",
                "import android.content.Context",
                *imports,
                f"fun use(context: Context, {given}) {{",
                *body,
                "}",
                f"fun choose(context: Context) {{\n{options}}}\n",
            ]
        ),
        "utf-8",
    )
    return path


def _build_file(module: Path, number: int) -> Path:
    """`build.gradle.kts` as a function on what Gradle gives it."""
    lines = (module / "build.gradle.kts").read_text("utf-8").splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = [line for line in lines if not line.startswith("import ")]
    path = module / "BuildFile.kt"
    path.write_text(
        "\n".join(
            [
                f"package buildfiles.b{number}",
                "import gradle.JavaVersion",
                *imports,
                "fun gradle.Project.build() {",
                *body,
                "}\n",
            ]
        ),
        "utf-8",
    )
    return path


def test_every_module_its_tests_its_readme_and_its_build_file_compile_without_a_warning(
    built: Built,
) -> None:
    assert built.compiled.returncode == 0, built.compiled.stderr
    assert "warning:" not in built.compiled.stderr


def test_the_compiler_refuses_wrong_calls_of_the_class_and_of_litert(
    built: Built, tmp_path: Path
) -> None:
    calls = {
        "Digits.create(context).run(IntArray(64))": "IntArray",
        "Digits.create(context).run(picture = FloatArray(64))": "picture",
        "Digits.create(context, Digits.Options(precision = 16))": "Precision",
        "val scores: IntArray = Digits.create(context).run(FloatArray(64))": "IntArray",
        "Digits.create(context).accelerator = Digits.Accelerator.GPU": "val",
    }
    wrong = tmp_path / "Wrong.kt"
    head = ["import android.content.Context", "import edgeautoglm.digits.Digits"]
    bodies = [f"fun wrong{n}(context: Context) {{ {call} }}" for n, call in enumerate(calls)]
    wrong.write_text("\n".join([*head, *bodies, ""]))
    write_android(digits(), tmp_path)
    (written,) = tmp_path.rglob("Digits.kt")
    source = written.read_text("utf-8")
    assert "readFloat()" in source
    written.write_text(source.replace("readFloat()", "readFloat16()"), "utf-8")
    result = built.kotlin.compile([wrong, written], tmp_path / "out", [built.classes])
    assert result.returncode != 0
    errors = re.findall(r"Wrong\.kt:(\d+):\d+: error: (.*)", result.stderr)
    for line, complaint in enumerate(calls.values(), start=len(head) + 1):
        assert any(int(at) == line and complaint in said for at, said in errors), result.stderr
    assert re.search(r"Digits\.kt:\d+:\d+: error: .*readFloat16", result.stderr)


@pytest.fixture(scope="module")
def behaved(built: Built) -> dict[str, str]:
    """Behaviour -> "ok" or what was wrong."""
    assert built.compiled.returncode == 0, built.compiled.stderr
    done = built.kotlin.run(
        "checks.BehaviourKt",
        [str(built.assets)],
        [built.classes],
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        state, _, rest = line.partition(" ")
        name, _, why = rest.partition(": ")
        found[name] = "ok" if state == "ok" else why
    return found


@pytest.mark.parametrize("name", [*BEHAVIOURS, *WRONG_GPUS])
def test_the_class_on_a_phone(behaved: dict[str, str], name: str) -> None:
    assert behaved[name] == "ok"


def test_no_behaviour_is_left_out(behaved: dict[str, str]) -> None:
    assert set(behaved) == {*BEHAVIOURS, *WRONG_GPUS}


def test_quantization_is_that_of_the_reference_to_the_bit(built: Built, tmp_path: Path) -> None:
    assert built.compiled.returncode == 0, built.compiled.stderr
    generator = np.random.default_rng(5)
    ties = (np.arange(-200, 200) + 0.5).astype(np.float32) * np.float32(0.1)
    special = np.array([0.0, -0.0, 1e30, -1e30, np.inf, -np.inf, 1e-40, 5.0], np.float32)
    values = np.concatenate([special, ties, np.nextafter(ties, np.float32(0))])
    rest = generator.uniform(-20, 20, 4096 - len(values)).astype(np.float32)
    values = np.concatenate([values, rest]).astype("<f4")
    (tmp_path / "values").write_bytes(values.tobytes())
    files = [tmp_path / name for name in ("int8", "from_int8", "uint8", "from_uint8")]
    done = built.kotlin.run(
        "checks.Quantization",
        [str(built.assets), str(tmp_path / "values"), *map(str, files)],
        [built.classes],
    )
    assert done.returncode == 0, done.stderr
    for dtype, zero_point, path in ((DType.INT8, 3, files[0]), (DType.UINT8, 131, files[2])):
        tensor = Tensor(
            0, "x", (1, 4096), dtype, Quantization((float(np.float32(0.1)),), (zero_point,))
        )
        written = np.frombuffer(path.read_bytes(), dtype.value)
        np.testing.assert_array_equal(written, quantize_array(values, tensor))
    stored = np.arange(256).astype(np.uint8)
    for scale, zero_point, kind, path in (
        (0.0039215689, -128, np.int8, files[1]),
        (1e-5, 7, np.uint8, files[3]),
    ):
        real = np.float32(scale) * (stored.view(kind).astype(np.float32) - zero_point)
        np.testing.assert_array_equal(np.frombuffer(path.read_bytes(), "<f4"), real)
    assert "value 7 of x is NaN" in done.stdout
