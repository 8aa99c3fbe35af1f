# SPDX-License-Identifier: Apache-2.0
"""Reads the firmware's IOMMU tables. Only root may; the kernel makes the files mode 0400."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.firmware.acpi import read_table
from nicpass.host.firmware.dmar import decode_dmar
from nicpass.host.firmware.ivrs import decode_ivrs
from nicpass.model.firmware import Firmware

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files


def read_firmware(files: Files) -> Firmware:
    """DMAR and IVRS, each decoded, absent or unknown with the reason."""
    dmar, ivrs = read_table(files, "DMAR"), read_table(files, "IVRS")
    return Firmware(
        dmar=decode_dmar(dmar) if isinstance(dmar, bytes) else dmar,
        ivrs=decode_ivrs(ivrs) if isinstance(ivrs, bytes) else ivrs,
    )
