# SPDX-License-Identifier: Apache-2.0
"""A file held against a host: what it means there, in what the host differs, and what is written down of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.lookup.index import HostIndex
from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_machines
from nicpass.model.activity import Activity
from nicpass.model.address import Address
from nicpass.model.domain import Definition, Domain, DomainDevice, DomainInterface
from nicpass.model.errors import BadInputError
from nicpass.model.host import Host
from nicpass.model.libvirt_network import LibvirtNetwork
from nicpass.model.network import NO_MAC, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.planner.state.aims import find_aims
from nicpass.planner.state.difference import find_differences
from nicpass.planner.state.export import comments_of, export_state, render_state
from nicpass.planner.state.text import parse_state
from tests.support.hosts import link, network
from tests.support.reports import REPORTS, read_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PF, PLAIN = Address("0000:01:00.0"), Address("0000:02:00.0")
VFS = tuple(Address(f"0000:01:10.{number}") for number in range(4))
IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())
HEAD = "schema: nicpass.state/1\n"


def host(settings: tuple[VfSettings, ...] = (), domains: tuple[Domain, ...] = (), **more: Any) -> Host:
    """A PF with four VFs, a plain NIC, and these VMs."""
    pf = PciFunction(
        address=PF, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=8, numvfs=4, virtfns=VFS
    )
    vfs = tuple(PciFunction(address=vf, class_code=0x020000, physfn=PF, netdevs=()) for vf in VFS)
    plain = PciFunction(address=PLAIN, class_code=0x020000, driver="e1000e", netdevs=("eth2",))
    net = network(link("eth1", vfs=settings), link("eth2"))
    made = Host(pci=(pf, *vfs, plain), network=net, activity=IDLE, domains=domains, libvirt_networks=())
    return msgspec.structs.replace(made, **more)


def vm(name: str, *devices: DomainDevice) -> Domain:
    return Domain(name=name, uuid=f"uuid-of-{name}", running=False, config_devices=devices)


def interface(address: Address, mac: str = "52:54:00:00:00:01", vlan: int | None = None) -> DomainDevice:
    return DomainDevice(address=address, element="interface", managed=True, mac=mac, vlan=vlan)


def differences(text: str, on: Host) -> list[tuple[str, str, str | None, str | None, int]]:
    file, index = parse_state("host.yaml", text.encode()), HostIndex(on)
    found = find_differences(find_aims(file, index), index, lambda key: file.place_of(key).line)
    return [(each.name, each.what, each.now, each.wanted, each.line) for each in found]


def test_each_difference_is_told_with_its_line() -> None:
    text = f"""{HEAD}pfs:
  eth1:
    vfs: 4
    all: {{trust: on}}
    each:
      1: {{vlan: 7}}
vms:
  web:
    nics:
      - {{pf: eth1, vf: 0, mac: 52:54:00:00:00:02}}
      - eth2
      - {{pf: eth1, vf: 2}}
