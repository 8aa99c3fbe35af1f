# SPDX-License-Identifier: Apache-2.0
"""Reads a file of `nicpass.state/1`, and says of every mistake in which line and column it stands.

YAML is composed by PyYAML, and typed here by the model: of a plain scalar YAML 1.1 would make what nobody meant, of the
MAC 52:54:00:12:34:56 a number of seconds (YAML 1.1, int, base 60). What the file needs not is refused: tags, and
aliases, by which a short file becomes a huge one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import msgspec
import yaml
from msgspec import inspect
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean
from nicpass.model.state import SCHEMA, DeclaredState
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Key: TypeAlias = "tuple[str | int, ...]"
"""Where something stands in the file: `("vms", "web01", "nics", 0)`."""

MOST_BYTES = 1 << 20
"""How long such a file may be."""
_LONGEST_NAME = 255
"""Of whatever has a name here there is a file of that name (NAME_MAX, limits.h)."""
_LONGEST_TOLD = 400
_ON_OFF = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
"""What a plain scalar without a value looks like (YAML 1.2, 10.3.2)."""


class Place(NamedTuple):
    """Both from 1."""

    line: int
    column: int


class StateFile(NamedTuple):
    """A file that was read, and where each part of it stands."""

    name: str
    state: DeclaredState
    places: Mapping[Key, Place]

    def place_of(self, key: Key) -> Place:
        """Where the part stands; for what a default says, where the part stands that has it."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, Place(1, 1))

    def where(self, key: Key) -> str:
        """`host.yaml, line 3, column 5`."""
        return _where(self.name, self.place_of(key))


def parse_state(name: str, content: bytes) -> StateFile:
    """The state that the file of this name says.

    Raises:
        BadInputError: it is no YAML, or says what no such file can; the sentence begins with the place.
    """
    if len(content) > MOST_BYTES:
        raise BadInputError(
            _("{file} is longer than {most} bytes.").format(file=printable(name), most=MOST_BYTES),
            _("A host needs some kilobytes."),
        )
    node = _compose(name, content)
    reader = _Reader(name)
    found = reader.read(node, inspect.type_info(DeclaredState), ())
    if "schema" not in found:
        raise BadInputError(
            _("{where}: {what}.").format(where=_where(name, Place(1, 1)), what=_("it does not say what it is")),
            _("Begin with: schema: {schema}").format(schema=SCHEMA),
        )
    return StateFile(name, msgspec.convert(found, DeclaredState), reader.places)


def _where(name: str, place: Place) -> str:
    return _("{file}, line {line}, column {column}").format(file=printable(name), line=place.line, column=place.column)


def _compose(name: str, content: bytes) -> Node:
    def fail(what: str, place: Place) -> NoReturn:
        raise BadInputError(_("{where}: {what}.").format(where=_where(name, place), what=printable(what)), _advice())

    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        fail(_("this is no UTF-8"), _end_of(content[: error.start].decode()))
    loader = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader
    try:
        for event in yaml.parse(text, Loader=loader):
            if getattr(event, "anchor", None) is not None:
                fail(_("anchors and aliases (& and *) are not read"), _place(event.start_mark))
            if getattr(event, "tag", None) is not None:
                fail(_("tags (!) are not read"), _place(event.start_mark))
        node: Node | None = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        fail(error.problem or str(error), _place(error.problem_mark or error.context_mark))
    except yaml.reader.ReaderError as error:
        fail(_("this character is not allowed"), _end_of(text[: int(error.position)]))
    except RecursionError:
        fail(_("lists or maps are too deep in one another"), Place(1, 1))
    if node is None:
        fail(_("the file is empty"), Place(1, 1))
    return node


def _place(mark: Any) -> Place:
    """Where a mark of PyYAML's stands, which counts from 0."""
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _end_of(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1)


def _advice() -> str:
    return _("What such a file holds: nicpass schema state; one to begin with: nicpass export")


