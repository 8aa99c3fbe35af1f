# SPDX-License-Identifier: Apache-2.0
"""How a host shall be, as one file says it (`nicpass.state/1`). What is not named in it is left alone."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

SCHEMA: Final = "nicpass.state/1"

Rate = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1, description="Mbit/s; 0 is no limit.")]
Mac = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$", examples=["52:54:00:12:34:56"])]
VfNumber = Annotated[int, msgspec.Meta(ge=0, le=65534)]
VfNumbers = Annotated[
    str, msgspec.Meta(pattern=r"^(all|[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*)$", examples=["0-6", "all"])
]
Guid = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){7}$")]


class DeclaredVf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What VFs are set to, in the words of `ip link set DEV vf N` (ip-link(8)); what is not named stays as it is."""

    mac: Mac | None = None
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4094, description="0 is no VLAN.")] | None = None
    qos: Annotated[int, msgspec.Meta(ge=0, le=7)] | None = None
    proto: Literal["802.1Q", "802.1ad"] | None = None
    spoofchk: bool | None = None
    trust: bool | None = None
    min_tx_rate: Rate | None = None
    max_tx_rate: Rate | None = None
    state: Literal["auto", "enable", "disable"] | None = None
    query_rss: bool | None = None
    node_guid: Guid | None = None
    port_guid: Guid | None = None


class DeclaredPf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The VFs that a PF shall have."""

    vfs: Annotated[int, msgspec.Meta(ge=0, le=65535, description="How many.")]
    for_host: bool = False
    """Whether the host's own drivers shall have the VFs, not only VMs; heeded when they are made."""
    until_reboot: bool = False
    """Whether what is changed of them is not to come back at the next boot."""
    all: DeclaredVf = DeclaredVf()
    """What all of them are set to, where `each` says nothing else."""
    each: dict[Annotated[int, msgspec.Meta(ge=0, le=65534)], DeclaredVf] = {}
    """What single VFs are set to, by their numbers."""


class DeclaredBoot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the next boots go by, as `nicpass prepare` writes it; it counts from the next boot on.

    That is the kernel arguments that passthrough needs here, and the NICs that their own drivers never see.
    """

    nics: tuple[str, ...] = ()
    """The NICs that are vfio-pci's from the boot on: address, netdev or MAC."""
    iommu_pt: bool = False
    """Whether the host's own devices shall do DMA without translation."""
    group: str | None = None
    """The group whose members may open VFIO devices without being root."""
    allow: tuple[str, ...] = ()
    """As a VM's, for these NICs."""


class DeclaredPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool of VFs, from which libvirt gives each VM one at its start; it is started now, and at every boot."""

    vfs: dict[str, VfNumber | VfNumbers | tuple[VfNumber | VfNumbers, ...]]
    """Which VFs of which PF: all that are in the pool."""
    vlan: Annotated[int, msgspec.Meta(ge=0, le=4094, description="0 is no VLAN.")] | None = None
    """The VLAN of every VF of it; of one that is there it is not changed."""


class DeclaredNic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A NIC that a VM shall have: a name by itself, or `nic`, or the VF number `vf` of `pf`, or one of `pool`."""

    nic: str | None = None
    """Its address, netdev or MAC."""
    pf: str | None = None
    vf: Annotated[int, msgspec.Meta(ge=0, le=65534)] | None = None
    pool: str | None = None
    """The pool of whose VFs libvirt picks one at each start of the VM."""
    mac: Mac | None = None
    """The MAC in the guest; without it the VF's own, or one that is derived from its PF's; of a pool, from the VM's
    UUID and the pool's name."""
    vlan: Annotated[int, msgspec.Meta(ge=1, le=4094)] | None = None
    """The VLAN that the PF puts the VF into; without it the VF's own."""


class DeclaredVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The NICs that a VM shall have, beside what else it has."""

    nics: tuple[str | DeclaredNic, ...] = ()
    allow: tuple[str, ...] = ()
    """Codes of `unsafe` findings that the administrator takes upon himself for these NICs, each by its name."""


class DeclaredState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a host shall be."""

    schema: Literal["nicpass.state/1"] = SCHEMA
    boot: DeclaredBoot | None = None
    """What the next boots go by."""
    pfs: dict[str, DeclaredPf] = {}
    """PFs by address, netdev or MAC."""
    pools: dict[str, DeclaredPool] = {}
    """Pools by name."""
    vms: dict[str, DeclaredVm] = {}
    """VMs by name or UUID."""
