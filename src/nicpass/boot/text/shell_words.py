# SPDX-License-Identifier: Apache-2.0
"""Files of shell assignments, such as /etc/default/grub, read as sh reads them.

A value that only a shell could know (the output of a command, the outcome of an `if`) is unknown here, never a guess.
Source: POSIX.1-2017, Shell Command Language, 2.2 (quoting), 2.6.2 (parameters), 2.9 (commands). `NAME+=word` appends in
bash and its like; dash and busybox take it for a command that is not there, at which a script with `set -e` ends.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from nicpass.boot.text.shell_tokens import UnfinishedError, split_tokens, starts_anew_after
from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nicpass.boot.text.shell_tokens import Token

_PART = re.compile(
    r"""(?P<joined>\\\n)|\\(?P<escaped>.)|'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"
    |\$(?:(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})|(?P<plain>[^\\'"`$]+)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_IN_DOUBLE = re.compile(
    r"""(?P<joined>\\\n)|\\(?P<escaped>[$`"\\])|\$(?:(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})
    |(?P<plain>[^\\$`]+|\\|\$(?=[ \t\n/=.,:%+]|\Z))""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL | re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TILDE = re.compile(r"(?:^|:)~")
_OPENS = frozenset({"if", "while", "until", "for", "case", "select", "{"})
_CLOSES = frozenset({"fi", "done", "esac", "}"})
_BETWEEN = frozenset({"then", "do", "else", "elif", "!"})
_RUNS_OTHERS = frozenset({".", "source", "eval"})
_DECLARES = frozenset({"export", "readonly", "declare", "typeset", "local"})
_SETS = frozenset({"read", "getopts", "printf", "mapfile", "let"})
_LEAVES = frozenset({"return", "exit", "exec"})
_JOINS = frozenset({"&&", "||", "|", "&"})
_APPENDING = frozenset({"bash", "ksh", "mksh", "ksh93", "yash", "zsh"})
_NOT_APPENDING = frozenset({"dash", "busybox"})
_LONGEST = 65536  # characters; the kernel takes 4096 at most, and a value that doubles itself grows without end
_EXPANDS = re.compile(r"[$*?\[~`]")


class Stop(StrEnum):
    """Why a script that sources a file would not come to its end."""

    UNFINISHED = "unfinished"
    """The file ends within quotes or a substitution."""
    OPEN = "open"
    """An `if`, a loop or a bracket is not closed."""
    LEFT = "left"
    """`exit` or `exec` ends the script that sources it."""
    NOT_APPENDED = "not appended"
    """`NAME+=word`, which this shell does not know."""


class Assignments(NamedTuple):
    """The values that sourced files leave in the shell's variables."""

    values: Mapping[str, Fact[str]]
    """Variable to its value; Unknown where only a shell could know it."""
    ends_whole: bool
    """False where a line after the last file would not be read as a line of its own."""
    lost: Unknown | None = None
    """Why variables that are not among `values` may have any value; None where they have none."""
    stop: Stop | None = None
    """Why the script that sources the files ends with one of them."""

    def value_of(self, name: str) -> Fact[str]:
        """The value that a variable has in the end; None for one that was not assigned."""
        return self.values.get(name, self.lost)


def read_assignments(texts: Iterable[str], shell: str | None = None, empty: str = "GRUB_CMDLINE_") -> Assignments:
    """The variables that `texts`, sourced one after another, leave. Those of the prefix `empty` are so until assigned.

    Every other variable that was not assigned may come from the environment, and is unknown. `shell` is the name of the
    program that reads them (`dash`, `bash`); None where that is not known.
    """
    variables = _Variables(empty, shell)
    whole = True
    for text in texts:
        whole = _source(text, variables)
    return Assignments(variables.values, whole, variables.lost, variables.stop)


def _source(text: str, variables: _Variables) -> bool:
    """Source `text` into `variables`; return whether a line after it would be read as one of its own."""
    reader = _Reader(variables)
    try:
        for token in split_tokens(text):
            if token.text.startswith("<<") and not token.is_word:
                # The lines after `<<` are text up to a word, not commands.
                variables.lose_all("a shell file with a here-document")
                return False
            reader.take(token)
            if reader.has_left:
                return False
    except UnfinishedError:
        variables.lose_all("a shell file that ends within quotes or a substitution")
        variables.stop = variables.stop or Stop.UNFINISHED
        return False
    reader.end_list()
    if reader.depth:
        variables.stop = variables.stop or Stop.OPEN
    return not reader.depth and starts_anew_after(text)


class _Variables:
    def __init__(self, empty: str, shell: str | None = None) -> None:
        self.values: dict[str, Fact[str]] = {}
        self.stop: Stop | None = None
        self._empty, self._shell = empty, shell
        self.lost: Unknown | None = None
        """Why any variable may have any value by now, unless it was assigned since."""

    def get(self, name: str) -> Fact[str]:
        if name in self.values:
            return self.values[name]
        if self.lost is not None:
            return self.lost
        return "" if name.startswith(self._empty) else Unknown(f"not assigned: ${name}")

    def lose_all(self, why: str) -> None:
        self.lost = Unknown(why)
        self.values = dict.fromkeys(self.values, self.lost)

    def lose(self, names: Iterable[str], why: str) -> None:
        self.values |= {name: Unknown(f"{why}: {name}") for name in names if _NAME.fullmatch(name)}

    def assign(self, name: str, *, adds: bool, word: str) -> None:
        value: Fact[str] = Unknown(f"a shell word: {word[:40]!r}") if _TILDE.search(word) else self._join(_PART, word)
        before = self._before_adding(name) if adds else ""
        if isinstance(value, str) and not isinstance(before, Unknown):
            value = (before or "") + value
        if isinstance(value, str) and len(value) > _LONGEST:
            value = Unknown(f"longer than {_LONGEST} characters: {name}")
        self.values[name] = before if isinstance(before, Unknown) else value

    def _before_adding(self, name: str) -> Fact[str]:
        if self._shell in _APPENDING:
            return self.get(name)
        if self._shell in _NOT_APPENDING:
            self.stop = self.stop or Stop.NOT_APPENDED
        return Unknown(f"{name}+= is not what every shell knows")

    def _join(self, pattern: re.Pattern[str], text: str) -> str | Unknown:
        joined: list[str] = []
        place = 0
        while place < len(text):
            part = pattern.match(text, place)
            value = Unknown(f"a shell word: {text[:40]!r}") if part is None else self._value_of(part)
            if part is None or isinstance(value, Unknown):
                return value
            joined.append(value)
            place = part.end()
        return "".join(joined)

    def _value_of(self, part: re.Match[str]) -> str | Unknown:
        kind, text = part.lastgroup, part[part.lastgroup or 0]
        if kind in ("name", "braced"):
            return self.get(text) or ""
        if kind == "double":
            return self._join(_IN_DOUBLE, text)
        return "" if kind == "joined" else text


class _Reader:
    """Takes one file's tokens, and runs the commands that certainly run."""

    def __init__(self, variables: _Variables) -> None:
        self._variables = variables
        self._words: list[str] = []
        self._list: list[list[str]] = []
        """The commands of one list that may be skipped or run elsewhere, as `&&` and `|` part them."""
        self._is_simple = True
        """The list has no `&&`, redirection or bracket in it."""
        self._after_joint = False
        self._brackets = 0
        self._open = 0
        self._functions: set[str] = set()
        self._may_have_left = False
        self.has_left = False
        """`return` or `exit` was run: nothing after it is."""

    @property
    def depth(self) -> int:
        return self._open + self._brackets

    def take(self, token: Token) -> None:
        if token.is_word:
            self._words.append(token.text)
            self._after_joint = False
        elif token.text in ("\n", ";", ";;"):
            if not (self._after_joint and token.text == "\n"):
                self.end_list()
        else:
            self._take_joint(token.text)

    def _take_joint(self, operator: str) -> None:
        if operator == "(" and len(self._words) == 1:
            self._functions.add(self._words[0])
        self._is_simple = False
        if operator in _JOINS:
            self._end_command()
            self._after_joint = operator != "&"
        elif operator in ("(", ")"):
            self._end_command()
            self._brackets = max(0, self._brackets + (1 if operator == "(" else -1))

    def end_list(self) -> None:
        self._end_command()
        for words in self._list:
            self._run(words, is_certain=self._is_simple and not self.depth and not self._may_have_left)
        self._list, self._is_simple, self._after_joint = [], True, False

    def _end_command(self) -> None:
        words = self._words
        while words and words[0] in _OPENS | _CLOSES | _BETWEEN:
            first = words.pop(0)
            self._is_simple = False
            self._open = max(0, self._open + (first in _OPENS) - (first in _CLOSES))
            if first in ("for", "select"):
                self._variables.lose(words[:1], "the variable of a loop")
            if first in ("for", "select", "case"):
                words.clear()
        if words:
            self._list.append(words)
        self._words = []

    def _run(self, words: list[str], *, is_certain: bool) -> None:
        assigned = [found for word in words if (found := _ASSIGNMENT.fullmatch(word))]
        command = next((word for word in words if not _ASSIGNMENT.fullmatch(word)), None)
        if command in _RUNS_OTHERS or command in self._functions:
            self._variables.lose_all(f"a shell command that may set anything: {command}")
        elif command in _SETS or command == "unset":
            self._variables.lose(words[1:], f"set by {command}")
        elif command in _LEAVES:
            self.has_left, self._may_have_left = is_certain, True
            if is_certain and command != "return":
                self._variables.stop = self._variables.stop or Stop.LEFT
        elif not is_certain or (command is not None and command not in _DECLARES):
            self._variables.lose([found[1] for found in assigned], "assigned only in some cases")
        else:
            self._assign(assigned, is_declared=command is not None)

    def _assign(self, assigned: list[re.Match[str]], *, is_declared: bool) -> None:
        for found in assigned:
            if is_declared and _EXPANDS.search(found[3]):  # shells differ in whether they split it into words
                self._variables.lose([found[1]], "assigned by export or the like")
            else:
                self._variables.assign(found[1], adds=bool(found[2]), word=found[3])
