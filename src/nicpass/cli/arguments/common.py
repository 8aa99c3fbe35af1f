# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take, each in one place."""

from __future__ import annotations

import argparse

from nicpass.cli.arguments.parsing import AsWritten, Parser, as_sentence
from nicpass.cli.render.translation import LANGUAGES
from nicpass.model.language import _


def add_example(parser: Parser, text: str) -> None:
    """Put an example behind the options, line by line as it is."""
    parser.epilog, parser.formatter_class = text, AsWritten


def add_where(command: Parser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument("--live", action="store_true", help=_("of a running VM, only the running machine"))
    where.add_argument("--config", action="store_true", help=_("only the definition, for the VM's next start"))


def add_command(commands: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    """Add a command with the options that all such commands take."""
    parser: Parser = commands.add_parser(name, help=text, description=as_sentence(text))
    add_json(parser)
    add_language(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--snapshot", metavar="FILE", help=_("read the host from what `nicpass snapshot` wrote; - is standard input")
    )
    add_root(source)
    return parser


def add_root(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--root", metavar="DIR", help=_("read DIR/sys, DIR/proc, DIR/etc in place of /"))


def add_live_command(commands: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    """Add a command about this machine's own history: no snapshot and no tree has such a history."""
    parser: Parser = commands.add_parser(name, help=text, description=as_sentence(text))
    add_json(parser)
    add_language(parser)
    parser.set_defaults(snapshot=None, root=None)
    return parser


def add_stop(parser: Parser) -> None:
    parser.add_argument(
        "--stop", action="store_true", help=_("shut a running VM down first, and switch it off after 30 s")
    )


def add_confirm_within(parser: Parser) -> None:
    parser.add_argument(
        "--confirm-within",
        type=int,
        metavar="SECONDS",
        help=_(
            "take all back unless you say nicpass confirm in time; on by default (120) where your session may break"
        ),
    )


def add_full(parser: Parser) -> None:
    parser.add_argument(
        "--full", action="store_true", help=_("with --json: also the interfaces' sysctls, hundreds of lines")
    )


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help=_("machine-readable output"))


def add_language(parser: Parser) -> None:
    """Add --lang, which is heeded before the line is parsed, so that the help speaks it too, and here only checked."""
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=argparse.SUPPRESS, help=_("the language of the output (default: LANG's)")
    )


def add_dry_run(parser: Parser) -> None:
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="plan",
        choices=("plan", "shell"),
        help=_("change nothing: print the plan, or the shell lines that an expert would type"),
    )
