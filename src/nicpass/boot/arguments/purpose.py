# SPDX-License-Identifier: Apache-2.0
"""Why somebody may have turned off what passthrough needs, and the milder way that leaves him what he wanted.

Sources: Documentation/admin-guide/kernel-parameters.txt; Documentation/arch/x86/iommu.rst ("Some exceptions to IOVA":
graphics, RMRR); drivers/iommu/intel/quirks of the kernel's irq_remapping.c (Intel 5500/5520/X58 erratum).
"""

from __future__ import annotations

from nicpass.model.language import _


def explain_purpose(argument: str) -> str:
    """Why `argument` may have been given, and what to write in its place if that was the reason; empty if unknown."""
    if argument in ("intel_iommu=off", "iommu=off"):
        return _(
            "If it was given because of faults of the host's own graphics, intel_iommu=on,igfx_off leaves these alone; "
            "because of slow or failing disks and NICs of the host, iommu=pt does (nicpass prepare --iommu-pt)."
        )
    if argument == "amd_iommu=off":
        return _(
            "If it was given because of faults or slowness of the host's own devices, iommu=pt leaves these "
            "untranslated (nicpass prepare --iommu-pt)."
        )
    if argument in ("intremap=off", "nointremap"):
        return _(
            "If it was given because interrupts were lost or the kernel warned of x2APIC, try intremap=nosid or "
            "intremap=no_x2apic_optout in its place; chipsets of the Intel 5500 and 5520 cannot remap interrupts "
            "rightly, and there it has to stay."
        )
    if argument in ("noapic", "nolapic", "disableapic"):
        return _(
            "It was mostly given because a board's firmware describes its interrupts wrongly: look for a newer "
            "firmware, and try without it first."
        )
    return ""
