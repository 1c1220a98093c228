"""`optimize` for Python programs, and what it gives: a model that can be compiled and run.

from edge_autoglm import optimize
optimized = optimize("kws.keras", target_device="stm32f746", level=3, data=samples)
with optimized.compile() as compiled:
    y = compiled.infer(x)
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_autoglm import pipeline
from edge_autoglm.backends.base import Backend, Loaded
from edge_autoglm.backends.choose import Selection, select_backend
from edge_autoglm.backends.model import read_run_model
from edge_autoglm.backends.table import AUTO, find_backend
from edge_autoglm.device.messages import ModelInfo
from edge_autoglm.device.ports import Port, find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.errors import UsageError
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.builds import remember
from edge_autoglm.measure.profile import Profile
from edge_autoglm.measure.run import run_profile
from edge_autoglm.measure.verify import infer, same_model
from edge_boards import Board, load_board
from edge_export import ExportResult, HostModel
from edge_quantize.data import Samples
from edge_quantize.data.load import load_samples, samples_from
from edge_quantize.errors import InputDataError
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ingest.ways import read_any
from edge_quantize.ptq.prepare import float_graph
from edge_quantize.run import quantized, real

from .budget import Budget
from .entry import Entry
from .finalists import export_to
from .optimize import HELD_BACK, TRIALS, Asked, Outcome, computes_in_integers, optimize_graph

Array = npt.NDArray[Any]
HOST, VIRTUAL = "host", "virtual"


def optimize(
    model: Any,
    target_device: str | Board = "stm32f746",
    level: int = 3,
    fuse_ops: bool = True,
    data: Any = None,
    *,
    max_ram: str | int | None = None,
    max_flash: str | int | None = None,
    max_latency: str | float | None = None,
    max_drop: str | float | None = None,
    trials: int = TRIALS,
    storage: str | None = None,
    output: str | Path | None = None,
    seed: int = 0,
    held_back: float = HELD_BACK,
    example_input: Any = None,
    say: Callable[[str], None] = lambda _: None,
) -> Optimized:
    """A model into the budget of a board.

    Args:
        model: a path or live model (see `edge_quantize.ingest.ways`), or a Graph. Quantized models
            are for levels 0 and 1.
        target_device: a board's name, or a Board.
        level: 0 nothing but the format; 1 lossless; 2 and int8; 3 and pruning, mixed precision and
            the search.
        fuse_ops: False makes padding and clamps steps of their own, outputs unchanged.
        data: Samples; an array, a tuple of arrays or (inputs, labels); a mapping of arrays by the
            inputs' names; a function that returns one of these; or what `--data` takes. Needed from
            level 2 on.
        max_ram, max_flash: bytes, or text such as "64k". max_latency: milliseconds or "20ms".
        max_drop: accuracy lost at most, a fraction or "0.5%".
        trials: points that the search evaluates. storage: an Optuna storage URL.
        output: a folder that keeps the results; without it they go with the returned object.
        say: called with a line about what is going on.

    Raises what the command does: EdgeError, QuantizeError, ExportError, BoardsError and their kin.
    """
    board = target_device if isinstance(target_device, Board) else load_board(target_device)
    budget = Budget.parse(max_ram, max_flash, max_latency, max_drop)
    asked = Asked(level, budget, fuse_ops, trials, storage, seed, held_back)
    asked.check()
    graph = read_model(model, example_input)
    kept = None if output is not None else tempfile.TemporaryDirectory(prefix="edge-optimized-")
    folder = Path(output) if output is not None else Path(kept.name) if kept else Path()
    load = None if data is None else lambda floating: samples_of(data, floating)
    outcome = optimize_graph(graph, board, asked, load, folder, say)
    return Optimized(outcome, folder, kept)


def read_model(model: Any, example_input: Any = None) -> Graph:
    """Any model as a graph: a `.tflite` as it is (weights that were rounded before made float
    again), anything else through the ways in.

    Raises ModelFileError, UnsupportedModelError, MissingExtraError and their kin."""
    if isinstance(model, Graph):
        return model
    path = Path(model) if isinstance(model, str | Path) else None
    if path is not None and path.suffix in (".tflite", ".lite"):
        graph = read_tflite(path)
        return graph if computes_in_integers(graph) else float_graph(graph)
    return read_any(model, example_input=example_input)


def samples_of(data: Any, graph: Graph) -> Samples:
    """Samples from what a caller has. Raises InputDataError."""
    if isinstance(data, str | Path):
        return load_samples(str(data), graph)
    return samples_from(data, graph)


@dataclass(frozen=True, eq=False, repr=False)
class Optimized:
    """An optimized model. `folder` has all that the search left."""

    outcome: Outcome
    folder: Path
    _kept: Any = None

    def __repr__(self) -> str:
        """In a line: the model, the board, what it takes, and where it lies."""
        found = self.chosen.figures()
        said = [f"{self.graph.name} on {self.outcome.board.name}"]
        said.append(f"{found['flash'].value:,} B flash, {found['ram'].value:,} B RAM")
        if "latency_ms" in found:
            said.append(f"{found['latency_ms'].value:.2f} ms")
        return f"<Optimized {', '.join(said)}, in {self.folder}>"

    @property
    def graph(self) -> Graph:
        return self.outcome.chosen.graph

    @property
    def chosen(self) -> Entry:
        return self.outcome.chosen

    @property
    def model_path(self) -> Path:
        """The `.tflite`."""
        return self.chosen.file(self.folder / "chosen")

    def compile(self, where: str = HOST) -> Compiled:
        """Generates C, builds and loads it: "host" (this machine), "virtual" (the board's virtual
        counterpart) or a port, "auto" or "/dev/ttyACM0" (the real board, which is flashed).

        Raises HostBuildError, ToolchainError, FlashError, TransportError and their kin.
        """
        board, chosen = self.outcome.board, self.chosen
        scratch = tempfile.TemporaryDirectory(prefix="edge-compiled-")
        try:
            graph = read_tflite(self.model_path)
            exported = export_to(
                Path(scratch.name) / "c", graph, board, chosen.kernels, self.outcome.asked.fuse_ops
            )
            if where == HOST:
                return _OnHost(graph, board, HostModel(exported), scratch)
            return _on_board(graph, exported, board, where, self.model_path, scratch)
        except BaseException:
            scratch.cleanup()
            raise


class Compiled(ABC):
    """A model that is loaded and ready to run. A context manager; not for several threads. What
    nobody closes ends with the program."""

    def __init__(self, graph: Graph, board: Board, scratch: Any) -> None:
        self.graph = graph
        self._board = board
        self._scratch = scratch
        self._backends: dict[str, Loaded] = {}
        self.selection: Selection | None = None

    def infer(self, *inputs: Any, backend: str | Backend | None = None) -> Any:
        """One inference. Each input as real numbers, which are quantized here, or as the model's
        own integers (int8 or int16, as its input is), which are taken as they are; with or without
        its batch of 1. Gives the output as float32 (a tuple where there are several).

        Without `backend` it runs where it was compiled for. Else on that backend: a name of
        `edge-autoglm backends` (`virtual` and `board` alone are of the board it was compiled for),
        a Backend, or "auto", the fastest that computes right, which `selection` tells from then
        on. A backend is loaded when it is first asked for, and kept until `close`.

        Raises ValueError for a wrong number or shape of inputs, InputDataError for NaN or infinity
        in one; UsageError for an unknown backend, BackendError and its kin."""
        tensors = [self.graph.tensors[index] for index in self.graph.inputs]
        if len(inputs) == 1 and len(tensors) > 1 and isinstance(inputs[0], tuple | list):
            inputs = tuple(inputs[0])
        if len(inputs) != len(tensors):
            raise ValueError(f"inputs: {len(inputs)} given, {len(tensors)} needed")
        fed = []
        for number, (given, tensor) in enumerate(zip(inputs, tensors, strict=True)):
            array = np.asarray(given)
            if array.shape not in (tensor.shape, tensor.shape[1:]):
                raise ValueError(
                    f"input {number} must be {list(tensor.shape)}, not {list(array.shape)}"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InputDataError(f"input {number} holds NaN or infinity")
            fed.append(np.ascontiguousarray(quantized(array, tensor).reshape(tensor.shape)))
        found = self._run(fed) if backend is None else self._on(backend).infer(fed).outputs
        results = tuple(
            real(array.reshape(tensor.shape), tensor.quantization)
            for array, tensor in zip(found, self._outputs(), strict=True)
        )
        return results[0] if len(results) == 1 else results

    def profile(self) -> Profile:
        """What every layer costs on the board. Raises UsageError on the host, where nothing
        counts as a board does."""
        raise UsageError(
            'the host counts nothing as a board does; compile(where="virtual") or on a port'
        )

    def close(self) -> None:
        """Removes what was built, and closes every backend."""
        while self._backends:
            self._backends.popitem()[1].close()
        self._scratch.cleanup()

    def __enter__(self) -> Compiled:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _on(self, wanted: str | Backend) -> Loaded:
        """The backend with the model, loaded when it is first asked for: once, whichever of its
        names it is asked for by."""
        found = wanted
        if wanted == AUTO and self.selection is not None:
            found = self.selection.chosen
        elif isinstance(wanted, str) and wanted != AUTO and wanted not in self._backends:
            found = find_backend(wanted, self._load_board, self._board.name)
        name = found if isinstance(found, str) else found.name
        if name not in self._backends:
            selection = select_backend(found, read_run_model(self.graph))
            name = selection.chosen.name
            if name not in self._backends:
                self._backends[name] = selection.load()
            if wanted == AUTO:
                self.selection = selection
        return self._backends[name]

    def _load_board(self, name: str) -> Board:
        return self._board if name == self._board.name else load_board(name)

    def _outputs(self) -> list[Any]:
        return [self.graph.tensors[index] for index in self.graph.outputs]

    @abstractmethod
    def _run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """One inference: arrays of the inputs' shapes and element types in, outputs out."""


