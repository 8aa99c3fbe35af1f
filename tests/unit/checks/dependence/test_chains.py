# SPDX-License-Identifier: Apache-2.0
"""Law 3: chains as sentences name them, by every table, and the laws that hold for all hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.dependence.storage import describe_storage
from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.lookup.chains import walk_uppers
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.routing import RoutingTables
from nicpass.model.activity import Activity, BoundSocket, ForeignNetdev, NetworkStorage, Session
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.network import Intents, IpAddress, Link, Network, Route, Rule
from nicpass.model.pci import PciFunction
from tests.support.activity import having, packet, process, sysfs
from tests.support.dependence import DEPENDENT, NFS, NIC
from tests.support.dependence import SSH as SSH_FILES
from tests.support.hosts import address, link, network, nic, ready_host, route
from tests.support.trees import Tree

IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())
SSH = Session(own=True, program="sshd", local_address="10.0.0.5", local_port=22, peer_address="10.0.0.9", peer_port=5)
ETH1 = PciFunction(address=Address(NIC), class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=None)
ETH2 = PciFunction(address=Address("0000:02:00.0"), class_code=0x020000, driver="igb", netdevs=("eth2",))


def kernel_route(netdev: str, destination: str) -> Route:
    return route(netdev, destination, None, protocol="kernel")


def findings_of(net: Network, function: PciFunction = ETH1, **activity: object) -> list[Finding]:
    host = Host(pci=(ETH1, ETH2), network=net, activity=msgspec.structs.replace(IDLE, **activity))
    return list(check_usage(function, HostIndex(host)))


def sentences(code: str, found: list[Finding]) -> list[str]:
    return [finding.sentence for finding in found if finding.code == code]


def told(tree: Tree, root: Path) -> dict[str, Finding]:
    host = tree.read(root)
    index = HostIndex(host)
    return {finding.code: finding for finding in check_usage(index.functions[Address(NIC)], index)}


STACK = network(
    link("eth1", master="bond0"),
    link("eth2", master="bond0"),
    link("bond0", kind="bond", master="br0"),
    link("br0", kind="bridge"),
    address("br0", "10.0.0.5/24"),
    kernel_route("br0", "10.0.0.0/24"),
)


class TestSessions:
    """CARRIES_SESSION, SESSION_UNPLACED."""

    def test_the_whole_chain_is_named(self) -> None:
        found = findings_of(STACK, sessions=(SSH,))
        chain = "eth1 → bond0 → br0 → 10.0.0.5/24 → your ssh session from 10.0.0.9"
        assert sentences("CARRIES_SESSION", found) == [
            f"eth1 (0000:01:00.0) carries a session from another machine: {chain}."
        ]

    def test_the_way_back_counts_as_the_address_does(self) -> None:
        net = network(
            link("eth1"), link("eth2"), address("eth2", "10.0.0.5/24"), address("eth1", "192.168.7.1/24"),
            route("eth1", "10.0.0.8/30", "192.168.7.9", table=100),
        )  # fmt: skip
        for function in (ETH1, ETH2):
            assert sentences("CARRIES_SESSION", findings_of(net, function, sessions=(SSH,)))

    def test_a_narrower_route_elsewhere_takes_it_away(self) -> None:
        net = network(link("eth1"), link("eth2"), route("eth1"), kernel_route("eth2", "10.0.0.0/24"))
        assert not sentences("CARRIES_SESSION", findings_of(net, ETH1, sessions=(SSH,)))
        assert sentences("CARRIES_SESSION", findings_of(net, ETH2, sessions=(SSH,)))

    def test_through_a_tunnel_the_nic_below_is_told(self) -> None:
        net = network(
            link("eth1"),
            link("wg0", kind="wireguard", tunnel_remotes=("192.0.2.7",)),
            address("eth1", "198.51.100.2/24"),
            address("wg0", "10.0.0.5/24"),
            route("eth1", gateway="198.51.100.1"),
            kernel_route("wg0", "10.0.0.0/24"),
        )
        found = findings_of(net, sessions=(SSH,))
        chains = sentences("CARRIES_SESSION", found)
        assert chains == [
            "eth1 (0000:01:00.0) carries a session from another machine: "
            "eth1 → wg0 → 10.0.0.5/24 → your ssh session from 10.0.0.9."
        ]
        assert "eth1 → wg0 (wireguard 192.0.2.7)" in sentences("CARRIES_TUNNEL", found)[0]
        assert not sentences("HAS_UPPER", found)

    def test_over_the_veth_of_a_bridge(self) -> None:
        net = network(
            link("eth1", master="br0"),
            link("br0", kind="bridge"),
            link("ve0", kind="veth", master="br0", lower="ve1"),
            link("ve1", kind="veth", lower="ve0"),
            address("ve1", "10.0.0.5/24"),
        )
        chain = "eth1 → br0 → ve0 → ve1 → 10.0.0.5/24 → your ssh session from 10.0.0.9."
        assert sentences("CARRIES_SESSION", findings_of(net, sessions=(SSH,)))[0].endswith(chain)

    def test_over_open_vswitch(self) -> None:
        net = network(
            link("eth1", master="ovs-system"),
            link("ovs-system", kind="openvswitch"),
            link("br-ex", kind="openvswitch"),
            address("br-ex", "10.0.0.5/24"),
        )
        found = findings_of(net, sessions=(SSH,))
        assert "eth1 → ovs-system → br-ex → 10.0.0.5/24 → your ssh" in sentences("CARRIES_SESSION", found)[0]
        assert [f.command for f in findings_of(net) if f.code == "HAS_UPPER"] == ["ovs-vsctl del-port eth1"]

    def test_whose_it_is(self) -> None:
        others = (
            msgspec.structs.replace(SSH, own=False, user="ada"),
            msgspec.structs.replace(SSH, own=False, peer_port=6, program="cockpit-session"),
        )
        texts = " ".join(sentences("CARRIES_SESSION", findings_of(STACK, sessions=others)))
        assert "the ssh session of ada from 10.0.0.9" in texts
        assert "a cockpit-session session from 10.0.0.9" in texts

    @pytest.mark.parametrize("session", [Session(remote_host="laptop"), Session(peer_address="203.0.113.9")])
    def test_one_that_cannot_be_placed_may_be_on_any_nic_with_an_address(self, session: Session) -> None:
        assert sentences("SESSION_UNPLACED", findings_of(STACK, sessions=(session,)))
        assert not sentences("SESSION_UNPLACED", findings_of(network(link("eth1")), sessions=(session,)))

    def test_without_a_connection_the_way_back_is_all(self) -> None:
        found = findings_of(STACK, sessions=(Session(peer_address="10.0.0.9", remote_host="10.0.0.9"),))
        assert sentences("CARRIES_SESSION", found)


class TestStorage:
    """CARRIES_STORAGE, CARRIES_ROOT, and what cannot be placed."""

    NFS = NetworkStorage(kind="nfs4", source="files:/srv", servers=("10.0.0.20",), mounts=("/mnt", "/with blank"))

    def test_the_chain_and_the_mend(self) -> None:
        (found,) = [f for f in findings_of(STACK, storage=(self.NFS,)) if f.code == "CARRIES_STORAGE"]
        assert (
            "br0 → 10.0.0.5/24 → nfs4 files:/srv at 10.0.0.20 (mounted at /mnt, mounted at /with blank)"
            in found.sentence
        )
        assert found.command == "umount '/with blank'\numount /mnt"

    def test_what_several_chains_reach_is_told_once_by_the_shortest(self) -> None:
        """Each of two servers' storage by itself, and one storage that is reached by two interfaces once."""
        net = network(
            link("eth1"),
            link("eth1.20", kind="vlan", lower="eth1"),
            address("eth1", "10.0.0.5/24"),
            address("eth1.20", "10.20.0.5/24"),
            kernel_route("eth1", "10.0.0.0/24"),
            kernel_route("eth1.20", "10.20.0.0/24"),
        )
        both = msgspec.structs.replace(self.NFS, servers=("10.0.0.20", "10.20.0.20"))
        other = msgspec.structs.replace(self.NFS, source="files:/other")
        for storage in ((both,), (both, both)):
            (told,) = sentences("CARRIES_STORAGE", findings_of(net, storage=storage))
            assert "eth1.20" not in told.partition("nfs4")[0]
        assert len(sentences("CARRIES_STORAGE", findings_of(net, storage=(both, both, other)))) == 2

    @pytest.mark.parametrize("change", [{"root": True}, {"swap": True}])
    def test_root_and_swap_are_the_worst(self, change: dict[str, bool]) -> None:
        storage = msgspec.structs.replace(self.NFS, **change)
        codes = {finding.code for finding in findings_of(STACK, storage=(storage,))}
        assert "CARRIES_ROOT" in codes
        assert "CARRIES_STORAGE" not in codes

    def test_one_that_is_bound_to_an_interface(self) -> None:
        aoe = NetworkStorage(kind="aoe", source="etherd!e0.0", netdev="eth1")
        assert sentences("CARRIES_STORAGE", findings_of(network(link("eth1")), storage=(aoe,)))

    @pytest.mark.parametrize(
        ("kind", "command"),
        [
            ("iscsi", "iscsiadm -m node -p 10.0.0.20 --logout"),
            ("nbd", "nbd-client -d /dev/nbd0"),
            ("nvme-tcp", "nvme disconnect -d nbd0"),
            ("nvme-rdma", "nvme disconnect -d nbd0"),
            ("cifs", ""),
        ],
    )
    def test_commands(self, kind: str, command: str) -> None:
        storage = NetworkStorage(kind=kind, source="nbd0", servers=("10.0.0.20",))
        (found,) = [f for f in findings_of(STACK, storage=(storage,)) if f.code == "CARRIES_STORAGE"]
        assert found.command == command

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({}, "nfs4 files:/srv at 10.0.0.20 (mounted at /mnt, mounted at /with blank)"),
            ({"mounts": ()}, "nfs4 files:/srv at 10.0.0.20"),
            ({"mounts": (), "root": True, "swap": True}, "nfs4 files:/srv at 10.0.0.20 (root file system, swap space)"),
            ({"mounts": (), "source": "10.0.0.20:/srv"}, "nfs4 10.0.0.20:/srv"),
            ({"mounts": (), "source": ""}, "nfs4 at 10.0.0.20"),
            ({"mounts": (), "servers": ()}, "nfs4 files:/srv"),
            ({"mounts": (), "servers": ("10.0.0.20", "10.0.0.21")}, "nfs4 files:/srv at 10.0.0.20, 10.0.0.21"),
        ],
    )
    def test_its_words(self, change: dict[str, Any], words: str) -> None:
        assert describe_storage(msgspec.structs.replace(self.NFS, **change)) == words

    @pytest.mark.parametrize(
        ("change", "code"),
        [({}, "STORAGE_UNPLACED"), ({"root": True}, "ROOT_UNPLACED"), ({"swap": True}, "ROOT_UNPLACED")],
    )
    def test_what_cannot_be_placed_is_told_of_a_nic_by_which_ip_can_pass(
        self, change: dict[str, bool], code: str
    ) -> None:
        storage = msgspec.structs.replace(self.NFS, servers=(), **change)
        used = network(link("eth1"), address("eth1", "10.0.0.5/24"))
        (found,) = [f for f in findings_of(used, storage=(storage,)) if f.code.endswith("UNPLACED")]
        assert found.code == code
        assert found.evidence[0].value == "nfs4 files:/srv: server unknown"
        assert not [f for f in findings_of(network(link("eth1")), storage=(storage,)) if f.code.endswith("UNPLACED")]

    @pytest.mark.parametrize(("mounts", "source"), [(("/mnt",), "/proc/self/mountinfo"), ((), "/sys, /proc")])
    def test_its_evidence(self, mounts: tuple[str, ...], source: str) -> None:
        storage = msgspec.structs.replace(self.NFS, mounts=mounts, servers=("10.0.0.20", "10.0.0.21"))
        (found,) = [f for f in findings_of(STACK, storage=(storage,)) if f.code == "CARRIES_STORAGE"]
        assert found.evidence[0].source == source
        assert found.evidence[0].value == "nfs4 files:/srv: 10.0.0.20, 10.0.0.21"


