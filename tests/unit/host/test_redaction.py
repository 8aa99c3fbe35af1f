# SPDX-License-Identifier: Apache-2.0
"""A redacted snapshot names nobody, and is checked like the host itself."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.loader.choice import arguments_of_next_boot
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import list_nics
from nicpass.checks.preflight import check_host, check_nic
from nicpass.host.redaction import redact
from nicpass.host.redaction_rules import RULES
from nicpass.model.activity import ForeignNetdev, NetworkStorage, Session
from nicpass.model.address import Address
from nicpass.model.class_devices import ClassDevice
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.network import IpAddress, Link, Network, Route
from nicpass.model.platform import Platform
from tests.support.boot import UUID, BootTree, grub_cfg
from tests.support.hosts import nic, ready_host
from tests.support.leaves import change_text, fields_of, holds, structs_in
from tests.support.strategies import values_of
from tests.support.trees import Vm, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(32)
NIC = "0000:01:00.0"
NETWORK = Network(
    links=(Link(name="eth1", mac="52:54:00:12:34:56", altnames=("enx525400123456",), up=True),),
    addresses=(IpAddress(netdev="eth1", address="198.51.100.7", prefix_length=24),),
    routes=(
        Route(netdev="eth1", destination="198.51.100.0/24", protocol="kernel", source="198.51.100.7"),
        Route(netdev="eth1", destination="default", gateway="198.51.100.1"),
        Route(netdev="eth1", destination="2001:db8:5::/64", gateway="fe80::5254:ff:fe12:3456", family="inet6"),
    ),
)
SECRETS = (
    "198.51.100", "52:54:00:12:34:56", "525400123456", "2001:db8:5", "12:3456", "node7", "billing", "hunter2",
    "c7a5fdbd-edaf-9455-926a-d65c16db1801", "20d7a1b4",
)  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Host:
    tree = ready_host(
        nic(NIC, "eth1"),
        network=NETWORK,
        vms=(Vm(name="billing", devices=hostdev_xml(NIC)),),
        cmdline="root=UUID=20d7a1b4-0000-4000-8000-000000000001 ip=198.51.100.7 netroot=iscsi:u:hunter2@node7 iommu=pt",
    )
    read = tree.read(tmp_path)
    return msgspec.structs.replace(read, platform=msgspec.structs.replace(read.platform, hostname="node7"))


def codes_of(host: Host) -> list[tuple[str, ...]]:
    index = HostIndex(host)
    return [
        tuple(finding.code for finding in findings)
        for findings in (check_host(host), *(check_nic(function, index) for function in list_nics(host)))
    ]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_names_somebody_is_gone(secret: str, host: Host) -> None:
    assert secret in msgspec.json.encode(host).decode()
    assert secret not in msgspec.json.encode(redact(host, KEY)).decode()


def test_what_goes_on_names_nobody_either(host: Host) -> None:
    nfs = NetworkStorage(kind="nfs", source="files7:/billing", servers=("198.51.100.20",), mounts=("/home/ada7",))
    session = Session(user="ada7", remote_host="laptop7", local_address="198.51.100.7", peer_address="198.51.100.9")
    foreign = ForeignNetdev(address=Address(NIC), netdev="eth9", namespace="/run/netns/ada7")
    activity = msgspec.structs.replace(host.activity, storage=(nfs,), sessions=(session,), foreign_netdevs=(foreign,))
    busy = msgspec.structs.replace(host, activity=activity)
    text = msgspec.json.encode(redact(busy, KEY)).decode()
    assert [secret for secret in ("ada7", "laptop7", "files7", "198.51.100") if secret in text] == []
    assert codes_of(redact(busy, KEY)) == codes_of(busy)


def test_the_check_finds_the_same(host: Host) -> None:
    assert codes_of(redact(host, KEY)) == codes_of(host)


def test_what_concerns_us_stays(host: Host) -> None:
    redacted = redact(host, KEY)
    assert [function.address for function in redacted.pci] == [function.address for function in host.pci]
    assert redacted.platform.cmdline == "root=... ip=... netroot=... iommu=pt"
    assert [link.name for link in redacted.network.links] == ["eth1"]


def test_how_it_boots_names_nobody(tmp_path: Path) -> None:
    machine = "0123456789abcdef0123456789abcdef"
    menu = grub_cfg(arguments="root=LABEL=ada7 ip=198.51.100.7 intel_iommu=off").replace("simple", machine)
    boot = BootTree(menu=menu, files={"/etc/default/grub": "# ada7 lives here\n"}).read(tmp_path)
    host = Host(pci=(), boot=boot)
    text = msgspec.json.encode(host).decode()
    assert all(secret in text for secret in ("ada7", "198.51.100.7", machine))
    redacted = redact(host, KEY)
    text = msgspec.json.encode(redacted).decode()
    assert [secret for secret in ("ada7", "198.51.100.7", machine, UUID) if secret in text] == []
    assert arguments_of_next_boot(redacted.boot) == "root=... ip=... intel_iommu=off"
    assert all(isinstance(file.content, Unknown) for file in redacted.boot.files)


def test_another_key_gives_other_names(host: Host) -> None:
    assert redact(host, KEY) != redact(host, b"1" * 32)


@pytest.mark.parametrize(
    "name", ["bridge", "vfio-pci", "default", "eth1", "flr", "loaded", "1", "nicpass.host", "ixgbe", "0000"]
)
def test_a_vm_or_a_host_may_be_called_like_a_word_of_the_kernel(name: str, host: Host) -> None:
    domains = tuple(msgspec.structs.replace(domain, name=name) for domain in host.domains)  # type: ignore[union-attr]
    named = msgspec.structs.replace(
        host, domains=domains, platform=msgspec.structs.replace(host.platform, hostname=f"{name}7")
    )
    redacted = redact(named, KEY)
    assert codes_of(redacted) == codes_of(named)
    assert redacted.pci == redact(host, KEY).pci
    assert redacted.network == redact(host, KEY).network
    assert [domain.name for domain in redacted.domains] == ["vm1"]  # type: ignore[union-attr]
    assert redacted.platform.hostname == "host"


def test_folders_and_labels_name_nobody(host: Host) -> None:
    disk = ClassDevice(
        name="sda1", subsystem="block", addresses=(Address(NIC),), mounts=("/", "/home/ada7"), label="billing disk"
    )
    access = msgspec.structs.replace(host.access, qemu_user="ada7")
    redacted = redact(msgspec.structs.replace(host, class_devices=(disk,), access=access), KEY)
    text = msgspec.json.encode(redacted).decode()
    assert [secret for secret in ("ada7", "billing") if secret in text] == []
    assert redacted.class_devices[0].mounts[0] == "/"  # type: ignore[index]


def test_why_something_is_unknown_names_nobody(host: Host) -> None:
    unknown = Unknown("damaged: /etc/libvirt/qemu/billing.xml at node7")
    redacted = redact(msgspec.structs.replace(host, iommu_groups=unknown), KEY)
    assert redacted.iommu_groups == Unknown("damaged: /etc/libvirt/qemu/vm1.xml at host")


LEAKS = ("0013ef112233", "0013ef445566", "0013ef778899", "alice", "acme", "kvm7", "s3cr3t", "payroll")


def test_names_of_people_and_firms_are_gone_wherever_they_stand(tmp_path: Path) -> None:
    devices = hostdev_xml(NIC).replace(
        "</hostdev>", "<rom file='/home/alice/roms/acme.rom'/><alias name='ua-acme-payroll'/></hostdev>"
    )
    bridge = "<interface type='bridge'><source bridge='br-acme-dmz'/><filterref filter='acme-payroll'/></interface>"
    links = (
        Link(name="wlx0013ef112233"),
        Link(name="eth1", altnames=("acme-uplink", "enx0013ef778899"), alias="to alice"),
        Link(name="acme-wan0"),
        Link(name="ibx0013ef445566"),
        Link(name="acme-wan0.7", kind="vlan", lower="acme-wan0"),
    )
    files = {
        "/sys/class/net/eth1/ifindex": "2\n",
        "/etc/hostname": "kvm7.acme-bank.com\n",
        "/proc/sys/kernel/hostname": "kvm7.acme-bank.com\n",
        "/run/systemd/netif/links/2": "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-acme.network\n",
        "/etc/modprobe.d/kvm7.conf": "# alice, token s3cr3t\noptions vfio-pci ids=8086:10fb # alice@acme-bank.com\n",
        "/etc/udev/rules.d/10-acme.rules": 'ATTR{driver_override}="vfio-pci" # ask alice@acme-bank.com\n',
    }
    tree = ready_host(
        nic(NIC, "eth1"),
        network=Network(links=links),
        vms=(Vm(name="payroll", devices=devices + bridge),),
        files=files,
        cmdline="root=/dev/acme console=acme7 acme.token=s3cr3t vfio-pci.ids=8086:10fb,s3cr3t:1 quiet",
    )
    read = tree.read(tmp_path)
    redacted = redact(read, KEY)
    text = msgspec.json.encode(redacted).decode()
    assert {leak for leak in LEAKS if leak in msgspec.json.encode(read).decode()} > {"acme", "alice", "payroll"}
    assert [leak for leak in LEAKS if leak in text] == []
    assert codes_of(redacted) == codes_of(read)
    assert redacted.network.links[4].lower == redacted.network.links[2].name


def test_every_text_has_a_rule() -> None:
    def is_text(hint: object) -> bool:
        return hint is str or hint is bytes

    texts = {
        f"{kind.__name__}.{name}"
        for kind in structs_in(Host)
        for name, hint in fields_of(kind).items()
        if holds(hint, is_text)
    }
    assert texts == set(RULES)


@pytest.mark.parametrize("secret", ["acme", "/home/acme/acme.img", "acme-wan0.7", "acme@acme.com", "x=acme", "acme7"])
def test_no_field_lets_a_name_through(secret: str, tmp_path: Path) -> None:
    tree = ready_host(nic(NIC, "eth1"), network=NETWORK, vms=(Vm(name="guest", devices=hostdev_xml(NIC)),))
    poisoned = change_text(tree.read(tmp_path), lambda _value, _place: secret)
    assert "acme" not in msgspec.json.encode(redact(poisoned, KEY)).decode()


@given(values_of(Host), st.sampled_from(["acme", "acme-wan0", "/srv/acme"]))
def test_no_field_of_any_host_lets_a_name_through(host: Host, secret: str) -> None:
    poisoned = change_text(host, lambda _value, _place: secret)
    assert "acme" not in msgspec.json.encode(redact(poisoned, KEY)).decode()


@given(values_of(Host))
def test_any_host_can_be_redacted(host: Host) -> None:
    once = redact(host, KEY)
    assert isinstance(once, Host)
    assert redact(host, KEY) == once


@given(st.ip_addresses(), st.data())
def test_addresses_keep_their_common_prefix(first: ipaddress.IPv4Address, data: st.DataObject) -> None:
    width = first.max_prefixlen
    prefix = data.draw(st.integers(20, width))
    flipped = int(first) ^ (data.draw(st.integers(0, 2 ** (width - prefix) - 1)))
    second = type(first)(flipped)
    texts = [redact_address(str(address)) for address in (first, second)]
    shared = width - (int(first) ^ int(second)).bit_length()
    kept = width - (int(texts[0]) ^ int(texts[1])).bit_length()
    special = any(a.is_loopback or a.is_multicast or a.is_unspecified or a.is_link_local for a in (first, second))
    assert special or kept == shared


def redact_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = IpAddress(netdev="eth0", address=text, prefix_length=24)
    host = Host(pci=(), platform=Platform(), network=Network(addresses=(address,)))
    redacted = redact(host, KEY).network.addresses
    assert isinstance(redacted, tuple)
    return ipaddress.ip_address(redacted[0].address)
