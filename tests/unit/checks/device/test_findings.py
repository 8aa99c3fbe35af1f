# SPDX-License-Identifier: Apache-2.0
"""Reset, capabilities, SR-IOV, the path to the root, quirks: a host that has each finding, and a good one without."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from nicpass.checks.catalogue.device import capabilities, path, quirks, reset, sriov
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.device.reset import derive_reset_methods, reset_methods
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.host.pci.config_space import decode_config
from nicpass.model.address import Address
from nicpass.model.fact import Fact, Unknown
from nicpass.model.finding import Finding, Severity
from nicpass.model.host import Host
from nicpass.model.network import NO_MAC, VfSettings
from nicpass.model.pci import PciFunction
from tests.support.config_dumps import parse_dump
from tests.support.config_space import (
    CONVENTIONAL,
    DOWNSTREAM,
    ISOLATING,
    PCI_BRIDGE,
    PORT,
    UPSTREAM,
    Capabilities,
    Link,
    Sriov,
)
from tests.support.hosts import bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import UUID, Function, Tree, Vm, hostdev_xml, vf_interface_xml
from tests.unit.conftest import CAPTURES

NIC = "0000:01:00.0"
ROOT_PORT = bridge("0000:00:01.0")
MINE = {code for subject in (reset, capabilities, sriov, path, quirks) for code in subject.ENTRIES}


def port(address: str = "0000:00:01.0", group: int = 1, under: str | None = None, **more: Any) -> Function:
    changes = {name: more.pop(name) for name in ("capabilities", "files", "vendor_id", "device_id") if name in more}
    return dataclasses.replace(bridge(address, group=group, under=under), **changes)


def eth1(**more: Any) -> Function:
    return nic(NIC, "eth1", under="0000:00:01.0", **more)


def with_capabilities(**more: Any) -> Function:
    return eth1(capabilities=Capabilities(**more))


def pf(**more: Any) -> Function:
    return eth1(totalvfs=63, **more)


SECOND = nic("0000:01:00.1", "eth2", under="0000:00:01.0", group=11)
TOGETHER = dataclasses.replace(SECOND, group=10)
NO_FLR = Capabilities(flr=False)
PEERS = Capabilities(multifunction=True)
SWITCH = (
    ROOT_PORT,
    port("0000:01:00.0", 2, "0000:00:01.0", capabilities=Capabilities(pcie=UPSTREAM, flr=False, msix=None)),
    port("0000:02:00.0", 10, "0000:01:00.0", capabilities=PORT._replace(pcie=DOWNSTREAM, acs=None)),
    port("0000:02:01.0", 10, "0000:01:00.0", capabilities=PORT._replace(pcie=DOWNSTREAM, acs=None)),
    nic("0000:03:00.0", "eth1", under="0000:02:00.0"),
    nic("0000:04:00.0", "eth2", under="0000:02:01.0"),
)

# The VF is the NIC that is looked at.
PLAIN_VF = ready_host(
    nic("0000:02:00.0", "eth9", group=20, totalvfs=7, vfs=(NIC,)),
    nic(NIC, "eth1", pf="0000:02:00.0", vf_index=0),
    net=network(link("eth9", vfs=(VfSettings(vf_index=0, mac=NO_MAC),)), link("eth1")),
    vms=(Vm(name="web", devices=hostdev_xml(NIC)),),
)


def switchdev(master: str | None) -> Tree:
    """The NIC is VF 0 of a PF in switchdev mode, whose interfaces are its own port and the VF's other end."""
    folder = "/sys/devices/pci0000:02/0000:02:00.0/net"
    return ready_host(
        nic("0000:02:00.0", "pf0", "pf0rep", group=20, totalvfs=7, vfs=(NIC,), driver="mlx5_core"),
        nic(NIC, "eth1", pf="0000:02:00.0", vf_index=0),
        net=network(link("pf0"), link("pf0rep", master=master), link("eth1"), link("br0", kind="bridge")),
        files={f"{folder}/pf0/phys_port_name": "p0\n", f"{folder}/pf0rep/phys_port_name": "pf0vf0\n"},
    )


