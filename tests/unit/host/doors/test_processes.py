# SPDX-License-Identifier: Apache-2.0
"""What programs print is text from outside: no byte of it stops us."""

from __future__ import annotations

import json

import pytest

from nicpass.host.doors.processes import Processes
from nicpass.host.use.namespaces import parse_links


@pytest.mark.spawns
def test_bytes_that_are_no_utf_8_are_spelled() -> None:
    done = Processes().run(["/bin/sh", "-c", r"printf 'a\377\233b'; printf '\376' >&2"], timeout=10)
    assert (done.exit_code, done.output, done.error) == (0, r"a\xff\x9bb", r"\xfe")


@pytest.mark.spawns
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (rb"x\377y", r"x\xffy"),  # an interface of any user's own namespace
        (rb"x\033y", "x\x1by"),
        (rb"x\\\\xffy", r"x\xffy"),  # iproute2 doubles a backslash
        (rb"\377" * 15, r"\xff" * 15),
        (rb"\302\240", "\u00a0"),
        (rb"x", "x"),
    ],
)
def test_links_of_any_name_are_read(name: bytes, shown: str) -> None:
    words = b'printf \'[{"ifname":"%s","ifalias":"\\001\\377","parentdev":"0000:01:00.0"}]\\n\'' % name
    done = Processes().run(["/bin/sh", "-c", words.decode()], timeout=10)
    assert parse_links(done.output) == [(shown, "0000:01:00.0")]


def test_what_is_json_already_stays() -> None:
    links = [{"ifname": "a\\b", "parentdev": 'q"\n\\\\xff'}]
    assert parse_links(json.dumps(links)) == [("a\\b", 'q"\n\\\\xff')]
