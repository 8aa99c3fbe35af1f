# SPDX-License-Identifier: Apache-2.0
"""What of a NIC is in other network namespaces: on trees with a /proc of their own, and on the real kernel."""

from __future__ import annotations

import errno
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from nicpass.checks.dependence.usage import check_usage, summarize_usage
from nicpass.checks.lookup.index import HostIndex
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.doors.visits import ask_within, maker_of
from nicpass.host.network.links import Parents
from nicpass.host.network.netlink import dump_network
from nicpass.host.use.namespaces import Elsewhere, Namespace, Seen, list_namespaces, look_elsewhere, look_into
from nicpass.model.activity import Activity, ForeignNetdev, ForeignUpper
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from tests.support.activity import Parts, having, process
from tests.support.dependence import NIC
from tests.support.hosts import ready_host
from tests.support.namespaces import Maker, in_own_namespace
from tests.support.trees import Tree

ETH1 = PciFunction(address=Address(NIC), class_code=0x020000, driver="igb", netdevs=("eth1",), numvfs=0)
LOST = msgspec.structs.replace(ETH1, netdevs=None)
MACVLAN = Parents("mv0", "macvlan", 2, 0, None)


class LiveTree(Files):
    """A tree that says that it is the running machine."""

    @property
    def is_live(self) -> bool:
        return True


class Looking:
    """Tells what is in each namespace, by its file, and remembers which were asked for."""

    def __init__(self, **answers: tuple[Parents, ...] | OSError | None) -> None:
        self.answers: dict[str, tuple[Parents, ...] | OSError | None] = answers
        self.asked: list[Namespace] = []

    def __call__(self, files: Files, there: Sequence[Namespace]) -> Seen:
        self.asked += there
        return {space: self.answers[str(space.process or space.path.rsplit("/", 1)[-1])] for space in there}


def namespaces(*parts: Parts) -> Tree:
    """Process 1 is in ours, 50 in another."""
    links = {"/proc/thread-self/ns/net": "net:[1]", "/proc/1/ns/net": "net:[1]", "/proc/50/ns/net": "net:[2]"}
    return having(ready_host(), Parts({}, links), process(50, "nginx"), *parts)


def kept(path: str, namespace: str) -> Parts:
    """A namespace that a mount keeps."""
    return Parts({"/proc/self/mountinfo": f"95 22 0:4 {namespace} {path} rw shared:9 - nsfs nsfs rw\n"}, {})


def elsewhere(
    root: Path,
    look: Looking,
    *parts: Parts,
    function: PciFunction = ETH1,
    held: dict[str, tuple[int, str]] | None = None,
) -> Elsewhere:
    files = LiveTree(str(namespaces(*parts).write(root)))
    return look_elsewhere(files, (function,), held or {}, Processes, lambda: {2: "eth1"}, look)


class TestNames:
    """Which namespaces there are, and what they are called."""

    def test_those_of_processes_each_once(self, tmp_path: Path) -> None:
        more = Parts({}, {"/proc/51/ns/net": "net:[2]", "/proc/52/ns/net": "net:[1]"})
        files = Files(str(namespaces(more, process(51, "nginx")).write(tmp_path)))
        assert list_namespaces(files, {}) == ([Namespace("/proc/50/ns/net", 50, "nginx")], None)

    def test_one_with_a_name_is_told_by_it_and_by_its_process(self, tmp_path: Path) -> None:
        tree = namespaces(kept("/run/docker/netns/7f", "net:[2]"), kept("/run/netns/c1", "net:[2]"))
        assert list_namespaces(Files(str(tree.write(tmp_path))), {})[0] == [Namespace("/run/netns/c1", 50, "nginx")]

    def test_one_that_only_a_mount_keeps(self, tmp_path: Path) -> None:
        tree = namespaces(kept("/run/netns/c2", "net:[3]"), kept("/run/user/1/mnt", "mnt:[4]"))
        assert Namespace("/run/netns/c2") in list_namespaces(Files(str(tree.write(tmp_path))), {})[0]
        assert len(list_namespaces(Files(str(tmp_path)), {})[0]) == 2

    def test_one_that_a_process_only_holds_open(self, tmp_path: Path) -> None:
        tree = namespaces(process(60, "vpnd", "/dev/null", "net:[5]"))
        held = {f"net:[{number}]": (60, "/proc/60/fd/1") for number in (5, 1, 2)}
        found, _ = list_namespaces(Files(str(tree.write(tmp_path))), held)
        assert found[1:] == [Namespace("/proc/60/fd/1", 60, "vpnd")]

    def test_a_process_that_may_not_be_looked_into_is_named(self, tmp_path: Path) -> None:
        tree = namespaces(Parts({"/proc/70/ns/net": ""}, {}))
        barred = list_namespaces(Files(str(tree.write(tmp_path))), {})[1]
        assert barred is not None
        assert barred.unknown.startswith("network namespace of process 70: ")


