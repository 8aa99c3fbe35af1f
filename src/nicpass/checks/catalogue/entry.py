# SPDX-License-Identifier: Apache-2.0
"""The entry of a finding's code: severity and texts, which hold whichever host the code is found on."""

from __future__ import annotations

import msgspec

from nicpass.model.finding import Severity


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of one code, in English; `{...}` in them is filled in by the check."""

    severity: Severity
    sentence: str
    meaning: str
    """Why the finding matters, in one sentence."""
    background: str = ""
    """How the kernel or the hardware behaves, for `nicpass explain`; without `{...}`."""
    mend: str = ""
    """How to mend the finding, in words: advice, or those of a firmware menu."""
    command: str = ""
    """Shell lines that mend the finding, to paste as root. They are not translated."""
