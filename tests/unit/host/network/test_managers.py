# SPDX-License-Identifier: Apache-2.0
"""Which network manager configures an interface, by files as the managers wrote them on a host with Debian 13."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.engine.nic import managers
from nicpass.engine.nic.managers import ask_managers, commands_for
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.host.network.interfaces import read_network
from nicpass.host.network.managers import parse_keyfile, read_managers
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.network import Link, LinkManager, ManagerName
from nicpass.model.plan import NicState
from nicpass.planner.nic_state.compare import differences
from nicpass.planner.nic_state.observe import observe_state
from tests.support.hosts import address, link, network, nic, ready_host

NIC = Address("0000:01:00.0")
UUID = "8b7f0c52-0d5c-4f0e-9d7e-6c6162006e6d"
NM, NETWORKD, IFUPDOWN = "run/NetworkManager/devices/7", "run/systemd/netif/links/7", "run/network/ifstate"
UNITS = "sys/fs/cgroup/system.slice"
ACTIVE = f"""[device]
managed=true
connection-uuid={UUID}
route-metric-default-effective=100
next-server=10.0.2.2

[dhcp4]
dhcp4.dhcp_client_identifier=01:52:54:00:aa:00:02
dhcp4.dhcp_lease_time=86400
dhcp4.ip_address=10.0.2.15
"""
DISCONNECTED = "[device]\nmanaged=true\n"
PROFILE = f"""[connection]
id=eth1
uuid={UUID}
type=ethernet
autoconnect=false
interface-name=eth1
timestamp=1795415333

