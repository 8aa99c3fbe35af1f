# SPDX-License-Identifier: Apache-2.0
"""What was read for a finding about a group, a session or what could not be seen, and its words to the letter."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.checks.dependence.companions import describe_companion
from nicpass.checks.dependence.group import check_group
from nicpass.checks.dependence.sessions import check_sessions, describe_session
from nicpass.checks.dependence.unseen import check_shared_with_bmc, check_visible, has_interface
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.activity import Activity, ForeignNetdev, Session
from nicpass.model.address import Address
from nicpass.model.class_devices import ClassDevice
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.network import LinkManager, Network
from nicpass.model.pci import PciFunction
from tests.support.hosts import address, link, network, route

NIC, MATE, PORT = Address("0000:01:00.0"), Address("0000:01:00.1"), Address("0000:00:1c.0")
IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())
ETH1 = PciFunction(
    address=NIC, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=None, numvfs=None, iommu_group=7
)
DENIED = Unknown("denied")


def index_of(*pci: PciFunction, net: Network | None = None, activity: Any = None, **more: Any) -> HostIndex:
    about = msgspec.structs.replace(IDLE, **(activity or {}))
    host = Host(pci=pci or (ETH1,), network=net or network(link("eth1")), activity=about)
    return HostIndex(msgspec.structs.replace(host, **more))


def seen(finding: Finding) -> list[tuple[str, str]]:
    return [(evidence.source, evidence.value) for evidence in finding.evidence]


class TestGroup:
    """The members of the NIC's group."""

    OTHER = PciFunction(address=MATE, class_code=0x010601, driver="ahci", iommu_group=7)

    def told(self, *devices: ClassDevice, other: PciFunction = OTHER, **more: Any) -> dict[str, Finding]:
        index = index_of(ETH1, other, class_devices=devices, **more)
        return {finding.code: finding for finding in check_group(ETH1, index)}

    def device(self, subsystem: str, name: str, **more: Any) -> ClassDevice:
        return ClassDevice(subsystem=subsystem, name=name, addresses=(MATE,), **more)

    def words(self, *devices: ClassDevice, other: PciFunction = OTHER) -> str:
        return describe_companion(other, index_of(ETH1, other, class_devices=devices))

    def test_its_evidence(self) -> None:
        assert seen(self.told()["GROUP_SHARED"]) == [(f"/sys/bus/pci/devices/{NIC}/iommu_group", "7")]

    def test_a_vf_beside_its_pf(self) -> None:
        vf = msgspec.structs.replace(ETH1, physfn=MATE)
        pf = msgspec.structs.replace(self.OTHER, class_code=0x020000, virtfns=(NIC,))
        found = {finding.code: finding for finding in check_group(vf, index_of(vf, pf))}["VF_GROUP_HAS_PF"]
        assert seen(found) == [
            (f"/sys/bus/pci/devices/{NIC}/physfn", MATE),
            ("/sys/kernel/iommu_groups/7/devices", MATE),
        ]

    @pytest.mark.parametrize(
        ("count", "group", "told"), [(0, 7, True), (0, None, False), (1, None, False), (DENIED, None, False)]
    )
    def test_a_nic_without_a_group_where_there_are_groups(self, count: Any, group: int | None, told: bool) -> None:
        lone = msgspec.structs.replace(ETH1, iommu_group=None)
        index = index_of(lone, msgspec.structs.replace(self.OTHER, iommu_group=group))
        platform = msgspec.structs.replace(index.host.platform, iommu_groups=count)
        found = list(check_group(lone, HostIndex(msgspec.structs.replace(index.host, platform=platform))))
        assert [finding.code for finding in found] == (["GROUP_ABSENT"] if told else [])
        if told:
            assert seen(found[0]) == [(f"/sys/bus/pci/devices/{NIC}/iommu_group", "absent")]

    @pytest.mark.parametrize(
        ("device", "words", "code"),
        [
            (("block", "sda", {"mounts": ("/", "/srv")}), "sda mounted at / /srv", "GROUP_HAS_STORAGE"),
            (("block", "sda2", {"swap": True}), "sda2 in use as swap", "GROUP_HAS_STORAGE"),
            (("tty", "ttyS0", {"console": True}), "ttyS0 with the console", "GROUP_HAS_CONSOLE"),
            (("input", "event0", {"keyboard": True}), "the only keyboard, event0", "GROUP_HAS_CONSOLE"),
            (("input", "event1", {"label": "Mouse"}), "mouse Mouse", None),
            (("input", "event1", {}), "mouse event1", None),
            (("sound", "snd0", {}), "snd0", None),
            (("tty", "ttyS1", {}), "ttyS1", None),
            (("tpm", "tpm0", {}), "tpm0", None),
            (("drm", "card0", {}), "card0", None),
            (("drm", "card0-VGA-1", {}), "", None),
            (("drm", "renderD128", {}), "", None),
            (("sound", "controlC0", {}), "", None),
            (("odd", "odd0", {}), "", None),
        ],
    )
    def test_what_the_host_does_with_a_member(self, device: Any, words: str, code: str | None) -> None:
        subsystem, name, more = device
        one = self.device(subsystem, name, **more)
        assert self.words(one) == f"{MATE} (driver ahci{': ' + words if words else ''})"
        assert set(self.told(one)) == {"GROUP_SHARED", *([code] if code else [])}

    def test_a_keyboard_among_several(self) -> None:
        own = self.device("input", "event0", keyboard=True)
        foreign = ClassDevice(subsystem="input", name="event9", addresses=(PORT,), keyboard=True)
        assert "GROUP_HAS_CONSOLE" not in self.told(own, foreign)
        assert self.words(own, foreign).endswith(": keyboard event0)")
        assert "GROUP_HAS_CONSOLE" in self.told(own, self.device("input", "event1", keyboard=True))

    def test_the_gravest_first(self) -> None:
        devices = (
            self.device("sound", "snd0"),
            self.device("input", "event0", keyboard=True, label="K"),
            self.device("tty", "ttyS0", console=True),
            self.device("block", "sdb", swap=True),
            self.device("block", "sda", mounts=("/",)),
        )
        assert self.words(*devices) == (
            f"{MATE} (driver ahci: sda mounted at /, sdb in use as swap, ttyS0 with the console, the only keyboard, K, "
            "and 1 more)"
        )
        assert "more" not in self.words(*devices[1:])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"driver": None}, "no driver"),
            ({"driver": DENIED}, "driver unknown"),
            ({"netdevs": ("eth1",)}, "eth1, driver ahci"),
            ({"block_devices": ("sda", "sdb")}, "driver ahci, sda, sdb"),
        ],
    )
    def test_what_it_is(self, change: dict[str, Any], words: str) -> None:
        assert self.words(other=msgspec.structs.replace(self.OTHER, **change)) == f"{MATE} ({words})"

    def test_a_disk_is_named_once(self) -> None:
        other = msgspec.structs.replace(self.OTHER, block_devices=("sda", "sdb"))
        disk = self.device("block", "sda1", mounts=("/",))
        assert self.words(disk, other=other) == f"{MATE} (driver ahci, sdb: sda1 mounted at /)"

    @pytest.mark.parametrize(
        ("driver", "code"),
        [
            (None, "GROUP_SHARED_IDLE"),
            ("vfio-pci", "GROUP_SHARED_IDLE"),
            ("ahci", "GROUP_SHARED"),
            (DENIED, "GROUP_SHARED"),
        ],
    )
    def test_whether_it_is_idle(self, driver: Any, code: str) -> None:
        assert set(self.told(other=msgspec.structs.replace(self.OTHER, driver=driver))) == {code}

    @pytest.mark.parametrize(
        ("change", "above", "free"),
        [
            ({}, None, True),
            ({}, PORT, False),
            ({"driver": None}, None, False),
            ({"class_code": 0x010601}, None, False),
            ({"iommu_group": 7}, None, False),
            ({"iommu_group": None}, None, False),
            ({"bridge": Address("0000:00:01.0")}, None, False),
        ],
    )
    def test_a_free_slot(self, change: dict[str, Any], above: Address | None, free: bool) -> None:
        port = PciFunction(address=PORT, class_code=0x060400, driver="pcieport", iommu_group=3)
        own = msgspec.structs.replace(ETH1, bridge=above)
        index = index_of(own, self.OTHER, msgspec.structs.replace(port, **change))
        mend = next(iter(check_group(own, index))).mend
        assert (f"nothing: {PORT}." in mend) is free
        assert ("one behind another root port" in mend) is not free


