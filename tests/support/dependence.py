# SPDX-License-Identifier: Apache-2.0
"""A host for each code of law 3: the NIC `eth1` at 0000:01:00.0 is used in that one way."""

from __future__ import annotations

from nicpass.model.network import Link, Network, Rule
from tests.support.activity import Parts, having, logind, mount, packet, process, sysfs, tcp
from tests.support.hosts import VM, address, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.trees import Tree, Vm, direct_xml, hostdev_xml, network_file

NIC = "0000:01:00.0"
LOCAL = network(
    link("eth1"),
    address("eth1", "10.0.0.5/24"),
    route("eth1", "10.0.0.0/24", None, protocol="kernel", scope="link", source="10.0.0.5"),
)
"""`eth1` has an address, and the route that comes with it."""


def on_local(*parts: Parts) -> Tree:
    return having(ready_host(net=LOCAL), *parts)


def with_rules(*rules: Rule) -> Network:
    return Network(links=(link("eth1"),), addresses=(), routes=(), rules=rules)


def bond(*others: Link) -> Network:
    return network(link("eth1", master="bond0"), link("bond0", kind="bond"), *others)


SSH = (tcp("10.0.0.5:22", "10.0.0.9:51000", 700), process(800, "sshd-session", "socket:[700]"), logind("3", 800))
NFS = mount("nfs4", "10.0.0.20:/srv", "/mnt", "rw,vers=4.2,clientaddr=10.0.0.5,addr=10.0.0.20")
USED_VFS = pf_with_vfs(NIC, "eth1", 2)

LAN = {"/etc/systemd/network/10-lan.network": "[Match]\nName=eth*\n[Network]\nDHCP=yes\n"}
BRIDGE = {"/etc/network/interfaces": "auto br0\niface br0 inet dhcp\n    bridge_ports eth1\n"}
WAIT = {
    "/etc/systemd/system/systemd-networkd-wait-online.service.d/one.conf": "[Service]\nExecStart=\n"
    "ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --interface=eth1\n"
}

DEPENDENT: dict[str, Tree] = {
    "TO_BE_CONFIGURED": ready_host(files=LAN),
    "TO_BE_PART": ready_host(files=BRIDGE),
    "WAITED_FOR": ready_host(files=WAIT),
    "NAMED_UNCLEARLY": ready_host(files={"/etc/netplan/lan.yaml": "network: &lan\n  ethernets:\n    eth1: {}\n"}),
    "CONFIGURED_BY": ready_host(net=LOCAL, files=LAN),
    "CARRIES_SESSION": on_local(*SSH),
    "SESSION_UNPLACED": on_local(logind("3", 800, "laptop.example")),
    "CARRIES_STORAGE": on_local(NFS),
    "STORAGE_UNPLACED": on_local(mount("fuse.sshfs", "ada@files:/home", "/mnt")),
    "CARRIES_ROOT": on_local(mount("nfs", "10.0.0.20:/root", "/", "rw,addr=10.0.0.20")),
    "ROOT_UNPLACED": ready_host(net=LOCAL, cmdline="root=/dev/nfs nfsroot=files:/root ip=dhcp intel_iommu=on"),
    "CARRIES_TUNNEL": ready_host(
        net=network(
            *LOCAL.links, *LOCAL.addresses, *LOCAL.routes, link("wg0", kind="wireguard", tunnel_remotes=("10.0.0.7",))
        )  # type: ignore[misc]
    ),
    "RULE_NAMES_NIC": ready_host(net=with_rules(Rule(priority=99, iif="eth1", table=300))),
    "BOND_LAST_PORT": ready_host(net=bond(link("eth2", master="bond0", carrier=False))),
    "BOND_STAYS_UP": ready_host(net=bond(link("eth2", master="bond0"))),
    "RDMA_DEVICE": having(ready_host(), sysfs("infiniband", "mlx5_0", NIC)),
    "RDMA_IN_USE": having(
        ready_host(),
        sysfs("infiniband", "mlx5_0", NIC),
        sysfs("infiniband_verbs", "uverbs0", NIC, ibdev="mlx5_0"),
        process(900, "storaged", "/dev/infiniband/uverbs0"),
    ),
    "PTP_IN_USE": having(ready_host(), sysfs("ptp", "ptp0", NIC), process(901, "ptp4l", "/dev/ptp0")),
    "XDP_ATTACHED": ready_host(net=network(link("eth1", xdp_programs=(42,)))),
    "HELD_BY_PROCESS": having(ready_host(nic(NIC, driver="vfio-pci")), process(902, "dpdk-testpmd", "/dev/vfio/10")),
    "CAPTURED_BY": having(ready_host(), packet(2, 710), process(903, "tcpdump", "socket:[710]")),
    "USED_BY_VM": ready_host(vms=(VM, Vm(name="other", uuid="2", devices=direct_xml("eth1")))),
    "NAMED_BY_NETWORK": ready_host(
        files=network_file("pool", "<forward mode='bridge'><interface dev='eth1'/></forward>")
    ),
    "AF_PACKET_IN_USE": having(ready_host(), packet(2, 711), process(905, "vpp_main", "socket:[711]")),
    "HAS_SUBDEVICES": having(
        ready_host(),
        Parts({}, {"/sys/bus/vdpa/devices/vdpa0": f"/sys/devices/pci0000:00/0000:00:01.0/{NIC}/vdpa0"}),
    ),
    "BMC_MAY_SHARE": ready_host(
        nic(NIC, "eth1", files=(("label", "NIC1\n"),)), files={"/sys/class/ipmi/ipmi0/uevent": ""}
    ),
    "PF_OF_USED_VFS": ready_host(*USED_VFS, vms=(Vm(name="web", devices=hostdev_xml(USED_VFS[1].address)),)),
}