class TestUppers:
    """Rules, bonds, tunnels."""

    def test_a_rule_is_told_as_it_is_deleted(self) -> None:
        rule = Rule(priority=99, family="inet6", oif="eth1", source="fd00::/8", fwmark=3, table=300)
        net = msgspec.structs.replace(network(link("eth1")), rules=(rule,))
        (found,) = [finding for finding in findings_of(net) if finding.code == "RULE_NAMES_NIC"]
        assert found.command == "ip -6 rule del priority 99 from fd00::/8 fwmark 0x3 oif eth1 table 300"

    def test_a_rule_that_names_what_stands_on_it(self) -> None:
        net = msgspec.structs.replace(STACK, rules=(Rule(iif="br0", table=9),))
        assert "eth1 → bond0 → br0" in sentences("RULE_NAMES_NIC", findings_of(net))[0]

    @pytest.mark.parametrize(
        ("other", "code"),
        [
            ({}, "BOND_STAYS_UP"),
            ({"carrier": False}, "BOND_LAST_PORT"),
            ({"up": False, "carrier": None}, "BOND_LAST_PORT"),
        ],
    )
    def test_whether_a_bond_stays_up(self, other: dict[str, object], code: str) -> None:
        net = network(link("eth1", master="b"), link("eth2", master="b", **other), link("b", kind="bond"))
        codes = {finding.code for finding in findings_of(net)}
        assert {"BOND_STAYS_UP", "BOND_LAST_PORT"} & codes == {code}
        assert "HAS_UPPER" in codes

    def test_a_bond_of_one_has_no_other(self) -> None:
        net = network(link("eth1", master="t"), link("t", kind="team"))
        assert "BOND_LAST_PORT" in {finding.code for finding in findings_of(net)}

    def test_a_macvtap_of_a_vm_is_named(self) -> None:
        found = findings_of(network(link("eth1"), link("macvtap0", kind="macvtap", lower="eth1")))
        assert "eth1 → macvtap0 (macvtap)" in sentences("HAS_UPPER", found)[0]

    def test_a_tunnel_by_its_own_address(self) -> None:
        vxlan = link("vx0", kind="vxlan", tunnel_local="10.0.0.5", tunnel_remotes=())
        net = network(link("eth1"), vxlan, address("eth1", "10.0.0.5/24"))
        assert sentences("CARRIES_TUNNEL", findings_of(net))

    def test_a_tunnel_bound_to_the_interface_is_its_upper(self) -> None:
        vxlan = link("vx0", kind="vxlan", lower="eth1", tunnel_remotes=("239.1.1.1",))
        codes = {finding.code for finding in findings_of(network(link("eth1"), vxlan))}
        assert codes == {"HAS_UPPER"}

    @pytest.mark.parametrize(
        "tunnel",
        [
            link("vx0", kind="vxlan", tunnel_remotes=()),
            link("wg0", kind="wireguard", tunnel_remotes=Unknown("operation not permitted")),
        ],
    )
    def test_a_tunnel_that_cannot_be_placed_leaves_the_use_unknown(self, tunnel: Link) -> None:
        net = network(link("eth1"), tunnel, address("eth1", "10.0.0.5/24"))
        assert tunnel.name in sentences("USE_UNKNOWN", findings_of(net))[0]
        assert not sentences("USE_UNKNOWN", findings_of(network(link("eth1"), tunnel)))


