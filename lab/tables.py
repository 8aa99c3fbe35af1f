# SPDX-License-Identifier: Apache-2.0
"""A host whose firmware tables differ: a changed DMAR, put before the initrd, where the kernel looks for it.

Source: Documentation/admin-guide/acpi/initrd_table_override.rst.
"""

from __future__ import annotations

from lab.dmar import add_rmrr
from lab.guest_image import Entry, cpio
from lab.placement import pci_path
from lab.shape import Shape

DMAR = "/sys/firmware/acpi/tables/DMAR"


def change_dmar(dmar: bytes, shape: Shape) -> bytes:
    """The DMAR table with what the shape's firmware reserves for its NICs."""
    for region in shape.reserved:
        dmar = add_rmrr(dmar, region.base, region.end, pci_path(shape.nics, region.nic))
    return dmar


def prepend_table(initrd: bytes, name: str, table: bytes) -> bytes:
    """The initrd with a table before it, in an archive of its own that is not compressed."""
    folders = [Entry(path, 0o040755) for path in ("kernel", "kernel/firmware", "kernel/firmware/acpi")]
    return cpio([*folders, Entry(f"kernel/firmware/acpi/{name}.aml", 0o100644, table)]) + initrd
