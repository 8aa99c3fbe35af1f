# SPDX-License-Identifier: Apache-2.0
"""argparse, so that its help folds Chinese too, and that what it refuses is told as every other error."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from nicpass.cli.render.output import say_as_it_is, terminal_width
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean, nearest


class Folding(argparse.HelpFormatter):
    """A help formatter, made for every argument; argparse's own loads a library to learn how wide the terminal is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_width() - 2)

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        """As argparse, which counts a cell for each character of the word before the usage."""
        prefix = _("usage: ") if prefix is None else prefix
        whole = self._width
        if not prefix.isascii():
            from nicpass.cli.render.folding import cells  # late: English takes no more cells than characters

            self._width -= cells(prefix) - len(prefix)
        try:
            return super()._format_usage(usage, actions, groups, prefix)
        finally:
            self._width = whole

    def _split_lines(self, text: str, width: int) -> list[str]:
        """As argparse; but a Chinese character takes two cells, and has no spaces beside it to fold at."""
        if text.isascii():
            return super()._split_lines(text, width)
        from nicpass.cli.render.folding import fold  # late: English is folded by argparse

        return list(fold(" ".join(text.split()), width))


class AsWritten(Folding, argparse.RawDescriptionHelpFormatter):
    """A `Folding` that leaves the description and the epilog as they are."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print and exit."""

    def __init__(self, *, formatter_class: type[Folding] = Folding, **more: Any) -> None:
        super().__init__(formatter_class=formatter_class, **more)

    def _print_message(self, message: str, file: object = None) -> None:
        """Print the help as all else is printed; argparse itself takes a full disk for success."""
        say_as_it_is(message)

    def error(self, message: str) -> NoReturn:
        raise BadInputError(as_sentence(message), f"{self.prog} --help")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse; but an unknown option is told by the command that it was given to, with the likeliest one."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = self.innermost(known)
            message = _("unrecognized arguments: %s") % " ".join(unknown)
            options = parser.option_words()
            word = unknown[0].partition("=")[0]
            hint = did_you_mean(word, options) if word.startswith("-") else ""
            raise BadInputError(as_sentence(message), f"{hint} {parser.prog} --help".strip())
        return known

    def innermost(self, known: argparse.Namespace) -> Parser:
        """The parser of the command that the words name."""
        for action in self._actions:
            if isinstance(action.choices, dict):  # only those of commands are
                inner = action.choices.get(getattr(known, action.dest, None))
                return inner.innermost(known) if isinstance(inner, Parser) else self
        return self

    def option_words(self) -> list[str]:
        return [word for action in self.arguments() for word in action.option_strings]

    def arguments(self) -> tuple[argparse.Action, ...]:
        """Its options and its arguments, in their order."""
        return tuple(self._actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse; but a command that is misspelt is told by the one that was most likely meant."""
        if action.choices is not None and value not in action.choices:
            near = nearest(str(value), map(str, action.choices))
            if near is not None:
                raise BadInputError(
                    _("There is no {what} {value!r}.").format(what=action.metavar or action.dest, value=value),
                    did_you_mean(str(value), [near], f"{self.prog} --help"),
                )
        super()._check_value(action, value)


def as_sentence(text: str) -> str:
    return _("{text}.").format(text=f"{text[:1].upper()}{text[1:]}")
