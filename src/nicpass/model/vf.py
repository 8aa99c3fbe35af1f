# SPDX-License-Identifier: Apache-2.0
"""What somebody wishes of a PF's VFs, in the words of `ip link set DEV vf N`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class VfWish(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that VFs shall have; None is not asked for, and stays as it is. Fields are those of VfSettings."""

    mac: str | None = None
    vlan: int | None = None
    """0 takes the VLAN away."""
    qos: int | None = None
    vlan_protocol: Literal["802.1Q", "802.1ad"] | None = None
    spoofchk: bool | None = None
    trust: bool | None = None
    min_tx_rate: int | None = None
    """In Mbit/s; 0 is none."""
    max_tx_rate: int | None = None
    link_state: Literal["auto", "enable", "disable"] | None = None
    query_rss: bool | None = None
    node_guid: str | None = None
    port_guid: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is asked for, by the fields' names."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


NOTHING = VfWish()

OPTIONS = {
    "mac": "--mac",
    "vlan": "--vlan",
    "qos": "--qos",
    "vlan_protocol": "--proto",
    "spoofchk": "--spoofchk",
    "trust": "--trust",
    "min_tx_rate": "--min-tx-rate",
    "max_tx_rate": "--max-tx-rate",
    "link_state": "--state",
    "query_rss": "--query-rss",
    "node_guid": "--node-guid",
    "port_guid": "--port-guid",
}
"""A field of VfWish to its option of the command line."""
SWITCHES = ("spoofchk", "trust", "query_rss")
"""The fields that are on or off."""


class VfSetRequest(msgspec.Struct, frozen=True, kw_only=True, tag="vf_set"):
    """Set VFs of a PF."""

    pf: str
    """The PF as the user named it; or one of its VFs, where `vfs` is None."""
    vfs: str | None = None
    """Which VFs: `3`, `0-3`, `0,2,5-6`, `all`."""
    settings: VfWish = NOTHING
    each: tuple[tuple[int, VfWish], ...] = ()
    """What single ones of them shall be set to besides, by the VF's number."""
    until_reboot: bool = False
    """Whether the next boot is to set them as it would have done without this."""
    confirm_within: int | None = None
    """Seconds in which to confirm, as in AttachRequest."""


class Unsupported(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that a PF's driver has answered EOPNOTSUPP to."""

    driver: str
    setting: str
    """The setting's field in VfSettings."""
    release: str
    """The kernel that was seen to answer so."""
    switchdev: bool = False
    """Whether the PF was in switchdev mode, in which drivers take less."""
