# SPDX-License-Identifier: Apache-2.0
"""mkinitcpio, which Arch and its kin use: mkinitcpio(8), mkinitcpio.conf(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nicpass.model.file_image import FileImage

ARGV: Final = ("mkinitcpio", "-P")
FILES: Final[dict[str, FileImage]] = {}