class TestWhoseTheyAre:
    """Any user may make namespaces by the thousand; nobody but root delays or bars us by them (law 11)."""

    ROOTS, USERS = Namespace("/run/netns/c1"), Namespace("/proc/50/ns/net", 50, "unshare")

    def look(self, late: Namespace) -> tuple[Seen, list[tuple[tuple[str, ...], float]]]:
        """What is seen where one of the two does not answer in time, and what was asked of which for how long."""
        asked: list[tuple[tuple[str, ...], float]] = []

        def ask(
            paths: tuple[str, ...], question: object, seconds: float
        ) -> dict[str, tuple[Parents, ...] | OSError | None]:
            asked.append((paths, seconds))
            return {path: TimeoutError("no answer") if path == late.path else (MACVLAN,) for path in paths}

        def whose(path: str) -> int | None:
            return 1000 if path == self.USERS.path else 0

        return look_into(Files(), [self.USERS, self.ROOTS], ask, whose), asked

    def test_those_of_users_come_last_and_have_less_time(self) -> None:
        seen, asked = self.look(Namespace("/run/netns/none"))
        assert [paths for paths, _ in asked] == [(self.ROOTS.path,), (self.USERS.path,)]
        assert asked[1][1] < asked[0][1]
        assert seen == {self.ROOTS: (MACVLAN,), self.USERS: (MACVLAN,)}

    def test_one_of_a_users_that_is_late_bars_nobody(self) -> None:
        assert self.look(self.USERS)[0] == {self.ROOTS: (MACVLAN,), self.USERS: None}

    def test_one_of_roots_that_is_late_does(self) -> None:
        assert isinstance(self.look(self.ROOTS)[0][self.ROOTS], TimeoutError)


