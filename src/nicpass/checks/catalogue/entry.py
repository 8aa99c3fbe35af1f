# SPDX-License-Identifier: Apache-2.0
"""What is always true of a code, whichever host it is found on."""

from __future__ import annotations

import msgspec

from nicpass.model.finding import Severity


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of one code, in English; `{...}` in them is filled in by the check."""

    severity: Severity
    sentence: str
    meaning: str
    """Why it matters, in one sentence."""
    background: str = ""
    """What the kernel or the hardware does, for `nicpass explain`; without `{...}`."""
    mend: str = ""
    """What mends it, in words: advice, or those of a firmware menu."""
    command: str = ""
    """Shell lines that mend it, to paste as root. They are not translated."""
