"""What every backend gives: whether it is here, whether it takes a model, and the model loaded.

A backend is what computes an inference: a runtime on this machine's CPU or GPU, the generated C, a
board. Each is one file of this package and one row of its table (`table.py`).
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_autoglm.errors import EdgeError
from edge_autoglm.measure.figures import Figure, Kind
from edge_boards.errors import BoardsError
from edge_export.errors import ExportError
from edge_quantize.errors import GpuUnavailableError, QuantizeError
from edge_quantize.graph import Graph

from .model import RunModel, check_inputs

Array = npt.NDArray[np.generic]


class BackendError(EdgeError):
    """A backend cannot be had, or fails."""


class BackendUnavailableError(BackendError):
    """The backend is not on this machine; the message says what brings it."""


class BackendRefusedError(BackendError):
    """The backend does not take the model, or would compute it somewhere else."""


class BackendRunError(BackendError):
    """The backend failed, or its process ended, while it ran."""


class Judge(Enum):
    """What a backend's outputs are compared with; the value is how reports call it."""

    LITERT = "LiteRT on the CPU"
    ONNX = "ONNX Runtime on the CPU"
    MICRO = "the host's reference for boards"


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used on this machine. `why` says what it found or what is missing,
    `mend` is the one command (or step) that brings it, "" where nothing does. `checks_only`: it
    computes right, and so slowly that it serves for checking only (a GPU in software)."""

    ok: bool
    why: str
    mend: str = ""
    checks_only: bool = False


def on_windows() -> Availability | None:
    """What a backend says there whose engine is a process of its own; None elsewhere."""
    if sys.platform != "win32":
        return None
    why = "runs in a process of its own, on Linux and macOS only; on Windows use WSL"
    return Availability(False, why)


@dataclass(frozen=True)
class Inference:
    """The last outputs, in the model's element types, and the seconds of each run: writing the
    inputs, computing, and reading the outputs back. A board's are those that the board counts, of
    computing alone; None where what it counts is no time."""

    outputs: tuple[Array, ...]
    seconds: tuple[float, ...] | None


class Loaded(ABC):
    """A model that is loaded by one backend. A context manager; not for several threads.

    Attributes:
        load: seconds from the file to ready, the start of a process left out; None where that says
            nothing (an emulated flash).
        kind: where its seconds come from.
        facts: lines about what computes: the adapter, the providers, the arithmetic.
        warnings: what the backend itself said that makes its outputs doubtful.
        checks_only: what computes is a GPU in software, see Availability.
    """

    kind: Kind = Kind.MEASURED

    def __init__(self, ports: Graph | None) -> None:
        """`ports` has the model's inputs; None where the runtime checks what it is fed."""
        self._ports = ports
        self.load: Figure | None = None
        self.facts: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.checks_only = False

    def infer(self, inputs: Sequence[Array] | Array, repeats: int = 1) -> Inference:
        """Inferences on one input: arrays of the inputs' shapes and element types, in order; a bare
        array is the only input of a model that has one.

        Raises InputDataError for others, BackendRunError."""
        if isinstance(inputs, np.ndarray):
            inputs = (inputs,)
        if self._ports is not None:
            check_inputs(self._ports, inputs)
        return self._infer(inputs, repeats)

    @abstractmethod
    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        """As `infer`, of inputs that fit."""

    def memory(self) -> Figure | None:
        """Bytes: on this machine the most that its own process took so far, Python included; on a
        board its RAM. None where nobody tells."""
        return None

    def close(self) -> None:  # noqa: B027 - not every backend holds something
        """Gives back what it holds."""

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class Backend(ABC):
    """One way to run a model.

    Attributes:
        name: as `--backends` and `backend=` take it.
        title: in a few words, for people.
        judge: what its outputs are compared with.
        last_resort: a CPU runtime, which "auto" falls back to, and says so. Such a one is the
            judge itself.
        automatic: "auto" may choose it; the others are used when they are named.
    """

    name: str
    title: str
    judge: Judge
    last_resort = False
    automatic = False

    @abstractmethod
    def available(self) -> Availability:
        """Looks, without loading a model."""

    @abstractmethod
    def refuses(self, model: RunModel) -> str:
        """Why this backend cannot take the model; "" where nothing is known against it."""

    @abstractmethod
    def load(self, model: RunModel) -> Loaded:
        """Raises BackendUnavailableError, BackendRefusedError, BackendRunError."""

    def only_rounds(
        self,
        model: RunModel,
        inputs: Sequence[Sequence[Array]],
        outputs: Sequence[Sequence[Array]],
    ) -> bool:
        """Whether `outputs` that are off are so because integers were rounded to neighbours
        between layers, and nothing else is wrong; False where nobody can tell."""
        del model, inputs, outputs
        return False

    def describe(self) -> str:
        """One line: what it is, and whether it is here."""
        found = self.available()
        return f"{self.name}: {self.title}; {found.why}"

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"


@contextmanager
def said_by(name: str, kind: type[BackendError]) -> Iterator[None]:
    """Turns the errors of the floors below into `kind`, with the backend's name in front."""
    try:
        yield
    except GpuUnavailableError as error:
        raise BackendUnavailableError(f"{name}: {error}") from error
    except (QuantizeError, ExportError, BoardsError, EdgeError) as error:
        if isinstance(error, BackendError):
            raise
        raise kind(f"{name}: {reason(error)}") from error


def reason(error: Any) -> str:
    """An error's line, with the first of its problems where the line leaves them out."""
    text = str(error)
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    if problems and problems[0] not in text:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        text = f"{text}: {problems[0]}{more}"
    return text