class TestUppers:
    """Interfaces there that stand on ours."""

    def test_a_macvlan_of_a_container(self, tmp_path: Path) -> None:
        found = elsewhere(tmp_path, Looking(**{"50": (MACVLAN, Parents("lo", None, 0, None, None))}))
        upper = ForeignUpper(
            netdev="mv0", lower="eth1", kind="macvlan", namespace="/proc/50/ns/net", process=50, program="nginx"
        )
        assert found == Elsewhere((), (upper,))

    @pytest.mark.parametrize(
        "link",
        [
            Parents("eth0", "veth", 2, 0, None),  # its bridge here tells of it
            Parents("mv1", "macvlan", 9, 0, None),  # ours has none with this index
            Parents("eth0.7", "vlan", 2, None, None),  # on one of its own namespace
        ],
    )
    def test_what_stands_on_none_of_ours_is_not_told(self, link: Parents, tmp_path: Path) -> None:
        assert elsewhere(tmp_path, Looking(**{"50": (link,)})) == Elsewhere((), ())

    def test_a_namespace_that_cannot_be_entered_is_told_with_its_process(self, tmp_path: Path) -> None:
        look = Looking(c2=(MACVLAN,), **{"50": PermissionError(errno.EPERM, "Operation not permitted")})
        found = elsewhere(tmp_path, look, kept("/run/netns/c2", "net:[3]"))
        assert found.unseen == "network namespace /proc/50/ns/net (process 50, nginx): Operation not permitted"
        assert [upper.namespace for upper in found.uppers or ()] == ["/run/netns/c2"]  # type: ignore[union-attr]

    def test_one_that_has_gone_meanwhile_has_nothing(self, tmp_path: Path) -> None:
        assert elsewhere(tmp_path, Looking(**{"50": None})) == Elsewhere((), ())

    def test_where_there_is_only_ours_nobody_is_asked(self, tmp_path: Path) -> None:
        look = Looking()
        tree = having(ready_host(), Parts({}, {"/proc/self/ns/net": "net:[1]", "/proc/1/ns/net": "net:[1]"}))
        files = LiveTree(str(tree.write(tmp_path)))
        assert look_elsewhere(files, (ETH1,), {"net:[1]": (1, "/proc/1/fd/3")}, Processes, dict, look) == Elsewhere(
            (), ()
        )
        assert look.asked == []

    def test_of_a_capture_nobody_can_look_into_another(self, tmp_path: Path) -> None:
        activity = namespaces().read(tmp_path).activity
        assert activity.foreign_uppers == ()
        assert activity.foreign_unseen is not None
        assert "process 50, nginx" in activity.foreign_unseen

    def test_a_capture_that_shows_no_namespaces_does_not_tell(self, tmp_path: Path) -> None:
        activity = ready_host().read(tmp_path).activity
        assert (activity.foreign_uppers, activity.foreign_unseen) == (None, None)

    def test_a_record_from_before_is_read(self) -> None:
        assert msgspec.json.decode(b'{"foreign_netdevs": []}', type=Activity).foreign_uppers is None


class TestLost:
    """A NIC's own interface, which is not here."""

    OWN = (Parents("lo", None, 0, None, None), Parents("eth9", None, 0, None, NIC))

    def test_one_with_a_name(self, tmp_path: Path) -> None:
        look = Looking(**{"50": (), "blue": self.OWN})
        found = elsewhere(tmp_path, look, kept("/run/netns/blue", "net:[3]"), function=LOST)
        assert found.netdevs == (ForeignNetdev(address=Address(NIC), netdev="eth9", namespace="/run/netns/blue"),)

    def test_that_of_a_process(self, tmp_path: Path) -> None:
        expected = ForeignNetdev(address=Address(NIC), netdev="eth9", namespace="/proc/50/ns/net", program="nginx")
        assert elsewhere(tmp_path, Looking(**{"50": self.OWN}), function=LOST).netdevs == (expected,)

    def test_one_that_cannot_be_entered_leaves_it_unknown(self, tmp_path: Path) -> None:
        found = elsewhere(tmp_path, Looking(**{"50": OSError(errno.EPERM, "no")}), function=LOST)
        assert found.netdevs == Unknown("network namespace /proc/50/ns/net (process 50, nginx): no")

    def test_where_no_namespace_has_it_there_is_none(self, tmp_path: Path) -> None:
        assert elsewhere(tmp_path, Looking(**{"50": ()}), function=LOST).netdevs == ()


def look_from_here() -> Elsewhere:
    """What the real kernel shows of other namespaces than this thread's."""
    return look_elsewhere(Files(), (ETH1,), {}, Processes, lambda: dict(socket.if_nameindex()))


def usage_here() -> tuple[HostIndex, list[Finding]]:
    """What stands on `eth1` of this thread's namespace, by the real kernel."""
    activity = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=())
    activity = msgspec.structs.replace(activity, foreign_netdevs=(), foreign_uppers=look_from_here().uppers)
    index = HostIndex(Host(pci=(ETH1,), network=dump_network(), activity=activity, domains=()))
    return index, list(check_usage(ETH1, index))


def run(*commands: str) -> None:
    """Skips where this kernel lacks what a command needs."""
    for command in commands:
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"this kernel lacks it: {command}: {done.stderr.strip()}")


@contextmanager
def container(*before: str) -> Iterator[int]:
    """A process in a network namespace of its own; only when it is there, for `cat` answers."""
    command = [*(before or ("unshare",)), "-n", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"x\n")
        child.stdin.flush()
        child.stdout.readline()
        yield child.pid


