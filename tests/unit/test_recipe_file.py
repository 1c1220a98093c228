"""Recipes as TOML: what they say, and every way of saying it wrong."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ptq_models import cnn, samples

from edge_quantize.errors import RecipeError
from edge_quantize.graph.names import layer_names
from edge_quantize.ptq import Observer, Precision, Recipe, Rule, Scheme, quantize
from edge_quantize.ptq.recipe_file import parse_recipe, read_recipe

WHOLE = """
[model]
equalize = false
correct_bias = true
adaptive_rounding = false
float_io = true

[default]
precision = "int8"
per_channel = false
weights = "minmax"
activations = "percentile"
percentile = 99.5

[[rule]]
layer = "*dense*"
precision = "int16x8"

[[rule]]
op = "SOFTMAX"
precision = "float32"
"""


THREE_RULES = """
[[rule]]
layer = "a"
precision = "int8"
[[rule]]
layer = "b"
precision = "int8"
[[rule]]
layer = "a"
precision = "int4"
"""


def test_every_key_is_read() -> None:
    recipe = parse_recipe(WHOLE)
    assert recipe == Recipe(
        default=Scheme(Precision.INT8, False, Observer.MINMAX, Observer.PERCENTILE, 99.5),
        rules=(
            Rule("*dense*", "*", {"precision": Precision.INT16X8}),
            Rule("*", "SOFTMAX", {"precision": Precision.FLOAT32}),
        ),
        equalize=False,
        correct_bias=True,
        adaptive_rounding=False,
        float_io=True,
    )


def test_nothing_said_is_the_default_recipe() -> None:
    assert parse_recipe("") == Recipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[default]\nprecision = "int7"', r"\[default\]: precision = 'int7': must be one of"),
        ("[defaults]", "no key 'defaults'; there are default, model, rule"),
        ("[default]\nbits = 8", r"\[default\]: no key 'bits'"),
        ("[model]\nequalize = 1", "equalize = 1: must be true or false"),
        ("[default]\npercentile = 10", "percentile = 10: must be a number above 50"),
        ('[default]\nweights = "max"', "weights = 'max': must be one of minmax"),
        ("default = 3", r"\[default\] has to be a table"),
        ('[rule]\nlayer = "a"', r"written \[\[rule\]\]"),
        ('[[rule]]\nprecision = "int8"', "rule 1: names neither layer nor op"),
        ('[[rule]]\nlayer = "a"', "rule 1: changes nothing"),
        ('[[rule]]\nlayer = ""\nprecision = "int8"', "rule 1: layer = '': must be a pattern"),
        ('[[rule]]\nlayer = "a"\nprecison = "int8"', "rule 1: no key 'precison'"),
        ("[default]\n\nprecision = int8", "line 3"),
        (
            THREE_RULES,
            "rules 1 and 3 contradict each other: the same layers get precision 'int8' and 'int4'",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse_recipe(text, "r.toml")
    assert str(caught.value).startswith("r.toml")
    assert "\n" not in str(caught.value)


def test_two_rules_may_say_different_things_of_the_same_layers() -> None:
    text = '[[rule]]\nop = "A"\nprecision = "int4"\n[[rule]]\nop = "A"\nper_channel = false\n'
    assert len(parse_recipe(text).rules) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"\xff\xfe\x00", "not UTF-8"), (b"#" * (1 << 21), "too large")],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_recipe(path)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="directory"):
        read_recipe(tmp_path)


def test_a_rule_that_matches_nothing_is_refused() -> None:
    graph = cnn()
    recipe = parse_recipe('[[rule]]\nlayer = "no_such*"\nprecision = "int8"\n')
    with pytest.raises(RecipeError, match=r"no layer matches layer = 'no_such\*'"):
        quantize(graph, samples(graph), recipe)


def test_later_rules_win_and_patterns_meet_names_and_operators() -> None:
    graph = cnn()
    recipe = parse_recipe(
        '[[rule]]\nop = "CONV_2D"\nprecision = "int4"\n'
        f'[[rule]]\nlayer = "{graph.layer_name(graph.operators[0])}"\nprecision = "int16x8"\n'
    )
    made = quantize(graph, samples(graph), recipe, verify=False)
    found = [(op, precision) for _, op, precision in made.layers]
    assert found[0] == ("CONV_2D", Precision.INT16X8)
    assert found[2] == ("CONV_2D", Precision.INT4)
    assert {precision for op, precision in found if op != "CONV_2D"} == {Precision.INT8}


schemes = st.builds(
    Scheme,
    precision=st.sampled_from(Precision),
    per_channel=st.booleans(),
    weights=st.sampled_from(Observer),
    activations=st.sampled_from(Observer),
    percentile=st.floats(51, 100).map(lambda value: round(value, 3)),
)


def written(scheme: Scheme) -> str:
    return (
        f'precision = "{scheme.precision.value}"\nper_channel = {str(scheme.per_channel).lower()}\n'
        f'weights = "{scheme.weights.value}"\nactivations = "{scheme.activations.value}"\n'
        f"percentile = {scheme.percentile}\n"
    )


@given(schemes, st.lists(schemes, max_size=3))
def test_what_is_written_is_read(default: Scheme, rules: list[Scheme]) -> None:
    text = "[default]\n" + written(default)
    for number, scheme in enumerate(rules):
        text += f'[[rule]]\nlayer = "layer{number}"\n' + written(scheme)
    recipe = parse_recipe(text)
    assert recipe.default == default
    assert [replace(Scheme(), **rule.changes) for rule in recipe.rules] == rules


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    with contextlib.suppress(RecipeError):
        parse_recipe(text)


def _made(text: str) -> dict[str, Precision]:
    graph = cnn()
    made = quantize(graph, samples(graph, 24), parse_recipe(text))
    return {name: precision for name, _, precision in made.layers}


def test_one_layer_of_an_int8_model_keeps_float16_weights() -> None:
    graph = cnn()
    convolution = next(o for o in graph.operators[1:] if o.op.endswith("CONV_2D"))
    name = graph.layer_name(convolution)
    made = _made(f'[[rule]]\nlayer = "{name}"\nprecision = "float16"')
    assert made.pop(name) is Precision.FLOAT16
    assert set(made.values()) == {Precision.INT8}


def test_layers_are_known_by_the_short_names_that_tables_show() -> None:
    graph = cnn()
    long = {o.op: f"net/{graph.layer_name(o)}/BiasAdd;net/{o.op}" for o in graph.operators}
    tensors = list(graph.tensors)
    for o in graph.operators:
        tensors[o.outputs[0]] = replace(tensors[o.outputs[0]], name=f"{long[o.op]};{o.index}")
    graph = replace(graph, tensors=tuple(tensors))
    short = layer_names(graph)
    for number, name in enumerate(short):
        recipe = parse_recipe(f'[[rule]]\nlayer = "{name}"\nprecision = "int16x8"').named(graph)
        recipe.check(graph)
        wide = [recipe.scheme(graph, o).precision is Precision.INT16X8 for o in graph.operators]
        assert wide == [n == number for n in range(len(short))]


def test_operators_match_in_any_case() -> None:
    made = _made('[[rule]]\nop = "softmax"\nprecision = "float32"')
    assert list(made.values()).count(Precision.FLOAT32) == 1


@pytest.mark.parametrize("precision", ["int4", "float16", "dynamic"])
def test_layers_without_weights_cannot_have_a_precision_of_weights(precision: str) -> None:
    text = f'[[rule]]\nop = "SOFTMAX"\nprecision = "{precision}"'
    with pytest.raises(RecipeError, match=rf"{precision} is .*\(SOFTMAX\) has none") as caught:
        _made(text)
    assert "\n" not in str(caught.value)


def test_a_wide_pattern_names_the_layers_that_cannot_follow_it() -> None:
    graph = cnn()
    recipe = parse_recipe('[[rule]]\nlayer = "*"\nprecision = "int4"')
    notes = quantize(graph, samples(graph, 24), recipe).notes
    assert any("have no weights that could be int4, and are int8" in note for note in notes)