class TestHolders:
    """What programs hold beside the network stack."""

    def test_af_xdp(self) -> None:
        sockets = (BoundSocket(netdev="eth1", process=7, program="vpp", queue=3),)
        found = findings_of(network(link("eth1")), xdp_sockets=sockets)
        assert "AF_XDP sockets of vpp (7)" in sentences("AF_XDP_IN_USE", found)[0]
        assert not sentences(
            "AF_XDP_IN_USE", findings_of(network(link("eth1"), link("eth2")), ETH2, xdp_sockets=sockets)
        )

    def test_a_program_of_dpdk_by_uio(self, tmp_path: Path) -> None:
        tree = having(
            ready_host(nic(NIC, driver="uio_pci_generic")),
            sysfs("uio", "uio0", NIC),
            process(7, "testpmd", "/dev/uio0"),
        )
        found = told(tree, tmp_path)
        assert "testpmd (7)" in found["HELD_BY_PROCESS"].sentence
        assert "NETDEV_ELSEWHERE" not in found

    def test_a_device_that_nobody_has_open_is_not_in_use(self, tmp_path: Path) -> None:
        tree = having(
            ready_host(), sysfs("ptp", "ptp0", NIC), sysfs("infiniband", "mlx5_0", NIC), process(7, "chronyd")
        )
        assert set(told(tree, tmp_path)) == {"RDMA_DEVICE"}

    def test_a_capture_of_a_bridge_above(self, tmp_path: Path) -> None:
        net = network(link("eth1", master="br0"), link("br0", kind="bridge"))
        tree = having(ready_host(net=net), packet(3, 7), process(9, "tcpdump", "socket:[7]"))
        assert "br0" in told(tree, tmp_path)["CAPTURED_BY"].sentence

    @pytest.mark.parametrize("field", ["holders", "devices"])
    def test_unknown_holders_refuse_where_there_is_something_to_hold(self, field: str, tmp_path: Path) -> None:
        host = having(ready_host(), *([sysfs("ptp", "ptp0", NIC)] if field == "holders" else [])).read(tmp_path)
        activity = msgspec.structs.replace(host.activity, **{field: Unknown("permission denied")})
        index = HostIndex(msgspec.structs.replace(host, activity=activity))
        assert "USE_UNKNOWN" in {finding.code for finding in check_usage(index.functions[Address(NIC)], index)}


