# SPDX-License-Identifier: Apache-2.0
"""Reads the firmware's IOMMU tables. Only root may; the kernel makes the files mode 0400."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.firmware.acpi import read_table
from nicpass.model.firmware import Dmar, Firmware, Ivrs

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.fact import Fact


def read_firmware(files: Files) -> Firmware:
    """DMAR and IVRS, each decoded, absent or unknown with the reason."""
    dmar, ivrs = read_table(files, "DMAR"), read_table(files, "IVRS")
    return Firmware(
        dmar=_decode_dmar(dmar) if isinstance(dmar, bytes) else dmar,
        ivrs=_decode_ivrs(ivrs) if isinstance(ivrs, bytes) else ivrs,
    )


def _decode_dmar(table: bytes) -> Fact[Dmar]:
    from nicpass.host.firmware.dmar import decode_dmar  # late, as the other: no machine has both

    return decode_dmar(table)


def _decode_ivrs(table: bytes) -> Fact[Ivrs]:
    from nicpass.host.firmware.ivrs import decode_ivrs

    return decode_ivrs(table)