"""
    settings = tuple(VfSettings(vf_index=number, mac=NO_MAC, trust=number != 2) for number in range(4))
    on = host(settings, (vm("web", interface(VFS[0]), interface(VFS[2])),))
    assert differences(text, on) == [
        ("eth1", "vf 1 vlan", "0", "7", 7),
        ("eth1", "vf 2 trust", "off", "on", 5),
        ("web", "eth1 vf 0", "mac 52:54:00:00:00:01", "mac 52:54:00:00:00:02", 11),
        ("web", "eth2", None, "present", 12),
    ]


def test_of_vfs_of_another_number_all_that_is_asked_for_is_still_to_come() -> None:
    text = f"{HEAD}pfs: {{eth1: {{vfs: 2, each: {{0: {{vlan: 7}}}}}}}}\nvms: {{web: {{nics: [{{pf: eth1, vf: 0}}]}}}}"
    settings = (VfSettings(vf_index=0, mac=NO_MAC, vlan=7),)
    assert differences(text, host(settings, (vm("web", interface(VFS[0], vlan=7)),))) == [
        ("eth1", "vfs", "4", "2", 2),
        ("eth1", "vf 0 vlan", None, "7", 2),
        ("web", "eth1 vf 0", None, "vlan 7", 3),
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("pfs: {eth9: {vfs: 1}}", (2, 7), "no NIC 'eth9'"),
        (
            "pfs: {eth1: {vfs: 1}, '0000:01:00.0': {vfs: 2}}",
            (2, 23),
            "is there already, at host.yaml, line 2, column 7",
        ),
        ("pfs: {eth1: {vfs: 2, each: {2: {vlan: 1}}}}", (2, 29), "no VF 2"),
        ("vms: {nobody: {}}", (2, 7), "no VM 'nobody'"),
        ("vms: {web: {}, uuid-of-web: {}}", (2, 16), "web is there already"),
        ("vms: {web: {nics: [{pf: eth1, vf: 9}]}}", (2, 20), "no VF 9"),
        ("vms: {web: {nics: [{pf: eth1}]}}", (2, 20), "names no NIC"),
        ("vms: {web: {nics: [{nic: eth2, vf: 1}]}}", (2, 20), "not by both"),
        ("pools: {blue: {vfs: {eth9: 1}}}", (2, 22), "no NIC 'eth9'"),
        ("pools: {blue: {vfs: {eth1: 1-4}}}", (2, 22), "no VF 4"),
        ("pools: {blue: {vfs: {eth2: all}}}", (2, 22), "no VF 0"),
        ("pools: {blue: {vfs: {eth1: 3-1}}}", (2, 22), "'3-1' does not say which"),
        ("pools: {blue: {vfs: {}}}", (2, 9), "without a VF"),
        ("pools: {a b: {vfs: {eth1: 1}}}", (2, 9), "'a b' is no name"),
        ("pools: {blue: {vfs: {eth1: 1, '0000:01:00.0': 2}}}", (2, 31), "is there already"),
        ("pools: {blue: {vfs: {eth1: 0-1}}, red: {vfs: {eth1: [1, 2]}}}", (2, 47), "in the pool blue already"),
        ("pools: {blue: {vfs: {eth1: 0-1}}}\nvms: {web: {nics: [{pf: eth1, vf: 1}]}}", (3, 20), "in the pool blue"),
        ("pools: {blue: {vfs: {eth1: 0-1}}}\nvms: {web: {nics: ['0000:01:10.1']}}", (3, 20), "in the pool blue"),
        ("pools: {blue: {vfs: {eth1: 0-1}}}\nvms: {web: {nics: [{pool: bleu}]}}", (3, 20), "no pool 'bleu'"),
        ("pools: {blue: {vfs: {eth1: 0}}}\nvms: {web: {nics: [{pool: blue, vf: 1}]}}", (3, 20), "not by two"),
        ("pools: {blue: {vfs: {eth1: 0}}}\nvms: {web: {nics: [{pool: blue, vlan: 1}]}}", (3, 20), "is the pool's"),
        ("pools: {blue: {vfs: {eth1: 0}}}\nvms: {web: {nics: [{pool: blue}, {pool: blue}]}}", (3, 34), "another NIC"),
        ("vms: {web: {nics: [eth2]}, db: {nics: ['0000:02:00.0']}}", (2, 40), "is web's already, at host.yaml, line 2"),
        ("vms: {web: {nics: ['0000:01:10.0', {pf: eth1, vf: 0}]}}", (2, 36), "is web's already"),
        ("pfs: {eth1: {vfs: 4}}\nvms: {web: {nics: [eth1]}}", (3, 20), "is to have VFs"),
        (
            "vms: {web: {nics: [{pf: eth1, vf: 0, mac: 52:54:00:00:00:01},"
            " {pf: eth1, vf: 1, mac: 52:54:00:00:00:01}]}}",
            (2, 63),
            "that of another VF",
        ),
        ("pfs: {eth1: {vfs: 0}}\nvms: {web: {nics: ['0000:01:10.0']}}", (3, 20), "no VF 0 of eth1"),
        (
            "pfs: {eth1: {vfs: 6}}\nvms: {web: {nics: ['0000:01:10.0', {pf: eth1, vf: 0}]}}",
            (3, 36),
            "is web's already",
        ),
        (
            "vms: {web: {nics: [{nic: '0000:01:10.0', mac: 52:54:00:00:00:01},"
            " {nic: '0000:01:10.1', mac: 52:54:00:00:00:01}]}}",
            (2, 67),
            "that of another VF",
        ),
        (
            "pfs: {eth1: {vfs: 4, all: {vlan: 3}, each: {0: {mac: 52:54:00:00:00:01}}}}\n"
            "vms: {web: {nics: [{pf: eth1, vf: 1, vlan: 3, mac: 52:54:00:00:00:01}]}}",
            (2, 45),
            "that of another VF",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text: str, place: tuple[int, int], words: str) -> None:
    file = parse_state("host.yaml", (HEAD + text).encode())
    with pytest.raises(BadInputError) as caught:
        find_aims(file, HostIndex(host(domains=(vm("web"), vm("db")))))
    assert caught.value.sentence.startswith("host.yaml, line {}, column {}: ".format(*place)), caught.value.sentence
    assert words in caught.value.sentence


def test_a_vf_by_its_address_is_what_is_said_of_it_where_its_pf_is() -> None:
    text = f"{HEAD}pfs: {{eth1: {{vfs: 4, each: {{0: {{vlan: 7}}}}}}}}\nvms: {{web: {{nics: ['0000:01:10.0']}}}}"
    settings = tuple(VfSettings(vf_index=number, mac=NO_MAC, vlan=7) for number in range(4))
    on = host(settings, (vm("web", interface(VFS[0])),))
    assert differences(text, on) == [("web", "0000:01:10.0", "vlan none", "vlan 7", 3)]


def test_differences_of_pools_are_told_with_their_lines() -> None:
    text = f"""{HEAD}pools:
  blue:
    vfs: {{eth1: 0-1}}
    vlan: 20
  red:
    vfs: {{eth1: "2,3"}}
    vlan: 30
