"""The schema's option tables, field by field, as LiteRT's own schema module declares them.

So an operator that has no typed options here is read and written whole all the same: each table is
flat, made of numbers, strings and vectors of numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import flatbuffers
import numpy as np
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
    element: np.dtype[np.generic] | None = None  # of a vector; None for a number or a string

    @property
    def key(self) -> str:
        """The name in `SchemaOptions.values` ("begin_mask")."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()


@cache
def table_fields(table: str) -> tuple[Field, ...]:
    """The fields of one of `TABLES`, in the schema's order."""
    prefix = f"{table}Add"
    names = [name.removeprefix(prefix) for name in vars(schema) if name.startswith(prefix)]
    return tuple(Field(name, _element(table, name)) for name in names)


def _element(table: str, field: str) -> np.dtype[np.generic] | None:
    """What a vector holds, from reading one that is written: the schema's code says it nowhere
    else."""
    if not hasattr(getattr(schema, table), f"{field}AsNumpy"):
        return None
    builder = flatbuffers.Builder(64)
    eight_bytes = builder.CreateNumpyVector(np.zeros(1, np.int64))
    getattr(schema, f"{table}Start")(builder)
    getattr(schema, f"{table}Add{field}")(builder, eight_bytes)
    builder.Finish(getattr(schema, f"{table}End")(builder))
    written = getattr(schema, table).GetRootAs(builder.Output())
    found: np.dtype[np.generic] = getattr(written, f"{field}AsNumpy")().dtype
    return found