@pytest.mark.spawns
class TestRealKernel:
    """Scenes on `eth1` in a namespace of the test's own."""

    @pytest.mark.parametrize(
        ("kind", "made"),
        [
            ("macvlan", "ip link add up0 link eth1 type macvlan mode bridge"),
            ("macvtap", "ip link add up0 link eth1 type macvtap"),
            ("ipvlan", "ip link add up0 link eth1 type ipvlan"),
            ("vlan", "ip link add up0 link eth1 type vlan id 20"),
        ],
    )
    def test_what_a_container_has_of_it_stands_in_the_way(self, kind: str, made: str) -> None:
        def work(maker: Maker) -> None:
            maker.add(("eth1",))
            assert "HAS_UPPER" not in {finding.code for finding in usage_here()[1]}
            with container() as process:
                run(made, f"ip link set up0 netns {process}")
                index, found = usage_here()
                sentence = next(finding.sentence for finding in found if finding.code == "HAS_UPPER")
                assert f"eth1 → up0 ({kind}) in the network namespace of cat (process {process})" in sentence
                assert summarize_usage(ETH1, index) == "up0"

        in_own_namespace(work)

    def test_what_stands_on_another_namespaces_interface_is_not_taken_for_ours(self) -> None:
        """Of two containers one has a macvlan on the other's interface, whose index is that of ours."""

        def work(maker: Maker) -> None:
            maker.add(("eth1",))
            with container() as below, container() as above:
                enter = f"nsenter -t {below} -n"
                # The third there, as eth1 is the third here, after `lo` and the probe.
                run(f"{enter} ip link add x8 type ifb", f"{enter} ip link add x9 type ifb")
                run(
                    f"{enter} ip link add up0 link x9 type macvlan mode bridge",
                    f"{enter} ip link set up0 netns {above}",
                )
                assert socket.if_nametoindex("eth1") == 3
                assert look_from_here().uppers == ()

        in_own_namespace(work)

    def test_a_filter_of_tc_joins_both_ends(self) -> None:
        def work(maker: Maker) -> None:
            maker.add(("eth1", "eth2"))
            run(
                "tc qdisc add dev eth1 clsact",
                "tc filter add dev eth1 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev eth2",
                "ip address add 10.3.0.5/24 dev eth2",
            )
            told = [finding.sentence for finding in usage_here()[1]]
            assert any("eth1 → eth2 (by a filter of tc)" in sentence for sentence in told)
            assert any("eth1 → eth2 → 10.3.0.5/24" in sentence for sentence in told)

        in_own_namespace(work)

    def test_a_ring_of_hsr_stands_on_its_ports(self) -> None:
        def work(maker: Maker) -> None:
            maker.add(("eth1", "eth2"))
            run(
                "ip link add hsr0 type hsr slave1 eth1 slave2 eth2",
                "ip address add 10.2.0.5/24 dev hsr0",
                "ip link set hsr0 up",
                "ip route add default via 10.2.0.1",
            )
            told = {finding.code: finding.sentence for finding in usage_here()[1]}
            assert "eth1 → hsr0 → 10.2.0.5/24 → default via 10.2.0.1" in told["CARRIES_DEFAULT_ROUTE"]

        in_own_namespace(work)

    def test_the_kernel_tells_who_has_made_one(self) -> None:
        def work(_: Maker) -> None:
            with container() as process:
                assert maker_of(f"/proc/{process}/ns/net") == 0
            with container("setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", "unshare", "-U") as process:
                assert maker_of(f"/proc/{process}/ns/net") == 4711
            assert maker_of("/run/absent") is None

        in_own_namespace(work)

    def test_a_visit_that_takes_too_long_is_left_behind(self) -> None:
        def work(_: Maker) -> None:
            go = threading.Event()
            with container() as process:
                paths = [f"/proc/{process}/ns/net", "/run/absent"]
                answers = ask_within(paths, lambda _: go.wait(60), 0.01)
                go.set()
            assert [type(answers[path]) for path in paths] == [TimeoutError, TimeoutError]

        in_own_namespace(work)
