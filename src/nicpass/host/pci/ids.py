# SPDX-License-Identifier: Apache-2.0
"""Names of vendors and devices, from the system's pci.ids (https://pci-ids.ucw.cz, its header has the format).

The file has forty thousand lines and a host a handful of devices: so it is searched, not parsed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

PLACES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")

# A vendor's block ends at the next line that begins neither with a tab nor with a comment.
_NEXT_VENDOR = re.compile(rb"\n[^\t#]")


class Names(NamedTuple):
    """The names of a vendor and of a device; each is None where pci.ids does not have it."""

    vendor: str | None
    device: str | None


class PciIds:
    """One pci.ids in memory; an absent one knows no names."""

    def __init__(self, files: Files) -> None:
        contents = (files.read_bytes(place) for place in PLACES)
        # A line is searched for with the line breaks around it, so the first and the last need theirs too.
        self._text = b"\n" + next((content for content in contents if isinstance(content, bytes)), b"") + b"\n"

    @lru_cache(maxsize=1024)  # noqa: B019 -- one object a run, and it ends with the run
    def names(self, vendor_id: int, device_id: int) -> Names:
        """The names that `lspci` would print for these two ids."""
        start = self._text.find(b"\n%04x  " % vendor_id)
        if start < 0:
            return Names(None, None)
        vendor_end = self._text.find(b"\n", start + 1)
        following = _NEXT_VENDOR.search(self._text, vendor_end)
        end = following.start() if following else len(self._text)
        device = self._text.find(b"\n\t%04x  " % device_id, vendor_end, end)
        return Names(self._line(start + 7), self._line(device + 8) if device >= 0 else None)

    def _line(self, start: int) -> str:
        return self._text[start : self._text.find(b"\n", start)].decode("utf-8", "replace").strip()
