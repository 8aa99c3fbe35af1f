# SPDX-License-Identifier: Apache-2.0
"""Reading libvirt's networks: from a daemon whose networks come and go (a small stand-in), and from files."""

from __future__ import annotations

import random
import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.domains import Machines, read_machines
from nicpass.hypervisor.libvirt.networks import networks_of, parse_network, read_networks
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Unknown
from nicpass.model.libvirt_network import LibvirtNetwork
from tests.support.domains import definition_xml, mutate, mutate_tree

INTERNAL, NO_SUPPORT, NO_CONNECT, SYSTEM_ERROR, NO_DOMAIN, NO_NETWORK = 1, 3, 5, 38, 42, 43
INACTIVE = 1
POOL = """<network connections='1'><name>pool</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db18aa</uuid>
  <forward mode='hostdev' managed='yes'><driver name='vfio'/><pf dev='eth1'/>
    <address type='pci' domain='0x0000' bus='0x01' slot='0x02' function='0x0'/>
    <address type='pci' domain='0x0000' bus='0x01' slot='0x02' function='0x1'/></forward>
  <portgroup name='web' default='yes'/></network>"""
LENDING = """<network><name>lan</name><forward dev='eth1' mode='bridge'>
  <interface dev='eth1'/><interface dev='eth2' connections='1'/></forward></network>"""
NAT = "<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on'/></network>"


class LibvirtError(Exception):
    """libvirt.libvirtError."""

    def get_error_code(self) -> int:
        return int(self.args[0])

    def get_error_message(self) -> str:
        return f"error {self.args[0]}"


class NetworkOfDaemon:
    """As much of virNetwork as is asked for; with a code it is gone, or broken, by then."""

    def __init__(self, xml: str, *, lasting: str | None = None, active: bool = True, code: int | None = None) -> None:
        self.xml, self.lasting, self.active, self.code = xml, lasting, active, code

    def isActive(self) -> int:  # noqa: N802
        return int(self.active)

    def isPersistent(self) -> int:  # noqa: N802
        return int(self.lasting is not None)

    def autostart(self) -> int:
        if self.lasting is None:
            raise LibvirtError(INTERNAL)  # a transient network has no such setting
        return 1

    def XMLDesc(self, flags: int) -> str:  # noqa: N802
        if self.code is not None:
            raise LibvirtError(self.code)
        return self.lasting if flags & INACTIVE and self.lasting is not None else self.xml


def library() -> types.ModuleType:
    made = types.ModuleType("libvirt")
    vars(made).update(
        libvirtError=LibvirtError,
        registerErrorHandler=lambda *_: None,
        VIR_DOMAIN_XML_INACTIVE=2,
        VIR_NETWORK_XML_INACTIVE=INACTIVE,
        VIR_ERR_NO_DOMAIN=NO_DOMAIN,
        VIR_ERR_NO_NETWORK=NO_NETWORK,
        VIR_ERR_NO_SUPPORT=NO_SUPPORT,
        VIR_ERR_NO_CONNECT=NO_CONNECT,
        VIR_ERR_SYSTEM_ERROR=SYSTEM_ERROR,
    )
    return made


def asked(root: Path, *networks: NetworkOfDaemon, code: int | None = None) -> Any:
    def list_networks() -> list[NetworkOfDaemon]:
        if code is not None:
            raise LibvirtError(code)
        return list(networks)

    return networks_of(types.SimpleNamespace(listAllNetworks=list_networks), library(), Files(str(root)))


