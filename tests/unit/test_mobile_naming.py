"""Identifiers of generated classes from the names that models give."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_export.mobile.naming import Style, identifier, identifiers, port_text

KEYWORDS = frozenset({"in", "class", "Type", "for", "if", "x2"})
FORMS = {
    Style.LOWER_CAMEL: r"[a-z][0-9A-Za-z]*(?:_[0-9][0-9A-Za-z]*)*",
    Style.UPPER_CAMEL: r"[A-Z][0-9A-Za-z]*(?:_[0-9][0-9A-Za-z]*)*",
    Style.SNAKE: r"[a-z][0-9a-z]*(?:_[0-9a-z]+)*",
}
texts = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="ab1_ -:/İßé日", max_size=12),
    st.sampled_from(sorted(KEYWORDS)),
)


@pytest.mark.parametrize(
    ("text", "lower", "upper", "snake"),
    [
        ("kws_float", "kwsFloat", "KwsFloat", "kws_float"),
        ("1-weird name", "value1WeirdName", "Value1WeirdName", "value_1_weird_name"),
        ("HTTPServer", "httpServer", "HttpServer", "http_server"),
        ("inputImage", "inputImage", "InputImage", "input_image"),
        ("input_1_2", "input1_2", "Input1_2", "input_1_2"),
        ("Größe.été", "grosseEte", "GrosseEte", "grosse_ete"),
        ("model/Softmax:3", "modelSoftmax3", "ModelSoftmax3", "model_softmax_3"),
        ("日本語", "value", "Value", "value"),
        ("", "value", "Value", "value"),
        ("class", "valueClass", "Class", "value_class"),
        ("type", "type", "ValueType", "type"),
    ],
)
def test_words_are_kept_and_put_together_in_the_languages_style(
    text: str, lower: str, upper: str, snake: str
) -> None:
    assert identifier(text, KEYWORDS, Style.LOWER_CAMEL) == lower
    assert identifier(text, KEYWORDS, Style.UPPER_CAMEL) == upper
    assert identifier(text, KEYWORDS, Style.SNAKE) == snake


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("serving_default_input_1:0", "input_1"),
        ("input_1", "input_1"),
        ("x:12", "x"),
        ("StatefulPartitionedCall:0", ""),
        ("StatefulPartitionedCall_1:0", ""),
        ("Identity", ""),
        ("Identity_3", ""),
        ("IdentityCard", "IdentityCard"),
        (":0", ":0"),
        ("serving_default_", "serving_default_"),
    ],
)
def test_what_tensorflow_adds_to_a_ports_name_is_taken_away(name: str, said: str) -> None:
    assert port_text(name) == said


@given(texts, st.sampled_from(Style))
def test_every_text_gives_a_valid_identifier_that_is_no_keyword(text: str, style: Style) -> None:
    name = identifier(text, KEYWORDS, style)
    assert re.fullmatch(FORMS[style], name)
    assert name not in KEYWORDS
    assert len(name) <= 100


@given(st.lists(texts, max_size=25), st.sampled_from(Style))
def test_identifiers_are_valid_different_and_no_keywords(names: list[str], style: Style) -> None:
    found = identifiers(names, KEYWORDS, style)
    assert len(found) == len(names)
    assert len(set(found)) == len(found)
    assert not set(found) & KEYWORDS
    assert all(re.fullmatch(FORMS[style], name) for name in found)


@given(st.lists(texts, max_size=10), texts)
def test_a_name_that_nobody_else_has_is_not_numbered(names: list[str], text: str) -> None:
    alone = identifier(text)
    if alone not in {identifier(each) for each in names}:
        assert identifiers([*names, text])[-1] == alone


def test_equal_names_are_numbered_in_order_past_those_that_are_taken() -> None:
    assert identifiers(["a", "a", "a2", "A", "x", "x"], KEYWORDS) == (
        "a", "a3", "a2", "a4", "x", "x3",
    )  # fmt: skip
