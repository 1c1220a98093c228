"""Where a model can run, and how to choose.

    from edge_autoglm import select_backend
    found = select_backend("auto", "kws.tflite")
    print(found)
    with found.load() as loaded:
        outputs = loaded.infer(inputs).outputs

`base` has the interface, `table` one row a backend. Names are imported when they are first used:
the processes that run the engines are of this package too, and need none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import (
        Availability,
        Backend,
        BackendError,
        BackendRefusedError,
        BackendRunError,
        BackendUnavailableError,
        Inference,
        Loaded,
    )
    from .choose import Selection, select_backend
    from .model import RunModel, read_run_model
    from .table import find_backend, host_backends

__all__ = [
    "Availability",
    "Backend",
    "BackendError",
    "BackendRefusedError",
    "BackendRunError",
    "BackendUnavailableError",
    "Inference",
    "Loaded",
    "RunModel",
    "Selection",
    "find_backend",
    "host_backends",
    "read_run_model",
    "select_backend",
]

_MODULES = {
    "RunModel": ".model",
    "Selection": ".choose",
    "find_backend": ".table",
    "host_backends": ".table",
    "read_run_model": ".model",
    "select_backend": ".choose",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, ".base"), __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