class TestElsewhere:
    """NETDEV_ELSEWHERE."""

    LOST = PciFunction(address=Address(NIC), class_code=0x020000, driver="igb")

    def sentence(self, foreign: object) -> tuple[str, str]:
        host = Host(
            pci=(self.LOST,), network=network(), activity=msgspec.structs.replace(IDLE, foreign_netdevs=foreign)
        )
        (found,) = [f for f in check_usage(self.LOST, HostIndex(host)) if f.code == "NETDEV_ELSEWHERE"]
        return found.sentence, found.command

    def test_namespace_and_interface_are_named(self) -> None:
        told = self.sentence((ForeignNetdev(address=Address(NIC), netdev="eth9", namespace="/run/netns/blue"),))
        assert "it is eth9 in the network namespace /run/netns/blue" in told[0]
        assert told[1] == "nsenter --net=/run/netns/blue ip link set dev eth9 netns 1"

    def test_what_was_not_found_or_not_looked_for(self) -> None:
        assert "no network namespace shows one either" in self.sentence(())[0]
        assert "permission denied" in self.sentence(Unknown("permission denied"))[0]


class TestRouting:
    """The best route of every table."""

    TABLES = RoutingTables(
        (
            route("eth0"),
            route("eth9", metric=100),
            route("eth1", "10.0.0.0/8"),
            route("eth2", "10.1.0.0/16", table=100),
            route("eth3", "2001:db8::/32", family="inet6"),
            route("eth4", "10.1.2.0/24", metric=5),
            route("eth5", "10.1.2.0/24", metric=4),
            route("eth6", "nonsense/8"),
            route("eth7", "10.0.0.0/99"),
            route("eth8", "::/0"),
        )
    )

    @pytest.mark.parametrize(
        ("peer", "netdevs"),
        [
            ("192.0.2.1", {"eth0"}),
            ("10.9.9.9", {"eth1"}),
            ("10.1.9.9", {"eth1", "eth2"}),
            ("10.1.2.9", {"eth5", "eth2"}),
            ("2001:db8::9", {"eth3"}),
            ("::ffff:10.9.9.9", {"eth1"}),
            ("fe80::1", set()),
            ("files.example", set()),
            ("", set()),
        ],
    )
    def test_of_each_table_the_longest_prefix_and_the_least_metric(self, peer: str, netdevs: set[str]) -> None:
        assert {found.netdev for found in self.TABLES.best(peer)} == netdevs


