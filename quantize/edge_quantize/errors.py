"""Errors of `edge_quantize`.

QuantizeError             base; the CLI prints it as one line and exits 1
+-- ModelFileError        the file cannot be read, or is not a sound .tflite
+-- UnsupportedModelError the file is sound, but uses what this tool does not support
+-- ReferenceRuntimeError a host reference runtime is missing, or refused the model
+-- InputDataError        a data file does not fit the model's inputs
+-- GraphEditError        a change of the graph was asked for that cannot be made
+-- LosslessError         a lossless pass changed the outputs: a mistake of this tool
"""

from __future__ import annotations


class QuantizeError(Exception):
    """Base of every error that this package raises on purpose."""


class ModelFileError(QuantizeError):
    """The model file cannot be read or is malformed; `problems` lists every reason found."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class UnsupportedModelError(QuantizeError):
    """The model is sound but unsupported; `problems` lists every reason, not the first."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class ReferenceRuntimeError(QuantizeError):
    """A host reference runtime is not installed, or refused the model."""


class InputDataError(QuantizeError):
    """A data file does not fit the model's inputs; the message says what was expected."""


class GraphEditError(QuantizeError):
    """A change of the graph that cannot be made; the message says where and why."""


class LosslessError(QuantizeError):
    """A graph computes something else after passes that must not change it."""
