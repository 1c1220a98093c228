"""The graph as C that a microcontroller runs, or as a package for a phone's GPU.

    from edge_export import export_model, load_export, HostModel, verify_host

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import ExportError, HostBuildError, LoweringError, PlanError, TflmTreeError

if TYPE_CHECKING:
    from .aot.package import ExportResult, compile_model, export_model
    from .aot.plan_file import plan_rows
    from .host import HostModel
    from .mobile.package import export_mobile
    from .runtimes import RUNTIMES, Exported, load_export
    from .tflm.package import TflmExport, export_tflm
    from .tflm.tree import TflmTree, find_tree
    from .verify import HostVerdict, verify_host

__all__ = [
    "RUNTIMES",
    "ExportError",
    "ExportResult",
    "Exported",
    "HostBuildError",
    "HostModel",
    "HostVerdict",
    "LoweringError",
    "PlanError",
    "TflmExport",
    "TflmTree",
    "TflmTreeError",
    "compile_model",
    "export_mobile",
    "export_model",
    "export_tflm",
    "find_tree",
    "load_export",
    "plan_rows",
    "verify_host",
]

_MODULES = {
    "RUNTIMES": ".runtimes",
    "ExportResult": ".aot.package",
    "Exported": ".runtimes",
    "HostModel": ".host",
    "HostVerdict": ".verify",
    "compile_model": ".aot.package",
    "TflmExport": ".tflm.package",
    "TflmTree": ".tflm.tree",
    "export_mobile": ".mobile.package",
    "export_model": ".aot.package",
    "export_tflm": ".tflm.package",
    "find_tree": ".tflm.tree",
    "load_export": ".runtimes",
    "plan_rows": ".aot.plan_file",
    "verify_host": ".verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
