# SPDX-License-Identifier: Apache-2.0
"""What programs print is text from outside: no byte of it stops us."""

from __future__ import annotations

import pytest

from nicpass.host.doors.processes import Processes


@pytest.mark.spawns
def test_bytes_that_are_no_utf_8_are_spelled() -> None:
    done = Processes().run(["/bin/sh", "-c", r"printf 'a\377\233b'; printf '\376' >&2"], timeout=10)
    assert (done.exit_code, done.output, done.error) == (0, r"a\xff\x9bb", r"\xfe")