TWO_ALIKE = ready_host(
    nic("0000:02:00.0", "eth9", group=20, totalvfs=7, vfs=(NIC, "0000:01:00.1")),
    nic(NIC, "eth1", pf="0000:02:00.0", vf_index=0),
    nic("0000:01:00.1", "eth2", group=11, pf="0000:02:00.0", vf_index=1),
    net=network(link("eth9"), link("eth1"), link("eth2")),
    vms=(
        Vm(name="guest", devices=vf_interface_xml(NIC, "52:54:00:00:00:07", 20)),
        Vm(name="other", uuid=UUID.format(2), devices=vf_interface_xml("0000:01:00.1", "52:54:00:00:00:07", 20)),
    ),
)

HAVING: dict[str, Tree] = {
    "RESET_NONE": ready_host(ROOT_PORT, eth1(reset_methods=())),
    "RESET_BUS_ONLY": ready_host(ROOT_PORT, eth1(reset_methods=("bus",))),
    "RESET_BUS_SHARED": ready_host(ROOT_PORT, eth1(reset_methods=()), SECOND),
    "RESET_UNKNOWN": ready_host(
        port(files=(("reset_method", None),)), eth1(files=(("reset_method", None),), config_size=64)
    ),
    "CONFIG_UNREADABLE": ready_host(ROOT_PORT, eth1(config_size=64)),
    "CONFIG_DAMAGED": ready_host(ROOT_PORT, eth1(config=bytes(6) + b"\x10\0" + bytes(44) + b"\x04" + bytes(203))),
    "DEVICE_GONE": ready_host(ROOT_PORT, eth1(config=b"\xff" * 4096)),
    "MSI_NONE": ready_host(ROOT_PORT, with_capabilities(msi=False, msix=None)),
    "MSIX_NONE": ready_host(ROOT_PORT, with_capabilities(msix=None)),
    "D3COLD_ALLOWED": ready_host(
        port(files=(("power/control", "auto\n"),)), eth1(driver="vfio-pci", files=(("d3cold_allowed", "1\n"),))
    ),
    "OPTION_ROM": ready_host(ROOT_PORT, eth1(rom_size=0x80000)),
    "NUMA_INCONSISTENT": ready_host(
        ROOT_PORT, eth1(numa_node=0), nic("0000:01:00.1", "eth2", under="0000:00:01.0", group=11, numa_node=1)
    ),
    "VFS_SET_AT_BOOT": ready_host(
        ROOT_PORT, pf(), files={"/etc/tmpfiles.d/vfs.conf": f"w /sys/bus/pci/devices/{NIC}/sriov_numvfs - - - - 4\n"}
    ),
    "SRIOV_OFF_IN_FIRMWARE": ready_host(ROOT_PORT, eth1(vendor_id=0x15B3, device_id=0x1017, driver="mlx5_core")),
    "SRIOV_KERNEL_CANNOT": ready_host(ROOT_PORT, eth1(sriov=Sriov(63, 0, 16, 1, 0x10ED))),
    "VF_BAR_UNASSIGNED": ready_host(
        ROOT_PORT, pf(sriov=Sriov(63, 0, 16, 1, 0x10ED, vf_bar_address=0), vf_bar=(0, 0x10000, 0x2014220C))
    ),
    "ARI_ABSENT": ready_host(port(capabilities=PORT._replace(ari_forwarding=False)), pf()),
    "VF_BUS_NUMBERS": ready_host(ROOT_PORT, pf(sriov=Sriov(63, 0, 384, 2, 0x10CA))),
    "VF_MAC_UNPINNED": PLAIN_VF,
    "VF_REPRESENTOR": switchdev("br0"),
    "VF_REPRESENTOR_LOOSE": switchdev(None),
    "VF_DRIVER_ABSENT": ready_host(ROOT_PORT, nic(NIC, under="0000:00:01.0", driver=None, totalvfs=63)),
    "VF_BY_VFIO": ready_host(ROOT_PORT, nic(NIC, under="0000:00:01.0", driver="vfio-pci", totalvfs=63)),
    "VF_DRIVER_CANNOT": ready_host(ROOT_PORT, pf(driver="mlx4_core")),
    "VFS_JOIN_GROUP": ready_host(port(group=10, capabilities=PORT._replace(acs=None)), pf()),
    "VF_MAC_TWICE": TWO_ALIKE,
    "ACS_MISSING": ready_host(port(capabilities=PORT._replace(acs=None)), eth1(), nic("0000:02:00.0", driver=None)),
    "BEHIND_CONVENTIONAL_BRIDGE": ready_host(port(capabilities=Capabilities(pcie=PCI_BRIDGE)), eth1()),
    "PCIE_LINK_NARROW": ready_host(ROOT_PORT, with_capabilities(link=Link(width=4))),
    "PCIE_LINK_SLOW": ready_host(ROOT_PORT, with_capabilities(link=Link(speed=2500))),
    "PCIE_SLOT_LIMITS": ready_host(
        port(capabilities=PORT._replace(link=Link(8000, 4, 8000, 4))), with_capabilities(link=Link(8000, 4, 8000, 8))
    ),
    "KERNEL_QUIRK": ready_host(ROOT_PORT, eth1(device_id=0x1502)),
}


