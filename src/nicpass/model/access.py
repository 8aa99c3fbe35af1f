# SPDX-License-Identifier: Apache-2.0
"""Who on the host may reach devices that are given away: the nodes of VFIO, and the user that QEMU runs as."""

from __future__ import annotations

import msgspec

from nicpass.model.fact import Fact


class DeviceNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node below /dev/vfio (Documentation/driver-api/vfio.rst)."""

    path: str
    """`/dev/vfio/26` is a group, `/dev/vfio/devices/vfio0` one device, `/dev/vfio/vfio` only makes containers."""
    is_device: bool
    """Whether the node is a character device; a capture has a plain file instead, whose owner says nothing."""
    mode: int
    """The permission bits of the node alone, 0o600."""
    uid: int
    gid: int
    user: str | None = None
    """The owner's name in /etc/passwd; None where `uid` has none there."""
    group: str | None = None


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who may reach the devices that are given to VMs."""

    vfio_nodes: Fact[tuple[DeviceNode, ...]] = None
    qemu_user: Fact[str] = None
    """`user` in /etc/libvirt/qemu.conf; None where the distribution's default holds."""
    qemu_security_drivers: Fact[tuple[str, ...]] = None
    """`security_driver` in /etc/libvirt/qemu.conf: `apparmor`, `selinux`, `none`; None where libvirt looks for one."""
