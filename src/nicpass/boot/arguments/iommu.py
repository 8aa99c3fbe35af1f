# SPDX-License-Identifier: Apache-2.0
"""What the kernel's arguments say to the IOMMU, understood as the kernel understands them.

Source: Documentation/admin-guide/kernel-parameters.txt, and the functions that parse them: intel_iommu_setup()
in drivers/iommu/intel/iommu.c, parse_amd_iommu_options() in drivers/iommu/amd/init.c, iommu_setup() in
arch/x86/kernel/pci-dma.c, gart_parse_options() in arch/x86/kernel/amd_gart_64.c, setup_irqremap() in
drivers/iommu/irq_remapping.c. All these functions compare the beginning of each value, with case, and pass over
values that they do not know; so `intel_iommu=On` and `amd_iommu=on` do nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KNOWN_VALUES: dict[str, tuple[str, ...]] = {
    "intel_iommu": ("on", "off", "igfx_off", "forcedac", "strict", "sp_off", "sm_on", "sm_off", "tboot_noforce"),
    "amd_iommu": (
        *("fullflush", "force_enable", "off", "force_isolation", "pgtbl_v1", "pgtbl_v2", "irtcachedis"),
        *("nohugepages", "v2_pgsizes_only"),
    ),
    "iommu": (
        *("off", "force", "noforce", "biomerge", "panic", "nopanic", "merge", "nomerge", "forcesac", "allowdac"),
        *("nodac", "usedac", "soft", "pt", "nopt", "fullflush", "nofullflush", "noagp", "noaperture", "memaper"),
        *("allowed", "leak"),
    ),
    "intremap": ("on", "off", "nosid", "no_x2apic_optout", "nopost", "posted_msi"),
}
"""Argument to the values that some x86 kernel since 5.4 knows."""

RELAX_RMRR = "relax_rmrr"
"""Value of intel_iommu= that a patched kernel alone knows, Proxmox VE's among them; it lets go of reserved memory."""
_NEWEST = (6, 14)
"""The kernel up to which these lists were looked through."""
_NEVER = {"amd_iommu": ("on",), "iommu": ("on",)}
"""Values that people copy from each other, and that no kernel is going to know."""
_OF_AMD = frozenset({"fullflush", "nofullflush", "noagp", "noaperture", "memaper", "allowed", "leak"})
"""Values of `iommu` that only gart_parse_options() reads, for the GART of old AMD processors."""

VENDOR_ARGUMENTS = {"intel_iommu": "DMAR", "amd_iommu": "IVRS"}
"""Argument to the firmware table whose IOMMU it configures."""


def values_for(name: str, tables: Sequence[str]) -> tuple[str, ...]:
    """The values of one argument that can do something on a host with these tables; none for one of another vendor."""
    if tables and name in VENDOR_ARGUMENTS and VENDOR_ARGUMENTS[name] not in tables:
        return ()
    values = KNOWN_VALUES[name]
    return values if not tables or "IVRS" in tables else tuple(value for value in values if value not in _OF_AMD)


def values_of(arguments: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """All values of one kernel argument, in order; each of several that commas part counts."""
    return [value for given in arguments.get(name, ()) for value in given.split(",") if value]


def last_switch(arguments: Mapping[str, Sequence[str]], name: str) -> bool | None:
    """Whether the argument's last `on` or `off` is `on`; None where it has neither."""
    said = [value for value in values_of(arguments, name) if value.startswith(("on", "off"))]
    return said[-1].startswith("on") if said else None


def unknown_values(arguments: Mapping[str, Sequence[str]], release: str | None = None) -> list[tuple[str, str]]:
    """(Argument, value) for each value that the kernel of this release cannot know.

    Of a kernel that is newer than the lists that is sure only where case alone is wrong, or for what was never known.
    What a patched kernel may know is not among them. A digit alone sizes the GART of old AMD processors.
    """
    return [
        (name, value)
        for name, known_values in KNOWN_VALUES.items()
        for value in values_of(arguments, name)
        if not value.startswith(known_values)
        and not (name == "iommu" and value[0].isdigit())
        and not (name == "intel_iommu" and value.startswith(RELAX_RMRR))
        and (not _is_newer(release) or value in _NEVER.get(name, ()) or value.lower().startswith(known_values))
    ]


def asks_to_relax(arguments: Mapping[str, Sequence[str]]) -> bool:
    """Whether a kernel with the patch for it is told to let go of memory that firmware reserves for devices."""
    return any(value.startswith(RELAX_RMRR) for value in values_of(arguments, "intel_iommu"))


def _is_newer(release: str | None) -> bool:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", release or "")
    return found is not None and (int(found[1]), int(found[2])) > _NEWEST


def find_iommu_off(arguments: Mapping[str, Sequence[str]], tables: Sequence[str]) -> str | None:
    """The argument that keeps this firmware's IOMMU off; None if none does."""
    if any(value.startswith("off") for value in values_of(arguments, "iommu")):
        return "iommu=off"  # no later argument takes it back
    if "DMAR" in tables and last_switch(arguments, "intel_iommu") is False:
        return "intel_iommu=off"
    if "IVRS" in tables and any(value.startswith("off") for value in values_of(arguments, "amd_iommu")):
        return "amd_iommu=off"
    return None


def is_asked_for(arguments: Mapping[str, Sequence[str]]) -> bool:
    """Whether an argument turns VT-d on, so that it might be off without it."""
    return last_switch(arguments, "intel_iommu") is True


def find_remapping_off(arguments: Mapping[str, Sequence[str]]) -> str | None:
    """The argument that keeps interrupt remapping off: `intremap`, `nointremap`, or one that leaves out the (IO-)APIC.

    enable_IR_x2apic() in arch/x86/kernel/apic/apic.c does nothing without an IO-APIC.
    """
    if last_switch(arguments, "intremap") is False:
        return "intremap=off"
    if "nointremap" in arguments and last_switch(arguments, "intremap") is None:
        return "nointremap"
    return next((name for name in ("noapic", "nolapic", "disableapic") if name in arguments), None)


def find_passthrough(arguments: Mapping[str, Sequence[str]]) -> str | None:
    """The argument that leaves the host's own DMA unconfined: `iommu=pt` or `iommu.passthrough=1`, the last wins.

    Where both are given their order is not kept here, and `iommu.passthrough` is taken.
    """
    if chosen := arguments.get("iommu.passthrough"):
        return f"iommu.passthrough={chosen[-1]}" if is_true(chosen[-1]) else None
    said = [value for value in values_of(arguments, "iommu") if value.startswith(("pt", "nopt"))]
    return "iommu=pt" if said and said[-1].startswith("pt") else None


def is_true(text: str) -> bool:
    """Whether `text` is true as kstrtobool() in lib/kstrtox.c reads it: y, t, 1 or on."""
    return text[:1] in tuple("yYtT1") or text[:2].lower() == "on"
