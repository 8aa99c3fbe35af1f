# SPDX-License-Identifier: Apache-2.0
"""The host's CPUs: which share a core, which are kept from the scheduler, who else has a claim to some of them.

All lists are lists of numbers, `0-3,8`, as the kernel prints them.
"""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact


class CpuClaim(msgspec.Struct, frozen=True, kw_only=True):
    """CPUs that a service of the host is bound to, or that are kept for it."""

    source: str
    """The file that says so."""
    text: str
    """The line: `CPUAffinity=4-7`, `cpuset.cpus=0-3`."""
    cpus: str


class Interrupt(msgspec.Struct, frozen=True, kw_only=True):
    """An interrupt of a NIC's, by the kernel's number, and the CPUs that may handle it (/proc/irq/N)."""

    number: int
    cpus: str


class NicInterrupts(msgspec.Struct, frozen=True, kw_only=True):
    """The interrupts that a NIC has at this moment: while its VM runs, those that vfio-pci asked for."""

    address: Address
    interrupts: Fact[tuple[Interrupt, ...]] = None


class Cpus(msgspec.Struct, frozen=True, kw_only=True):
    """The CPUs of the host. They are read only for who places a VM; `unread` says why not."""

    unread: str | None = None
    online: Fact[str] = None
    cores: Fact[tuple[str, ...]] = None
    """Each core that is online, as the list of its threads."""
    isolated: Fact[str] = None
    """The CPUs that the scheduler leaves alone: `isolcpus=`, and isolated partitions of cpusets."""
    nohz_full: Fact[str] = None
    """The CPUs whose timer is stopped while one task runs there: `nohz_full=`."""
    claims: Fact[tuple[CpuClaim, ...]] = None
    interrupts: tuple[NicInterrupts, ...] = ()
    hugepage_mounts: tuple[int, ...] = ()
    """The sizes of huge pages, in bytes, that a hugetlbfs is mounted for: libvirt gives VMs no others.

    0 is the default size.
    """
    balancer: Fact[str] = None
    """The service that moves interrupts by itself, where it runs: `irqbalance`."""
