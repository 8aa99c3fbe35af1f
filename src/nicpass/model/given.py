# SPDX-License-Identifier: Apache-2.0
"""What nicpass itself has put down of this host: the NICs that were given to VMs, and the starts that were vetoed."""

from __future__ import annotations

import msgspec

from nicpass.model.address import Address
from nicpass.model.boot import DeviceIdentity


class GivenLink(msgspec.Struct, frozen=True, kw_only=True):
    """An interface that the NIC had on the host."""

    name: str
    altnames: tuple[str, ...] = ()
    mac: str | None = None
    permanent_mac: str | None = None

    @property
    def macs(self) -> frozenset[str]:
        return frozenset(mac for mac in (self.mac, self.permanent_mac) if mac is not None)


class GivenNic(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC that was given to a VM, as its record tells: it answers to the names that it had on the host."""

    address: Address
    vm: str = ""
    """Empty in records of nicpass 0.1, which did not say whose the NIC is."""
    uuid: str = ""
    allow: frozenset[str] = frozenset()
    """Codes of findings that the administrator took upon himself when he gave the NIC away."""
    managed: bool = True
    links: tuple[GivenLink, ...] = ()
    vf_index: int | None = None
    """None for what is no VF."""
    pf: Address | None = None
    """For a VF, its PF; None also where the record is from before it was kept."""
    identity: DeviceIdentity | None = None

    @property
    def label(self) -> str:
        """How a sentence names it: `eth1 (0000:01:00.0)`, or the address alone."""
        return f"{self.links[0].name} ({self.address})" if self.links else self.address

    def answers_to(self, name: str, mac: str | None) -> bool:
        """Whether an interface of it had this name, alternative name or (parsed) MAC."""
        return any(name in (link.name, *link.altnames) or mac in link.macs for link in self.links)


class Veto(msgspec.Struct, frozen=True, kw_only=True):
    """One start that the guard has kept from going on."""

    time: float
    """Seconds since 1970, UTC."""
    when: str
    """The same, `2026-11-23 06:35:00 +0100`, by the host's own clock on the wall."""
    sentence: str
    hint: str = ""
    mend: str = ""
    """What to do about it, without the command; empty where `hint` is all."""
    command: str = ""
    """The command that lets the VM start all the same, or the one that takes the NIC back where that cannot be."""
    codes: tuple[str, ...] = ()
    """Codes of the findings that stood in the way; none where it was something else."""


class VetoedVm(msgspec.Struct, frozen=True, kw_only=True):
    """The last vetoes of one VM's starts, the oldest first."""

    vm: str
    uuid: str
    vetoes: tuple[Veto, ...] = ()
    passed: float | None = None
    """When a start of the VM was let through again, after the last veto before it."""

    @property
    def standing(self) -> Veto | None:
        """The last veto, unless a start was let through since."""
        last = self.vetoes[-1] if self.vetoes else None
        return last if last is not None and (self.passed is None or self.passed < last.time) else None