def read(tree: Tree, root: Path, subject: str = NIC) -> tuple[PciFunction, HostIndex]:
    index = HostIndex(tree.read(root))
    return index.functions[Address(subject)], index


def findings_of(tree: Tree, root: Path, subject: str = NIC) -> dict[str, Finding]:
    function, index = read(tree, root, subject)
    return {finding.code: finding for finding in (*check_host(index.host), *check_nic(function, index))}


def codes_of(tree: Tree, root: Path, subject: str = NIC) -> set[str]:
    return set(findings_of(tree, root, subject)) & MINE


def test_every_code_of_these_subjects_has_a_host_here() -> None:
    assert set(HAVING) == MINE


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_host_that_has_it_is_told(code: str, tmp_path: Path) -> None:
    finding = findings_of(HAVING[code], tmp_path)[code]
    assert finding.evidence
    for text in (finding.sentence, finding.meaning, finding.mend, finding.command):
        assert not re.search(r"[{}]|None|Unknown\(", text), text
    assert finding.subject == (None if code == "CONFIG_UNREADABLE" else NIC)


@pytest.mark.parametrize("code", sorted(MINE))
def test_a_text_of_the_background_has_two_to_six_sentences_and_no_placeholder(code: str) -> None:
    entry = CATALOGUE[code]
    assert "{" not in entry.background
    assert 2 <= len(re.findall(r"[.:](?: |$)", entry.background)) <= 8


def test_an_ordinary_server_is_told_nothing(tmp_path: Path) -> None:
    assert codes_of(ready_host(), tmp_path) == set()
    two_ports = ready_host(
        ROOT_PORT, eth1(capabilities=PEERS), dataclasses.replace(SECOND, capabilities=PEERS, numa_node=-1)
    )
    assert codes_of(two_ports, tmp_path / "two") == {"KERNEL_QUIRK"}
    vfs = ready_host(ROOT_PORT, *pf_with_vfs(NIC, "eth1", 4, under="0000:00:01.0"))
    assert codes_of(vfs, tmp_path / "pf") == set()
    assert codes_of(vfs, tmp_path / "vf", "0000:01:02.1") == set()