NAMES = st.sampled_from([f"i{number}" for number in range(6)] + ["eth1"])
LINKS = st.builds(
    Link,
    name=NAMES,
    lower=st.none() | NAMES,
    master=st.none() | NAMES,
    kind=st.sampled_from([None, "bridge", "veth", "vlan", "openvswitch", "vxlan"]),
    tunnel_remotes=st.sampled_from([None, (), ("10.0.0.9",)]),
)
ROUTES = st.builds(Route, netdev=NAMES, destination=st.sampled_from(["default", "10.0.0.0/24"]))
ADDRESSES = st.builds(IpAddress, netdev=NAMES, address=st.just("10.0.0.5"), prefix_length=st.just(24))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    links = {each.name: each for each in draw(st.lists(LINKS, max_size=7))}
    links.setdefault("eth1", Link(name="eth1"))
    return Network(
        links=tuple(links.values()),
        addresses=tuple(draw(st.lists(ADDRESSES, max_size=4))),
        routes=tuple(draw(st.lists(ROUTES, max_size=4))),
    )


class TestLaws:
    """What holds for every host."""

    @given(networks(), st.sampled_from(["eth1", "i0", "i5"]))
    def test_another_upper_takes_no_finding_away(self, net: Network, below: str) -> None:
        upper = Link(name="new0", lower=below, kind="vlan")
        more = msgspec.structs.replace(net, links=(*net.links, upper))
        had, has = (
            {(f.code, f.sentence) for f in findings_of(each, sessions=(SSH,), storage=(TestStorage.NFS,))}
            for each in (net, more)
        )
        assert had <= has

    @given(networks(), st.sampled_from(["addresses", "routes"]), st.sampled_from([None, Unknown("denied")]))
    def test_unknown_addresses_or_routes_refuse(self, net: Network, field: str, fact: Unknown | None) -> None:
        unknown = msgspec.structs.replace(net, **{field: fact})
        assert sentences("USE_UNKNOWN", findings_of(unknown))

    @given(networks(), st.sampled_from(["sessions", "storage"]))
    def test_unknown_sessions_or_mounts_refuse_what_has_an_address(self, net: Network, field: str) -> None:
        net = msgspec.structs.replace(net, addresses=(address("eth1", "10.0.0.5/24"),))
        assert "denied" in sentences("USE_UNKNOWN", findings_of(net, ETH1, **{field: Unknown("denied")}))[0]

    @given(networks())
    def test_the_walk_ends_and_reaches_each_once(self, net: Network) -> None:
        index = HostIndex(Host(pci=(ETH1,), network=net))
        for start in net.links:
            tops = [chain[-1].name for chain in walk_uppers(start, index.uppers)]
            assert len(tops) == len(set(tops))
            assert tops[0] == start.name

    def test_it_grows_linearly(self) -> None:
        def steps(count: int) -> float:
            links, routes, sessions = [], [], []
            for number in range(count):
                links += [link(f"n{number}"), link(f"v{number}", lower=f"n{number}", kind="vlan")]
                routes.append(kernel_route(f"v{number}", f"10.{number >> 8}.{number & 255}.0/24"))
                peer = f"10.{number >> 8}.{number & 255}.9"
                sessions.append(msgspec.structs.replace(SSH, local_address=None, peer_address=peer))
            pci = tuple(
                PciFunction(
                    address=Address(f"{number:04x}:00:00.0"), class_code=0x020000, driver="igb", netdevs=(f"n{number}",)
                )
                for number in range(count)
            )
            net = Network(links=tuple(links), addresses=(), routes=tuple(routes), rules=(), intents=Intents())
            host = Host(pci=pci, network=net, activity=msgspec.structs.replace(IDLE, sessions=tuple(sessions)))
            begin = time.process_time()
            index = HostIndex(host)
            found = sum(1 for function in pci for _ in check_usage(function, index))
            assert found == 2 * count  # what stands on it, and its session
            return time.process_time() - begin

        small = min(steps(100) for _ in range(3))
        assert min(steps(800) for _ in range(2)) < 8 * small * 3  # eight times the NICs; quadratic would be 64


