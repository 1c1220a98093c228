"""The graph as C that a microcontroller runs.

    from edge_export import export_model, load_export, HostModel, verify_host

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import ExportError, HostBuildError, LoweringError, PlanError

if TYPE_CHECKING:
    from .aot.package import ExportResult, compile_model, export_model, load_export
    from .aot.plan_file import plan_rows
    from .host import HostModel
    from .verify import HostVerdict, verify_host

__all__ = [
    "ExportError",
    "ExportResult",
    "HostBuildError",
    "HostModel",
    "HostVerdict",
    "LoweringError",
    "PlanError",
    "compile_model",
    "export_model",
    "load_export",
    "plan_rows",
    "verify_host",
]

_MODULES = {
    "ExportResult": ".aot.package",
    "HostModel": ".host",
    "HostVerdict": ".verify",
    "compile_model": ".aot.package",
    "export_model": ".aot.package",
    "load_export": ".aot.package",
    "plan_rows": ".aot.plan_file",
    "verify_host": ".verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