class TestReset:
    """sysfs wins; where it is silent, configuration space answers, and silence of both is unknown."""

    @pytest.mark.parametrize("methods", [("flr",), ("pm", "bus"), ("device_specific",), ("af_flr",), ("acpi", "bus")])
    def test_a_reset_of_its_own_is_nothing_to_tell(self, methods: tuple[str, ...], tmp_path: Path) -> None:
        assert codes_of(ready_host(ROOT_PORT, eth1(reset_methods=methods, capabilities=NO_FLR)), tmp_path) == set()

    def test_the_shared_bus_is_named(self, tmp_path: Path) -> None:
        finding = findings_of(HAVING["RESET_BUS_SHARED"], tmp_path)["RESET_BUS_SHARED"]
        assert "eth2 (0000:01:00.1)" in finding.sentence

    def test_a_pf_with_vfs_is_alone_on_its_bus(self, tmp_path: Path) -> None:
        made = pf_with_vfs(NIC, "eth1", 2, under="0000:00:01.0")
        made = (dataclasses.replace(made[0], reset_methods=()), *made[1:])
        assert "RESET_NONE" in codes_of(ready_host(ROOT_PORT, *made), tmp_path)

    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            (with_capabilities(), ("flr", "bus")),
            (with_capabilities(flr=False), ("bus",)),
            (with_capabilities(flr=False, no_soft_reset=False), ("pm", "bus")),
            (with_capabilities(flr=False, af_flr=True), ("af_flr", "bus")),
            (with_capabilities(flr=False, af_flr=False), ("bus",)),
            (eth1(device_id=0x1502), ("bus",)),
            (eth1(vendor_id=0x168C, device_id=0x003E), ("flr",)),
            (eth1(vendor_id=0x1425, device_id=0x4401, capabilities=NO_FLR), ("device_specific", "bus")),
        ],
    )
    def test_methods_are_derived_as_the_kernel_finds_them(
        self, function: Function, expected: tuple[str, ...], tmp_path: Path
    ) -> None:
        found, index = read(ready_host(ROOT_PORT, function), tmp_path)
        assert derive_reset_methods(found, index) == expected

    def test_on_a_root_bus_nothing_resets_the_bus(self, tmp_path: Path) -> None:
        function = nic("0000:00:1f.6", "eth1", capabilities=Capabilities(flr=False, link=None))
        found, index = read(ready_host(function), tmp_path, "0000:00:1f.6")
        assert derive_reset_methods(found, index) == ()

    def test_an_old_kernel_that_does_not_say_which_is_helped_by_config(self, tmp_path: Path) -> None:
        tree = ready_host(port(files=(("reset_method", None),)), eth1(files=(("reset_method", None),)))
        function, index = read(tree, tmp_path)
        assert isinstance(function.reset_methods, Unknown)
        assert reset_methods(function, index) == ("flr", "bus")

    def test_sysfs_that_lists_none_wins_over_config(self, tmp_path: Path) -> None:
        function, index = read(HAVING["RESET_NONE"], tmp_path)
        assert derive_reset_methods(function, index) == ("flr", "bus")
        assert reset_methods(function, index) == ()


class TestSriov:
    """The capability against sysfs, which wins."""

    def test_sysfs_wins_over_a_capability_that_is_not_seen(self, tmp_path: Path) -> None:
        tree = ready_host(ROOT_PORT, pf(vendor_id=0x15B3, device_id=0x1017, config_size=64))
        assert not {code for code in codes_of(tree, tmp_path) if "SRIOV" in code}

    def test_a_model_that_nobody_vouched_for_is_not_said_to_be_switched_off(self, tmp_path: Path) -> None:
        assert "SRIOV_OFF_IN_FIRMWARE" not in codes_of(ready_host(ROOT_PORT, eth1()), tmp_path)

    def test_without_root_nothing_is_switched_off_or_beyond_the_kernel(self, tmp_path: Path) -> None:
        tree = ready_host(ROOT_PORT, eth1(vendor_id=0x15B3, device_id=0x1017, config_size=64))
        assert codes_of(tree, tmp_path) == {"CONFIG_UNREADABLE"}

    def test_a_region_that_the_kernel_dropped_has_no_room(self, tmp_path: Path) -> None:
        tree = ready_host(ROOT_PORT, pf(vf_bar=(0, 0x10000, 0x2014220C)))
        assert "VF_BAR_UNASSIGNED" in codes_of(tree, tmp_path)

    @pytest.mark.parametrize(
        ("offset", "stride", "fits"), [(1, 1, True), (193, 1, True), (194, 1, False), (0, 0, True)]
    )
    def test_the_last_vf_must_lie_on_a_bus_of_the_port(
        self, offset: int, stride: int, fits: bool, tmp_path: Path
    ) -> None:
        tree = ready_host(ROOT_PORT, pf(sriov=Sriov(63, 0, offset, stride, 0x10ED)))
        assert ("VF_BUS_NUMBERS" not in codes_of(tree, tmp_path)) == fits


