"""edge-autoglm: from a trained model to a measured microcontroller.

    from edge_autoglm import optimize

The public API is imported where it is asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends import select_backend
    from .search.api import Compiled, Optimized, optimize

__version__ = "0.1.0"

__all__ = ["Compiled", "Optimized", "__version__", "optimize", "select_backend"]

_MODULES = {
    "Compiled": ".search.api",
    "Optimized": ".search.api",
    "optimize": ".search.api",
    "select_backend": ".backends",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
