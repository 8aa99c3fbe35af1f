# SPDX-License-Identifier: Apache-2.0
"""Law 9: a NIC that somebody is to configure is not free, whether or not it has an address at this minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.checks.blocking import blocking
from nicpass.checks.dependence.intent import advise_intent, command_for
from nicpass.checks.dependence.quick import check_dependence
from nicpass.checks.lookup.index import HostIndex
from nicpass.engine.host_steps import read_state
from nicpass.engine.nic.store import BOOT_ID, KeptNic, keep_nic, read_kept_nic
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.hypervisor.libvirt.hook import Hook
from nicpass.model.address import Address
from nicpass.model.errors import RefusedError
from nicpass.model.host import Host
from nicpass.model.network import Intent
from nicpass.model.plan import NicOwner
from nicpass.model.request import AttachRequest
from nicpass.planner.nic.attach import plan_attach
from tests.support.activity import having, packet, process
from tests.support.hosts import address, link, network, ready_host
from tests.support.trees import Vm, domain_xml, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.network import Network

NIC = Address("0000:01:00.0")
INDEX = {"/sys/class/net/eth1/ifindex": "2\n"}
# The two cases of a boot in which the DHCP server has not answered yet.
CONFIGURING = INDEX | {
    "/run/systemd/netif/links/2": "ADMIN_STATE=configuring\nOPER_STATE=carrier\n"
    "NETWORK_FILE=/etc/systemd/network/10-mgmt.network\n",
}
ACTIVATING = INDEX | {
    "/run/NetworkManager/devices/2": "[device]\nmanaged=true\nconnection-uuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03\n",
}
PENDING = INDEX | {"/run/systemd/netif/links/2": "ADMIN_STATE=pending\nOPER_STATE=off\n"}
LAN = {"/etc/systemd/network/10-lan.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n"}


def findings(tmp_path: Path, files: Mapping[str, str], net: Network | None = None) -> tuple[Finding, ...]:
    host = ready_host(net=net, files=files).read(tmp_path)
    index = HostIndex(host)
    return check_dependence(index.functions[NIC], index)


@pytest.mark.parametrize(
    ("files", "evidence"),
    [
        (CONFIGURING, "/etc/systemd/network/10-mgmt.network"),
        (ACTIVATING, "/run/NetworkManager/devices/2"),
        (LAN, "/etc/systemd/network/10-lan.network"),
    ],
    ids=["systemd-networkd", "NetworkManager", "next boot"],
)
def test_a_nic_that_waits_for_its_address_is_not_free(tmp_path: Path, files: Mapping[str, str], evidence: str) -> None:
    (found,) = blocking(findings(tmp_path, files))
    assert found.code == "TO_BE_CONFIGURED"
    assert found.evidence[0].source == evidence
    assert not blocking([found], frozenset({"TO_BE_CONFIGURED"}))


def test_a_manager_that_has_not_decided_is_no_free_pass(tmp_path: Path) -> None:
    assert [found.code for found in blocking(findings(tmp_path, PENDING))] == ["NAMED_UNCLEARLY"]


def test_what_it_will_decide_is_told_by_its_files(tmp_path: Path) -> None:
    shipped = PENDING | {"/usr/lib/systemd/network/80-container-host0.network": "[Match]\nName=host0\n"}
    assert not blocking(findings(tmp_path / "free", shipped))
    assert [found.code for found in blocking(findings(tmp_path / "lan", shipped | LAN))] == ["TO_BE_CONFIGURED"]


@pytest.mark.parametrize("files", [CONFIGURING, ACTIVATING], ids=["systemd-networkd", "NetworkManager"])
def test_the_guard_vetoes_a_start_that_would_take_it(tmp_path: Path, files: Mapping[str, str]) -> None:
    vm = Vm(name="guest", devices=hostdev_xml(NIC))
    door = Files(str(ready_host(net=network(link("eth1")), vms=(vm,), files={BOOT_ID: "b\n", **files}).write(tmp_path)))
    owner = NicOwner(domain="guest", uuid=vm.uuid)
    keep_nic(door, KeptNic(state=read_state(door, NIC), owner=owner))
    with pytest.raises(RefusedError, match=r"eth1.* is to be configured by"):
        Hook(door, Processes, lambda _state: None).prepare(domain_xml(vm))
    allowed = msgspec.structs.replace(owner, allow=frozenset({"TO_BE_CONFIGURED"}))
    keep_nic(door, KeptNic(state=read_state(door, NIC), owner=allowed))
    Hook(door, Processes, lambda _state: None).prepare(domain_xml(vm))
    kept = read_kept_nic(door, NIC)
    assert kept is not None
    assert kept.away == "b"


def test_what_has_come_of_it_already_is_not_to_be_allowed_twice(tmp_path: Path) -> None:
    net = network(link("eth1"), address("eth1", "192.0.2.5/24"))
    found = findings(tmp_path, CONFIGURING | LAN, net)
    assert {each.code for each in blocking(found)} == {"HAS_ADDRESS"}
    assert [each.evidence[0].source for each in found if each.code == "CONFIGURED_BY"] == [
        "/etc/systemd/network/10-lan.network"
    ]
    assert not any(each.mend or each.command for each in found if each.code == "CONFIGURED_BY")


def test_who_has_allowed_the_address_has_allowed_the_one_to_come(tmp_path: Path) -> None:
    """A VM's start may fall between the NIC's return and the answer of the DHCP server."""
    found = findings(tmp_path, LAN)
    assert blocking(found)
    assert not blocking(found, frozenset({"HAS_ADDRESS"}))
    assert blocking(found, frozenset({"CARRIES_ROUTE"}))


BRIDGED = {"/etc/network/interfaces": "auto br0\niface br0 inet dhcp\n    bridge_ports eth1\n"}


def test_a_port_of_the_next_boot_is_told_until_it_is_one(tmp_path: Path) -> None:
    (found,) = blocking(findings(tmp_path / "later", BRIDGED))
    assert found.code == "TO_BE_PART"
    assert "br0" in found.sentence
    now = network(link("eth1", master="br0"), link("br0", kind="bridge"))
    assert {each.code for each in blocking(findings(tmp_path / "now", BRIDGED, now))} == {"HAS_UPPER"}
    other = network(link("eth1", master="br1"), link("br1", kind="bridge"))
    assert {each.code for each in blocking(findings(tmp_path / "other", BRIDGED, other))} == {"HAS_UPPER", "TO_BE_PART"}


def test_a_boot_that_waits_for_it_is_told(tmp_path: Path) -> None:
    path = "/etc/systemd/system/systemd-networkd-wait-online.service.d/one.conf"
    text = "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-networkd-wait-online --interface=eth1:carrier\n"
    (found,) = blocking(findings(tmp_path, {path: text}))
    assert (found.code, found.evidence[0].source) == ("WAITED_FOR", path)


def test_what_was_not_asked_is_not_free(tmp_path: Path) -> None:
    """A snapshot from before there was the question can be read, and does not say that there is nothing."""
    host = ready_host().read(tmp_path)
    old = msgspec.to_builtins(host)
    del old["network"]["intents"]
    index = HostIndex(msgspec.convert(old, Host))
    (found,) = blocking(check_dependence(index.functions[NIC], index))
    assert found.code == "USE_UNKNOWN"
    assert "network managers" in found.sentence


def test_a_file_that_cannot_be_read_may_mean_any_nic(tmp_path: Path) -> None:
    host = ready_host(links={"/etc/netplan/50-cloud-init.yaml": "/outside/of/it.yaml"}).read(tmp_path)
    index = HostIndex(host)
    assert {found.code for found in blocking(check_dependence(index.functions[NIC], index))} == {"USE_UNKNOWN"}


def test_the_mend_is_the_one_that_is_read_again(tmp_path: Path) -> None:
    (found,) = blocking(findings(tmp_path / "before", LAN))
    assert found.command.startswith(
        "printf '%s\\n' '[Match]' Name=eth1 '[Link]' Unmanaged=yes >/etc/systemd/network/00-"
    )
    path = "/etc/systemd/network/00-eth1-unmanaged.network"
    assert path in found.command
    assert not findings(tmp_path / "after", LAN | {path: "[Match]\nName=eth1\n[Link]\nUnmanaged=yes\n"})


class TestClients:
    """A DHCP client that somebody has started by hand, or that a script has."""

    def told(
        self, tmp_path: Path, program: str, net: Network | None = None, files: Mapping[str, str] | None = None
    ) -> list[str]:
        tree = having(ready_host(net=net, files=files or {}), packet(2, 710), process(903, program, "socket:[710]"))
        index = HostIndex(tree.read(tmp_path))
        found = check_dependence(index.functions[NIC], index)
        return [finding.command for finding in found if finding.code == "TO_BE_CONFIGURED"]

    @pytest.mark.parametrize("program", ["dhclient", "dhcpcd", "udhcpc", "wickedd-dhcp4"])
    def test_one_that_waits_for_an_answer_is_about_to_have_an_address(self, tmp_path: Path, program: str) -> None:
        assert self.told(tmp_path, program) == ["kill 903"]

    def test_one_that_has_it_is_told_by_the_address(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, "dhclient", network(link("eth1"), address("eth1", "10.0.0.5/24"))) == []

    def test_one_that_only_listens_is_none(self, tmp_path: Path) -> None:
        assert self.told(tmp_path, "lldpd") == []

    def test_one_of_a_managers_is_told_by_its_file(self, tmp_path: Path) -> None:
        (command,) = self.told(tmp_path, "dhclient", files=LAN)
        assert "kill" not in command


class TestNextBoot:
    """What comes back at the next boot."""

    def test_an_address_that_comes_back_is_mended_for_good(self, tmp_path: Path) -> None:
        """`ip address del` alone lasts until the boot, and there the guard would veto the VM's start."""
        net = network(link("eth1"), address("eth1", "10.0.0.5/24"))
        found = next(f for f in findings(tmp_path, LAN, net) if f.code == "HAS_ADDRESS")
        lasting, reload, removal = found.command.splitlines()
        assert "Unmanaged=yes" in lasting
        assert "/etc/systemd/network/00-eth1-unmanaged.network" in lasting
        assert reload == "networkctl reload"
        assert removal == "ip address del 10.0.0.5/24 dev eth1"
        assert "10-lan.network" in found.mend

    def test_an_address_of_nobodys_is_only_removed(self, tmp_path: Path) -> None:
        net = network(link("eth1"), address("eth1", "10.0.0.5/24"))
        found = next(f for f in findings(tmp_path, {}, net) if f.code == "HAS_ADDRESS")
        assert found.command == "ip address del 10.0.0.5/24 dev eth1"

    @pytest.mark.parametrize(
        ("allow", "warned"), [({"TO_BE_CONFIGURED"}, True), ({"TO_BE_CONFIGURED", "HAS_ADDRESS"}, False)]
    )
    def test_attach_warns_of_the_veto_that_comes(self, allow: set[str], warned: bool, tmp_path: Path) -> None:
        host = ready_host(net=network(link("eth1")), files=LAN).read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm="guest", nic="eth1", allow=frozenset(allow)))
        notes = [note for note in plan.notes if "will not let guest start" in note]
        assert bool(notes) == warned
        assert all(f"nicpass attach guest {NIC} --allow HAS_ADDRESS" in note for note in notes)


