"""Program + plan -> C text. One module a file of the generated folder."""

from .buildfiles import cmake_lists, library_json
from .header import model_header
from .interface import MODEL_ABI, Port, ports
from .source import model_source
from .weights import constant_blocks, constant_references, weights_header, weights_source

__all__ = [
    "MODEL_ABI",
    "Port",
    "cmake_lists",
    "constant_blocks",
    "constant_references",
    "library_json",
    "model_header",
    "model_source",
    "ports",
    "weights_header",
    "weights_source",
]
