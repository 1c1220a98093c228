"""What can be said of Swift without a Swift compiler: its syntax, and whether the C functions it
calls are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import tree_sitter_swift
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_swift.language()))
_FOREIGN = re.compile(r"k?TfLite\w+|TFLGpu\w+")


def syntax_errors(swift: str) -> list[str]:
    """Places that are no Swift, as "LINE: text"."""
    return [
        f"{node.start_point[0] + 1}: {_text(node).splitlines()[0] if _text(node) else node.type}"
        for node in _walk(_tree(swift))
        if node.is_error or node.is_missing
    ]


def foreign_names(swift: str) -> set[str]:
    """Names of TensorFlow Lite's C interfaces that are used anywhere in code."""
    return {
        _text(node)
        for node in _walk(_tree(swift))
        if node.type in ("simple_identifier", "type_identifier") and _FOREIGN.fullmatch(_text(node))
    }


def foreign_calls(swift: str) -> Iterator[tuple[str, int]]:
    """Calls of functions of TensorFlow Lite, with the number of arguments given."""
    for node in _walk(_tree(swift)):
        if node.type != "call_expression" or not node.children:
            continue
        name = _text(node.children[0])
        if _FOREIGN.fullmatch(name):
            yield name, sum(each.type == "value_argument" for each in _walk(_suffix(node), 3))


def declared(header: Path) -> Mapping[str, int]:
    """Functions of a C header with the number of their parameters, and its other names with -1."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = dict.fromkeys(_FOREIGN.findall(text), -1)
    for statement in text.split(";"):
        match = re.search(r"\b((?:TfLite|TFLGpu)\w+)\((.*)\)\s*$", statement.strip(), re.DOTALL)
        if match and "typedef" not in statement:
            names[match[1]] = _parameters(match[2])
    return names


def _parameters(text: str) -> int:
    if text.strip() in ("", "void"):
        return 0
    # The parameters of a function that is a parameter are not its own.
    while (flat := re.sub(r"\([^()]*\)", "", text)) != text:
        text = flat
    return text.count(",") + 1


def _tree(swift: str) -> Node:
    return _PARSER.parse(swift.encode()).root_node


def _walk(node: Node, depth: int = 10_000) -> Iterator[Node]:
    yield node
    if depth:
        for child in node.children:
            yield from _walk(child, depth - 1)


def _suffix(call: Node) -> Node:
    return call.children[-1]


def _text(node: Node) -> str:
    return node.text.decode() if node.text else ""