class _OnHost(Compiled):
    def __init__(self, graph: Graph, board: Board, model: HostModel, scratch: Any) -> None:
        super().__init__(graph, board, scratch)
        self._model = model

    def _run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        return self._model.run(inputs)

    def close(self) -> None:
        self._model.close()
        super().close()


class _OnBoard(Compiled):
    def __init__(self, graph: Graph, board: Board, port: Port, scratch: Any) -> None:
        super().__init__(graph, board, scratch)
        self._port = port
        self._session: Session | None = None
        self._model: ModelInfo | None = None

    def _run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        if self._session is None or self._model is None:
            self._session = Session(open_port(self._port)).__enter__()
            self._model = same_model(self._session, self.graph)
        found = infer(self._session, self._model, inputs)
        return [
            np.frombuffer(content, tensor.dtype.numpy)
            for content, tensor in zip(found, self._outputs(), strict=True)
        ]

    def profile(self) -> Profile:
        self._hang_up()
        found, _ = run_profile(self._board, self._port)
        return found

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None


def _on_board(
    graph: Graph, exported: ExportResult, board: Board, where: str, model: Path, scratch: Any
) -> Compiled:
    built = pipeline.build(exported, board)
    remember(built.image, model)
    flashed = flash_image(board, built.image, where)
    return _OnBoard(graph, board, find_port(board, where) if where == VIRTUAL else flashed.port,
                    scratch)  # fmt: skip
