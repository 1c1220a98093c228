"""TFLM trees of the stand-in in `tests/tflm_fake`: headers alone, or with a library that runs."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from edge_boards.board import Board
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import find_toolchain
from edge_boards.toolchain.library import cxx_compiler
from edge_export.tflm.ops import TFLM_OPS
from edge_export.tflm.registrations import INT8_OPS
from edge_export.tflm.tree import LIBRARY
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite

FAKE = Path(__file__).resolve().parent / "tflm_fake"
DOWNLOADS = "tensorflow/lite/micro/tools/make/downloads"
_OTHERS = ("flatbuffers/include/flatbuffers/flatbuffers.h", "gemmlowp/fixedpoint/fixedpoint.h",
           "ruy/ruy/profiler/instrumentation.h")  # fmt: skip
NEEDED = 400
SIZE = 48
OPS = 3


def fake_headers(folder: Path) -> Path:
    """A tree with all headers and no library; gives `folder` back."""
    shutil.copytree(FAKE / "tensorflow", folder / "tensorflow")
    for header in _OTHERS:
        path = folder / DOWNLOADS / header
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="ascii")
    micro = folder / "tensorflow/lite/micro"
    (micro / "micro_mutable_op_resolver.h").write_text(_resolver(), encoding="ascii")
    return folder


def _resolver() -> str:
    """A resolver with every method and registration of our tables."""
    lines = ["#pragma once", '#include "tensorflow/lite/micro/micro_op_resolver.h"']
    lines += ["namespace tflite {"]
    lines += [
        f"inline TFLMRegistration Register_{op}_INT8() {{ return {{8}}; }}"
        for op in sorted(INT8_OPS)
    ]
    lines += [
        "template <unsigned tOpCount>",
        "class MicroMutableOpResolver : public MicroOpResolver {",
        " public:",
        "  unsigned Ops() const override { return count_; }",
    ]
    lines += [
        f"  TfLiteStatus {row.method}(const TFLMRegistration &r = TFLMRegistration()) "
        "{ return Add(r); }"
        for row in TFLM_OPS.values()
    ]
    lines += [
        " private:",
        "  TfLiteStatus Add(const TFLMRegistration &registration) {",
        "    if (count_ == tOpCount) return kTfLiteError;",
        "    registrations_[count_++] = registration;",
        "    return kTfLiteOk;",
        "  }",
        "  TFLMRegistration registrations_[tOpCount];",
        "  unsigned count_ = 0;",
        "};",
        "}  // namespace tflite",
    ]
    return "\n".join(lines) + "\n"


def archive(path: Path, objects: Mapping[str, tuple[bytes, Sequence[str]]]) -> Path:
    """Writes a static library as GNU ar does: name -> (content, the symbols that it defines)."""
    names = [symbol for _, symbols in objects.values() for symbol in symbols]
    texts = b"".join(name.encode() + b"\0" for name in names)
    index_size = 4 + 4 * len(names) + len(texts)
    at = 8 + 60 + index_size + index_size % 2
    offsets: list[int] = []
    body = b""
    for name, (content, symbols) in objects.items():
        offsets += [at + len(body)] * len(symbols)
        body += _member(f"{name}/", content)
    index = struct.pack(f">{1 + len(offsets)}I", len(offsets), *offsets) + texts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"!<arch>\n" + _member("/", index) + body)
    return path


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def fake_library(
    tree: Path, board: Board, *defines: str, folder: str = "cortex_m_generic_fake"
) -> Path:
    """Builds the stand-in for `board` and puts it where TFLM's Makefile puts its library.

    Skips the test where there is no C++ for bare Arm.
    """
    try:
        compiler = cxx_compiler(find_toolchain(board, "gcc"), board.core)
    except ToolchainError as error:
        pytest.skip(f"no C++ for bare Arm: {error}")
    usual = [f"FAKE_OPS={OPS}", f"FAKE_BYTES={SIZE}", f"FAKE_NEEDED={NEEDED}"]
    given = {define.partition("=")[0]: define for define in (*usual, *defines)}.values()
    objects = []
    for source in sorted(FAKE.glob("*.cc")):
        objects.append(tree / f"{source.stem}.o")
        done = compiler.run(
            [*compiler.flags, "-Os", *(f"-D{d}" for d in given), f"-I{tree}", "-c", str(source),
             "-o", str(objects[-1])],
            tree,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    library = tree / "gen" / folder / "lib" / LIBRARY
    library.parent.mkdir(parents=True)
    ar = Path(compiler.command[0]).with_name("arm-none-eabi-ar")
    subprocess.run([ar, "rcs", library, *objects], check=True)
    return library


def model(folder: Path, name: str = "toy") -> tuple[Path, Graph]:
    """A model of OPS operators, all of whose tensors are of SIZE bytes, as the stand-in has it."""
    b = GraphBuilder(name)
    x = b.input("in", (1, SIZE), 0.5, 3)
    for _ in range(OPS):
        x = b.elementwise("ADD", x, x, 0.5, 3)
    graph = b.build([x])
    path = folder / f"{name}.tflite"
    path.write_bytes(write_tflite(graph))
    return path, graph


def real_tree() -> Path:
    """The TFLM that the environment names; skips the test where there is none."""
    named = os.environ.get("EDGE_AUTOGLM_TFLM")
    if not named:
        pytest.skip("no TFLM tree: EDGE_AUTOGLM_TFLM names none")
    return Path(named)
