"""Recipes as TOML files.

    [model]                       # what is done to the whole model; each key may be left out
    equalize = false              # cross-layer equalization, kept where the samples say it helps
    correct_bias = true
    adaptive_rounding = true
    float_io = false              # inputs and outputs stay float32

    [default]                     # what every layer becomes
    precision = "int8"            # float32, int8, int16x8, int4, float16, dynamic
    per_channel = true            # scales of the weights
    weights = "mse"               # minmax, percentile, mse
    activations = "mse"
    percentile = 99.99            # kept, for the observer of that name

    [[rule]]                      # any number; a later rule wins over an earlier one
    layer = "dense*"              # shell patterns over the layer's name
    op = "FULLY_CONNECTED"        # and over its operator; one of the two may be left out
    precision = "int16x8"         # any key of [default]

A layer's name is the short one that `inspect`, `quantize` and `sensitivity` show (`dense_5`), or
the whole name of the tensor that it makes: a pattern may match either. Operators match in any case.

int4, float16 and dynamic are precisions of weights. A rule that gives one to layers of which none
has weights is an error; of a wider pattern, those without weights are named in a note.

A key that is not known, a value that is none of those named, a rule without a pattern or without a
change, and two rules with the same patterns and different values are errors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_quantize.errors import RecipeError

from .recipe import Observer, Precision, Recipe, Rule, Scheme

_MOST_BYTES = 1 << 20


def read_recipe(path: Path | str) -> Recipe:
    """The recipe in a file. Raises RecipeError naming the file and the line or the rule."""
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RecipeError(f"{path}: too large to be a recipe")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text, so no recipe") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, source: str = "recipe") -> Recipe:
    """The recipe in a TOML text; `source` is what errors call it."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{source}: {error}") from error
    _known(content, {"model", "default", "rule"}, source)
    model = _fields(_table(content, "model", source), _MODEL, f"{source}: [model]")
    default = _fields(_table(content, "default", source), _SCHEME, f"{source}: [default]")
    rules = content.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise RecipeError(f"{source}: rules are written [[rule]], with double brackets")
    read = tuple(_rule(rule, f"{source}: rule {n}") for n, rule in enumerate(rules, 1))
    _agree(read, source)
    return Recipe(default=Scheme(**default), rules=read, **model)  # type: ignore[arg-type]


def _table(content: Mapping[str, object], name: str, source: str) -> Mapping[str, object]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise RecipeError(f"{source}: [{name}] has to be a table")
    return found


def _known(table: Mapping[str, object], names: set[str], where: str) -> None:
    for key in table:
        if key not in names:
            raise RecipeError(f"{where}: no key {key!r}; there are {', '.join(sorted(names))}")


def _fields(
    table: Mapping[str, object], readers: Mapping[str, Callable[[object], object]], where: str
) -> dict[str, object]:
    _known(table, set(readers), where)
    found = {}
    for key, value in table.items():
        try:
            found[key] = readers[key](value)
        except ValueError as error:
            raise RecipeError(f"{where}: {key} = {_shown(value)}: {error}") from error
    return found


def _rule(table: Mapping[str, object], where: str) -> Rule:
    patterns = {key: value for key, value in table.items() if key in ("layer", "op")}
    changes = {key: value for key, value in table.items() if key not in patterns}
    if not patterns:
        raise RecipeError(f"{where}: names neither layer nor op; [default] is for all layers")
    read = _fields(changes, _SCHEME, where)
    if not read:
        raise RecipeError(f"{where}: changes nothing; give it one of {', '.join(_SCHEME)}")
    names = _fields(patterns, {"layer": _pattern, "op": _pattern}, where)
    return Rule(layer=str(names.get("layer", "*")), op=str(names.get("op", "*")), changes=read)


def _agree(rules: tuple[Rule, ...], source: str) -> None:
    """Raises RecipeError for rules of the same patterns with different values."""
    said: dict[tuple[str, str, str], tuple[int, object]] = {}
    for number, rule in enumerate(rules, 1):
        for key, value in rule.changes.items():
            first, before = said.setdefault((rule.layer, rule.op, key), (number, value))
            if before != value:
                raise RecipeError(
                    f"{source}: rules {first} and {number} contradict each other: the same layers "
                    f"get {key} {_shown(before)} and {_shown(value)}"
                )


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _pattern(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a pattern in quotes")
    return value


def _precision(value: object) -> Precision:
    names = [precision.value for precision in Precision]
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return Precision(value)


def _observer(value: object) -> Observer:
    names = [observer.value for observer in Observer]
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return Observer(value)


def _percentile(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 50 < value <= 100:
        raise ValueError("must be a number above 50, up to 100")
    return float(value)


def _shown(value: object) -> str:
    named = value.value if isinstance(value, Precision | Observer) else value
    return str(named).lower() if isinstance(named, bool) else repr(named)


_MODEL: dict[str, Callable[[object], object]] = dict.fromkeys(
    ("equalize", "correct_bias", "adaptive_rounding", "float_io"), _boolean
)
_SCHEME: dict[str, Callable[[object], object]] = {
    "precision": _precision,
    "per_channel": _boolean,
    "weights": _observer,
    "activations": _observer,
    "percentile": _percentile,
}
