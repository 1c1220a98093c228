"""Errors of `edge_quantize`.

QuantizeError             base; the CLI prints it as one line and exits 1
+-- ModelFileError        the file cannot be read, or is not a sound .tflite
+-- UnsupportedModelError the file is sound, but uses what this tool does not support
+-- ReferenceRuntimeError a host reference runtime is missing, or refused the model
+-- InputDataError        a data file does not fit the model's inputs
+-- RecipeError           a recipe matches nothing, or contradicts itself or the model
+-- PruningError          what was asked for cannot be pruned
+-- UnsoundResultError    a result that was run is wrong: a bug here or in a library, by its name
+-- ConversionError       a framework cannot read the model, or cannot express it as a .tflite
+-- MissingExtraError     a framework is not installed; the message has the install line
+-- GraphEditError        a change of the graph was asked for that cannot be made
+-- LosslessError         a lossless pass changed the outputs: a mistake of this tool
+-- GpuError              LiteRT's GPU run; `log` is what the backend printed
    +-- GpuUnavailableError no Vulkan driver, or LiteRT without its GPU accelerator
    +-- GpuCompileError     the backend refused the model
    +-- GpuRunError         the backend failed or crashed while it ran
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


class RecipeError(QuantizeError):
    """A recipe matches nothing, or contradicts itself or the model."""


class PruningError(QuantizeError):
    """A sparsity or a target is out of range, or no channel can go."""


class UnsoundResultError(QuantizeError):
    """A result was run and is wrong (a constant output, an unchanged file, a pass that changed the
    outputs); the message names which of these it is."""


class ConversionError(QuantizeError):
    """A framework cannot load or convert a model; `log` is all that it printed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class MissingExtraError(QuantizeError):
    """A framework is needed that is not installed; the message has the line that installs it."""


class GraphEditError(QuantizeError):
    """A change of the graph that cannot be made; the message says where and why."""


class LosslessError(QuantizeError):
    """A graph computes something else after passes that must not change it."""


class GpuError(QuantizeError):
    """LiteRT's GPU run cannot be had or failed; `log` is all that the backend printed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class GpuUnavailableError(GpuError):
    """No Vulkan driver, or a LiteRT without GPU accelerator; the message has the command."""


class GpuCompileError(GpuError):
    """The backend refused the model."""


class GpuRunError(GpuError):
    """The backend failed, or its process crashed, while it ran."""
