# SPDX-License-Identifier: Apache-2.0
"""Uses that neither an address nor IFLA_MASTER nor IFLA_LINK shows: each stands in the way, named to the top."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicpass.checks.blocking import blocking
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.model.address import Address
from nicpass.model.finding import Finding
from tests.support.activity import Parts, having, packet, process, sysfs
from tests.support.dependence import NIC
from tests.support.hosts import address, bridge, link, network, nic, ready_host, route
from tests.support.trees import Tree

HOME = f"/sys/devices/pci0000:00/0000:00:01.0/{NIC}"
ETH1 = link("eth1")
RING = (link("eth1"), link("hsr0", kind="hsr"), address("hsr0", "10.0.0.5/24"), route("hsr0"))
PPP = (link("eth1"), link("ppp0", kind="ppp"), address("ppp0", "203.0.113.7/32"), route("ppp0", gateway=None))


def told(tree: Tree, root: Path) -> dict[str, Finding]:
    """What stands in the way, by its code."""
    index = HostIndex(tree.read(root))
    return {finding.code: finding for finding in blocking(check_nic(index.functions[Address(NIC)], index))}


def sysfs_link(path: str) -> Parts:
    return Parts({}, {path: "/sys/devices/virtual/net/x"})


def block(place: str, mounted: str, *, number: str = "8:16") -> Parts:
    """A disk there, mounted or not."""
    parts = Parts({f"{place}/dev": f"{number}\n"}, {f"/sys/class/block/{place.rsplit('/', 1)[1]}": place})
    parts.links[f"/sys/dev/block/{number}"] = place
    if mounted:
        parts.files["/proc/self/mountinfo"] = f"91 22 {number} / {mounted} rw - ext4 /dev/sdb rw\n"
    return parts


class TestUppers:
    """What stands on it by sysfs alone."""

    @pytest.mark.parametrize(
        "end", ["/sys/devices/virtual/net/hsr0/lower_eth1", f"{HOME}/net/eth1/upper_hsr0"], ids=["lower", "upper"]
    )
    def test_a_ring_of_hsr_by_either_end(self, end: str, tmp_path: Path) -> None:
        tree = having(ready_host(net=network(*RING)), sysfs_link(end))
        found = told(tree, tmp_path)
        assert "eth1 → hsr0 → 10.0.0.5/24 → default via 10.0.0.1" in found["CARRIES_DEFAULT_ROUTE"].sentence
        assert "eth1 → hsr0 (hsr)" in found["HAS_UPPER"].sentence
        assert "USE_UNKNOWN" not in found

    def test_one_that_nothing_else_tells_of(self, tmp_path: Path) -> None:
        new = Parts({"/sys/devices/virtual/net/new0/mtu": "1500\n"}, {})
        tree = having(ready_host(), sysfs_link(f"{HOME}/net/eth1/upper_new0"), new)
        assert "eth1 → new0" in told(tree, tmp_path)["HAS_UPPER"].sentence

    @pytest.mark.parametrize("items", [RING, PPP, (ETH1, link("q0", kind="quux"))])
    def test_what_stands_on_nobody_knows_what_may_stand_on_it(self, items: tuple[object, ...], tmp_path: Path) -> None:
        found = told(ready_host(net=network(*items)), tmp_path)  # type: ignore[arg-type]
        assert "stands is not known" in found["USE_UNKNOWN"].sentence

    @pytest.mark.parametrize("kind", ["bridge", "dummy", "tun", "veth", "ifb", "vlan", "openvswitch", None])
    def test_what_stands_alone_is_no_use_of_it(self, kind: str | None, tmp_path: Path) -> None:
        assert told(ready_host(net=network(ETH1, link("x0", kind=kind))), tmp_path) == {}

    def test_what_netlink_tells_is_told_once(self, tmp_path: Path) -> None:
        net = network(link("eth1", master="br0"), link("br0", kind="bridge"))
        tree = having(ready_host(net=net), sysfs_link(f"{HOME}/net/eth1/upper_br0"))
        assert all(not each.lowers for each in tree.read(tmp_path).network.links)


class TestPppoe:
    """/proc/net/pppoe names the interface."""

    HEAD = "Id       Address              Device\n"

    def test_the_connection_stands_on_its_interface(self, tmp_path: Path) -> None:
        table = Parts({"/proc/net/pppoe": f"{self.HEAD}00000001 52:54:00:00:00:01     eth1\n"}, {})
        found = told(having(ready_host(net=network(*PPP)), table), tmp_path)
        assert "eth1 → ppp0 → 203.0.113.7/32 → default" in found["CARRIES_DEFAULT_ROUTE"].sentence
        assert "USE_UNKNOWN" not in found

    def test_of_more_connections_than_sessions_nothing_is_claimed(self, tmp_path: Path) -> None:
        table = Parts({"/proc/net/pppoe": self.HEAD}, {})
        assert "USE_UNKNOWN" in told(having(ready_host(net=network(*PPP)), table), tmp_path)


class TestDisks:
    """A disk that hangs on the NIC itself, by FCoE or iSCSI in its hardware or in software."""

    def test_the_root_file_system(self, tmp_path: Path) -> None:
        tree = ready_host().but(files={"/proc/self/mountinfo": "22 1 8:16 / / rw - ext4 /dev/sdb rw\n"})
        tree = having(tree, block(f"{HOME}/host5/session1/target5:0:0/5:0:0:0/block/sdb", ""))
        finding = told(tree, tmp_path)["CARRIES_ROOT"]
        assert "eth1 → disk sdb (mounted at /, root file system)" in finding.sentence

    @pytest.mark.parametrize("mounted", ["/srv", ""])
    def test_any_other_mounted_or_not(self, mounted: str, tmp_path: Path) -> None:
        tree = having(ready_host(), block(f"{HOME}/net/eth1/ctlr_0/host5/rport-5:0-1/5:0:0:0/block/sdb", mounted))
        assert "eth1 → disk sdb" in told(tree, tmp_path)["CARRIES_STORAGE"].sentence

    def test_by_fcoe_over_a_vlan(self, tmp_path: Path) -> None:
        net = network(link("eth1"), link("eth1.7", kind="vlan", lower="eth1"))
        place = "/sys/devices/virtual/net/eth1.7/ctlr_0/host5/rport-5:0-1/target5:0:0/5:0:0:0/block/sdb"
        finding = told(having(ready_host(net=net), block(place, "/srv")), tmp_path)["CARRIES_STORAGE"]
        assert "eth1 → eth1.7 → fcoe sdb (mounted at /srv)" in finding.sentence


class TestPacketSockets:
    """packet(7): who only serves the interface or looks on, and all others."""

    @pytest.mark.parametrize("program", ["vpp_main", "dpdk-testpmd", "Suricata-Main", "pppoe", "wpa_supplicant", "x"])
    def test_a_program_that_is_not_known_to_listen_only(self, program: str, tmp_path: Path) -> None:
        found = told(having(ready_host(), packet(2, 710), process(903, program, "socket:[710]")), tmp_path)
        assert f"{program} (903)" in found["AF_PACKET_IN_USE"].sentence

    def test_one_of_which_nobody_knows_whose_it_is(self, tmp_path: Path) -> None:
        assert "AF_PACKET_IN_USE" in told(having(ready_host(), packet(2, 710)), tmp_path)

    @pytest.mark.parametrize("program", ["lldpd", "tcpdump", "systemd-network", "NetworkManager"])
    def test_a_listener_does_not_stand_in_the_way(self, program: str, tmp_path: Path) -> None:
        assert told(having(ready_host(), packet(2, 710), process(9, program, "socket:[710]")), tmp_path) == {}


class TestSubdevices:
    """vDPA, subfunctions, RDMA."""

    VDPA = Parts({f"{HOME}/vdpa0/vhost-vdpa-0/dev": "511:0\n"}, {"/sys/bus/vdpa/devices/vdpa0": f"{HOME}/vdpa0"})

    def test_a_vdpa_device_that_a_qemu_holds(self, tmp_path: Path) -> None:
        qemu = process(904, "qemu-system-x86", "/dev/vhost-vdpa-0")
        found = told(having(ready_host(), self.VDPA, qemu), tmp_path)
        assert "vdpa0 (open in qemu-system-x86 (904))" in found["HAS_SUBDEVICES"].sentence
        assert "qemu-system-x86 (904)" in found["HELD_BY_PROCESS"].sentence
        assert found["HAS_SUBDEVICES"].command == "vdpa dev del vdpa0"

    def test_a_subfunction_with_what_stands_on_it(self, tmp_path: Path) -> None:
        part = Parts(
            {f"{HOME}/mlx5_core.sf.4/net/eth1s88/mtu": "1500\n"},
            {"/sys/bus/auxiliary/devices/mlx5_core.sf.4": f"{HOME}/mlx5_core.sf.4"},
        )
        net = network(ETH1, link("eth1s88", master="br0"), link("br0", kind="bridge"), address("br0", "10.0.0.5/24"))
        sentence = told(having(ready_host(net=net), part), tmp_path)["HAS_SUBDEVICES"].sentence
        assert "mlx5_core.sf.4 (eth1s88, eth1s88 → br0, 10.0.0.5/24)" in sentence

    def test_other_auxiliary_devices_are_parts_of_the_driver(self, tmp_path: Path) -> None:
        part = Parts({}, {"/sys/bus/auxiliary/devices/mlx5_core.eth.0": f"{HOME}/mlx5_core.eth.0"})
        assert told(having(ready_host(), part), tmp_path) == {}

    def test_an_rdma_device_in_another_namespace(self, tmp_path: Path) -> None:
        """The folder of its class stays, and shows nothing here."""
        tree = ready_host()
        root = tree.write(tmp_path)
        (root / f"{HOME[1:]}/infiniband").mkdir()
        index = HostIndex(read_host(Files(str(root)), ()))
        found = {f.code: f for f in blocking(check_nic(index.functions[Address(NIC)], index))}
        assert "its RDMA device is in another network namespace" in found["USE_UNKNOWN"].sentence

    def test_an_rdma_device_here_is_not_elsewhere(self, tmp_path: Path) -> None:
        assert told(having(ready_host(), sysfs("infiniband", "mlx5_0", NIC)), tmp_path) == {}


class TestSharedPort:
    """NC-SI: nothing shows it, so it is said where it may be."""

    LABELLED = nic(NIC, "eth1", under="0000:00:01.0", files=(("label", "NIC1\n"),))

    @pytest.mark.parametrize(
        "sign", ["/sys/class/ipmi/ipmi0", "/sys/firmware/dmi/entries/38-0/type", "/sys/bus/acpi/devices/IPI0001:00/hid"]
    )
    def test_a_port_on_the_board_of_a_machine_with_a_controller(self, sign: str, tmp_path: Path) -> None:
        tree = ready_host(bridge("0000:00:01.0"), self.LABELLED, files={sign: ""})
        index = HostIndex(tree.read(tmp_path))
        found = {finding.code: finding for finding in check_nic(index.functions[Address(NIC)], index)}
        assert "NIC1" in found["BMC_MAY_SHARE"].sentence
        assert not blocking(found.values())

    @pytest.mark.parametrize(
        "tree",
        [
            ready_host(bridge("0000:00:01.0"), LABELLED),
            ready_host(files={"/sys/class/ipmi/ipmi0": ""}),
        ],
    )
    def test_without_a_controller_or_on_a_card_there_is_nothing_to_say(self, tree: Tree, tmp_path: Path) -> None:
        index = HostIndex(tree.read(tmp_path))
        assert "BMC_MAY_SHARE" not in {f.code for f in check_nic(index.functions[Address(NIC)], index)}
