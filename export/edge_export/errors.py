"""Errors of `edge_export`.

ExportError           base; the CLI prints it as one line and exits 1
+-- LoweringError     no kernel takes a layer; every such layer is listed
+-- PlanError         the model does not fit the board, or a plan file is wrong
+-- HostBuildError    the generated C did not compile or load on the host
+-- TflmTreeError     the TFLM that was named is missing, or does not go with the board
+-- ArenaError        the arena of a graph cannot be stated (`tflm.arena`)
+-- MobileError       a model cannot become a package for a phone as it was asked for
    +-- UnfitError    the GPU takes not all of it, or computes it wrongly; carries the verdict
+-- DelegationError   what a GPU backend's log says does not fit the model (`mobile.observation`)
"""

from __future__ import annotations


class ExportError(Exception):
    """Base of every error that this package raises on purpose."""


class LoweringError(ExportError):
    """No kernel takes a layer; `problems` lists every one with its reason."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class PlanError(ExportError):
    """Buffers or constants do not fit the board's regions, or a plan file is wrong."""


class HostBuildError(ExportError):
    """The generated C did not compile or load on the host; carries the compiler's words."""


class TflmTreeError(ExportError):
    """The TFLM that was named is missing, of another version, or built for something else."""


class MobileError(ExportError):
    """No package for a phone can be made of the model as it was asked for."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class DelegationError(ExportError):
    """The counts in a GPU backend's log fit no placement of the model's operators."""