[ipv4]
address1=203.0.113.9/24
method=manual
"""
EXTERNAL = f"{PROFILE}\n[.nmmeta]\nnm-generated=true\nvolatile=true\nexternal=true\n"
BEFORE_1_26 = f"{PROFILE}\n[.nmmeta]\nnm-generated=true\nvolatile=true\n"
WIRED_1 = f"{PROFILE}\n[.nmmeta]\nnm-generated=true\n"
CONFIGURED = """# This is private data. Do not parse.
ADMIN_STATE=configured
OPER_STATE=routable
CARRIER_STATE=carrier
ADDRESS_STATE=routable
IPV4_ADDRESS_STATE=routable
IPV6_ADDRESS_STATE=degraded
ONLINE_STATE=online
REQUIRED_FOR_ONLINE=yes
REQUIRED_OPER_STATE_FOR_ONLINE=degraded:routable
REQUIRED_FAMILY_FOR_ONLINE=any
ACTIVATION_POLICY=up
NETWORK_FILE=/etc/systemd/network/20-office.network
NETWORK_FILE_DROPINS=""
DNS=
DHCP_LEASE=/run/systemd/netif/leases/7
"""
UNMANAGED = """# This is private data. Do not parse.
ADMIN_STATE=unmanaged
OPER_STATE=degraded
CARRIER_STATE=carrier
ADDRESS_STATE=degraded
IPV4_ADDRESS_STATE=off
IPV6_ADDRESS_STATE=degraded
"""
PENDING = "# This is private data. Do not parse.\nADMIN_STATE=pending\nOPER_STATE=off\n"
OFFICE = "/etc/systemd/network/20-office.network"


def read(root: Path, content: dict[str, str]) -> tuple[LinkManager, ...]:
    """Of `eth1`, which has index 7."""
    for name, text in {"sys/class/net/eth1/ifindex": "7\n", **content}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_managers(Files(str(root)), (Link(name="lo"), Link(name="eth1"), Link(name="eth1.5", kind="vlan")))


def managed(manager: ManagerName, profile: str = UUID, netdev: str = "eth1") -> LinkManager:
    return LinkManager(netdev=netdev, manager=manager, profile=profile)


class TestRead:
    """Managed by one, by nobody, or not to be learned."""

    @pytest.mark.parametrize(
        ("content", "manager", "profile"),
        [
            ({NM: ACTIVE}, "NetworkManager", UUID),
            ({NM: ACTIVE.replace("true", "1")}, "NetworkManager", UUID),
            ({NETWORKD: CONFIGURED}, "systemd-networkd", OFFICE),
            ({NETWORKD: CONFIGURED.replace("configured", "configuring")}, "systemd-networkd", OFFICE),
            ({NETWORKD: CONFIGURED.replace("configured", "failed")}, "systemd-networkd", OFFICE),
            ({IFUPDOWN: "lo=lo\neth1=eth1\n"}, "ifupdown", "eth1"),
            ({IFUPDOWN: "eth1=office\n"}, "ifupdown", "office"),
        ],
    )
    def test_who_configures_it_and_by_what(
        self, content: dict[str, str], manager: ManagerName, profile: str, tmp_path: Path
    ) -> None:
        assert read(tmp_path, content) == (managed(manager, profile),)

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {NM: DISCONNECTED},
            {NM: ""},
            {NM: ACTIVE.replace("managed=true", "managed=false")},
            {NM.replace("7", "8"): ACTIVE},
            {NETWORKD: UNMANAGED},
            {IFUPDOWN: ""},
            {IFUPDOWN: "eth2=eth2\n"},
        ],
    )
    def test_nobody_does(self, content: dict[str, str], tmp_path: Path) -> None:
        assert read(tmp_path, content) == ()

    @pytest.mark.parametrize(("profile", "its_own"), [(EXTERNAL, False), (BEFORE_1_26, False), (WIRED_1, True)])
    def test_what_networkmanager_only_looks_at_is_not_its_own(
        self, profile: str, its_own: bool, tmp_path: Path
    ) -> None:
        """`connected (externally)`: somebody else gave the address, and NetworkManager would not give it again."""
        found = read(tmp_path, {NM: ACTIVE, "run/NetworkManager/system-connections/eth1.nmconnection": profile})
        assert found == ((managed("NetworkManager"),) if its_own else ())

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ({NM: "what is this"}, "not NetworkManager's state of a device: /run/NetworkManager/devices/7"),
            ({f"{NM}/a-folder": ""}, "is a directory: /run/NetworkManager/devices/7"),
            ({NETWORKD: "\0\0"}, "not systemd-networkd's state of a link: /run/systemd/netif/links/7"),
            ({NETWORKD: PENDING}, "systemd-networkd has not decided about the link yet: /run/systemd/netif/links/7"),
            ({IFUPDOWN: "eth1"}, "not ifupdown's list of what is up: /run/network/ifstate"),
            ({f"{IFUPDOWN}/a-folder": ""}, "is a directory: /run/network/ifstate"),
        ],
    )
    def test_what_cannot_be_read_is_unknown(self, content: dict[str, str], reason: str, tmp_path: Path) -> None:
        assert [manager.profile for manager in read(tmp_path, content)] == [Unknown(reason)]

    @pytest.mark.parametrize(
        ("unit", "content"),
        [("NetworkManager.service", {NM: ACTIVE}), ("systemd-networkd.service", {NETWORKD: CONFIGURED})],
    )
    def test_the_files_of_a_manager_that_has_ended_say_nothing(
        self, unit: str, content: dict[str, str], tmp_path: Path
    ) -> None:
        assert read(tmp_path, {f"{UNITS}/ssh.service/cgroup.procs": "", **content}) == ()
        assert len(read(tmp_path, {f"{UNITS}/{unit}/cgroup.procs": "", **content})) == 1

    def test_they_are_part_of_the_network(self, tmp_path: Path) -> None:
        ready_host(nic(NIC, "eth1")).write(tmp_path)
        (tmp_path / "sys/class/net/eth1/ifindex").write_text("7\n")
        read(tmp_path, {IFUPDOWN: "eth1=eth1\n"})
        assert read_network(Files(str(tmp_path))).managers == (managed("ifupdown", "eth1"),)

    @settings(max_examples=50)
    @given(st.binary(max_size=200), st.sampled_from((b"", b"[device]\n", b"ADMIN_STATE=", b"eth1=")))
    def test_whatever_stands_there_is_an_answer(self, content: bytes, beginning: bytes) -> None:
        with tempfile.TemporaryDirectory() as root:
            read(Path(root), {NM: "", NETWORKD: "", IFUPDOWN: ""})
            for name in (NM, NETWORKD, IFUPDOWN):
                (Path(root) / name).write_bytes(beginning + content)
            found = read_managers(Files(root), (Link(name="eth1"),))
        assert {manager.netdev for manager in found} <= {"eth1"}
        assert msgspec.json.decode(msgspec.json.encode(found), type=tuple[LinkManager, ...]) == found

    @given(st.text(max_size=200))
    def test_no_keyfile_is_too_strange(self, text: str) -> None:
        for section in parse_keyfile(text.splitlines()).values():
            assert all("\n" not in key for key in section)

    def test_whose_addresses_they_are_must_be_known(self, tmp_path: Path) -> None:
        """Without an address there is nothing that somebody would have to put back."""
        idle, used = network(link("eth1")), network(link("eth1"), address("eth1", "10.0.0.5/24"))
        unknown = (LinkManager(netdev="eth1", manager="NetworkManager", profile=Unknown("permission denied: x")),)
        told = []
        for name, net in (("idle", idle), ("used", used)):
            host = ready_host(nic(NIC, "eth1"), net=net).read(tmp_path / name)
            host = msgspec.structs.replace(host, network=msgspec.structs.replace(host.network, managers=unknown))
            found = {finding.code: finding.sentence for finding in check_nic(host.pci[0], HostIndex(host))}
            told.append("permission denied: x" in found.get("USE_UNKNOWN", ""))
        assert told == [False, True]


class TestState:
    """A manager is part of what a NIC is to the host."""

    @staticmethod
    def state(tmp_path: Path, *found: LinkManager) -> NicState:
        host: Host = ready_host(nic(NIC, "eth1")).read(Path(tempfile.mkdtemp(dir=tmp_path)))
        host = msgspec.structs.replace(host, network=msgspec.structs.replace(host.network, managers=found))
        return observe_state(host.pci[0], HostIndex(host))

    def test_of_its_own_interfaces_and_only_what_is_known(self, tmp_path: Path) -> None:
        mine = managed("systemd-networkd", OFFICE)
        unknown = LinkManager(netdev="eth1", manager="ifupdown", profile=Unknown("why"))
        assert self.state(tmp_path, mine, managed("NetworkManager", netdev="eth9"), unknown).managers == (mine,)

    def test_it_must_have_it_again_by_whatever_profile(self, tmp_path: Path) -> None:
        before = self.state(tmp_path, managed("NetworkManager"))
        assert not differences(before, self.state(tmp_path, managed("NetworkManager", "another")))
        assert [(d.before, d.after) for d in differences(before, self.state(tmp_path))] == [
            ("eth1 by NetworkManager", "none")
        ]

    def test_a_record_of_before_says_nothing_of_managers(self, tmp_path: Path) -> None:
        assert not differences(self.state(tmp_path), self.state(tmp_path, managed("ifupdown", "eth1")))


class Tools(Processes):
    """nmcli, networkctl, ifup and ifdown as they answer; `is_up` once the last of them has done its work."""

    def __init__(self, *answers: Completed, needs: int = 1, works: bool = True) -> None:
        self.answers = list(answers)
        self.ran: list[list[str]] = []
        self.needs = needs
        self.works = works
        self.is_up = False

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert 0 < timeout <= managers.MANAGER_SECONDS
        self.ran.append(argv)
        answer = self.answers.pop(0) if self.answers else Completed(0, "", "")
        self.is_up = self.works and answer.exit_code == 0 and len(self.ran) >= self.needs
        return answer


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(managers, "_LOOK_SECONDS", 0.001)


def state_of(*found: LinkManager) -> NicState:
    return NicState(address=NIC, driver="igb", managers=found)


@pytest.mark.usefixtures("_quick")
class TestAsk:
    """Asked by its own tool, once is enough, and what it says is told."""

    @pytest.mark.parametrize(
        ("manager", "commands"),
        [
            (managed("NetworkManager"), [f"nmcli --wait 60 connection up uuid {UUID} ifname eth1"]),
            (managed("systemd-networkd", OFFICE), ["networkctl reconfigure eth1"]),
            (managed("ifupdown", "eth1"), ["ifdown --force eth1", "ifup eth1"]),
            (managed("ifupdown", "office"), ["ifdown --force eth1", "ifup eth1=office"]),
        ],
    )
    def test_each_by_its_own_tool(self, manager: LinkManager, commands: list[str]) -> None:
        tools = Tools(needs=len(commands))
        ask_managers(tools, state_of(manager), lambda: tools.is_up)
        assert [" ".join(argv) for argv in tools.ran] == commands == [" ".join(c) for c in commands_for(manager)]

    def test_what_is_as_it_was_is_not_asked_for(self) -> None:
        """Most managers act by themselves as soon as the interface is there."""
        tools = Tools()
        ask_managers(tools, state_of(managed("NetworkManager")), lambda: True)
        assert tools.ran == []

    def test_one_that_has_not_seen_the_interface_yet_is_asked_again(self) -> None:
        not_yet = Completed(10, "", "Error: Device 'eth1' not found.")
        tools = Tools(not_yet, not_yet)
        ask_managers(tools, state_of(managed("NetworkManager")), lambda: tools.is_up)
        assert len(tools.ran) == 3

    def test_that_ifdown_fails_matters_not_if_ifup_does_its_work(self) -> None:
        tools = Tools(Completed(1, "", "ifdown: interface eth1 not configured"), needs=2)
        ask_managers(tools, state_of(managed("ifupdown", "eth1")), lambda: tools.is_up)
        assert len(tools.ran) == 2

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (Completed(8, "", "Error: NetworkManager is not running."), "NetworkManager is not running"),
            (Completed(None, "", "nmcli: not installed"), "nmcli: not installed"),
            (Completed(3, "Error: Timeout 60 sec expired.\n", ""), "Timeout 60 sec expired"),
            (Completed(4, "", ""), "ifname eth1: 4"),
        ],
    )
    def test_its_refusal_is_told(self, answer: Completed, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(managers, "MANAGER_SECONDS", 0.02)
        tools = Tools(*[answer] * 1000)
        with pytest.raises(StepError, match=told):
            ask_managers(tools, state_of(managed("NetworkManager")), lambda: tools.is_up)

    def test_it_is_not_begun_anew_when_the_time_is_nearly_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool that is killed half way hides what it would have said, and leaves its work half done."""
        monkeypatch.setattr(managers, "MANAGER_SECONDS", 0.02)
        monkeypatch.setattr(managers, "_AGAIN_SECONDS", 0.02)
        tools = Tools(Completed(8, "", "Error: NetworkManager is not running."))
        with pytest.raises(StepError, match="not running"):
            ask_managers(tools, state_of(managed("NetworkManager")), lambda: False)
        assert len(tools.ran) == 1

    def test_what_it_gives_instead_is_not_asked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(managers, "MANAGER_SECONDS", 0.02)
        tools = Tools(works=False)
        with pytest.raises(StepError, match="and not as it was"):
            ask_managers(tools, state_of(managed("systemd-networkd", OFFICE)), lambda: tools.is_up)
        assert len(tools.ran) == 1
