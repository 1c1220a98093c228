"""A Swift compiler, where there is one, and TensorFlow Lite's C library, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

STUBS = Path(__file__).parent / "stubs" / "ios"
METAL = STUBS / "TensorFlowLiteCMetal"
_MODE = ("-swift-version", "5")


def compiler(name: str = "swiftc") -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def typecheck(files: Sequence[Path], *, metal: bool = True, extra: Sequence[str] = ()) -> list[str]:
    """What the compiler says against Swift that is built with the stubs; warnings count."""
    include = [f"-I{STUBS / 'TensorFlowLiteC'}", *([f"-I{METAL}"] if metal else [])]
    done = subprocess.run(
        [compiler(), "-typecheck", *_MODE, *include, *extra, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = [line for line in done.stderr.splitlines() if ": error:" in line or ": warning:" in line]
    return said or ([done.stderr] if done.returncode else [])


def build(files: Sequence[Path], program: Path, module: str, options: Sequence[str] = ()) -> Path:
    """Files and a `main.swift` among them as one program."""
    done = subprocess.run(
        [
            compiler(),
            *_MODE,
            "-module-name",
            module,
            *options,
            *map(str, files),
            "-o",
            str(program),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return program


class Runtime:
    """TensorFlow Lite's C library with its headers, and a stand-in for the Metal delegate.

    EDGE_AUTOGLM_TFLITE_C names a folder with `include/` and `libtensorflowlite_c.so`, as in
    `cc_deps/` of the npm package tfjs-tflite-node.
    """

    def __init__(self, folder: Path) -> None:
        given = os.environ.get("EDGE_AUTOGLM_TFLITE_C")
        if given is None:
            pytest.skip("set EDGE_AUTOGLM_TFLITE_C to a folder with TensorFlow Lite's C library")
        library = next(Path(given).rglob("linux_amd64/libtensorflowlite_c.so"), None) or next(
            Path(given).rglob("libtensorflowlite_c.so")
        )
        headers = next(Path(given).rglob("include"))
        self._module = folder / "TensorFlowLiteC"
        self._module.mkdir()
        shutil.copytree(headers / "tensorflow", self._module / "tensorflow")
        shutil.copy(library, folder)
        (self._module / "all.h").write_text(
            '#include "tensorflow/lite/c/c_api.h"\n#include "tensorflow/lite/c/common.h"\n'
        )
        (self._module / "module.modulemap").write_text(
            'module TensorFlowLiteC { header "all.h" export * }\n'
        )
        self.folder = folder
        standin = ["-shared", "-fPIC", f"-I{self._module}", f"-I{STUBS}"]
        subprocess.run(
            ["cc", *standin, str(STUBS / "metal_standin.c"), "-o", folder / "libmetal_standin.so"],
            check=True,
        )

    @property
    def options(self) -> list[str]:
        """What `build` needs to link both."""
        return [
            *(f"-I{self._module}", f"-I{METAL}", f"-L{self.folder}"),
            *("-ltensorflowlite_c", "-lmetal_standin"),
            *("-Xlinker", "-rpath", "-Xlinker", str(self.folder)),
        ]


def run(
    program: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
