# SPDX-License-Identifier: Apache-2.0
"""A host whose firmware tables differ: a changed DMAR, put before the initrd, where the kernel looks for it.

Source: Documentation/admin-guide/acpi/initrd_table_override.rst.
"""

from __future__ import annotations

import struct

from lab.dmar import add_rmrr, pack_scope, seal_table
from lab.guest_image import Entry, cpio
from lab.placement import pci_path
from lab.shape import Shape

DMAR = "/sys/firmware/acpi/tables/DMAR"
_FLAGS = 37  # of the whole table (VT-d specification, 8.1)
# The first record of the table, where QEMU puts its one unit: its length, and where its scopes begin (8.3).
_UNIT, _UNIT_LENGTH, _SCOPES = 48, 48 + 2, 48 + 16
_BRIDGE = 2  # the type of a scope that stands for all that is behind a bridge (8.3.1)


def change_dmar(dmar: bytes, shape: Shape) -> bytes:
    """The table of the standard host made into the shape's: flags, root ports, and what is reserved for its NICs."""
    if shape.dmar_flags is not None:
        dmar = seal_table(dmar[:_FLAGS] + bytes([shape.dmar_flags]) + dmar[_FLAGS + 1 :])
    ports = {pci_path(shape.nics, number)[:1] for number, nic in enumerate(shape.nics) if nic.covered}
    for port in sorted(ports):
        dmar = _cover(dmar, port)
    for region in shape.reserved:
        dmar = add_rmrr(dmar, region.base, region.end, pci_path(shape.nics, region.nic))
    return dmar


def _cover(dmar: bytes, port: tuple[tuple[int, int], ...]) -> bytes:
    """The table with a port of bus 0, and all behind it, in the scope of its unit."""
    scope = pack_scope(port, kind=_BRIDGE)
    (length,) = struct.unpack_from("<H", dmar, _UNIT_LENGTH)
    scopes = dmar[_SCOPES : _UNIT + length]
    if scope in (scopes[at : at + len(scope)] for at in range(0, len(scopes), len(scope))):
        return dmar
    changed = bytearray(dmar[: _UNIT + length] + scope + dmar[_UNIT + length :])
    struct.pack_into("<H", changed, _UNIT_LENGTH, length + len(scope))
    return seal_table(bytes(changed))


def prepend_table(initrd: bytes, name: str, table: bytes) -> bytes:
    """The initrd with a table before it, in an archive of its own that is not compressed."""
    folders = [Entry(path, 0o040755) for path in ("kernel", "kernel/firmware", "kernel/firmware/acpi")]
    return cpio([*folders, Entry(f"kernel/firmware/acpi/{name}.aml", 0o100644, table)]) + initrd
