# SPDX-License-Identifier: Apache-2.0
"""The door to files: what lies in place of a file is an answer too, and never a wait."""

from __future__ import annotations

import os
from pathlib import Path

from nicpass.host.files import Files
from nicpass.model.fact import Unknown

NAME = "/run/systemd/sessions/2.ref"


def test_a_fifo_that_somebody_may_write_to_is_not_waited_for(tmp_path: Path) -> None:
    """Found on a real host: logind keeps one open for each session, and whoever reads it waits for ever."""
    path = tmp_path / NAME.lstrip("/")
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    files = Files(str(tmp_path))
    assert files.read_text(NAME) == ""
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        for read in (files.read_text, files.read_attribute, files.read_bytes):
            assert isinstance(read(NAME), Unknown)
        with files.open_for_reading(NAME) as fifo:
            assert not isinstance(fifo, Unknown | None)
            assert isinstance(fifo.read(0, 1), Unknown)
    finally:
        os.close(writer)


def test_a_name_that_is_no_text_is_escaped_and_found_again(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/eth\xff")).mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/eth\xff/mtu")).write_text("1500\n")
    Path(tmp_path / r"dev-disk\x2dby").write_text("systemd")
    files = Files(str(tmp_path))
    names = files.list_directory("/")
    assert isinstance(names, tuple)
    assert set(names) == {r"eth\xff", r"dev-disk\x2dby"}
    assert files.read_int(r"/eth\xff/mtu") == 1500
    assert files.read_text(r"/dev-disk\x2dby") == "systemd"


def test_a_name_with_a_nul_is_absent(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert files.read_bytes("/a\0b") is None
    assert files.read_link("/a\0b") is None
    assert files.list_directory("/a\0b") is None
    assert files.read_status("/a\0b") is None
    assert not files.exists("/a\0b")
