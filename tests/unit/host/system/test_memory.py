# SPDX-License-Identifier: Apache-2.0
"""The host's memory, as /proc/meminfo and sysfs have it; lists of CPUs; who may open VFIO's nodes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.host.system.access import read_access
from nicpass.host.system.memory import read_memory
from nicpass.host.system.vfio_nodes import read_vfio_nodes
from nicpass.model.access import Access
from nicpass.model.fact import Unknown
from nicpass.model.memory import HugepagePool, Memory, NumaNode, format_cpulist, format_size, parse_cpulist
from nicpass.model.text import printable

MEMINFO = (
    "MemTotal:       16384 kB\nMemFree:  1024 kB\nMemAvailable:   8192 kB\nHugePages_Free: 3\nHugepagesize: 2048 kB\n"
)
NODE = "Node 0 MemTotal:  8192 kB\nNode 0 MemFree:   4096 kB\n"


def files_with(root: Path, files: dict[str, str]) -> Files:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return Files(str(root))


def pool_files(folder: str, total: int, free: int, **more: int) -> dict[str, str]:
    numbers = {"nr_hugepages": total, "free_hugepages": free, **more}
    return {f"{folder}/hugepages-2048kB/{name}": f"{number}\n" for name, number in numbers.items()}


def test_memory_is_read_by_node_and_page_size(tmp_path: Path) -> None:
    node = "sys/devices/system/node/node0"
    files = files_with(
        tmp_path,
        {"proc/meminfo": MEMINFO, f"{node}/meminfo": NODE, f"{node}/cpulist": "0-3,8\n"}
        | pool_files("sys/kernel/mm/hugepages", 10, 6, resv_hugepages=2, nr_overcommit_hugepages=5)
        | pool_files(f"{node}/hugepages", 10, 6),
    )
    pool = HugepagePool(size=2 << 20, total=10, free=6)
    assert read_memory(files) == Memory(
        total=16 << 20,
        available=8 << 20,
        hugepage_size=2 << 20,
        hugepages=(HugepagePool(size=2 << 20, total=10, free=4, overcommit=5),),
        nodes=(NumaNode(node=0, cpus="0-3,8", total=8 << 20, free=4 << 20, hugepages=(pool,)),),
    )


def test_a_host_without_any_of_it_is_not_an_error(tmp_path: Path) -> None:
    assert read_memory(Files(str(tmp_path))) == Memory()


@pytest.mark.parametrize(
    "meminfo", ["", "MemTotal", "MemTotal: many kB", "\0" * 100, "MemTotal: " + "9" * 4000 + " kB"]
)
def test_a_damaged_meminfo_says_nothing(meminfo: str, tmp_path: Path) -> None:
    assert read_memory(files_with(tmp_path, {"proc/meminfo": meminfo})).total is None


def test_a_pool_that_is_no_number_is_unknown(tmp_path: Path) -> None:
    folder = "sys/kernel/mm/hugepages"
    files = files_with(tmp_path, pool_files(folder, 1, 1) | {f"{folder}/hugepages-2048kB/nr_hugepages": "x"})
    assert isinstance(read_memory(files).hugepages, Unknown)


def test_a_node_without_cpus_and_one_with_nonsense(tmp_path: Path) -> None:
    folder = "sys/devices/system/node"
    files = files_with(tmp_path, {f"{folder}/node0/cpulist": "\n", f"{folder}/node1/cpulist": "a-b\n"})
    nodes = read_memory(files).nodes
    assert isinstance(nodes, tuple)
    assert nodes[0].cpus is None
    assert isinstance(nodes[1].cpus, Unknown)


@given(st.frozensets(st.integers(0, 16383), max_size=40))
def test_a_list_of_cpus_comes_back(numbers: frozenset[int]) -> None:
    assert parse_cpulist(format_cpulist(numbers)) == (numbers or None)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-3,^2", {0, 1, 3}),
        (" 1 , 2 ", {1, 2}),
        ("", None),
        ("1-", None),
        ("4-2", None),
        ("-1", None),
        ("0-16384", None),
        ("٣", None),
        ("0-99999999999", None),
        ("1," * 40000, None),
    ],
)
def test_a_list_is_read_as_libvirt_reads_it(text: str, numbers: set[int] | None) -> None:
    assert parse_cpulist(text) == numbers


@given(st.text(max_size=30))
def test_any_text_is_a_list_or_none(text: str) -> None:
    parse_cpulist(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(1 << 30, "1 GiB"), (1536 << 20, "1536 MiB"), (2048, "2 KiB"), ((1 << 20) + 1, "1 MiB"), (7, "7 bytes")],
)
def test_sizes_are_told_in_whole_units(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text


class TestVfioNodes:
    def test_owner_and_mode_are_read(self, tmp_path: Path) -> None:
        files = files_with(
            tmp_path,
            {
                "dev/vfio/vfio": "",
                "dev/vfio/12": "",
                "dev/vfio/devices/vfio0": "",
                "etc/passwd": f"root:x:0:0::/:/bin/sh\nme:x:{os.getuid()}:1::/:\nbroken\nx:y:zz\n",
                "etc/group": f"us:x:{os.getgid()}:\n",
            },
        )
        (tmp_path / "dev/vfio/12").chmod(0o640)
        nodes = read_vfio_nodes(files)
        assert isinstance(nodes, tuple)
        assert [node.path for node in nodes] == ["/dev/vfio/12", "/dev/vfio/devices/vfio0", "/dev/vfio/vfio"]
        assert (nodes[0].mode, nodes[0].uid, nodes[0].is_device) == (0o640, os.getuid(), False)
        assert nodes[0].group == "us"

    def test_no_vfio_is_none_and_no_dev_is_unknown(self, tmp_path: Path) -> None:
        assert isinstance(read_vfio_nodes(Files(str(tmp_path))), Unknown)
        (tmp_path / "dev").mkdir()
        assert read_vfio_nodes(Files(str(tmp_path))) is None

    def test_a_node_that_has_gone_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "dev/vfio").mkdir(parents=True)
        (tmp_path / "dev/vfio/7").symlink_to("gone")
        assert read_vfio_nodes(Files(str(tmp_path))) == ()


@pytest.mark.parametrize(
    ("conf", "user", "drivers"),
    [
        ("", None, None),
        ('#user = "root"\n', None, None),
        ('user = "root"\n', "root", None),
        ("  user='+0'  # as number\n", "+0", None),
        ('user = "a"\nuser = "b"\n', "b", None),
        ('security_driver = "none"\n', None, ("none",)),
        ('security_driver = [ "selinux", # both\n "apparmor" ]\nuser = "q"\n', "q", ("selinux", "apparmor")),
        ('security_driver = [ "none"', None, ()),
        ('users = "root"\nsuper_user = "root"\n', None, None),
    ],
)
def test_qemu_conf_is_read(conf: str, user: str | None, drivers: tuple[str, ...] | None, tmp_path: Path) -> None:
    access = read_access(files_with(tmp_path, {"etc/libvirt/qemu.conf": conf, "dev/null": ""}))
    assert access == Access(vfio_nodes=None, qemu_user=user, qemu_security_drivers=drivers)


def test_a_user_that_is_no_string_is_unknown(tmp_path: Path) -> None:
    assert isinstance(read_access(files_with(tmp_path, {"etc/libvirt/qemu.conf": "user = 0"})).qemu_user, Unknown)