class TestSessions:
    """Each once, by its shortest chain."""

    SSH = Session(program="sshd", local_address="10.0.0.5", local_port=22, peer_address="10.0.0.9", peer_port=5)
    NET = network(
        link("eth1"),
        link("v", kind="vlan", lower="eth1"),
        address("eth1", "10.0.0.5/24"),
        route("eth1", "10.0.0.0/24", None, protocol="kernel"),
        route("v", "10.0.0.8/30", None, table=9),
    )

    def told(self, *sessions: Session, net: Network = NET) -> list[Finding]:
        return list(check_sessions(ETH1, index_of(net=net, activity={"sessions": sessions})))

    def test_one_by_two_chains(self) -> None:
        (found,) = self.told(self.SSH)
        assert "eth1 → 10.0.0.5/24 → a ssh session from 10.0.0.9" in found.sentence
        assert seen(found) == [("established connection", "10.0.0.5:22 - 10.0.0.9:5")]

    def test_two_of_the_same_words_are_one(self) -> None:
        assert len(self.told(self.SSH, msgspec.structs.replace(self.SSH, peer_port=6))) == 1
        assert len(self.told(self.SSH, msgspec.structs.replace(self.SSH, user="ada"))) == 2

    def test_one_that_cannot_be_placed(self) -> None:
        (found,) = self.told(Session(program="sshd"))
        assert found.code == "SESSION_UNPLACED"
        assert seen(found) == [("session", "?:? - ?:?")]
        assert self.told(Session(program="sshd"), net=network(link("eth1"))) == []

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"own": True}, "your ssh session from 10.0.0.9"),
            ({"user": "ada"}, "the ssh session of ada from 10.0.0.9"),
            ({"peer_address": None, "remote_host": "laptop"}, "a ssh session from laptop"),
            ({"peer_address": None}, "a ssh session from an unknown host"),
            ({"program": "sshd-session"}, "a ssh session from 10.0.0.9"),
            ({"program": "dropbear"}, "a ssh session from 10.0.0.9"),
            ({"program": "telnetd"}, "a telnetd session from 10.0.0.9"),
        ],
    )
    def test_words(self, more: dict[str, Any], words: str) -> None:
        assert describe_session(msgspec.structs.replace(self.SSH, **more)) == words


