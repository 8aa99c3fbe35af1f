# SPDX-License-Identifier: Apache-2.0
"""The door to files, where what lies there is not what should."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nicpass.host.doors import files as files_module
from nicpass.host.doors.files import Files
from nicpass.model.fact import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("read", [Files.read_bytes, Files.read_text, Files.read_attribute, Files.read_int])
def test_a_fifo_or_a_device_in_place_of_a_file_is_unknown_and_not_waited_for(read: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for files, path in ((Files(str(tmp_path)), "/fifo"), (Files(), "/dev/zero")):
        assert read(files, path) == Unknown(f"not a regular file: {path}")  # type: ignore[operator]


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 60000])
def test_an_attribute_comes_whole_however_large_the_pages_are(length: int, tmp_path: Path) -> None:
    (tmp_path / "resource").write_text("7" * length)
    assert Files(str(tmp_path)).read_attribute("/resource") == "7" * length


def test_parts_of_a_fifo_are_not_read_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config")
    with Files(str(tmp_path)).open_for_reading("/config") as opened:
        assert opened == Unknown("not a regular file: /config")


def test_a_folder_in_place_of_a_file_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").mkdir()
    assert Files(str(tmp_path)).read_text("/cpuinfo") == Unknown("is a directory: /cpuinfo")


def test_a_file_too_large_to_hold_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "_LARGEST", 1 << 20)
    (tmp_path / "edge").write_bytes(bytes(1 << 20))
    (tmp_path / "tcp").write_bytes(bytes((1 << 20) + 1))
    files = Files(str(tmp_path))
    assert files.read_bytes("/edge") == bytes(1 << 20)
    assert files.read_bytes("/tcp") == files.read_stream("/tcp") == Unknown("larger than 1 MiB: /tcp")
    assert files.read_bytes("/tcp", 10) == bytes(10)


def test_a_user_may_name_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"{}")
    os.close(writing)
    assert Files().read_stream(f"/proc/self/fd/{reading}") == b"{}"
    os.close(reading)


@pytest.mark.parametrize("text", ["1" * 100, "0x" + "f" * 5000, "1" * 5000, "-" + "9" * 30, "²", "0x"])
def test_what_is_no_number_of_64_bits_is_unknown(text: str, tmp_path: Path) -> None:
    (tmp_path / "numa_node").write_text(text)
    assert isinstance(Files(str(tmp_path)).read_int("/numa_node"), Unknown)


@pytest.mark.parametrize(("text", "number"), [("-1", -1), ("0xffffffffffffffff", (1 << 64) - 1), ("0", 0)])
def test_a_number_of_64_bits_is_read(text: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "size").write_text(text)
    assert Files(str(tmp_path)).read_int("/size") == number


@pytest.mark.parametrize("name", ["/6.1\0", "/eth\udc80x\ud800"])
def test_a_name_that_no_file_can_have_is_absent(name: str, tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert files.read_text(name) is files.read_link(name) is files.list_directory(name) is None
    assert files.read_status(name) is None
    assert not files.exists(name)
    with files.open_for_reading(name) as opened:
        assert opened is None


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"eth\xff")).symlink_to(os.fsdecode(b"../\xfe"))
    (tmp_path / "网卡").touch()
    files = Files(str(tmp_path))
    assert sorted(files.list_directory("/") or ()) == ["eth\\xff", "网卡"]  # type: ignore[arg-type]
    (tmp_path / "link").symlink_to(os.fsdecode(b"../\xfe"))
    assert files.read_link("/link") == "../\\xfe"


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


def test_a_link_of_the_captured_machine_does_not_lead_to_a_file_of_this_one(tmp_path: Path) -> None:
    outside, root = tmp_path / "secret", tmp_path / "root"
    outside.write_text("this machine's")
    (root / "etc").mkdir(parents=True)
    (root / "etc/inside").write_text("the capture's")
    (root / "etc/far").symlink_to(outside)
    (root / "etc/near").symlink_to("inside")
    files = Files(str(root))
    assert files.read_text("/etc/near") == "the capture's"
    assert files.read_text("/etc/far") == Unknown("a link leads out of the tree: /etc/far")
    assert files.read_link("/etc/far") == str(outside)
    assert files.read_text("/etc/absent") is None


@pytest.mark.spawns
@pytest.mark.parametrize("again", [Files.remove, lambda files, path: files.write_atomic(path, b"whole")])
def test_what_a_killed_write_left_goes_with_the_file(again: Callable[[Files, str], None], tmp_path: Path) -> None:
    child = os.fork()
    if not child:  # it dies when its content is in a file, and not in its place yet
        os.fsync = lambda _descriptor: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        Files(str(tmp_path)).write_atomic("/record", b"half")
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    again(Files(str(tmp_path)), "/record")
    assert {path.name for path in tmp_path.iterdir()} <= {"record"}


def test_a_file_that_is_replaced_keeps_its_owner_and_its_label(tmp_path: Path) -> None:
    target = tmp_path / "grub"
    target.write_text("before")
    try:
        os.chown(target, 4711, 4712)
        os.setxattr(target, "security.selinux", b"system_u:object_r:etc_t:s0")
    except OSError as error:
        pytest.skip(f"only root may, on a file system that has labels: {error}")
    Files(str(tmp_path)).write_atomic("/grub", b"after", 0o640)
    status = target.stat()
    assert (target.read_text(), status.st_uid, status.st_gid, status.st_mode & 0o777) == ("after", 4711, 4712, 0o640)
    assert os.getxattr(target, "security.selinux") == b"system_u:object_r:etc_t:s0"


def test_a_write_that_the_kernel_refuses_names_its_file() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        Files().write_kernel("/dev/full", "1")
    assert caught.value.filename == "/dev/full"