class _Reader:
    """Goes down the file and the model together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Key, Place] = {}

    def read(self, node: Node, kind: inspect.Type, key: Key) -> Any:
        """What the node says, as plain data that the model takes."""
        self.places[key] = _place(node.start_mark)
        kind = _bare(kind)
        match kind:
            case inspect.UnionType():
                return self.read(node, self._choose(node, kind), key)
            case inspect.StructType():
                return self._read_struct(node, kind, key)
            case inspect.DictType():
                return self._read_dict(node, kind, key)
            case inspect.VarTupleType():
                return self._read_list(node, kind, key)
            case _:
                return self._read_scalar(node, kind, key)

    def _choose(self, node: Node, kind: inspect.UnionType) -> inspect.Type:
        """The type among several that a node of this kind can be; the last, so that its mistake is told, if none."""
        choices = [_bare(each) for each in kind.types if not isinstance(each, inspect.NoneType)]
        of_many = inspect.VarTupleType if isinstance(node, SequenceNode) else inspect.StructType
        wanted: tuple[type[inspect.Type], ...] = (of_many, inspect.StructType)
        if isinstance(node, ScalarNode):
            wanted = (inspect.StrType,)  # which also takes what is meant as a number
        return next((each for want in wanted for each in choices if isinstance(each, want)), choices[0])

    def _read_struct(self, node: Node, kind: inspect.StructType, key: Key) -> dict[str, Any]:
        fields = {field.encode_name: field for field in kind.fields}
        found: dict[str, Any] = {}
        for name, word, value in self._pairs(node):
            if name not in fields:
                raise self._fault(
                    word,
                    _("there is no {word!r} here").format(word=name),
                    did_you_mean(name, fields, _("Known here: {words}.").format(words=", ".join(fields))),
                )
            if not _is_nothing(value):
                found[name] = self.read(value, fields[name].type, (*key, name))
        for name, field in fields.items():
            if field.required and name not in found:
                raise self._fault(node, _("{word!r} is missing here").format(word=name), _advice())
        return found

    def _read_dict(self, node: Node, kind: inspect.DictType, key: Key) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for name, word, value in self._pairs(node):
            inner = self._read_scalar(word, _bare(kind.key_type), (*key, name))
            if inner in found:  # 3 and 03
                raise self._fault(word, _("{word!r} is there twice").format(word=name), _advice())
            found[inner] = self.read(value, kind.value_type, (*key, inner))
            self.places[(*key, inner)] = _place(word.start_mark)
        return found

    def _pairs(self, node: Node) -> Iterable[tuple[str, Node, Node]]:
        """(the key's text, the key, the value) of a map, each once; where nothing stands, an empty map does."""
        if _is_nothing(node):
            return
        if not isinstance(node, MappingNode):
            raise self._fault(node, _("a map is wanted here: name: value"), _advice())
        seen: dict[str, int] = {}
        for word, value in node.value:
            if not isinstance(word, ScalarNode):
                raise self._fault(word, _("a name is wanted here"), _advice())
            if word.value in seen:
                line = seen[word.value]
                raise self._fault(word, _("{word!r} stands in line {line} already").format(word=word.value, line=line))
            seen[word.value] = word.start_mark.line + 1
            yield word.value, word, value

    def _read_list(self, node: Node, kind: inspect.VarTupleType, key: Key) -> list[Any]:
        if not isinstance(node, SequenceNode):
            raise self._fault(node, _("a list is wanted here: - this, - that"), _advice())
        return [self.read(each, kind.item_type, (*key, number)) for number, each in enumerate(node.value)]

    def _read_scalar(self, node: Node, kind: inspect.Type, key: Key) -> Any:
        if not isinstance(node, ScalarNode):
            raise self._fault(node, _("one word is wanted here, no list and no map"), _advice())
        name, text = str(key[-1]) if key else "", str(node.value)
        match kind:
            case inspect.BoolType():
                if text.lower() in _ON_OFF:
                    return _ON_OFF[text.lower()]
                raise self._fault(node, _("{name} is on or off, not {word!r}").format(name=name, word=text))
            case inspect.IntType():
                return self._read_number(node, kind, name)
            case inspect.LiteralType():
                words = [str(value) for value in kind.values]
                if text in words:
                    return text
                known = _("Known here: {words}.").format(words=", ".join(words))
                raise self._fault(node, _no(name, text), did_you_mean(text, words, known))
            case inspect.StrType():
                return self._read_text(node, kind, name)
        raise TypeError(kind)  # pragma: no cover - the model has no other kinds, as a test sees to

    def _read_text(self, node: ScalarNode, kind: inspect.StrType, name: str) -> str:
        text = str(node.value)
        if _is_nothing(node) or not text:
            raise self._fault(node, _("there is nothing here"))
        if len(text) > _LONGEST_NAME:
            raise self._fault(node, _("this is longer than any name: {text}").format(text=text))
        if kind.pattern is not None and re.fullmatch(kind.pattern, text) is None:
            raise self._fault(node, _no(name, text))
        return text

    def _read_number(self, node: ScalarNode, kind: inspect.IntType, name: str) -> int:
        least, most = kind.ge or 0, kind.le if kind.le is not None else 2**63 - 1
        if re.fullmatch(r"[0-9]{1,19}", node.value) and least <= int(node.value) <= most:
            return int(node.value)
        what = _("{name} is a number from {least} to {most}, not {word!r}")
        raise self._fault(node, what.format(name=name, least=least, most=most, word=node.value))

    def _fault(self, node: Node, what: str, hint: str = "") -> BadInputError:
        where = _where(self.name, _place(node.start_mark))
        return BadInputError(_("{where}: {what}.").format(where=where, what=_short(printable(what))), hint or _advice())


def _short(text: str) -> str:
    """The text without its middle, where it repeats what nobody would read to its end."""
    half = _LONGEST_TOLD // 2
    return text if len(text) <= _LONGEST_TOLD else f"{text[:half]} … {text[-half:]}"


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without what only its schema says, and without None."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _no(name: str, word: str) -> str:
    return _("{name} cannot be {word!r}").format(name=name, word=word)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.style and node.value in _NOTHING