class TestUnseen:
    """What could not be read, each by its reason."""

    USED = network(link("eth1"), address("eth1", "10.0.0.5/24"))

    def reasons(self, function: PciFunction = ETH1, net: Network | None = None, **activity: Any) -> list[str]:
        index = index_of(function, net=net, activity=activity)
        found = [finding for finding in check_visible(function, index) if finding.code == "USE_UNKNOWN"]
        for finding in found:
            assert {evidence.source for evidence in finding.evidence} == {"not read"}
        return [evidence.value for finding in found for evidence in finding.evidence]

    @pytest.mark.parametrize("field", ["netdevs", "driver", "numvfs"])
    def test_of_the_nic(self, field: str) -> None:
        assert "denied" in self.reasons(msgspec.structs.replace(ETH1, **{field: DENIED}))

    @pytest.mark.parametrize("field", ["addresses", "routes", "rules", "redirects"])
    def test_of_the_network(self, field: str) -> None:
        assert self.reasons(net=msgspec.structs.replace(network(link("eth1")), **{field: DENIED})) == ["denied"]

    @pytest.mark.parametrize("field", ["addresses", "routes"])
    def test_what_was_not_read_at_all(self, field: str) -> None:
        unread = msgspec.structs.replace(network(link("eth1")), **{field: None})
        assert self.reasons(net=unread) == ["addresses and routes were not read"]

    @pytest.mark.parametrize(
        ("field", "idle", "used"),
        [
            ("sessions", False, True),
            ("storage", False, True),
            ("devices", True, True),
            ("packet_sockets", True, True),
            ("holders", False, False),
            ("xdp_sockets", False, False),
        ],
    )
    def test_of_what_goes_on(self, field: str, idle: bool, used: bool) -> None:
        unread: dict[str, Any] = {field: DENIED}
        assert bool(self.reasons(**unread)) is idle
        assert bool(self.reasons(net=self.USED, **unread)) is used

    def test_of_sockets_where_a_program_hangs_on_it(self) -> None:
        xdp = network(link("eth1", xdp_programs=(4,)))
        assert self.reasons(net=xdp, xdp_sockets=DENIED) == ["denied"]

    def test_of_who_has_a_device_open(self) -> None:
        bound = msgspec.structs.replace(ETH1, driver="vfio-pci", netdevs=())
        assert self.reasons(bound, holders=DENIED) == ["denied"]

    def test_of_its_manager_where_it_has_an_address(self) -> None:
        managers = (LinkManager(netdev="eth1", manager="NetworkManager", profile=DENIED),)
        assert self.reasons(net=msgspec.structs.replace(self.USED, managers=managers)) == ["denied"]

    def test_of_other_namespaces(self) -> None:
        assert self.reasons(foreign_unseen="denied") == ["denied"]

    def test_of_intents(self) -> None:
        net = msgspec.structs.replace(network(link("eth1")), intents=None)
        assert self.reasons(net=net) == ["what network managers are to do with it was not read"]
        nameless = msgspec.structs.replace(ETH1, driver=None, netdevs=())
        assert self.reasons(nameless, net=msgspec.structs.replace(network(), intents=None)) == []

    def test_each_reason_once(self) -> None:
        assert self.reasons(net=self.USED, sessions=DENIED, storage=DENIED) == ["denied"]

    @pytest.mark.parametrize(
        ("foreign", "words", "command"),
        [
            ((), "no network namespace shows one either", f"dmesg | grep {NIC}"),
            (DENIED, "where it is could not be learned: denied", f"dmesg | grep {NIC}"),
            (
                (ForeignNetdev(address=NIC, netdev="e", namespace="/run/netns/b", program="dnsmasq"),),
                "it is e in the network namespace /run/netns/b of dnsmasq",
                "nsenter --net=/run/netns/b ip link set dev e netns 1",
            ),
        ],
    )
    def test_an_interface_that_is_elsewhere(self, foreign: Any, words: str, command: str) -> None:
        lost = msgspec.structs.replace(ETH1, netdevs=())
        index = index_of(lost, net=network(), activity={"foreign_netdevs": foreign})
        (found,) = [finding for finding in check_visible(lost, index) if finding.code == "NETDEV_ELSEWHERE"]
        assert words in found.sentence
        assert found.command == command
        assert seen(found) == [(f"/sys/bus/pci/devices/{NIC}/driver", "igb")]

    def test_one_of_two_that_is_elsewhere(self) -> None:
        two = msgspec.structs.replace(ETH1, netdevs=("eth1", "eth2"))
        assert "NETDEV_ELSEWHERE" in {finding.code for finding in check_visible(two, index_of(two))}
        assert "NETDEV_ELSEWHERE" not in {finding.code for finding in check_visible(ETH1, index_of())}

    @pytest.mark.parametrize(
        ("driver", "makes"),
        [
            ("igb", True),
            ("vfio-pci", False),
            ("uio_pci_generic", False),
            ("igb_uio", False),
            (None, False),
            (DENIED, False),
        ],
    )
    def test_a_driver_that_makes_an_interface(self, driver: Any, makes: bool) -> None:
        assert has_interface(msgspec.structs.replace(ETH1, driver=driver)) is makes

    def test_a_port_that_the_board_may_share(self) -> None:
        port = msgspec.structs.replace(ETH1, board_label="NIC1")
        index = index_of(port)
        platform = msgspec.structs.replace(index.host.platform, bmc="ipmi0")
        index = HostIndex(msgspec.structs.replace(index.host, platform=platform))
        (found,) = check_shared_with_bmc(port, index)
        assert seen(found) == [(f"/sys/bus/pci/devices/{NIC}/label", "NIC1"), ("BMC", "ipmi0")]
        assert list(check_shared_with_bmc(msgspec.structs.replace(port, physfn=MATE), index)) == []
        assert list(check_shared_with_bmc(ETH1, index)) == []
