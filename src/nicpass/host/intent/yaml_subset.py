# SPDX-License-Identifier: Apache-2.0
"""As much of YAML 1.2 as netplan's files are written in: maps and lists by indentation or in brackets, and words.

Anchors, tags, several documents and blocks of text are not among it: such a file is not understood, and says so.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Node: TypeAlias = "str | list[Node] | dict[str, Node] | None"

_DEPTH = 40
_KEY = r"""("(?:[^"\\])*"|'(?:[^'])*'|[^\s\-"'&*!|>%@`{}\[\],#][^#]*?|-[^\s#][^#]*?)\s*:(?:\s+(.*))?$"""


class NotUnderstoodError(ValueError):
    """It is YAML of another kind, or none."""


def parse_yaml(text: str) -> Node:
    """The document; a scalar stays the text that it is.

    Raises:
        NotUnderstoodError: there is something in it that this reader does not know.
    """
    lines = [(len(line) - len(line.lstrip(" ")), line.strip()) for line in map(_without_comment, text.splitlines())]
    wanted = [line for line in lines if line[1]]
    if wanted[:1] == [(0, "---")]:
        del wanted[0]
    if wanted and wanted[-1][1] == "...":
        wanted.pop()
    node, end = _block(wanted, 0, -1, _DEPTH)
    if end != len(wanted):
        raise NotUnderstoodError(wanted[end][1])
    return node


def _without_comment(line: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        raise NotUnderstoodError("a tab")
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (place == 0 or line[place - 1] in " [{,:-"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place].rstrip()
    if quote:
        raise NotUnderstoodError(line)
    return line.rstrip()


def _block(lines: list[tuple[int, str]], start: int, above: int, depth: int) -> tuple[Node, int]:
    """What stands further in than `above`, from line `start`; and the line behind it."""
    if start >= len(lines) or lines[start][0] <= above:
        return None, start
    if not depth:
        raise NotUnderstoodError("too deep")
    indent, words = lines[start]
    if words.startswith("- ") or words == "-":
        return _list(lines, start, indent, depth)
    if re.match(_KEY, words):
        return _map(lines, start, indent, depth)
    return _flow_over_lines(lines, start, above)


def _flow_over_lines(lines: list[tuple[int, str]], start: int, above: int) -> tuple[Node, int]:
    end = start
    while end < len(lines) and lines[end][0] > above:
        end += 1
    return parse_flow(" ".join(words for _indent, words in lines[start:end])), end


def _list(lines: list[tuple[int, str]], start: int, indent: int, depth: int) -> tuple[Node, int]:
    found: list[Node] = []
    while start < len(lines) and lines[start][0] == indent and lines[start][1].startswith("-"):
        words = lines[start][1][1:]
        if words and not words.startswith(" "):
            raise NotUnderstoodError(lines[start][1])
        inner = words.strip()
        if inner and (re.match(_KEY, inner) or inner.startswith("- ")):
            # A map or list that begins on the line of its dash: as if it stood on one of its own, further in.
            column = indent + 1 + len(words) - len(words.lstrip())
            lines[start] = (column, inner)
            node, start = _block(lines, start, indent, depth - 1)
        elif inner:
            node, start = _value(inner, lines, start + 1, indent)
        else:
            node, start = _block(lines, start + 1, indent, depth - 1)
        found.append(node)
    return found, start


def _map(lines: list[tuple[int, str]], start: int, indent: int, depth: int) -> tuple[Node, int]:
    found: dict[str, Node] = {}
    while start < len(lines) and lines[start][0] == indent:
        parts = re.match(_KEY, lines[start][1])
        if parts is None or lines[start][1].startswith("- "):
            raise NotUnderstoodError(lines[start][1])
        key, rest = _word(parts[1]), (parts[2] or "").strip()
        if key in found or key == "---":
            raise NotUnderstoodError(key)  # which of two counts depends on the reader
        if rest:
            node, start = _value(rest, lines, start + 1, indent)
        else:
            start += 1
            # A list may stand as far out as the key that it belongs to.
            is_list = start < len(lines) and lines[start][0] == indent and lines[start][1].startswith("-")
            node, start = _block(lines, start, indent - is_list, depth - 1)
        found[key] = node
    return found, start


def _value(text: str, lines: list[tuple[int, str]], start: int, indent: int) -> tuple[Node, int]:
    """What stands behind `key:`; brackets may end lines further on."""
    while text[0] in "[{" and not _is_closed(text) and start < len(lines) and lines[start][0] >= indent:
        text += " " + lines[start][1]
        start += 1
    if start < len(lines) and lines[start][0] > indent:
        raise NotUnderstoodError(lines[start][1])  # a text that goes on
    return parse_flow(text), start


def _is_closed(text: str) -> bool:
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", text)
    return all(bare.count(begin) <= bare.count(end) for begin, end in ("[]", "{}"))


def parse_flow(text: str) -> Node:
    """`[eth1, eth2]`, `{name: "en*"}`, or a word."""
    node, rest = _flow(text.strip(), _DEPTH)
    if rest.strip():
        raise NotUnderstoodError(text)
    return node


_BARE = r"[^,\[\]{}]+"
_QUOTED = r"\"([^\"\\]*)\"|'((?:[^']|'')*)'"


def _flow(text: str, depth: int) -> tuple[Node, str]:
    if not depth:
        raise NotUnderstoodError("too deep")
    if text.startswith("["):
        return _flow_list(text[1:].lstrip(), depth)
    if text.startswith("{"):
        return _flow_map(text[1:].lstrip(), depth)
    if (quoted := re.match(_QUOTED, text)) is not None:
        return _word(quoted[0]), text[quoted.end() :]
    if depth == _DEPTH:
        return _word(text), ""
    bare = re.match(_BARE, text)
    if bare is None:
        raise NotUnderstoodError(text)
    return _word(bare[0].strip()), text[bare.end() :]


def _flow_list(text: str, depth: int) -> tuple[Node, str]:
    found: list[Node] = []
    while not text.startswith("]"):
        node, text = _flow(text, depth - 1)
        found.append(node)
        text = _next(text, "]")
    return found, text[1:].lstrip()


def _flow_map(text: str, depth: int) -> tuple[Node, str]:
    found: dict[str, Node] = {}
    while not text.startswith("}"):
        key = re.match(r"\s*(\"[^\"\\]*\"|'[^']*'|[^,\[\]{}:\s\"'][^,\[\]{}:]*?)\s*:(?:\s+|(?=[\[{\"',}]))", text)
        if key is None:
            raise NotUnderstoodError(text)
        text = text[key.end() :].lstrip()
        if _word(key[1]) in found:
            raise NotUnderstoodError(text)
        node: Node = None
        if not text.startswith((",", "}")):
            node, text = _flow(text, depth - 1)
        found[_word(key[1])] = node
        text = _next(text, "}")
    return found, text[1:].lstrip()


def _next(text: str, end: str) -> str:
    text = text.lstrip()
    if text.startswith(","):
        return text[1:].lstrip()
    if not text.startswith(end):
        raise NotUnderstoodError(text)
    return text


def _word(text: str) -> str:
    if text[:1] in ("&", "*", "!", "|", ">", "%", "@", "`"):
        raise NotUnderstoodError(text)
    if text[:1] == '"':
        if len(text) < 2 or text[-1] != '"' or "\\" in text:
            raise NotUnderstoodError(text)
        return text[1:-1]
    if text[:1] == "'":
        if len(text) < 2 or text[-1] != "'":
            raise NotUnderstoodError(text)
        return text[1:-1].replace("''", "'")
    return text
