"""The real Kotlin compiler, out of the package `kotlin-jupyter-kernel`, and what it made."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_COMPILER = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"


@dataclass(frozen=True)
class Kotlin:
    java: str
    jars: Path

    def compile(
        self, sources: Sequence[Path], output: Path, classpath: Sequence[Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Warnings and errors are in the result's `stderr`, its `returncode` is not checked."""
        return self._java(
            [self._one("kotlin-jupyter-kernel-*-all.jar"), *self.library],
            [
                _COMPILER,
                "-no-stdlib",
                "-no-reflect",
                "-jvm-target",
                "17",
                "-classpath",
                ":".join(map(str, [*self.library, *classpath])),
                "-d",
                str(output),
                *map(str, sources),
            ],
        )

    def run(
        self, main: str, arguments: Sequence[str], classpath: Sequence[Path]
    ) -> subprocess.CompletedProcess[str]:
        return self._java([*self.library, *classpath], [main, *arguments])

    @property
    def library(self) -> list[Path]:
        return [self._one("kotlin-stdlib-*.jar"), self._one("kotlin-reflect-*.jar")]

    def _one(self, pattern: str) -> Path:
        (found,) = self.jars.glob(pattern)
        return found

    def _java(
        self, classpath: Sequence[Path], arguments: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        # A short run is over before the optimizing compiler of the JVM pays.
        quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        return subprocess.run(
            [self.java, *quick, "-cp", ":".join(map(str, classpath)), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def find_kotlin() -> Kotlin:
    """Skips the test where Java or the compiler is missing."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("no Java")
    kernel = importlib.util.find_spec("run_kotlin_kernel")
    if kernel is None or kernel.origin is None:
        pytest.skip("no Kotlin compiler (kotlin-jupyter-kernel)")
    return Kotlin(java, Path(kernel.origin).parent / "jars")
