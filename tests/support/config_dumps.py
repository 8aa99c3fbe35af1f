# SPDX-License-Identifier: Apache-2.0
"""Reads what `lspci -x` to `-xxxx` prints: a line that names the function, then its bytes in hex, sixteen a line."""

from __future__ import annotations

import re

_FUNCTION = re.compile(r"^((?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) ")
_BYTES = re.compile(r"^([0-9a-f]{2,3}):((?: [0-9a-f]{2}){1,16})\s*$")


def parse_dump(text: str) -> dict[str, bytes]:
    """Each function's name, as the dump has it, to the function's bytes from the first on."""
    functions: dict[str, bytearray] = {}
    current = bytearray()
    for line in text.splitlines():
        if (function := _FUNCTION.match(line)) is not None:
            current = functions.setdefault(function[1], bytearray())
        elif (row := _BYTES.match(line)) is not None:
            if int(row[1], 16) != len(current):
                raise ValueError(f"bytes are missing before: {line}")
            current += bytes.fromhex(row[2])
    return {name: bytes(content) for name, content in functions.items()}
