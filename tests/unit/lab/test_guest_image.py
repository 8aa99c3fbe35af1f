# SPDX-License-Identifier: Apache-2.0
"""The nested guest's initrd."""

from __future__ import annotations

import pytest

from lab.errors import LabError
from lab.guest_image import Entry, cpio, module_closure

MODULES_DEP = """\
kernel/net/igb.ko.xz: kernel/dca.ko.xz kernel/i2c-algo-bit.ko.xz
kernel/dca.ko.xz:
kernel/i2c-algo-bit.ko.xz:
kernel/net/net_failover.ko.xz: kernel/net/failover.ko.xz
kernel/net/failover.ko.xz:
kernel/net/virtio_net.ko.xz: kernel/net/net_failover.ko.xz kernel/net/failover.ko.xz
"""


def test_modules_come_in_an_order_in_which_they_load() -> None:
    assert [path.rpartition("/")[2] for path in module_closure(MODULES_DEP, ("virtio_net", "igb"))] == [
        *("failover.ko.xz", "net_failover.ko.xz", "virtio_net.ko.xz"),
        *("i2c-algo-bit.ko.xz", "dca.ko.xz", "igb.ko.xz"),
    ]


def test_a_module_is_found_by_either_spelling() -> None:
    assert module_closure(MODULES_DEP, ("i2c_algo_bit",)) == ["kernel/i2c-algo-bit.ko.xz"]


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LabError, match="no module mlx5_core"):
        module_closure(MODULES_DEP, ("mlx5_core",))


def test_an_archive_has_the_form_that_the_kernel_unpacks() -> None:
    archive = cpio([Entry("init", 0o100755, b"#!x\n!")])
    assert archive.startswith(b"070701" + b"00000001" + b"000081ED")
    assert archive[6 + 6 * 8 : 6 + 7 * 8] == b"00000005"  # the size
    assert archive[110:120] == b"init\0\0#!x\n"  # the name is padded to a multiple of four, counted from the start
    assert b"TRAILER!!!\0" in archive
    assert len(archive) % 4 == 0
