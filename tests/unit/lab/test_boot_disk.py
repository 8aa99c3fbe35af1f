# SPDX-License-Identifier: Apache-2.0
"""What a disk with a boot loader is made of."""

from __future__ import annotations

import pytest

from lab.boot_disk import _LAYOUTS, _packages
from lab.shape import SHAPES, Boot, Firmware, Initramfs, Loader, Shape

BOOTED = [shape for shape in SHAPES.values() if shape.boot is not None]


@pytest.mark.parametrize("shape", BOOTED, ids=lambda shape: shape.name)
def test_each_shape_with_a_boot_loader_can_be_made(shape: Shape) -> None:
    assert shape.boot is not None
    assert len(_packages(shape.boot)) > len(("fdisk", "dosfstools"))
    assert shape.kernel_arguments == ("intel_iommu=off",)


def test_there_is_no_systemd_boot_with_bios() -> None:
    with pytest.raises(KeyError):
        _packages(Boot(Loader.SYSTEMD_BOOT, Firmware.BIOS))


def test_dracut_is_installed_only_where_it_is_asked_for() -> None:
    assert "dracut" in _packages(Boot(Loader.GRUB, initramfs=Initramfs.DRACUT))
    assert "dracut" not in _packages(Boot(Loader.GRUB))


@pytest.mark.parametrize("firmware", Firmware)
def test_the_root_begins_where_the_partition_table_says(firmware: Firmware) -> None:
    layout = _LAYOUTS[firmware]
    sizes = [
        int(part.removeprefix("size=").removesuffix("MiB"))
        for part in layout.script.replace(",", "").split()
        if part.startswith("size=")
    ]
    assert layout.root_start == 1 + sum(sizes[:-1])
    assert layout.size > 1 + sum(sizes)
