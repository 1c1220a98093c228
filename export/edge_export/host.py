"""The generated C on this machine: built as a shared library, run step by step through ctypes.

The library reads the same `eag_model` table that the board's runtime reads, so what runs here is
the generated folder as it is, nothing added.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_boards.errors import ToolchainError
from edge_boards.toolchain import HostCompiler, find_host_compiler

from .aot.package import ExportResult
from .errors import HostBuildError

Array = npt.NDArray[np.generic]


class _Tensor(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint32))


class _Model(ctypes.Structure):
    """`eag_model` of firmware/runtime/eag_model.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_void_p),
        ("description", ctypes.c_void_p),
        ("description_size", ctypes.c_uint32),
        ("steps", ctypes.POINTER(ctypes.CFUNCTYPE(None))),
        ("inputs", ctypes.POINTER(_Tensor)),
        ("outputs", ctypes.POINTER(_Tensor)),
        ("arena", ctypes.POINTER(_Tensor)),
        ("step_count", ctypes.c_uint16),
        ("input_count", ctypes.c_uint8),
        ("output_count", ctypes.c_uint8),
        ("arena_count", ctypes.c_uint8),
    )


@dataclass(frozen=True)
class LayerOutput:
    """A layer's first output right after the step that wrote it, as raw bytes."""

    layer: int
    name: str
    op: str
    content: bytes


class HostModel:
    """A generated folder built for this machine and loaded. A context manager; not thread-safe,
    because a generated model has one arena."""

    def __init__(
        self,
        export: ExportResult,
        compiler: HostCompiler | None = None,
        flags: Sequence[str] = ("-O2",),
    ) -> None:
        """Builds and loads. `compiler` defaults to the first found. Raises HostBuildError."""
        self.export = export
        self._folder = Path(tempfile.mkdtemp(prefix="edge-host-"))
        # Also where nobody closes it, at the program's end at the latest.
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        try:
            library = (compiler or find_host_compiler()).shared_library(
                export.source_paths,
                self._folder / f"{export.name}.so",
                export.include_paths,
                ("-pedantic", *flags),
            )
            loaded = ctypes.CDLL(str(library))
        except (OSError, ToolchainError) as error:
            self.close()
            raise HostBuildError(f"{export.directory}: no host library: {error}") from error
        self._library = loaded
        self._model = _Model.in_dll(loaded, f"{export.name}_model")
        getattr(loaded, f"{export.name}_init")()

    def close(self) -> None:
        """Removes what was built; the loaded library stays until the process ends."""
        self._remove()

    def __enter__(self) -> HostModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def step_count(self) -> int:
        return int(self._model.step_count)

    def load(self, inputs: Sequence[Array]) -> None:
        """Writes every input. Raises ValueError for a wrong count, dtype or size."""
        described = self.export.description["inputs"]
        if len(inputs) != len(described):
            raise ValueError(f"inputs: {len(inputs)} given, {len(described)} needed")
        for position, (array, tensor) in enumerate(zip(inputs, described, strict=True)):
            place = self._model.inputs[position]
            if array.dtype.name != tensor["dtype"] or array.nbytes != place.size:
                raise ValueError(
                    f"input {position} must be {tensor['dtype']} {tensor['shape']}, "
                    f"not {array.dtype.name} {list(array.shape)}"
                )
            ctypes.memmove(place.data, np.ascontiguousarray(array).tobytes(), place.size)

    def step(self, index: int) -> None:
        """Runs one step."""
        self._model.steps[index]()

    def outputs(self) -> tuple[Array, ...]:
        """The outputs as they stand in the arena."""
        arrays = []
        for position, tensor in enumerate(self.export.description["outputs"]):
            place = self._model.outputs[position]
            raw = ctypes.string_at(place.data, place.size)
            arrays.append(np.frombuffer(raw, tensor["dtype"]).reshape(tensor["shape"]))
        return tuple(arrays)

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference through NAME_invoke."""
        self.load(inputs)
        getattr(self._library, f"{self.export.name}_invoke")()
        return self.outputs()

    def run_steps(self, inputs: Sequence[Array]) -> tuple[LayerOutput, ...]:
        """One inference step by step, with every layer's output right after its last step."""
        self.load(inputs)
        results: list[list[int]] = self.export.description["results"]
        layers: list[list[Any]] = self.export.description["layers"]
        found: dict[int, bytes] = {}
        for step in range(-1, self.step_count):
            if step >= 0:
                self.step(step)
            for layer, (written, block, offset, size) in enumerate(results):
                if written == step and size:
                    base = self._model.arena[block].data
                    found[layer] = ctypes.string_at(base + offset, size)
        return tuple(
            LayerOutput(layer, layers[layer][0], layers[layer][1], found[layer])
            for layer in sorted(found)
        )

    def arena(self) -> tuple[bytes, ...]:
        """A copy of every arena block."""
        return tuple(
            ctypes.string_at(self._model.arena[i].data, self._model.arena[i].size)
            for i in range(self._model.arena_count)
        )

    def fill_arena(self, byte: int) -> None:
        """Fills every arena block, to see that nothing is read before it is written."""
        for i in range(self._model.arena_count):
            ctypes.memset(self._model.arena[i].data, byte, self._model.arena[i].size)
