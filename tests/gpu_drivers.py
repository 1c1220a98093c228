"""Vulkan drivers for tests: the real SwiftShader where it is, and drivers written here that hang or
crash, as drivers do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_boards.toolchain import find_host_compiler
from edge_quantize.errors import GpuUnavailableError
from edge_quantize.gpu import Driver, find_driver
from edge_quantize.gpu.driver import LOADER, swiftshaders
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import NoOptions
from edge_quantize.graph.writer import write_tflite

# Before a test hides them.
_SWIFTSHADERS = swiftshaders()
NO_DRIVER = "no Vulkan driver"
HANGS = "for (;;) { pause(); }"
CRASHES = "raise(SIGSEGV);"
_SOURCE = """\
#include <signal.h>
#include <unistd.h>
int vk_icdNegotiateLoaderICDInterfaceVersion(unsigned *version);
void *vk_icdGetInstanceProcAddr(void *instance, const char *name);
int vk_icdNegotiateLoaderICDInterfaceVersion(unsigned *version) {
  (void)version;
  %s
  return 0;
}
void *vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  (void)instance; (void)name;
  return 0;
}
"""


def any_driver() -> Driver:
    """The driver that the product finds here; the test is skipped where there is none."""
    try:
        return find_driver()
    except GpuUnavailableError:
        pytest.skip(NO_DRIVER)


def swiftshader() -> Driver:
    """A SwiftShader with a loader beside it; the test is skipped where there is none."""
    found = next((each for each in _SWIFTSHADERS if each.loader is not None), None)
    if found is None:
        pytest.skip(NO_DRIVER)
    return found


def manifest(path: Path, library: Path) -> Path:
    """A driver's manifest, as packages bring them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"file_format_version": "1.0.0",
               "ICD": {"library_path": str(library), "api_version": "1.0.5"}}  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def bad_driver(folder: Path, does: str) -> Driver:
    """A driver whose first function `does` something (C statements)."""
    source = folder / "icd.c"
    source.write_text(_SOURCE % does, encoding="utf-8")
    library = folder / "libbad_icd.so"
    find_host_compiler().shared_library([source], library)
    loader = swiftshader().loader
    assert loader is not None
    return Driver("bad", False, manifest(folder / "bad_icd.json", library), loader, "a test")


def loader_only(folder: Path) -> Path:
    """A folder for LD_LIBRARY_PATH that has nothing but the loader in it."""
    folder.mkdir(parents=True, exist_ok=True)
    loader = swiftshader().loader
    assert loader is not None
    (folder / LOADER).symlink_to(loader)
    return folder


def relu(shape: tuple[int, ...] = (1, 4), kind: DType = DType.FLOAT32, count: int = 1) -> Graph:
    """x -> `count` RELUs, one after the other."""
    builder = GraphBuilder("relu")
    result = builder.input("x", shape, dtype=kind)
    for _ in range(count):
        result = builder.operator("RELU", [result], NoOptions(), dtype=kind, shape=shape)
    return builder.build([result])


def casts(kind: DType, count: int = 4) -> bytes:
    """x of `kind` -> CAST to float32 (first output) -> CAST back to `kind` (second)."""
    builder = GraphBuilder("casts")
    shape = (1, count)
    source = builder.input("x", shape, dtype=kind)
    real = builder.operator("CAST", [source], NoOptions(), dtype=DType.FLOAT32, shape=shape)
    back = builder.operator("CAST", [real], NoOptions(), dtype=kind, shape=shape)
    graph = builder.build([real, back])
    plain = tuple(replace(tensor, quantization=None) for tensor in graph.tensors)
    return write_tflite(replace(graph, tensors=plain))


def open_shape(graph: Graph, signature: tuple[int, ...]) -> bytes:
    """The same with every tensor's shape left open as `signature` says (-1)."""
    tensors = tuple(replace(each, shape_signature=signature) for each in graph.tensors)
    return write_tflite(replace(graph, tensors=tensors))
