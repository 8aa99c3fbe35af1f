# SPDX-License-Identifier: Apache-2.0
"""What the host would lose with a NIC."""

from __future__ import annotations

from tests.lab.provocations import nfs
from tests.lab.provocations.provocation import MendedBy, Provocation

FIRST, NIC, THIRD = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
# The kernel's bpf(2), from Python: a program that passes every packet, pinned for ip(8) to attach.
_XDP = (
    "import ctypes, struct; libc = ctypes.CDLL(None, use_errno=True); "
    "code = struct.pack('<BBhiBBhi', 0xb7, 0, 0, 2, 0x95, 0, 0, 0); text = ctypes.create_string_buffer(code); "
    "name = ctypes.create_string_buffer(b'GPL'); path = ctypes.create_string_buffer(b'/sys/fs/bpf/lab'); "
    "load = struct.pack('<IIQQIIQII', 6, 2, ctypes.addressof(text), ctypes.addressof(name), 0, 0, 0, 0, 0); "
    "number = libc.syscall(321, 5, load, len(load)); assert number > 0, ctypes.get_errno(); "
    "pin = struct.pack('<QII', ctypes.addressof(path), number, 0); "
    "assert libc.syscall(321, 6, pin, len(pin)) == 0, ctypes.get_errno()"
)

_WAIT_ONLINE = "/etc/systemd/system/systemd-networkd-wait-online.service.d/lab.conf"


def _packet_socket(program: str, seconds: str) -> str:
    """A command line that starts a Python, by whatever name, with a packet socket of every protocol on `enp3s0`."""
    return (
        f'setsid -f {program} -c "import socket, time; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300); '
        f"s.bind(('enp3s0', 0)); time.sleep({seconds})\" </dev/null >/dev/null 2>&1; sleep 1"
    )


