# SPDX-License-Identifier: Apache-2.0
"""Lines of nicpass's at the end of a text file of somebody else: they go in and come out byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

NEW_FILE = b" (made this file)"
ENDED_LINE = b" (ended the line above)"
NOTES = (
    b"(?P<note>"
    + b"|".join(note.replace(b"(", rb"\(").replace(b")", rb"\)") for note in (NEW_FILE, ENDED_LINE))
    + b")?"
)
"""Group `note` of a pattern of nicpass's lines: how the file was without them, where that does not show."""


def append_ours(content: bytes | None, build: Callable[[bytes], bytes]) -> bytes:
    """`content` and then nicpass's whole lines, which `build` makes of a note that the first of them has to carry."""
    if content is None:
        return build(NEW_FILE)
    if content and not content.endswith(b"\n"):
        return content + b"\n" + build(ENDED_LINE)
    return content + build(b"")


def take_out_ours(
    content: bytes, ours: re.Pattern[bytes], keep: Callable[[re.Match[bytes]], bytes] = lambda _: b""
) -> bytes | None:
    """`content` without the whole lines that `ours` matches; None where the file was made for them.

    `keep` returns the part of a match that is not nicpass's.
    """
    kept, place, was_made = b"", 0, False
    for found in ours.finditer(content):
        stays = keep(found)
        start = found.start()
        if found["note"] == ENDED_LINE and found.end() == len(content) and not stays and start > place:
            start -= 1
        was_made = was_made or found["note"] == NEW_FILE
        kept += content[place:start] + stays
        place = found.end()
    kept += content[place:]
    return None if was_made and not kept else kept
