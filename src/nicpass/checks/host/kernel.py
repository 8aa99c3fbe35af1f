# SPDX-License-Identifier: Apache-2.0
"""The kernel: whether it has VFIO, and what lockdown and Secure Boot keep from working."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

make_finding = Finder("host.kernel")


def check_vfio(host: Host) -> Iterator[Finding]:
    """VFIO built in or loaded is well, loadable too; absent is told by whether the kernel was built with it."""
    platform = host.platform
    state = platform.module_state("vfio_pci")
    evidence = ((f"/lib/modules/{platform.kernel}/modules.dep", f"vfio_pci: {state}"),)
    if state == "loadable":
        yield make_finding("VFIO_NOT_LOADED", evidence=evidence)
    elif state == "absent":
        options = platform.kernel_options
        is_built = not known(options) or any(line.startswith("CONFIG_VFIO_PCI=") for line in options)
        yield make_finding("VFIO_ABSENT" if is_built else "VFIO_NOT_BUILT", evidence=evidence)


def check_lockdown(host: Host) -> Iterator[Finding]:
    """Lockdown and Secure Boot: neither stops VFIO; what they do stop is in the texts."""
    platform = host.platform
    if known(platform.lockdown) and platform.lockdown != "none":
        evidence = (("/sys/kernel/security/lockdown", platform.lockdown),)
        yield make_finding("LOCKDOWN", evidence=evidence, mode=platform.lockdown)
    if platform.secure_boot is True:
        yield make_finding("SECURE_BOOT", evidence=(("/sys/firmware/efi/efivars/SecureBoot-*", "1"),))
