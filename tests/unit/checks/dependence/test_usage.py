# SPDX-License-Identifier: Apache-2.0
"""Each use in its words: what was read for it, what it is called, and the line that takes it away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.checks.dependence.unseen import is_addressed
from nicpass.checks.dependence.usage import check_usage, describe_route, describe_whole_route, summarize_usage
from nicpass.checks.dependence.vfs import check_vfs, describe_subdevice, describe_use
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.activity import Activity, BoundSocket, ForeignUpper, FunctionDevice, Holder
from nicpass.model.address import Address
from nicpass.model.class_devices import ClassDevice
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.network import IpAddress, Link, Network, Redirect, Route, Rule, Setting
from nicpass.model.pci import PciFunction
from tests.support.hosts import address, link, network, route

NIC, VF0, VF1 = Address("0000:01:00.0"), Address("0000:01:10.0"), Address("0000:01:10.1")
IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())
ETH1 = PciFunction(address=NIC, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=None)
UP = link("eth1")
HERE = address("eth1", "10.0.0.5/24")
LINK_LOCAL = address("eth1", "fe80::5/64", scope="link")


def index_of(net: Network, *pci: PciFunction, activity: dict[str, Any] | None = None, **more: Any) -> HostIndex:
    about = msgspec.structs.replace(IDLE, **(activity or {}))
    return HostIndex(Host(pci=pci or (ETH1,), network=net, activity=about, **more))


def findings(code: str, *items: Link | IpAddress | Route, **activity: Any) -> list[Finding]:
    index = index_of(network(*items), activity=activity)
    return [finding for finding in check_usage(ETH1, index) if finding.code == code]


def seen(finding: Finding) -> list[tuple[str, str]]:
    return [(evidence.source, evidence.value) for evidence in finding.evidence]


class TestRoutes:
    """In the words of `ip route`, which take it away too."""

    FULL = route(
        "eth1", "10.9.0.0/16", "10.0.0.1", table=100, protocol="static", metric=7, scope="site", source="10.0.0.5",
        from_prefix="10.8.0.0/16", tos=16, realm=3, preference="high", weight=2, nexthop_id=9, encapsulation=5,
        metrics=(Setting("mtu", "1300"), Setting("congctl", "bbr")), onlink=True,
    )  # fmt: skip

    def test_all_of_it(self) -> None:
        assert describe_whole_route(self.FULL) == (
            "10.9.0.0/16 via 10.0.0.1 dev eth1 table 100 proto static metric 7 from 10.8.0.0/16 src 10.0.0.5 "
            "scope site tos 0x10 realms 3 pref high weight 2 nhid 9 encap 5 mtu 1300 congctl bbr onlink"
        )

    def test_what_says_nothing_is_left_out(self) -> None:
        plain = route("eth1", "10.9.0.0/16", None, preference="medium", onlink=False)
        assert describe_whole_route(plain) == "10.9.0.0/16 dev eth1"
        assert describe_route(plain, with_netdev=False) == "10.9.0.0/16"

    def test_the_metric_of_a_route_of_the_kernels_is_its_addresss(self) -> None:
        own = route("eth1", "10.0.0.0/24", None, protocol="kernel", metric=7)
        assert describe_route(own) == "10.0.0.0/24 dev eth1"
        assert describe_whole_route(own) == "10.0.0.0/24 dev eth1 metric 7"

    def test_a_metric_of_none_and_one_of_nought(self) -> None:
        assert describe_route(route("eth1", "10.9.0.0/16", None, metric=0)) == "10.9.0.0/16 dev eth1 metric 0"

    def test_it_is_told_with_the_address_that_it_leaves_from(self) -> None:
        other = address("eth1", "10.0.0.6/24")
        (found,) = findings("CARRIES_ROUTE", UP, LINK_LOCAL, HERE, other, route("eth1", "10.9.0.0/16"))
        assert "eth1 → 10.0.0.5/24 → 10.9.0.0/16 via 10.0.0.1" in found.sentence
        assert seen(found) == [("rtnetlink, routes", "10.9.0.0/16 via 10.0.0.1 dev eth1")]
        assert found.command == "ip route del 10.9.0.0/16 via 10.0.0.1 dev eth1"
        (found,) = findings("CARRIES_ROUTE", UP, HERE, other, route("eth1", "10.9.0.0/16", source="10.0.0.6"))
        assert "eth1 → 10.0.0.6/24 → 10.9.0.0/16" in found.sentence

    def test_one_of_ipv6_leaves_from_no_address_that_every_link_has(self) -> None:
        own = route("eth1", "2001:db8::/32", "fe80::1", family="inet6")
        (found,) = findings("CARRIES_ROUTE", UP, HERE, LINK_LOCAL, own)
        assert "eth1 → 2001:db8::/32 via fe80::1" in found.sentence
        assert found.command == "ip -6 route del 2001:db8::/32 via fe80::1 dev eth1"
        (found,) = findings("CARRIES_ROUTE", UP, HERE, address("eth1", "2001:db8::5/64"), own)
        assert "eth1 → 2001:db8::5/64 → 2001:db8::/32" in found.sentence

    def test_one_that_is_there_twice_is_told_once(self) -> None:
        own = route("eth1", "10.9.0.0/16")
        assert len(findings("CARRIES_ROUTE", UP, own, msgspec.structs.replace(own, onlink=True))) == 1
        assert len(findings("CARRIES_ROUTE", UP, own, msgspec.structs.replace(own, table=100))) == 2

    @pytest.mark.parametrize(
        ("destination", "protocol", "told"),
        [
            ("fe80::/64", "kernel", False),
            ("ff00::/8", "kernel", False),
            ("10.0.0.0/24", "kernel", False),
            ("fe80::/64", "static", True),
            ("10.0.0.0/24", "boot", True),
        ],
    )
    def test_what_comes_by_itself_is_no_use(self, destination: str, protocol: str, told: bool) -> None:
        family = "inet6" if ":" in destination else "inet"
        own = route("eth1", destination, None, protocol=protocol, family=family)
        assert bool(findings("CARRIES_ROUTE", UP, own)) is told
        assert is_addressed(ETH1, index_of(network(UP, own))) is told

    def test_the_default_route_of_the_kernels_counts_in_a_word(self) -> None:
        own = route("eth1", "default", None, protocol="kernel")
        assert summarize_usage(ETH1, index_of(network(UP, own))) == "default route"


class TestAddresses:
    """One that every interface has is none."""

    def test_it_is_told_with_where_it_stands(self) -> None:
        vlan = link("eth1.20", kind="vlan", lower="eth1")
        (found,) = findings("HAS_ADDRESS", UP, LINK_LOCAL, vlan, address("eth1.20", "10.20.0.5/24"))
        assert "eth1 → eth1.20 → 10.20.0.5/24" in found.sentence
        assert seen(found) == [("rtnetlink, addresses", "10.20.0.5/24 dev eth1.20")]
        assert found.command == "ip address del 10.20.0.5/24 dev eth1.20"

    def test_a_link_local_one_is_not(self) -> None:
        assert findings("HAS_ADDRESS", UP, LINK_LOCAL) == []
        assert not is_addressed(ETH1, index_of(network(UP, LINK_LOCAL)))
        assert is_addressed(ETH1, index_of(network(UP, HERE)))


class TestSummary:
    """The use in a few words, each once."""

    def summary(self, *items: Link | IpAddress | Route, **activity: Any) -> str:
        return summarize_usage(ETH1, index_of(network(*items), activity=activity))

    def test_none(self) -> None:
        assert self.summary(UP, LINK_LOCAL, route("eth1", "10.9.0.0/16")) == ""

    def test_all(self) -> None:
        above = (link("eth1", master="br0"), link("br0", kind="bridge"), address("br0", "10.0.0.5/24"), route("br0"))
        foreign = (ForeignUpper(netdev="mv0", lower="eth1", namespace="/run/netns/blue"),)
        twice = address("br0", "10.0.0.5/24", label="br0:1")
        assert self.summary(*above, twice, foreign_uppers=foreign) == "default route, 10.0.0.5/24, br0, mv0"


class TestRules:
    """In the words of `ip rule`."""

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            (Rule(priority=9, iif="eth1", table=7), "priority 9 from all iif eth1 table 7"),
            (Rule(priority=9, oif="eth1"), "priority 9 from all oif eth1"),
            (
                Rule(priority=9, iif="eth1", source="10.0.0.0/24", destination="10.9.0.0/16", fwmark=16, table=7),
                "priority 9 from 10.0.0.0/24 to 10.9.0.0/16 fwmark 0x10 iif eth1 table 7",
            ),
        ],
    )
    def test_it(self, rule: Rule, words: str) -> None:
        net = msgspec.structs.replace(network(UP), rules=(rule,))
        (found,) = [f for f in check_usage(ETH1, index_of(net)) if f.code == "RULE_NAMES_NIC"]
        assert seen(found) == [("rtnetlink, rules", words)]
        assert found.command == f"ip rule del {words}"


class TestUppers:
    """What stands on it, here and in other namespaces."""

    @pytest.mark.parametrize(
        ("items", "chain", "command"),
        [
            ((UP, link("mv0", kind="macvlan", lower="eth1")), "eth1 → mv0 (macvlan)", "ip link delete mv0"),
            ((UP, link("x0", lower="eth1")), "eth1 → x0 (interface)", "ip link delete x0"),
            (
                (link("eth1", master="br0"), link("br0", kind="bridge")),
                "eth1 → br0 (bridge)",
                "ip link set eth1 nomaster",
            ),
        ],
    )
    def test_here(self, items: tuple[Link, ...], chain: str, command: str) -> None:
        (found,) = findings("HAS_UPPER", *items)
        assert chain in found.sentence
        assert seen(found) == [("rtnetlink, links", chain.removeprefix("eth1 → "))]
        assert found.command == command

    def test_what_stands_on_that_stands_not_on_the_nic(self) -> None:
        stack = (link("eth1", master="b"), link("b", kind="bond"), link("b.20", kind="vlan", lower="b"))
        assert len(findings("HAS_UPPER", *stack)) == 1

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"namespace": "/run/netns/blue"}, "mv0 (macvlan) in the network namespace blue"),
            (
                {"namespace": "/proc/7/ns/net", "process": 7, "program": "dnsmasq"},
                "mv0 (macvlan) in the network namespace of dnsmasq (process 7)",
            ),
            (
                {"namespace": "/run/netns/blue", "process": 7, "program": "dnsmasq"},
                "mv0 (macvlan) in the network namespace blue of dnsmasq (process 7)",
            ),
            ({"namespace": "/run/netns/blue", "kind": None}, "mv0 (interface) in the network namespace blue"),
        ],
    )
    def test_in_another_namespace(self, more: dict[str, Any], words: str) -> None:
        upper = ForeignUpper(**{"netdev": "mv0", "lower": "eth1", "kind": "macvlan", **more})
        (found,) = findings("HAS_UPPER", UP, foreign_uppers=(upper,))
        assert f"eth1 → {words}" in found.sentence
        assert seen(found) == [(f"rtnetlink, links in {upper.namespace}", "mv0 link eth1")]
        assert found.command == f"nsenter --net={upper.namespace} ip link delete mv0"

    def test_by_a_filter_of_tc(self) -> None:
        net = msgspec.structs.replace(network(UP, link("eth2")), redirects=(Redirect(netdev="eth1", target="eth2"),))
        (found,) = [f for f in check_usage(ETH1, index_of(net)) if f.code == "HAS_UPPER"]
        assert "eth1 → eth2 (by a filter of tc)" in found.sentence
        assert seen(found) == [("rtnetlink, filters of tc with mirred", "eth1, eth2")]
        assert found.command == "tc qdisc delete dev eth1 clsact\ntc qdisc delete dev eth2 clsact"

    @pytest.mark.parametrize(
        ("others", "code", "evidence"),
        [
            ((), "BOND_LAST_PORT", [("rtnetlink, ports", "eth1")]),
            (({"carrier": False},), "BOND_LAST_PORT", [("rtnetlink, port eth2", "no carrier")]),
            (({"up": False},), "BOND_LAST_PORT", [("rtnetlink, port eth2", "carrier")]),
            (
                ({}, {"carrier": False}),
                "BOND_STAYS_UP",
                [("rtnetlink, port eth2", "carrier"), ("rtnetlink, port eth3", "no carrier")],
            ),
        ],
    )
    def test_ports_of_a_bond(self, others: Any, code: str, evidence: list[tuple[str, str]]) -> None:
        ports = [link(f"eth{number}", master="b", **more) for number, more in enumerate(others, 2)]
        (found,) = findings(code, link("eth1", master="b"), *ports, link("b", kind="bond"))
        assert seen(found) == evidence
        assert "b" in found.sentence

    def test_a_vlan_on_a_bond_is_no_bond(self) -> None:
        assert findings("BOND_LAST_PORT", UP, link("b", kind="bond", lower="eth1")) == []

    def test_a_tunnel_with_its_ends(self) -> None:
        tunnel = link("gre0", kind="gre", tunnel_local="10.0.0.5", tunnel_remotes=("10.9.0.1", "10.9.0.2"))
        (found,) = findings("CARRIES_TUNNEL", UP, HERE, tunnel)
        assert "eth1 → gre0 (gre 10.9.0.1, 10.9.0.2)" in found.sentence
        assert seen(found) == [("rtnetlink, links", "gre0 (gre 10.9.0.1, 10.9.0.2) local 10.0.0.5")]
        (found,) = findings("CARRIES_TUNNEL", UP, HERE, route("eth1"), link("wg0", tunnel_remotes=("10.9.0.1",)))
        assert seen(found) == [("rtnetlink, links", "wg0 (tunnel 10.9.0.1) local any")]


class TestHolders:
    """Programs that have it open."""

    RDMA = FunctionDevice(kind="rdma", name="mlx5_0", address=NIC, nodes=("/dev/infiniband/uverbs0", "/dev/x"))
    PTP = FunctionDevice(kind="ptp", name="ptp0", address=NIC, nodes=("/dev/ptp0",))
    UIO = FunctionDevice(kind="uio", name="uio0", address=NIC, nodes=("/dev/uio0",))
    GIVEN = Domain(name="web", uuid="1", config_devices=(DomainDevice(address=NIC, element="hostdev", managed=True),))

    def codes(self, function: PciFunction = ETH1, domains: Any = (), **activity: Any) -> dict[str, Finding]:
        index = index_of(network(UP), function, activity=activity, domains=domains)
        return {finding.code: finding for finding in check_usage(function, index)}

    def test_two_nodes_of_one_program_are_one_use(self) -> None:
        holders = tuple(Holder(process=7, program="storaged", node=node) for node in self.RDMA.nodes)
        found = self.codes(devices=(self.RDMA,), holders=holders)["RDMA_IN_USE"]
        assert seen(found) == [("/proc/7/fd", "/dev/infiniband/uverbs0"), ("/proc/7/fd", "/dev/x")]
        assert found.sentence.count("storaged (7)") == 1
        assert "mlx5_0" in found.sentence

    def test_rdma_alone_is_told(self) -> None:
        found = self.codes(devices=(self.RDMA,))
        assert set(found) == {"RDMA_DEVICE"}
        assert seen(found["RDMA_DEVICE"]) == [("/sys/class/infiniband/mlx5_0", NIC)]

    def test_its_clock(self) -> None:
        ptp4l = (Holder(process=9, program="ptp4l", node="/dev/ptp0"),)
        assert set(self.codes(devices=(self.PTP,), holders=ptp4l)) == {"PTP_IN_USE"}
        assert set(self.codes(devices=(self.PTP,))) == set()

    def test_what_a_vm_has_is_the_vms(self) -> None:
        held = (Holder(process=9, program="qemu", node="/dev/uio0"),)
        assert "HELD_BY_PROCESS" in self.codes(devices=(self.UIO,), holders=held)
        assert "HELD_BY_PROCESS" not in self.codes(devices=(self.UIO,), holders=held, domains=(self.GIVEN,))

    @pytest.mark.parametrize(
        ("change", "domains", "held"),
        [
            ({}, (), True),
            ({"driver": "igb"}, (), False),
            ({"iommu_group": None}, (), False),
            ({"iommu_group": 8}, (), False),
            ({}, (GIVEN,), False),
        ],
    )
    def test_the_group_of_a_nic_on_vfio(self, change: dict[str, Any], domains: Any, held: bool) -> None:
        bound = msgspec.structs.replace(ETH1, **{"driver": "vfio-pci", "iommu_group": 7, "netdevs": (), **change})
        holder = (Holder(process=9, program="dpdk", node="/dev/vfio/7"),)
        assert ("HELD_BY_PROCESS" in self.codes(bound, domains, holders=holder)) is held

    def test_xdp_programs(self) -> None:
        (found,) = findings("XDP_ATTACHED", link("eth1", xdp_programs=(42, 0, 43)))
        assert seen(found) == [("rtnetlink, IFLA_XDP", "42, 43")]
        (found,) = findings("XDP_ATTACHED", link("eth1", xdp_programs=(0,)))
        assert seen(found) == [("rtnetlink, IFLA_XDP", "?")]

    def test_those_who_listen_and_those_who_use_are_told_apart(self) -> None:
        sockets = (
            BoundSocket(netdev="eth1", process=7, program="vpp"),
            BoundSocket(netdev="eth1", process=8, program="tcpdump"),
            BoundSocket(netdev="eth1"),
        )
        (using,) = findings("AF_PACKET_IN_USE", UP, packet_sockets=sockets)
        (listening,) = findings("CAPTURED_BY", UP, packet_sockets=sockets)
        assert seen(using) == [("sockets bound to eth1", "vpp (7), ?")]
        assert seen(listening) == [("sockets bound to eth1", "tcpdump (8)")]

    def test_on_what_stands_on_it_all_only_listen(self) -> None:
        net = (link("eth1", master="br0"), link("br0", kind="bridge", xdp_programs=(4,)))
        sockets = (BoundSocket(netdev="br0", process=7, program="vpp"),)
        assert findings("AF_PACKET_IN_USE", *net, packet_sockets=sockets) == []
        (found,) = findings("CAPTURED_BY", *net, packet_sockets=sockets)
        assert seen(found) == [("sockets bound to br0", "vpp (7)")]
        assert findings("XDP_ATTACHED", *net) == []


class TestOwnDisks:
    """Disks that hang on the NIC: of several the ones in use are told."""

    def told(self, *disks: ClassDevice) -> list[tuple[str, str]]:
        index = index_of(network(UP), class_devices=disks)
        found = [f for f in check_usage(ETH1, index) if f.code in ("CARRIES_ROOT", "CARRIES_STORAGE")]
        return [(f.code, f.sentence.partition("eth1 → ")[2]) for f in found]

    def disk(self, name: str, **more: Any) -> ClassDevice:
        return ClassDevice(subsystem="block", name=name, addresses=(NIC,), **more)

    @pytest.mark.parametrize(
        ("more", "code", "words"),
        [
            ({"mounts": ("/srv",)}, "CARRIES_STORAGE", "disk sdb (mounted at /srv)."),
            ({"mounts": ("/", "/srv")}, "CARRIES_ROOT", "disk sdb (mounted at /, mounted at /srv, root file system)."),
            ({"swap": True}, "CARRIES_ROOT", "disk sdb (swap space)."),
            ({}, "CARRIES_STORAGE", "disk sdb."),
        ],
    )
    def test_one(self, more: dict[str, Any], code: str, words: str) -> None:
        assert self.told(self.disk("sdb", **more)) == [(code, words)]

    def test_of_several(self) -> None:
        used = self.disk("sdb", mounts=("/srv",))
        assert self.told(self.disk("sda"), used) == [("CARRIES_STORAGE", "disk sdb (mounted at /srv).")]
        assert len(self.told(self.disk("sda"), self.disk("sdc"))) == 2

    def test_what_is_no_disk_is_none(self) -> None:
        assert self.told(ClassDevice(subsystem="input", name="event0", addresses=(NIC,))) == []


class TestVfs:
    """A PF's VFs go with it."""

    VF = PciFunction(address=VF0, class_code=0x020000, driver="igbvf", netdevs=("eth1v0",), physfn=NIC, totalvfs=None)
    PF = msgspec.structs.replace(ETH1, numvfs=1, totalvfs=4, virtfns=(VF0,))

    def index(self, *items: Link | IpAddress, vf: PciFunction = VF, **more: Any) -> HostIndex:
        return index_of(network(UP, link("eth1v0"), *items), self.PF, vf, **more)

    def codes(self, function: PciFunction, index: HostIndex) -> dict[str, Finding]:
        return {finding.code: finding for finding in check_vfs(function, index)}

    def test_there_are_some(self) -> None:
        found = self.codes(self.PF, self.index())
        assert set(found) == {"PF_HAS_VFS"}
        assert seen(found["PF_HAS_VFS"]) == [(f"/sys/bus/pci/devices/{NIC}/sriov_numvfs", "1")]

    @pytest.mark.parametrize("change", [{"numvfs": 0}, {"virtfns": ()}])
    def test_the_number_and_the_links_each_count(self, change: dict[str, Any]) -> None:
        pf = msgspec.structs.replace(self.PF, **change)
        assert "PF_HAS_VFS" in self.codes(pf, index_of(network(UP), pf))

    def test_there_are_none(self) -> None:
        pf = msgspec.structs.replace(self.PF, numvfs=0, virtfns=())
        assert self.codes(pf, index_of(network(UP), pf)) == {}

    def test_one_in_use_is_told_with_its_use(self) -> None:
        found = self.codes(self.PF, self.index(address("eth1v0", "10.0.0.7/24")))["PF_OF_USED_VFS"]
        assert seen(found) == [(f"/sys/bus/pci/devices/{VF0}", "10.0.0.7/24")]
        assert f"eth1v0 ({VF0}): 10.0.0.7/24" in found.sentence

    @pytest.mark.parametrize(
        ("items", "activity", "use"),
        [
            ((), {}, ""),
            ((address("eth1v0", "fe80::7/64", scope="link"),), {}, ""),
            ((address("eth1v0", "10.0.0.7/24"), address("eth1v0", "fe80::7/64", scope="link")), {}, "10.0.0.7/24"),
            (
                (
                    link("v", kind="vlan", lower="eth1v0"),
                    link("w", kind="vlan", lower="v"),
                    address("w", "10.2.0.7/24"),
                ),
                {},
                "eth1v0 → v, 10.2.0.7/24",
            ),
            (
                (),
                {
                    "devices": (FunctionDevice(kind="ptp", name="p", address=VF0, nodes=("/dev/p",)),),
                    "holders": (Holder(process=7, program="x", node="/dev/p"),),
                },
                "open in x (7)",
            ),
        ],
    )
    def test_uses(self, items: Any, activity: dict[str, Any], use: str) -> None:
        assert describe_use(self.VF, self.index(*items, activity=activity)) == use

    def test_one_that_is_kept_for_a_vm(self) -> None:
        bound = msgspec.structs.replace(self.VF, driver="vfio-pci", netdevs=())
        assert describe_use(bound, self.index(vf=bound)) == "bound to vfio-pci"
        device = DomainDevice(address=VF0, element="hostdev", managed=True)
        domains = (Domain(name="web", uuid="1", config_devices=(device,)),)
        assert describe_use(bound, self.index(vf=bound, domains=domains)) == "VM web"

    @pytest.mark.parametrize(("up", "told"), [(True, False), (False, True)])
    def test_a_vf_of_a_pf_that_is_down(self, up: bool, told: bool) -> None:
        index = index_of(network(link("eth1", up=up), link("eth1v0")), self.PF, self.VF)
        found = self.codes(self.VF, index)
        assert set(found) == ({"PF_DOWN"} if told else set())
        if told:
            assert seen(found["PF_DOWN"]) == [("/sys/class/net/eth1/flags", "down")]
            assert f"eth1 ({NIC})" in found["PF_DOWN"].sentence

    def test_a_pf_that_shows_no_interface_is_not_said_to_be_down(self) -> None:
        pf = msgspec.structs.replace(self.PF, netdevs=())
        assert self.codes(self.VF, index_of(network(link("eth1v0")), pf, self.VF)) == {}

    def test_subdevices(self) -> None:
        holder = Holder(process=7, program="qemu", node="/dev/vhost-vdpa-0")
        vdpa = FunctionDevice(kind="vdpa", name="vdpa0", address=NIC, nodes=("/dev/vhost-vdpa-0",))
        part = FunctionDevice(kind="sf", name="mlx5_core.sf.4", address=NIC, netdevs=("s88", "gone"))
        items = (link("s88"), address("s88", "10.3.0.5/24"), address("s88", "fe80::1/64", scope="link"))
        index = index_of(network(UP, *items), activity={"devices": (vdpa, part), "holders": (holder,)})
        found = self.codes(ETH1, index)["HAS_SUBDEVICES"]
        assert describe_subdevice(vdpa, index) == "vdpa0 (open in qemu (7))"
        assert describe_subdevice(part, index) == "mlx5_core.sf.4 (s88, 10.3.0.5/24)"
        assert "vdpa0 (open in qemu (7)); mlx5_core.sf.4 (s88, 10.3.0.5/24)" in found.sentence
        assert found.command == "vdpa dev del vdpa0\ndevlink port show"
        source = "/sys/bus/auxiliary, /sys/bus/vdpa"
        assert seen(found) == [(source, "vdpa0"), (source, "mlx5_core.sf.4")]
        assert describe_subdevice(vdpa, index_of(network(UP))) == "vdpa0"
