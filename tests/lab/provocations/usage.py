# SPDX-License-Identifier: Apache-2.0
"""What the host would lose with a NIC."""

from __future__ import annotations

from tests.lab.provocations.provocation import MendedBy, Provocation

NIC, NETDEV = "0000:02:00.0", "enp2s0"

PROVOCATIONS = (
    Provocation(
        code="CARRIES_DEFAULT_ROUTE",
        how="a second default route over the NIC",
        sees=r"enp2s0 → 192.0.2.9/24 → default via 192.0.2.1",
        nic=NIC,
        provoke=(
            "ip link set enp2s0 up; ip address add 192.0.2.9/24 dev enp2s0",
            "ip route add default via 192.0.2.1 dev enp2s0 metric 500",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("ip route del default via 192.0.2.1 dev enp2s0",),
        undo=("ip address del 192.0.2.9/24 dev enp2s0; ip link set enp2s0 down",),
    ),
    Provocation(
        code="CARRIES_ROUTE",
        how="a route over the NIC in a table of its own",
        sees=r"enp2s0 .*198.51.100.0/24",
        nic=NIC,
        provoke=("ip link set enp2s0 up; ip route add 198.51.100.0/24 dev enp2s0 table 77",),
        mended_by=MendedBy.ADVICE,
        mend=("ip route flush table 77",),
        undo=("ip link set enp2s0 down",),
    ),
    Provocation(
        code="HAS_ADDRESS",
        how="an address on a bridge over a bond over the NIC",
        sees=r"enp2s0 → bond9 → br9 → 192.0.2.9/24",
        nic=NIC,
        provoke=(
            "ip link add bond9 type bond mode active-backup; ip link set enp2s0 master bond9",
            "ip link add br9 type bridge; ip link set bond9 master br9; ip address add 192.0.2.9/24 dev br9",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("ip address del 192.0.2.9/24 dev br9",),
        undo=("ip link del br9; ip link del bond9; ip link set enp2s0 down",),
    ),
    Provocation(
        code="HAS_UPPER",
        how="a VLAN and a macvlan on the NIC",
        sees=r"enp2s0 → enp2s0\.5",
        nic=NIC,
        provoke=("ip link add link enp2s0 name enp2s0.5 type vlan id 5; ip link add mv9 link enp2s0 type macvlan",),
        mended_by=MendedBy.ADVICE,
        mend=("ip link del enp2s0.5; ip link del mv9",),
    ),
    Provocation(
        code="NETDEV_ELSEWHERE",
        how="the interface in another network namespace",
        sees=r"0000:02:00.0 is on its network driver igb",
        nic=NIC,
        provoke=("ip netns add lab9; ip link set enp2s0 netns lab9",),
        mended_by=MendedBy.ADVICE,
        mend=("ip -n lab9 link set enp2s0 netns 1; udevadm settle",),
        undo=("ip netns del lab9",),
    ),
    Provocation(
        code="PF_HAS_VFS",
        how="VFs made of the NIC",
        sees=r"has 2 VFs",
        nic=NIC,
        provoke=(f"nicpass vf create {NIC} --count 2",),
        mended_by=MendedBy.COMMAND,
        undo=(),
    ),
    Provocation(
        code="OWNED_BY_VM",
        how="the NIC in a VM's definition",
        sees=r"belongs to the VM db01",
        nic=NIC,
        provoke=(f"nicpass attach db01 {NIC}",),
        mended_by=MendedBy.COMMAND,
    ),
)

UNIT_ONLY = {
    "USE_UNKNOWN": "the kernel of the lab always answers; it takes a capture without network facts",
    "VFS_NEARBY": "it takes a tree whose VFs do not show their PF, as guests and containers see it",
}