vms:
  web:
    nics:
      - {{pool: blue}}
      - {{pool: red, mac: 52:54:00:00:00:02}}
"""
    blue = LibvirtNetwork(name="blue", forward="hostdev", addresses=(VFS[1], VFS[2]), vlans=(7,), active=False)
    drawing = DomainInterface(type="network", network="blue", mac="52:54:00:00:00:01")
    web = msgspec.structs.replace(vm("web"), config=Definition(interfaces=(drawing,)))
    assert differences(text, host(domains=(web,), libvirt_networks=(blue,))) == [
        ("blue", "vfs", "eth1 1-2", "eth1 0-1", 4),
        ("blue", "vlan", "7", "20", 5),
        ("blue", "active", "off", "on", 3),
        ("red", "vfs", None, "eth1 2-3", 7),
        ("red", "vlan", None, "30", 8),
        ("web", "pool red", None, "mac 52:54:00:00:00:02", 13),
    ]


def test_what_no_file_can_say_of_a_pool_stands_in_a_comment() -> None:
    all_of_it = LibvirtNetwork(name="all", forward="hostdev", pfs=("eth1",))
    drained = LibvirtNetwork(name="drained", forward="hostdev")
    blue = LibvirtNetwork(name="blue", forward="hostdev", addresses=VFS[:2], vlans=(7,))
    index = HostIndex(host(libvirt_networks=(all_of_it, drained, blue)))
    assert list(export_state(index).pools) == []
    comments = comments_of(index)
    assert [line.partition(" is left out: ")[0] for line in comments] == [
        "The pool all",
        "The pool blue",
        "The pool drained",
    ]
    index = HostIndex(host(libvirt_networks=(drained, blue)))
    assert render_state(export_state(index), comments_of(index)).endswith(
        "pools:\n  blue:\n    vfs: {eth1: 0-1}\n    vlan: 7\n"
    )


def test_one_mac_in_two_vlans_is_no_twin() -> None:
    nics = "[{pf: eth1, vf: 0, vlan: 1, mac: 52:54:00:00:00:01}, {pf: eth1, vf: 1, vlan: 2, mac: 52:54:00:00:00:01}]"
    file = parse_state("host.yaml", f"{HEAD}vms: {{web: {{nics: {nics}}}}}".encode())
    assert len(find_aims(file, HostIndex(host(domains=(vm("web"),)))).vms[0].nics) == 2


def test_what_is_written_of_a_host_says_little_and_all() -> None:
    settings = tuple(
        VfSettings(
            vf_index=number, mac=f"52:54:00:00:00:0{number}", vlan=20 if number else 0, spoofchk=True, trust=False
        )
        for number in range(4)
    )
    on = host(settings, (vm("web", interface(VFS[0], "52:54:00:00:00:00"), interface(VFS[1], vlan=20)), vm("idle")))
    assert (
        render_state(export_state(HostIndex(on)))
        == """\
schema: nicpass.state/1
pfs:
  eth1:
    vfs: 4
    all: {spoofchk: true, trust: false}
    each:
      2: {mac: '52:54:00:00:00:02', vlan: 20}
      3: {mac: '52:54:00:00:00:03', vlan: 20}
vms:
  web:
    nics:
    - {pf: eth1, vf: 0, mac: '52:54:00:00:00:00'}
    - {pf: eth1, vf: 1, mac: '52:54:00:00:00:01', vlan: 20}