def test_a_ready_host_depends_on_nothing(tmp_path: Path) -> None:
    assert told(ready_host(), tmp_path) == {}


@pytest.mark.parametrize("code", sorted(DEPENDENT))
def test_what_is_told_round_trips(code: str, tmp_path: Path) -> None:
    host = DEPENDENT[code].read(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host


def test_a_snapshot_from_before_these_were_read_does_not_know_them() -> None:
    host = msgspec.json.decode(b'{"schema": "nicpass.host/1", "pci": []}', type=Host)
    assert isinstance(host.activity.sessions, Unknown)
    assert host.network.rules is None


def test_an_idle_nic_of_a_busy_host_is_free(tmp_path: Path) -> None:
    """What another NIC carries is not told of this one."""
    net = network(link("eth1"), link("eth2"), address("eth2", "10.0.0.5/24"), kernel_route("eth2", "10.0.0.0/24"))
    tree = ready_host(nic(NIC, "eth1"), nic("0000:02:00.0", "eth2", group=11), net=net)
    assert told(having(tree, *SSH_FILES, NFS), tmp_path) == {}


class TestLinesThatCutOff:
    """A line to paste is not the last one that its reader can type."""

    OWN = (link("eth1"), link("eth2"), address("eth1", "10.0.0.5/24"))

    def commands(self, *more: IpAddress | Link | Route, sessions: tuple[Session, ...] = ()) -> dict[str, str]:
        found = findings_of(network(*self.OWN, *more), sessions=sessions)
        return {finding.code: finding.command for finding in found}

    def test_the_only_default_route_has_none(self) -> None:
        assert self.commands(route("eth1")) == {"CARRIES_DEFAULT_ROUTE": "", "HAS_ADDRESS": ""}

    def test_one_of_two_default_routes_has_one(self) -> None:
        commands = self.commands(route("eth1"), route("eth2", gateway="10.1.0.1"))
        assert commands["CARRIES_DEFAULT_ROUTE"].startswith("ip route del default")
        assert commands["HAS_ADDRESS"].startswith("ip address del 10.0.0.5/24")

    def test_an_address_alone_has_one(self) -> None:
        assert self.commands()["HAS_ADDRESS"] == "ip address del 10.0.0.5/24 dev eth1"

    def test_the_address_of_a_session_has_none(self) -> None:
        commands = self.commands(sessions=(SSH,))
        assert commands["HAS_ADDRESS"] == ""
        assert "CARRIES_SESSION" in commands