class TestIsolation:
    """Groups have the last word; then who does not isolate is named, and no one whom the kernel excuses."""

    def test_the_ports_of_a_switch_are_named(self, tmp_path: Path) -> None:
        finding = findings_of(ready_host(*SWITCH), tmp_path, "0000:03:00.0")["ACS_MISSING"]
        assert "0000:02:00.0 does not isolate (SV, RR, CR, UF missing)" in finding.sentence

    def test_what_is_switched_off_is_named(self, tmp_path: Path) -> None:
        half = port(capabilities=PORT._replace(acs=(ISOLATING, 0x1)))
        tree = ready_host(half, eth1(), nic("0000:02:00.0", driver=None))
        assert "(RR, CR, UF missing)" in findings_of(tree, tmp_path)["ACS_MISSING"].sentence

    def test_a_control_that_cannot_be_switched_counts_as_on(self, tmp_path: Path) -> None:
        fixed = port(capabilities=PORT._replace(acs=(0x4, 0x4)))
        assert "ACS_MISSING" not in codes_of(ready_host(fixed, eth1(), nic("0000:02:00.0", driver=None)), tmp_path)

    def test_a_group_of_its_own_is_never_accused(self, tmp_path: Path) -> None:
        assert "ACS_MISSING" not in codes_of(ready_host(port(capabilities=PORT._replace(acs=None)), eth1()), tmp_path)

    def test_a_port_that_the_kernel_excuses_is_not_accused(self, tmp_path: Path) -> None:
        excused = port(capabilities=PORT._replace(acs=None), vendor_id=0x8086, device_id=0x8C10)
        assert "ACS_MISSING" not in codes_of(ready_host(excused, eth1(), nic("0000:02:00.0", driver=None)), tmp_path)

    @pytest.mark.parametrize(("device_id", "accused"), [(0x1521, False), (0x1533, True)])
    def test_functions_of_one_card(self, device_id: int, accused: bool, tmp_path: Path) -> None:
        peers = dataclasses.replace(TOGETHER, capabilities=PEERS)
        tree = ready_host(ROOT_PORT, eth1(device_id=device_id, capabilities=PEERS), peers)
        assert ("ACS_MISSING" in codes_of(tree, tmp_path)) == accused

    def test_without_root_nobody_is_accused(self, tmp_path: Path) -> None:
        cut = dataclasses.replace(ROOT_PORT, config_size=64)
        tree = ready_host(cut, eth1(), nic("0000:02:00.0", driver=None))
        assert "ACS_MISSING" not in codes_of(tree, tmp_path)


class TestLink:
    """Both ends are named, and whose limit it is."""

    def test_the_sentence_names_both_ends(self, tmp_path: Path) -> None:
        finding = findings_of(HAVING["PCIE_SLOT_LIMITS"], tmp_path)["PCIE_SLOT_LIMITS"]
        assert "the card can do 8 GT/s x8, the port above it 8 GT/s x4" in finding.sentence

    def test_sysfs_tells_the_link_without_root(self, tmp_path: Path) -> None:
        attributes = (
            ("current_link_speed", "8.0 GT/s PCIe\n"),
            ("current_link_width", "4\n"),
            ("max_link_speed", "8.0 GT/s PCIe\n"),
            ("max_link_width", "8\n"),
        )
        tree = ready_host(ROOT_PORT, eth1(config_size=64, files=attributes))
        assert "PCIE_LINK_NARROW" in codes_of(tree, tmp_path)

    @pytest.mark.parametrize(("width", "speed"), [("0", "Unknown"), ("255", "Unknown speed"), ("", "")])
    def test_a_link_that_sysfs_does_not_know_is_not_slow(self, width: str, speed: str, tmp_path: Path) -> None:
        attributes = tuple(
            (f"{when}_link_{what}", value)
            for when in ("current", "max")
            for what, value in (("width", width), ("speed", speed))
        )
        assert "PCIE_LINK_NARROW" not in codes_of(
            ready_host(ROOT_PORT, eth1(config_size=64, files=attributes)), tmp_path
        )


class TestPower:
    """D3cold only where it can come to that."""

    @pytest.mark.parametrize(
        ("driver", "allowed", "port_control"),
        [("ixgbe", "1", "auto"), ("vfio-pci", "0", "auto"), ("vfio-pci", "1", "on")],
    )
    def test_it_is_not_told_otherwise(self, driver: str, allowed: str, port_control: str, tmp_path: Path) -> None:
        above = port(files=(("power/control", port_control),))
        tree = ready_host(above, eth1(driver=driver, files=(("d3cold_allowed", allowed),)))
        assert "D3COLD_ALLOWED" not in codes_of(tree, tmp_path)


