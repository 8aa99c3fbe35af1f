# SPDX-License-Identifier: Apache-2.0
"""The code about what the kernel knows of single models."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "KERNEL_QUIRK": Entry(
        severity=Severity.INFO,
        sentence="The kernel has a special rule for {nic} ({model}): {effect}.",
        meaning="The rule is taken into account here; it explains what would else look wrong.",
        background="Some devices do not do what their configuration space says, or do what it does not say. The kernel "
        "keeps a list of them in drivers/pci/quirks.c, by vendor and device. For network cards it holds resets that "
        "must not be used, interrupt lines that cannot be masked, and cards whose functions are isolated without ACS.",
    ),
}
