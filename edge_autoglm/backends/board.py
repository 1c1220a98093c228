"""What the two backends of boards share: the model built into a firmware, flashed, and fed over
the wire. The board's own counter tells the time of an inference; the wire's does not count."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import numpy as np

from edge_autoglm import pipeline
from edge_autoglm.device.ports import Port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.builds import remember
from edge_autoglm.measure.counts import counter_of
from edge_autoglm.measure.figures import Figure, Kind
from edge_autoglm.measure.verify import same_model
from edge_boards import Board
from edge_export import export_model

from .base import Array, BackendRefusedError, BackendRunError, Inference, Loaded, said_by
from .model import RunModel


class BoardLoaded(Loaded):
    """A board that carries the model."""

    def __init__(self, name: str, board: Board, model: RunModel, port: str) -> None:
        super().__init__(model.graph)
        self._name, self._board = name, board
        self._stack = ExitStack()
        try:
            self._scratch = Path(
                self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-backend-"))
            )
            with said_by(name, BackendRefusedError), self.place():
                self._set_up(model, port)
        except BaseException:
            self.close()
            raise

    def place(self) -> AbstractContextManager[None]:
        """Holds while the board is spoken to."""
        return nullcontext()

    def _set_up(self, model: RunModel, port: str) -> None:
        assert model.graph is not None
        exported = export_model(model.graph, self._board, self._scratch / "c")
        built = pipeline.build(exported, self._board)
        sizes = built.image.sizes
        self._static = sizes.static_ram + sizes.arena + (sizes.rings or 0)
        if model.path is not None:
            remember(built.image, model.path)
        report = flash_image(self._board, built.image, port)
        self._port: Port = report.port
        self._graph = model.graph
        self.kind = Kind.MODELLED if self._port.is_virtual else Kind.MEASURED
        if not self._port.is_virtual:
            self.load = Figure(report.seconds, Kind.MEASURED)
        self.facts = (f"{self._board.title}, {built.toolchain}",)
        self._session = self._stack.enter_context(Session(open_port(self._port)))
        self._model = same_model(self._session, self._graph)
        if not self._session.info.counter.tells_time:
            self.facts += (f"it counts {self._session.info.counter.word}, which tell no time",)

    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        with said_by(self._name, BackendRunError), self.place():
            session, model = self._session, self._model
            info = session.info
            counter = counter_of(self._port, info)
            counts = []
            fed = [np.ascontiguousarray(array).tobytes() for array in inputs]
            with counter.counting() if counter else nullcontext():
                for _ in range(repeats):
                    # Each time: layers write their results where inputs were that are used up.
                    for index, content in enumerate(fed):
                        session.write_input(model, index, content)
                    counts.append(session.profile(model).cycles)
            tensors = [self._graph.tensors[index] for index in self._graph.outputs]
            outputs = tuple(
                np.frombuffer(session.read_output(model, index), tensor.dtype.numpy).reshape(
                    tensor.shape
                )
                for index, tensor in enumerate(tensors)
            )
        if not info.counter.tells_time:
            return Inference(outputs, None)
        return Inference(outputs, tuple(count / info.clock_hz for count in counts))

    def memory(self) -> Figure | None:
        """RAM: what is set aside, and the stack's high water where the board watches it."""
        with said_by(self._name, BackendRunError), self.place():
            stack = self._session.stats(self._model).stack_used
        if stack is None:
            return None
        kind = Kind.EXACT if self._port.is_virtual else Kind.MEASURED
        return Figure(self._static + stack, kind)

    def close(self) -> None:
        with self.place():
            self._stack.close()