def test_a_conventional_card_on_a_root_bus_is_behind_no_bridge(tmp_path: Path) -> None:
    card = nic("0000:00:05.0", "eth1", config_size=256, capabilities=CONVENTIONAL)
    assert "BEHIND_CONVENTIONAL_BRIDGE" not in codes_of(ready_host(card), tmp_path, "0000:00:05.0")


def test_damage_of_a_bridge_is_told_of_the_nic_below(tmp_path: Path) -> None:
    tree = ready_host(dataclasses.replace(ROOT_PORT, config=HAVING["CONFIG_DAMAGED"].functions[1].config), eth1())
    assert "of 0000:00:01.0, on which eth1" in findings_of(tree, tmp_path)["CONFIG_DAMAGED"].sentence


def test_a_device_that_is_gone_blocks() -> None:
    assert {code for code in MINE if CATALOGUE[code].severity.blocks} == {"DEVICE_GONE"}
    assert CATALOGUE["DEVICE_GONE"].severity == Severity.IMPOSSIBLE


def dumped(name: str, address: str) -> tuple[PciFunction, HostIndex]:
    """A function out of a dump of real ones, below a port where the others on its bus are below it too."""
    dump = CAPTURES / "pciutils-nic-config-dumps" / name
    if not dump.exists():
        pytest.skip(f"no dump of real functions: ../shared/hosts/pciutils-nic-config-dumps/{name}")
    above = PciFunction(address=Address("ffff:00:00.0"))
    functions = [above]
    for short, content in parse_dump(dump.read_text(errors="replace")).items():
        full = Address(short if short.count(":") == 2 else f"0000:{short}")
        config = decode_config(content)
        functions.append(
            PciFunction(
                address=full,
                class_code=int.from_bytes(content[9:12], "little"),
                vendor_id=config.vendor_id,
                device_id=config.device_id,
                bridge=above.address,
                config=config,
            )
        )
    index = HostIndex(Host(pci=tuple(functions)))
    return index.functions[Address(address)], index


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("cap-pcie-2", "0000:01:00.0", ("flr", "pm", "bus")),
        ("tree-asus-p6t6", "0000:07:00.0", ("bus",)),
        ("tree-asus-p6t6", "0000:08:00.0", ("bus",)),
        ("cap-address-xlation", "0000:02:00.0", ("pm", "bus")),
        ("PCI-X-bridges-and-domains", "0001:21:01.0", ("pm", "bus")),
    ],
)
def test_how_real_cards_can_be_reset(name: str, address: str, expected: Fact[tuple[str, ...]]) -> None:
    function, index = dumped(name, address)
    assert derive_reset_methods(function, index) == expected


def test_a_connectx_3_without_the_capability_has_it_switched_off() -> None:
    function, index = dumped("cap-aer-root", "0000:03:00.0")
    assert "SRIOV_OFF_IN_FIRMWARE" in {finding.code for finding in check_nic(function, index)}


def test_the_thunderx_has_its_vf_bars_elsewhere_and_is_not_said_to_lack_room() -> None:
    function, index = dumped("cap-ea-1", "0002:01:00.0")
    assert "VF_BAR_UNASSIGNED" not in {finding.code for finding in check_nic(function, index)}


@pytest.mark.parametrize(
    "tree",
    [
        PLAIN_VF.but(vms=(Vm(name="web", devices=vf_interface_xml(NIC, "52:54:00:00:00:01")),)),
        PLAIN_VF.but(vms=()),
        PLAIN_VF.but(
            network=network(link("eth9", vfs=(VfSettings(vf_index=0, mac="52:54:00:00:00:01"),)), link("eth1"))
        ),
        PLAIN_VF.but(network=network(link("eth9"), link("eth1"))),
    ],
    ids=["as an interface", "of nobody", "with a MAC", "not told"],
)
def test_a_vf_whose_mac_is_set_or_not_told_is_not_called_unpinned(tree: Tree, tmp_path: Path) -> None:
    assert "VF_MAC_UNPINNED" not in codes_of(tree, tmp_path)
