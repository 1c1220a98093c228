"""Class names from a text file."""

from __future__ import annotations

from pathlib import Path

from .errors import InputDataError
from .graph.model import Graph

_LONGEST = 64
_MOST_BYTES = 1 << 20


def read_labels(path: Path, graph: Graph) -> tuple[str, ...]:
    """One name a line, as many as the model's first output has elements.

    Raises InputDataError when the file cannot be read or has another number of names.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise InputDataError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputDataError(
            f"{path}: no UTF-8 text ({error.reason} at byte {error.start})"
        ) from error
    if len(content) > _MOST_BYTES:
        raise InputDataError(f"{path}: over {_MOST_BYTES} bytes; labels are one short name a line")
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    output = graph.tensor(graph.outputs[0])
    if len(labels) != output.elements:
        raise InputDataError(
            f"{path}: {len(labels)} names, and the output '{output.name}' has {output.elements} "
            "elements; give one name a line, in the output's order"
        )
    too_long = next((label for label in labels if len(label) > _LONGEST), None)
    if too_long is not None:
        raise InputDataError(f"{path}: {too_long[:20]!r}... is longer than {_LONGEST} characters")
    return labels