def put(root: Path, path: str, content: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


class TestParse:
    """What a definition names."""

    def test_a_pool_of_vfs(self) -> None:
        assert parse_network(POOL) == LibvirtNetwork(
            name="pool",
            uuid="c7a5fdbd-edaf-9455-926a-d65c16db18aa",
            forward="hostdev",
            pfs=("eth1",),
            addresses=("0000:01:02.0", "0000:01:02.1"),  # type: ignore[arg-type]
            managed=True,
            xml=POOL,
        )

    def test_a_pool_with_a_vlan(self) -> None:
        network = parse_network(
            "<network><name>blue</name><forward mode='hostdev'>"
            "<address type='pci' domain='0' bus='1' slot='2' function='0'/></forward>"
            "<vlan><tag id='20'/><tag id='0x1e'/><tag id='many'/></vlan></network>"
        )
        assert (network.is_pool, network.managed, network.vlans) == (True, None, (20, 30))

    def test_a_pool_of_interfaces(self) -> None:
        network = parse_network(LENDING)
        assert (network.forward, network.netdevs, network.unread) == ("bridge", ("eth1", "eth2"), ())

    def test_one_that_names_no_nic(self) -> None:
        assert parse_network(NAT) == LibvirtNetwork(name="default", forward="nat", bridge="virbr0")

    def test_one_that_leads_nowhere(self) -> None:
        assert parse_network("<network><name>a</name></network>").forward is None

    @pytest.mark.parametrize("xml", ["", "<network>", "<network/>", "<domain><name>a</name></domain>"])
    def test_what_is_none_is_refused(self, xml: str) -> None:
        with pytest.raises(NicpassError):
            parse_network(xml)

    @given(st.integers(0, 2**32))
    def test_a_mutated_one_is_read_or_refused(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311  the same inputs again are what it is for
        for change in (mutate_tree, mutate):
            try:
                network = parse_network(change(rng.choice((POOL, LENDING)), rng))
            except NicpassError:
                continue
            assert msgspec.json.decode(msgspec.json.encode(network), type=LibvirtNetwork) == network
            assert all(reason.isprintable() for reason in network.unread)


class TestDaemon:
    """By libvirt's own API."""

    def test_a_network_that_runs_and_lasts(self, tmp_path: Path) -> None:
        """Somebody has edited it since it was started: what it was and what it will be both count."""
        edited = "<network><name>pool</name><forward mode='hostdev'><pf dev='eth2'/></forward></network>"
        (network,) = asked(tmp_path, NetworkOfDaemon(POOL, lasting=edited))
        assert network.pfs == ("eth1", "eth2")
        assert len(network.addresses) == 2
        assert (network.active, network.persistent, network.autostart) == (True, True, True)

    def test_one_that_is_off(self, tmp_path: Path) -> None:
        (network,) = asked(tmp_path, NetworkOfDaemon(LENDING, lasting=LENDING, active=False))
        assert (network.active, network.netdevs) == (False, ("eth1", "eth2"))

    def test_one_that_does_not_last(self, tmp_path: Path) -> None:
        (network,) = asked(tmp_path, NetworkOfDaemon(LENDING))
        assert (network.persistent, network.autostart) == (False, False)

    def test_one_that_has_gone_meanwhile_is_none(self, tmp_path: Path) -> None:
        found = asked(tmp_path, NetworkOfDaemon("", code=NO_NETWORK), NetworkOfDaemon(NAT))
        assert [network.name for network in found] == ["default"]

    def test_another_error_makes_all_unknown(self, tmp_path: Path) -> None:
        assert asked(tmp_path, NetworkOfDaemon(NAT), NetworkOfDaemon("", code=INTERNAL)) == Unknown("libvirt: error 1")
        assert asked(tmp_path, code=INTERNAL) == Unknown("libvirt: error 1")

    def test_one_that_is_no_xml_makes_all_unknown(self, tmp_path: Path) -> None:
        assert isinstance(asked(tmp_path, NetworkOfDaemon("<network>")), Unknown)

    @pytest.mark.parametrize("code", [NO_SUPPORT, NO_CONNECT, SYSTEM_ERROR])
    def test_a_libvirt_without_networks_has_those_of_its_folder(self, code: int, tmp_path: Path) -> None:
        (tmp_path / "etc/libvirt/qemu").mkdir(parents=True)
        assert asked(tmp_path, code=code) is None
        put(tmp_path, "etc/libvirt/qemu/networks/pool.xml", POOL)
        assert [network.name for network in asked(tmp_path, code=code)] == ["pool"]

    def test_vms_and_networks_by_one_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []

        def open_read_only(uri: str) -> object:
            opened.append(uri)
            return connection

        domain = types.SimpleNamespace(
            isActive=lambda: 0, isPersistent=lambda: 1, XMLDesc=lambda _flags=0: definition_xml(), name=lambda: "web",
            UUIDString=lambda: "1", hasManagedSaveImage=lambda: 0, snapshotNum=lambda: 0,
        )  # fmt: skip
        connection = types.SimpleNamespace(
            listAllDomains=lambda: [domain], listAllNetworks=lambda: [NetworkOfDaemon(NAT)], close=lambda: None
        )
        made = library()
        vars(made)["openReadOnly"] = open_read_only
        monkeypatch.setitem(sys.modules, "libvirt", made)
        found = read_machines(Files())
        assert opened == ["qemu:///system"]
        assert isinstance(found.domains, tuple)
        assert isinstance(found.networks, tuple)
        assert (found.domains[0].name, found.networks[0].name) == ("web", "default")

    def test_a_daemon_that_breaks_off_leaves_both_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise LibvirtError(INTERNAL)

        made = library()
        connection = types.SimpleNamespace(listAllDomains=fail, close=lambda: None)
        vars(made)["openReadOnly"] = lambda _uri: connection
        monkeypatch.setitem(sys.modules, "libvirt", made)
        reason = Unknown("libvirt: error 1")
        assert read_machines(Files()) == Machines(reason, reason)


class TestFiles:
    """Of a capture."""

    def test_what_runs_and_starts_by_itself(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/networks/pool.xml", POOL)
        put(tmp_path, "etc/libvirt/qemu/networks/lan.xml", LENDING)
        put(tmp_path, "etc/libvirt/qemu/networks/autostart/pool.xml")
        put(tmp_path, "run/libvirt/network/lan.xml")
        found = read_networks(Files(str(tmp_path)))
        assert isinstance(found, tuple)
        assert [(each.name, each.autostart, each.active) for each in found] == [
            ("lan", False, True),
            ("pool", True, False),
        ]

    def test_a_folder_of_vms_without_one_of_networks_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "etc/libvirt/qemu").mkdir(parents=True)
        assert read_networks(Files(str(tmp_path))) is None

    def test_what_was_not_captured_is_unknown(self, tmp_path: Path) -> None:
        assert read_networks(Files(str(tmp_path))) == Unknown("not captured: /etc/libvirt/qemu/networks")

    @pytest.mark.parametrize("content", ["", "<network>", "<network/>", "\0", "<domain><name>a</name></domain>"])
    def test_a_damaged_one_makes_all_unknown(self, content: str, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/networks/a.xml", NAT)
        put(tmp_path, "etc/libvirt/qemu/networks/b\x1b[31m.xml", content)
        found = read_networks(Files(str(tmp_path)))
        assert isinstance(found, Unknown)
        assert found.unknown.isprintable()
        assert "/etc/libvirt/qemu/networks/b" in found.unknown

    def test_a_folder_in_place_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "etc/libvirt/qemu/networks/a.xml").mkdir(parents=True)
        assert isinstance(read_networks(Files(str(tmp_path))), Unknown)
