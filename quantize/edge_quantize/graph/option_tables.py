"""The schema's option tables, field by field, as LiteRT's own schema module declares them.

So an operator that has no typed options here is read and written whole all the same: each table is
flat, made of numbers, strings and vectors of numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ai_edge_litert import schema_py_generated as schema


def schema_names(namespace: type) -> dict[int, str]:
    """Number -> name of one of the schema's enumerations."""
    return {v: k for k, v in vars(namespace).items() if not k.startswith("_")}


# The two unions an operator can take its options from; a table belongs to one of them.
FIRST_UNION = schema_names(schema.BuiltinOptions)
SECOND_UNION = schema_names(schema.BuiltinOptions2)
SECOND_TABLES = frozenset(SECOND_UNION.values()) - {"NONE"}
TABLES = SECOND_TABLES | frozenset(FIRST_UNION.values()) - {"NONE"}


@dataclass(frozen=True)
class Field:
    """One field of a table. `name` is the schema's ("BeginMask")."""

    name: str
    element_bytes: int = 0  # of a vector; 0 for a number or a string

    @property
    def key(self) -> str:
        """The name in `SchemaOptions.values` ("begin_mask")."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()


class _ElementSize:
    """Stands in for a builder, to hear how large a vector's elements are."""

    def __init__(self) -> None:
        self.heard = 0

    def StartVector(self, size: int, _count: int, _alignment: int) -> None:  # noqa: N802
        self.heard = size


@cache
def table_fields(table: str) -> tuple[Field, ...]:
    """The fields of one of `TABLES`, in the schema's order."""
    prefix = f"{table}Add"
    fields = []
    for name in [n.removeprefix(prefix) for n in vars(schema) if n.startswith(prefix)]:
        element = _ElementSize()
        start_vector = getattr(schema, f"{table}Start{name}Vector", None)
        if start_vector is not None:
            start_vector(element, 0)
        fields.append(Field(name, element.heard))
    return tuple(fields)
