"""The model file of a package through LiteRT's C API, the one that a phone's app has beneath it.

A C program of our own is linked against nothing but `libLiteRt.so` of the wheel, and must give, bit
for bit, what the Python interface gives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from gpu_drivers import NO_DRIVER

from edge_export.mobile.model import Target, Variant
from edge_export.mobile.package import Wishes, export_mobile, source_model
from edge_export.mobile.variants import make
from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import Driver, GpuSession, find_driver
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import LCG_SEED, lcg_inputs

SOURCE = Path(__file__).parents[1] / "harness" / "litert_run.c"
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Answer:
    """What the C program printed: its facts, and the outputs' bytes; `code` is its exit code."""

    code: int
    facts: Mapping[str, str]
    outputs: tuple[bytes, ...]


class Harness:
    def __init__(self, program: Path, library: Path, folder: Path) -> None:
        self.program, self.library, self.folder = program, library, folder

    def __call__(
        self, content: bytes, inputs: Sequence[Array], accelerators: str, driver: Driver
    ) -> Answer:
        model = self.folder / "model.tflite"
        model.write_bytes(content)
        paths = []
        for number, array in enumerate(inputs):
            paths.append(self.folder / f"input{number}")
            paths[-1].write_bytes(np.ascontiguousarray(array).tobytes())
        done = subprocess.run(
            [self.program, self.library, self.library.parent, accelerators, model, *paths],
            env=os.environ | driver.environment(), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        lines = [line.split(" ") for line in done.stdout.splitlines()]
        return Answer(
            done.returncode,
            {words[0]: " ".join(words[1:]) for words in lines if words[0] != "output"},
            tuple(bytes.fromhex(words[2]) for words in lines if words[0] == "output"),
        )


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    library = Path(str(files("ai_edge_litert"))) / "libLiteRt.so"
    if not library.is_file():
        pytest.skip("no libLiteRt.so in this system's LiteRT")
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("harness")
    program = folder / "litert_run"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]
    subprocess.run([gcc, *flags, SOURCE, "-o", program, "-ldl"], check=True, timeout=60)
    return Harness(program, library, folder)


@pytest.fixture(scope="module")
def driver() -> Driver:
    try:
        return find_driver()
    except GpuUnavailableError:
        pytest.skip(NO_DRIVER)


def inputs_of(content: bytes) -> tuple[Array, ...]:
    return lcg_inputs(read_tflite(content), LCG_SEED)[0]


def python(
    content: bytes, inputs: Sequence[Array], accelerator: str, driver: Driver
) -> tuple[bytes, ...]:
    with GpuSession(content, (accelerator,), driver=driver) as session:
        return tuple(array.tobytes() for array in session.run(inputs).outputs)


@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_the_file_in_a_package_runs_through_the_c_api(
    harness: Harness, driver: Driver, mlperf_tiny: Callable[[str], Path], tmp_path: Path,
    name: str, target: Target,
) -> None:  # fmt: skip
    """Whole on the GPU, and bit for bit what the check of the package saw."""
    given = mlperf_tiny(f"{name}_float.tflite").read_bytes()
    package = export_mobile(
        given, name, target, tmp_path / "package", Wishes(count=2), force=True, driver=driver
    )
    (path,) = (tmp_path / "package").rglob("*.tflite")
    content = path.read_bytes()
    assert content == package.model.content
    assert package.model.variant is Variant.FLOAT16
    inputs = inputs_of(content)
    answer = harness(content, inputs, "gpu", driver)
    assert answer.facts["non_cpu_fully_accelerated"] == "1"
    assert answer.outputs == python(content, inputs, "gpu", driver)


@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
@pytest.mark.parametrize("accelerator", ["cpu", "gpu"])
def test_an_int8_model_runs_through_the_c_api(
    harness: Harness, driver: Driver, mlperf_tiny: Callable[[str], Path], name: str,
    accelerator: str,
) -> None:  # fmt: skip
    """`ic` too, which the GPU computes wrongly: in the same way through both interfaces."""
    given = source_model(mlperf_tiny(name).read_bytes(), name)
    content = make(given, Variant.INT8).model.content
    inputs = inputs_of(content)
    answer = harness(content, inputs, accelerator, driver)
    assert answer.code == 0
    assert answer.outputs == python(content, inputs, accelerator, driver)


def test_the_c_api_tells_the_cpu_from_the_gpu(
    harness: Harness, driver: Driver, mlperf_tiny: Callable[[str], Path]
) -> None:
    """LiteRT calls the CPU "fully accelerated" too: only the other question tells."""
    content = mlperf_tiny("ic_float.tflite").read_bytes()
    inputs = inputs_of(content)
    for accelerators, beyond in (("cpu", "0"), ("gpu", "1"), ("both", "1")):
        answer = harness(content, inputs, accelerators, driver)
        assert answer.facts["fully_accelerated"] == "1", accelerators
        assert answer.facts["non_cpu_fully_accelerated"] == beyond, accelerators
    cpu = harness(content, inputs, "cpu", driver).outputs
    gpu = harness(content, inputs, "gpu", driver).outputs
    assert cpu != gpu, "SwiftShader sums in another order: equal bits would be the CPU's"