PROVOCATIONS = (
    Provocation(
        code="TO_BE_CONFIGURED",
        how="a .network file with DHCP for a NIC that has no address",
        sees=r"enp2s0 .* is to be configured by systemd-networkd: /etc/systemd/network/20-lab.network says Name=enp2s0",
        nic=NIC,
        scene="intents",
        provoke=("printf '[Match]\\nName=enp2s0\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/20-lab.network",),
        mended_by=MendedBy.COMMAND,
        undo=("rm /etc/systemd/network/20-lab.network /etc/systemd/network/00-enp2s0-unmanaged.network",),
    ),
    Provocation(
        code="TO_BE_PART",
        how="a .network file that is to make the NIC a bridge's port",
        sees=r"enp3s0 .* is to be part of another interface, br9: /etc/systemd/network/21-lab.network",
        nic=THIRD,
        scene="netplan",
        provoke=("printf '[Match]\\nName=enp3s0\\n[Network]\\nBridge=br9\\n' >/etc/systemd/network/21-lab.network",),
        mended_by=MendedBy.ADVICE,
        mend=("rm /etc/systemd/network/21-lab.network",),
    ),
    Provocation(
        code="WAITED_FOR",
        how="a boot that waits for the NIC to be online",
        sees=r"The boot waits for enp1s0",
        nic=FIRST,
        scene="intents",
        provoke=(
            f"mkdir {_WAIT_ONLINE.rpartition('/')[0]}",
            "printf '[Service]\\nExecStart=\\nExecStart=/lib/systemd/systemd-networkd-wait-online -i enp1s0\\n' "
            f">{_WAIT_ONLINE}",
        ),
        mended_by=MendedBy.ADVICE,
        mend=(f"rm -r {_WAIT_ONLINE.rpartition('/')[0]}",),
    ),
    Provocation(
        code="NAMED_UNCLEARLY",
        how="a netplan file with an anchor in it",
        sees=r"enp1s0 .* may be meant by .*: /etc/netplan/lab.yaml \(netplan\)",
        nic=FIRST,
        scene="netplan",
        provoke=(
            "mkdir -p /etc/netplan; "
            "printf 'network:\\n  ethernets:\\n    enp1s0: &lan {dhcp4: true}\\n' >/etc/netplan/lab.yaml",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("rm -r /etc/netplan",),
    ),
    Provocation(
        code="CONFIGURED_BY",
        how="an address on the NIC, and a .network file for it",
        sees=r"enp2s0 .* has what stands on it from systemd-networkd: /etc/systemd/network/20-lab.network",
        nic=NIC,
        scene="netplan",
        provoke=(
            "printf '[Match]\\nName=enp2s0\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/20-lab.network",
            "ip address add 192.0.2.9/24 dev enp2s0",
        ),
        mended_by=MendedBy.NOTHING,
        undo=("rm /etc/systemd/network/20-lab.network; ip address flush dev enp2s0",),
    ),
    Provocation(
        code="CARRIES_DEFAULT_ROUTE",
        how="a second default route over the NIC",
        sees=r"enp2s0 → 192.0.2.9/24 → default via 192.0.2.1",
        nic=NIC,
        scene="routes",
        provoke=(
            "ip link set enp2s0 up; ip address add 192.0.2.9/24 dev enp2s0",
            "ip route add default via 192.0.2.1 dev enp2s0 metric 500",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("ip address flush dev enp2s0; ip link set enp2s0 down",),
    ),
    Provocation(
        code="CARRIES_ROUTE",
        how="a route over the NIC in a table of its own",
        sees=r"enp1s0 .*198.51.100.0/24",
        nic=FIRST,
        scene="routes",
        provoke=("ip link set enp1s0 up; ip route add 198.51.100.0/24 dev enp1s0 table 77",),
        mended_by=MendedBy.COMMAND,
        undo=("ip link set enp1s0 down",),
    ),
    Provocation(
        code="RULE_NAMES_NIC",
        how="a routing rule for what comes in by the NIC",
        sees=r"enp3s0 .*iif enp3s0",
        nic=THIRD,
        scene="routes",
        provoke=("ip rule add iif enp3s0 table 77 priority 700",),
        mended_by=MendedBy.COMMAND,
        undo=("ip rule del priority 700 || true",),
    ),
    Provocation(
        code="HAS_ADDRESS",
        how="an address on a bridge over a bond over the NIC",
        sees=r"enp2s0 → bond9 → br9 → 192.0.2.9/24",
        nic=NIC,
        scene="uppers",
        provoke=(
            "ip link add bond9 type bond mode active-backup miimon 100",
            "ip link set enp2s0 master bond9; ip link set bond9 up",
            "ip link add br9 type bridge; ip link set bond9 master br9; ip link set br9 up",
            "ip address add 192.0.2.9/24 dev br9",
            "timeout 20 sh -c 'until grep -q 1 /sys/class/net/bond9/carrier; do sleep 0.2; done'",
        ),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="BOND_LAST_PORT",
        how="a bond of which the NIC is the only port",
        sees=r"enp2s0 .* is the last port of bond9",
        nic=NIC,
        scene="uppers",
        provoke=("true",),
        mended_by=MendedBy.ADVICE,
        mend=(
            "ip link set enp1s0 master bond9",
            "timeout 20 sh -c 'until grep -q up /sys/class/net/enp1s0/bonding_slave/mii_status; do sleep 0.2; done'",
        ),
        undo=("ip link del br9; ip link del bond9; ip link set enp2s0 down; ip link set enp1s0 down",),
    ),
    Provocation(
        code="BOND_STAYS_UP",
        how="a bond of two ports that both have a carrier",
        sees=r"enp2s0 .* is one of several ports of bond9.*enp1s0",
        nic=NIC,
        scene="bond",
        provoke=(
            "ip link add bond9 type bond mode active-backup miimon 100",
            "ip link set enp2s0 master bond9; ip link set enp1s0 master bond9; ip link set bond9 up",
            'for n in 1 2; do timeout 20 sh -c "until grep -q up /sys/class/net/enp${n}s0/bonding_slave/mii_status; '
            'do sleep 0.2; done"; done',
        ),
        mended_by=MendedBy.NOTHING,
    ),
    Provocation(
        code="HAS_UPPER",
        how="a bond on the NIC",
        sees=r"enp2s0 → bond9",
        nic=NIC,
        scene="bond",
        provoke=("true",),
        mended_by=MendedBy.COMMAND,
        undo=("ip link del bond9; ip link set enp2s0 down; ip link set enp1s0 down",),
    ),
    Provocation(
        code="HAS_UPPER",
        how="a macvlan on the NIC",
        sees=r"enp3s0 → mv9",
        nic=THIRD,
        scene="bond",
        provoke=("ip link add mv9 link enp3s0 type macvlan",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="CARRIES_TUNNEL",
        how="a VXLAN whose other end is reached by the NIC",
        sees=r"enp3s0 .*vx9",
        nic=THIRD,
        scene="tunnel",
        provoke=(
            "ip link set enp3s0 up; ip address add 192.0.2.9/24 dev enp3s0",
            "ip link add vx9 type vxlan id 9 remote 192.0.2.10 local 192.0.2.9 dstport 4789; ip link set vx9 up",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("ip address flush dev enp3s0; ip link set enp3s0 down",),
    ),
    Provocation(
        code="NETDEV_ELSEWHERE",
        how="the interface in another network namespace",
        sees=r"0000:02:00.0 is on its network driver igb and shows no interface here.*enp2s0",
        nic=NIC,
        scene="tunnel",
        provoke=("ip netns add lab9; ip link set enp2s0 netns lab9",),
        mended_by=MendedBy.COMMAND,
        mend=("udevadm settle",),
        undo=("ip netns del lab9",),
    ),
    Provocation(
        code="PF_HAS_VFS",
        how="VFs made of the NIC",
        sees=r"would vanish with it",
        nic=NIC,
        scene="vfs",
        provoke=(f"nicpass vf create {NIC} --count 2",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="PF_OF_USED_VFS",
        how="an address on a VF of the NIC",
        sees=r"is the PF of VFs that are in use: .*0000:01:10.0.*192.0.2.9",
        nic=FIRST,
        scene="vfs",
        provoke=(
            f"echo 1 >/sys/bus/pci/devices/{FIRST}/sriov_numvfs; udevadm settle",
            "ip address add 192.0.2.9/24 dev $(ls /sys/bus/pci/devices/0000:01:10.0/net)",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("ip address flush dev $(ls /sys/bus/pci/devices/0000:01:10.0/net)",),
        undo=(f"echo 0 >/sys/bus/pci/devices/{FIRST}/sriov_numvfs; udevadm settle",),
    ),
    Provocation(
        code="PF_DOWN",
        how="a VF of a PF that nobody has brought up",
        sees=r"\(0000:01:10\.0\) is a VF of enp1s0 \(0000:01:00\.0\), which is down",
        nic="0000:01:10.0",
        scene="vfs",
        provoke=("true",),
        mended_by=MendedBy.COMMAND,
        undo=("ip link set enp1s0 down",),
    ),
    Provocation(
        code="OWNED_BY_VM",
        how="the NIC in a VM's definition",
        sees=r"belongs to the VM db01",
        nic=THIRD,
        scene="vfs",
        provoke=(f"nicpass attach db01 {THIRD}",),
        mended_by=MendedBy.COMMAND,
    ),
    Provocation(
        code="USED_BY_VM",
        how="a macvtap on the NIC in the definition of a VM that is off",
        sees=r"enp2s0 .* is used by the VM db01: <interface type='direct'>",
        nic=NIC,
        scene="machines",
        provoke=(
            "virsh dumpxml db01 --inactive >/run/db01.xml",
            "virsh attach-interface db01 direct enp2s0 --model virtio --config",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh define /run/db01.xml; rm /run/db01.xml",),
    ),
    Provocation(
        code="NAMED_BY_NETWORK",
        how="a network of libvirt's, not even active, that lends the VFs of the NIC",
        sees=r"enp1s0 .* belongs to the network lab-pool of libvirt .*<pf dev='enp1s0'/>",
        nic=FIRST,
        scene="machines",
        provoke=(
            "printf \"<network><name>lab-pool</name><forward mode='hostdev' managed='yes'><pf dev='enp1s0'/></forward>"
            '</network>" >/run/lab-pool.xml; virsh net-define /run/lab-pool.xml; rm /run/lab-pool.xml',
        ),
        mended_by=MendedBy.ADVICE,
        mend=("virsh net-undefine lab-pool",),
    ),
    Provocation(
        code="PTP_IN_USE",
        how="a program that has the NIC's clock open",
        sees=r"clock ptp\d of enp2s0 .* is open in sleep",
        nic=NIC,
        scene="holders",
        provoke=("setsid -f sleep 4217 </dev/$(ls /sys/class/net/enp2s0/device/ptp) >/dev/null 2>&1",),
        mended_by=MendedBy.ADVICE,
        mend=("pkill -f 'sleep 421[7]'",),
    ),
    Provocation(
        code="CAPTURED_BY",
        how="a program that listens to the NIC's packets, and is called tcpdump",
        sees=r"listen to the packets of enp3s0.*tcpdump",
        nic=THIRD,
        scene="holders",
        provoke=("cp $(readlink -f /usr/bin/python3) /tmp/tcpdump", _packet_socket("/tmp/tcpdump", "4219")),
        mended_by=MendedBy.NOTHING,
        undo=("pkill -f 'sleep.421[9]'; rm -f /tmp/tcpdump",),
    ),
    Provocation(
        code="AF_PACKET_IN_USE",
        how="a program with a packet socket on the NIC that is not known to listen only",
        sees=r"enp3s0 .* is used by packet sockets of python3",
        nic=THIRD,
        scene="holders",
        provoke=(_packet_socket("python3", "4216"),),
        mended_by=MendedBy.ADVICE,
        mend=("pkill -f 'sleep.421[6]'",),
    ),
    Provocation(
        code="XDP_ATTACHED",
        how="an XDP program on the NIC",
        sees=r"enp1s0 .* has an XDP program attached",
        nic=FIRST,
        scene="holders",
        provoke=(
            "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf",
            f'python3 -c "{_XDP}"',
            "ip link set dev enp1s0 xdpgeneric pinned /sys/fs/bpf/lab",
        ),
        mended_by=MendedBy.COMMAND,
        undo=("ip link set dev enp1s0 xdpgeneric off; rm -f /sys/fs/bpf/lab",),
    ),
    Provocation(
        code="HELD_BY_PROCESS",
        how="a NIC on vfio-pci whose group a program has open, as DPDK has",
        sees=r"0000:02:00.0 is held open by sleep",
        nic=NIC,
        scene="held",
        provoke=(
            f"driverctl --nosave set-override {NIC} vfio-pci",
            "group=$(basename $(readlink /sys/bus/pci/devices/0000:02:00.0/iommu_group)); "
            "setsid -f sleep 4218 <>/dev/vfio/$group >/dev/null 2>&1",
        ),
        mended_by=MendedBy.ADVICE,
        mend=("pkill -f 'sleep 421[8]'",),
        undo=(f"driverctl --nosave unset-override {NIC}", "udevadm settle; modprobe -r vfio-pci vfio_iommu_type1"),
    ),
    Provocation(
        code="CARRIES_SESSION",
        how="a check in an ssh session that comes in over a bridge over a bond over the NIC",
        sees=r"enp3s0f0 → bond9 → br9 → 10.0.2.15/24 → your ssh session from 10.0.2.2",
        shape="tangled",
        nic=THIRD,
        scene="session",
        session=True,
        provoke=(
            "ip link add bond9 type bond mode active-backup miimon 100",
            "ip link set enp3s0f0 master bond9; ip link set bond9 up",
            "ip link add br9 type bridge; ip link set bond9 master br9; ip link set br9 up",
            "ip address add 10.0.2.15/24 dev br9",
            "timeout 20 sh -c 'until ping -c 1 -W 1 10.0.2.2 >/dev/null; do :; done'",
        ),
        mended_by=MendedBy.ADVICE,
        undo=("ip link del br9; ip link del bond9; ip link set enp3s0f0 down",),
    ),
    Provocation(
        code="CARRIES_STORAGE",
        how="an NFS mount over the NIC: its server is behind another NIC, in a network namespace, by a cable",
        sees=r"enp1s0 → 198.18.0.1/24 → nfs.* 198.18.0.2:/ .*mounted at /mnt",
        shape="tangled",
        nic=FIRST,
        scene="nfs",
        provoke=nfs.MOUNT,
        mended_by=MendedBy.COMMAND,
        undo=nfs.CLEAN_UP,
    ),
)

UNIT_ONLY = {
    "USE_UNKNOWN": "the kernel of the lab always answers; it takes a capture without network facts",
    "VFS_NEARBY": "it takes a tree whose VFs do not show their PF, as guests and containers see it",
    "SESSION_UNPLACED": "it takes a capture that knows a session and not its addresses",
    "CARRIES_ROOT": "the lab's root file system is a disk of its own",
    "ROOT_UNPLACED": "the lab's root file system is a disk of its own",
    "STORAGE_UNPLACED": "it takes a mount whose server is known by a name alone",
    "RDMA_DEVICE": "QEMU has no NIC with RDMA",
    "RDMA_IN_USE": "QEMU has no NIC with RDMA",
    "HAS_SUBDEVICES": "QEMU has no NIC with subfunctions or vDPA",
    "BMC_MAY_SHARE": "QEMU's NICs are cards, which the firmware does not name as parts of the board",
    "AF_XDP_IN_USE": "the lab has no program that uses such a socket",
}
