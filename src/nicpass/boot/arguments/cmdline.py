# SPDX-License-Identifier: Apache-2.0
"""The kernel's arguments, read as the kernel reads them."""

from __future__ import annotations

import re

# `next_arg()` in lib/cmdline.c: white space parts arguments, except between double quotes.
_ARGUMENT = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def parse_cmdline(text: str) -> dict[str, list[str]]:
    """The kernel's arguments as name to values, in order: most parameters heed the last value, some each.

    A bare word has the value "". Dashes in names count as underscores (`parameq()` in kernel/params.c), and all words
    after `--` are for init.
    """
    arguments: dict[str, list[str]] = {}
    for argument in _ARGUMENT.findall(text):
        if argument == "--":
            break
        name, _, value = argument.strip('"').partition("=")
        arguments.setdefault(name.replace("-", "_"), []).append(value.strip('"'))
    return arguments
