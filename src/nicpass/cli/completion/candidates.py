# SPDX-License-Identifier: Apache-2.0
"""Answers a Tab: `nicpass --complete SHELL ...`, as the scripts in `nicpass/completions` ask it.

A generator of our own, from our own parser: argcomplete and shtab would be one more library on every host, and know
neither our NICs nor our VMs. The scripts stay small and hold no lists, so they are right for every version.

What is printed is a line a candidate, for zsh and fish with a tab and what it is; or one line that begins with `:`,
which leaves it to the shell to find files or folders. Whatever fails ends in no candidate: a prompt is no place for
an error, and a Tab waits for nobody longer than a second.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import posixpath
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

from nicpass.cli.completion.shell_line import Line, bash_word, split_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.cli.arguments.parsing import Parser

_SECONDS = 1.0
_ELSEWHERE = {"FILE": ":files", "DIR": ":folders"}
"""Metavars whose values the shell itself knows."""

Candidate = tuple[str, str]
"""A word, and what it is."""


class Place(NamedTuple):
    """Where in a command the cursor is."""

    parser: Parser
    wanted: argparse.Action | None
    """What the word at the cursor is a value of; None where nothing more is expected."""
    before: str = ""
    """What stands before the value in the same word: `--vm=`."""
    words: tuple[str, ...] = ()
    """The words of the command, so that none is offered twice."""


def complete_command(arguments: list[str]) -> int:
    """`nicpass --complete bash LINE POINT BREAKS`, or `zsh` or `fish` with all words up to the cursor."""
    sys.dont_write_bytecode = True  # to look for a word writes nothing, not even for the next time
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    with contextlib.suppress(Exception):
        text = "".join(f"{line}\n" for line in answer(arguments))
        sys.stdout.buffer.write(os.fsencode(text))
        sys.stdout.flush()
    return 0


def answer(arguments: list[str], root: str = "") -> Iterator[str]:
    """The lines to print."""
    shell, *words = arguments
    if shell == "bash":
        text, point, breaks = words
        line = _after_program(split_line(os.fsencode(text)[: int(point)].decode("utf-8", "surrogateescape")))
    else:
        line, breaks = Line(tuple(words[1:-1]), words[-1]), ""
    _speak()
    for word, about in find_candidates(line, root):
        if about is _SHELL:
            yield word
        elif shell == "bash":
            shown = bash_word(word, line, breaks)
            yield from [shown] if shown is not None else []
        else:
            yield from _shown(word, about, shell)


_SHELL = "left to the shell"


def _after_program(line: Line) -> Line:
    """The line without what stands before the program's name: `sudo`, variables."""
    names = [posixpath.basename(word) for word in line.words]
    return line._replace(words=line.words[names.index("nicpass") + 1 :]) if "nicpass" in names else line


def _shown(word: str, about: str, shell: str) -> Iterator[str]:
    """A candidate of zsh, quoted; or of fish, which quotes by itself but ends a candidate at each end of a line."""
    from nicpass.model.text import printable, quote

    if shell == "zsh":
        yield f"{quote(word)}\t{printable(about)}"
    elif word.isprintable():
        yield f"{word}\t{printable(about)}"


def _speak() -> None:
    from nicpass.cli.render.translation import choose_language, speak

    speak(choose_language([], os.environ), sys.stdout.encoding)


def find_candidates(line: Line, root: str = "") -> Iterator[Candidate]:
    """What may stand at the cursor, and begins as the word there does."""
    place = find_place(line)
    typed = line.current.removeprefix(place.before)
    offered = (*_options(place, typed), *_values(place, typed, root))
    for word, about in offered:
        if about is _SHELL:
            yield word, about
        elif word.startswith(typed) and word not in place.words:
            yield place.before + word, about


def find_place(line: Line) -> Place:
    """Where the cursor is, by the words before it: in which command, behind which option, at which argument."""
    from nicpass.cli.arguments.parser import build_parser  # late, with argparse's own

    parser = build_parser(line.words[0] if line.words else None)
    positionals = _positionals(parser)
    waiting: argparse.Action | None = None
    seen: list[str] = []
    for word in line.words:
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            action = _option(parser, word)
            seen += [word] if action is None or not isinstance(action.default, list) else []
            waiting = action if action is not None and action.nargs is None and "=" not in word else None
        elif positionals and isinstance(positionals[0].choices, dict):
            inner = positionals[0].choices.get(word)
            if inner is None:
                return Place(parser, None)
            parser, seen = inner, []
            positionals = _positionals(parser)
        else:
            seen.append(word)
            positionals = positionals if _takes_more(positionals) else positionals[1:]
    name, equals, _value = line.current.partition("=")
    if waiting is None and equals and (action := _option(parser, name)) is not None:
        return Place(parser, action, f"{name}=")
    return Place(parser, waiting or (positionals[0] if positionals else None), words=tuple(seen))


def _positionals(parser: Parser) -> list[argparse.Action]:
    return [action for action in parser.arguments() if not action.option_strings]


def _takes_more(positionals: list[argparse.Action]) -> bool:
    return bool(positionals) and positionals[0].nargs in ("*", "+")


def _option(parser: Parser, word: str) -> argparse.Action | None:
    name = word.partition("=")[0]
    action = next((action for action in parser.arguments() if name in action.option_strings), None)
    takes = action is not None and (action.nargs is None or action.nargs == "?")
    return action if action is not None and takes else None


def _options(place: Place, typed: str) -> Iterator[Candidate]:
    """The options of the command, once one is begun; the long one where there are two."""
    is_value = place.wanted is not None and bool(place.wanted.option_strings)
    if is_value or not typed.startswith("-"):
        return
    for action in place.parser.arguments():
        if action.option_strings and action.help is not argparse.SUPPRESS:
            yield action.option_strings[-1], action.help or ""


def _values(place: Place, typed: str, root: str) -> Iterable[Candidate]:
    action = place.wanted
    if action is None or (typed.startswith("-") and not action.option_strings):
        return ()
    if isinstance(action.choices, dict):  # only those of commands are
        return [(name, inner.description or "") for name, inner in action.choices.items()]
    if action.choices is not None:
        return [(str(choice), "") for choice in action.choices]
    kind = str(action.metavar)
    if kind in _ELSEWHERE:
        return [(_ELSEWHERE[kind], _SHELL)]
    if kind == "CODE":
        return _codes(overridable=bool(action.option_strings))
    return _names(kind, typed, root)


def _names(kind: str, typed: str, root: str) -> Iterable[Candidate]:
    """The names of what a host has of this kind."""
    from nicpass.cli.completion import names
    from nicpass.host.doors.files import Files

    files = Files(root or "/")
    match kind:
        case "NIC":
            return names.nic_names(files, typed)
        case "PF":
            return names.pf_names(files, typed)
        case "VM":
            return names.vm_names(files)
        case "CHANGE":
            return names.change_names(files)
        case "GROUP":
            return names.group_names(files)
    return [("all", "")] if kind == "VFS" else ()


def _codes(*, overridable: bool) -> list[Candidate]:
    if overridable:
        from nicpass.planner.refuse import OVERRIDABLE

        return [(code, "") for code in sorted(OVERRIDABLE)]
    from nicpass.checks.catalogue.whole import CATALOGUE

    return [(code, "") for code in CATALOGUE]