"""
    )


def test_a_card_that_is_gone_stands_in_a_comment() -> None:
    on = host(domains=(vm("we\nb", interface(Address("0000:09:00.0"))),))
    index = HostIndex(on)
    text = render_state(export_state(index), comments_of(index))
    assert text.startswith("# we\\nb has 0000:09:00.0, which is not there.\nschema: ")


_SETTINGS = st.builds(
    VfSettings,
    vf_index=st.just(0),
    mac=st.sampled_from([NO_MAC, "52:54:00:00:00:01", "52:54:00:00:00:02"]),
    vlan=st.sampled_from([0, 7, 4094]),
    qos=st.sampled_from([None, 0, 5]),
    vlan_protocol=st.sampled_from([None, "802.1Q", "802.1ad"]),
    spoofchk=st.none() | st.booleans(),
    trust=st.none() | st.booleans(),
    link_state=st.sampled_from([None, "auto", "enable", "disable"]),
    min_tx_rate=st.sampled_from([None, 0, 10]),
    max_tx_rate=st.sampled_from([None, 0, 100]),
    query_rss=st.none() | st.booleans(),
)
_DEVICES = st.builds(
    DomainDevice,
    address=st.sampled_from([*VFS, PLAIN, Address("0000:09:00.0")]),
    element=st.sampled_from(["hostdev", "interface"]),
    managed=st.booleans(),
    mac=st.sampled_from([None, "52:54:00:00:00:03", "52:54:00:00:00:04"]),
    vlan=st.sampled_from([None, 0, 9]),
)
_VMS = st.builds(
    Domain,
    name=st.sampled_from(["web", "db", "a b", "ünï", "- x", "null", "'", "uuid-of-0", "1"]),
    uuid=st.sampled_from(["uuid-of-0", "uuid-of-1", "web"]),
    running=st.booleans(),
    config_devices=st.lists(_DEVICES, max_size=3, unique_by=lambda device: device.address).map(tuple),
    live_devices=st.just(()),
)


_POOLS = st.builds(
    LibvirtNetwork,
    name=st.sampled_from(["blue", "red", "a b", "ünï", "null", "1", "web\x1b"]),
    uuid=st.just("uuid"),
    forward=st.just("hostdev"),
    addresses=st.lists(st.sampled_from([*VFS, PLAIN, Address("0000:09:00.0")]), max_size=3, unique=True).map(tuple),
    pfs=st.sampled_from([(), (), (), ("eth1",)]),
    vlans=st.sampled_from([(), (20,), (20, 30)]),
    active=st.sampled_from([None, True, True, False]),
    autostart=st.sampled_from([None, True, True, False]),
    persistent=st.sampled_from([True, True, False]),
)
_INTERFACES = st.builds(
    DomainInterface,
    type=st.just("network"),
    network=st.sampled_from(["blue", "red", "a b", "default"]),
    mac=st.sampled_from([None, "52:54:00:00:00:05", "52:54:00:00:00:06"]),
)
_SEVERAL = st.lists(_VMS, max_size=3, unique_by=(lambda vm: vm.name, lambda vm: vm.uuid))


@given(
    st.lists(_SETTINGS, max_size=4),
    _SEVERAL,
    st.booleans(),
    st.lists(_POOLS, max_size=3, unique_by=lambda pool: pool.name),
    st.lists(st.lists(_INTERFACES, max_size=3), min_size=3, max_size=3),
)
def test_any_host_is_as_what_was_written_of_it(
    settings: list[VfSettings],
    vms: list[Domain],
    probe: bool,
    pools: list[LibvirtNetwork],
    interfaces: list[list[DomainInterface]],
) -> None:
    numbered = tuple(msgspec.structs.replace(each, vf_index=number) for number, each in enumerate(settings))
    with_interfaces = tuple(
        msgspec.structs.replace(vm, config=Definition(interfaces=tuple(own)))
        for vm, own in zip(vms, interfaces, strict=False)
    )
    on = host(numbered, with_interfaces, libvirt_networks=tuple(pools))
    pf = msgspec.structs.replace(on.pci[0], vf_autoprobe=probe)
    on = msgspec.structs.replace(on, pci=(pf, *on.pci[1:]))
    text = render_state(export_state(HostIndex(on)), comments_of(HostIndex(on)))
    refused, found = "", []
    try:
        found = differences(text, on)
    except BadInputError as error:
        refused = error.sentence
    # Two VFs of one MAC may be on a host, and no file may ask for them.
    assert not refused or "that of another VF" in refused, text
    assert found == [], text


def _reports() -> list[str]:
    if not REPORTS.is_dir():
        return ["none"]
    folders = [tree for report in REPORTS.iterdir() if report.is_dir() for tree in report.iterdir()]
    return sorted(f"{tree.parent.name}/{tree.name}" for tree in folders if (tree / "sys").is_dir())


@pytest.mark.parametrize("name", _reports())
def test_a_host_of_a_report_is_as_what_was_written_of_it(name: str, tmp_path: Path) -> None:
    on = read_report(name, tmp_path)
    assert differences(render_state(export_state(HostIndex(on))), on) == []


@pytest.mark.parametrize("name", ["ghw-xeon-l5640-i350-8vfs", "supermicro-x10dai-rhsa-numa", "dell-r820-dmar-4sockets"])
def test_a_real_host_is_as_what_was_written_of_it(name: str, capture: Callable[[str], Path]) -> None:
    files = Files(str(capture(name)))
    machines = read_machines(files)
    on = read_host(files, machines.domains, with_boot=True, networks=machines.networks)
    assert differences(render_state(export_state(HostIndex(on))), on) == []
