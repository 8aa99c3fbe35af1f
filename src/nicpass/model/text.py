# SPDX-License-Identifier: Apache-2.0
r"""Text that came from elsewhere (names of VMs, of filters, out of a damaged file), made fit for its place (law 11).

A byte that is no UTF-8 is spelled `\xff` from the moment it is read, as `str.decode` with `backslashreplace` does.
"""

from __future__ import annotations

import re

# Compiled when first asked, which many runs never do.
_ESCAPED_BYTE = r"\\x[89a-f][0-9a-f]"
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-")
_SURROGATE = "[\ud800-\udfff]"
_UUID = r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"


def printable(text: str) -> str:
    r"""`text` with every character that is not for printing escaped: a newline becomes `\n`.

    Names may hold newlines, escape sequences and marks that turn the direction of writing around; none of them
    may reach a terminal, a log line or a table as itself.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def well_formed(text: str) -> str:
    r"""`text` without lone surrogates, which JSON cannot hold: bytes that Python carries as such become `\xff`."""
    return text if text.isascii() else re.sub(_SURROGATE, _spell_surrogate, text)


def _spell_surrogate(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def quote(text: str) -> str:
    r"""`text` as one word of a shell, in printable characters only.

    Quotes as shlex has them; `$'...'` (POSIX.1-2024, 2.2.4) where control characters or bytes have to be spelled.
    """
    if text and _SAFE.issuperset(text):
        return text
    if text.isprintable() and not re.search(_ESCAPED_BYTE, text):
        return "'" + text.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_spell, re.split(f"({_ESCAPED_BYTE})", well_formed(text)))) + "'"


def shell_line(words: list[str] | tuple[str, ...]) -> str:
    """The words as a line of a shell."""
    return " ".join(map(quote, words))


def clause(text: str | None) -> str:
    """What another program said, as a clause of a sentence: on one line, without the period at its end."""
    return " ".join((text or "").split()).rstrip(" .")


def vm_word(name: str, uuid: str | None) -> str:
    """The VM as one word of a command line, virsh's or our own: its name, or its UUID where the name might be misread.

    virsh takes a number for an id and a UUID for that of a VM, both read a leading dash as an option, and a name from
    a damaged file may hold anything.
    """
    dubious = not name.isprintable() or name.strip() != name or name.startswith("-") or name.isdigit() or not name
    if (dubious or _is_uuid(name)) and uuid is not None and _is_uuid(uuid):
        return uuid
    return quote(name)


def _is_uuid(text: str) -> bool:
    return 32 <= len(text) <= 36 and re.fullmatch(_UUID, text) is not None


def _spell(part: str) -> str:
    """Text between the quotes of `$'...'`; of bytes three octal digits, so that no other one is read with them."""
    if re.fullmatch(_ESCAPED_BYTE, part):
        return f"\\{int(part[2:], 16):03o}"
    return "".join(f"\\{char}" if char in "\\'" else char if char.isprintable() else _octal(char) for char in part)


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode())
