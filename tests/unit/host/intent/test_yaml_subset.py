# SPDX-License-Identifier: Apache-2.0
"""The reader of netplan's YAML: what it takes it takes rightly, and what it does not know it says."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.intent.yaml_subset import Node, NotUnderstoodError, parse_yaml

WORDS = st.text("abe019._/", min_size=1, max_size=6)
NODES: st.SearchStrategy[Node] = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(WORDS, inner, min_size=1, max_size=3),
    max_leaves=12,
)


def in_blocks(node: Node, indent: int = 0) -> list[str]:
    """Written out by indentation."""
    pad = " " * indent
    if isinstance(node, dict):
        made = []
        for key, value in node.items():
            made += (
                [f"{pad}{key}: {value}"] if isinstance(value, str) else [f"{pad}{key}:", *in_blocks(value, indent + 2)]
            )
        return made
    if isinstance(node, list):
        made = []
        for value in node:
            inner = in_blocks(value, indent + 2)
            made += [f"{pad}- {inner[0].strip()}", *inner[1:]]
        return made
    return [f"{pad}{node}"]


def in_brackets(node: Node) -> str:
    if isinstance(node, dict):
        return "{" + ", ".join(f"{key}: {in_brackets(value)}" for key, value in node.items()) + "}"
    return f"[{', '.join(map(in_brackets, node))}]" if isinstance(node, list) else str(node)


@given(st.dictionaries(WORDS, NODES, min_size=1, max_size=3))
def test_what_was_written_is_read(document: dict[str, Node]) -> None:
    assert parse_yaml("\n".join(in_blocks(document))) == document
    assert parse_yaml(in_brackets(document)) == document
    mixed = "\n".join(f"{key}: {in_brackets(value)}  # so" for key, value in document.items())
    assert parse_yaml(f"---\n{mixed}\n\n") == document


@given(st.text("ab:-#{}[],\"'&*|> \n\t", max_size=40))
def test_what_is_not_understood_is_said_and_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(NotUnderstoodError):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a: "b: c"', {"a": "b: c"}),
        ("a: 'it''s'", {"a": "it's"}),
        ("a:\n- b\n- c: d\n  e: f\n", {"a": ["b", {"c": "d", "e": "f"}]}),
        ("a: [b,\n    c]\nd: e", {"a": ["b", "c"], "d": "e"}),
        ('{"a": {b: [c]}}', {"a": {"b": ["c"]}}),
        ("via: 2001:db8::1", {"via": "2001:db8::1"}),
        ("a: b # c", {"a": "b"}),
        ("a: b#c", {"a": "b#c"}),
        ("a:\n", {"a": None}),
        ("", None),
    ],
)
def test_as_files_have_it(text: str, expected: Node) -> None:
    assert parse_yaml(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: &x b",
        "a: *x",
        "a: |\n  b",
        "a: >\n  b",
        "a: !t b",
        "a: b\n---\nc: d",
        "a: b\na: c",
        "{a: b, a: c}",
        "a: b\n  c",
        "\ta: b",
        'a: "b',
        "a: [b",
    ],
)
def test_what_it_does_not_know(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        parse_yaml(text)
