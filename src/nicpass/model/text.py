# SPDX-License-Identifier: Apache-2.0
"""Text that came from elsewhere (names of VMs, of filters, out of a damaged file), made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with every character that is not for printing escaped: a newline becomes `\n`.

    Names may hold newlines, escape sequences and marks that turn the direction of writing around; none of them
    may reach a terminal, a log line or a table as itself.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