ADVICE = {
    "systemd-networkd": "comes before /etc/x and has Unmanaged=yes",
    "NetworkManager": "delete the profile in /etc/x",
    "netplan": "Take eth1 out of /etc/x (the text), then: netplan apply",
    "ifupdown": 'Take eth1 out of the line "the text" in /etc/x',
    "initscripts": "Set ONBOOT=no in /etc/x",
    "wicked": "Set STARTMODE=off in /etc/x",
    "kernel": "Take the text off the kernel's command line (/etc/x)",
    "initramfs": "Take the text out of /etc/x, then have the initramfs made anew",
    "systemd": 'Take eth1 out of "the text" in /etc/x, then: systemctl daemon-reload',
}
COMMANDS = {
    "systemd-networkd": "printf '%s\\n' '[Match]' Name=eth1 '[Link]' Unmanaged=yes "
    ">/etc/systemd/network/00-eth1-unmanaged.network\nnetworkctl reload",
    "NetworkManager": "printf '%s\\n' '[keyfile]' unmanaged-devices+=interface-name:=eth1 "
    ">/etc/NetworkManager/conf.d/zz-eth1-unmanaged.conf\nnmcli general reload",
}


@pytest.mark.parametrize("manager", sorted(ADVICE))
def test_each_manager_is_told_in_its_own_way(manager: Any) -> None:
    intent = Intent(netdev="eth1", manager=manager, source="/etc/x", text="the text", purpose="configure")
    assert ADVICE[manager] in advise_intent(intent)
    assert command_for(intent) == COMMANDS.get(manager, "")
