# SPDX-License-Identifier: Apache-2.0
"""The whole group is looked at: who is in it, what the host does with each, and how to get out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from nicpass.checks.dependence.group import check_group
from nicpass.checks.lookup.index import HostIndex
from nicpass.model.address import Address
from tests.support.hosts import bridge, nic, pf_with_vfs, ready_host
from tests.support.provoking import AHCI, DRM, ETH1, KEYBOARD, NIC, USB, controller, with_disk
from tests.support.trees import Vm, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from tests.support.trees import Tree

XHCI = controller("0000:00:14.0", USB, "xhci_hcd")
CARD = "/sys/devices/pci0000:00/0000:00:02.0"


def told(tree: Tree, root: Path, subject: str = NIC) -> dict[str, Finding]:
    index = HostIndex(tree.read(root))
    return {finding.code: finding for finding in check_group(index.functions[Address(subject)], index)}


class TestMembers:
    """What the host does with each."""

    def test_a_mounted_disk_makes_it_impossible(self, tmp_path: Path) -> None:
        found = told(with_disk(ready_host(ETH1, controller("0000:00:17.0", AHCI, "ahci")), "0000:00:17.0"), tmp_path)
        assert set(found) == {"GROUP_SHARED", "GROUP_HAS_STORAGE"}
        assert "0000:00:17.0 (driver ahci: sda1 mounted at /)" in found["GROUP_HAS_STORAGE"].sentence

    def test_a_disk_that_nothing_stands_on_does_not(self, tmp_path: Path) -> None:
        tree = with_disk(ready_host(ETH1, controller("0000:00:17.0", AHCI, "ahci")), "0000:00:17.0")
        tree = tree.but(files={**tree.files, "/proc/self/mountinfo": ""})
        assert set(told(tree, tmp_path)) == {"GROUP_SHARED"}

    @pytest.mark.parametrize(("others", "console"), [("", True), (KEYBOARD.format(address="0000:00:1a.0"), False)])
    def test_only_the_last_keyboard_is_a_console(self, others: str, console: bool, tmp_path: Path) -> None:
        files = {"/proc/bus/input/devices": KEYBOARD.format(address="0000:00:14.0") + others}
        found = told(ready_host(ETH1, XHCI, files=files), tmp_path)
        assert ("GROUP_HAS_CONSOLE" in found) is console
        assert ("the only keyboard" in found["GROUP_SHARED"].sentence) is console
        assert "Dell KB216" in found["GROUP_SHARED"].sentence

    def test_graphics_in_use_are_a_console(self, tmp_path: Path) -> None:
        connector = f"{CARD}/drm/card0/card0-VGA-1"
        tree = ready_host(
            ETH1,
            controller("0000:00:02.0", DRM, "ast"),
            files={f"{connector}/enabled": "enabled\n"},
            links={"/sys/class/drm/card0": f"{CARD}/drm/card0", "/sys/class/drm/card0-VGA-1": connector},
        )
        assert "card0-VGA-1 with the console" in told(tree, tmp_path)["GROUP_HAS_CONSOLE"].sentence

    def test_idle_ones_must_go_along(self, tmp_path: Path) -> None:
        found = told(ready_host(ETH1, controller("0000:00:1f.3", 0x040300, None)), tmp_path)
        assert set(found) == {"GROUP_SHARED_IDLE"}
        assert "must go along: 0000:00:1f.3 (no driver)" in found["GROUP_SHARED_IDLE"].sentence

    def test_a_long_list_is_cut(self, tmp_path: Path) -> None:
        cards = {f"/sys/class/sound/snd{n}": f"/sys/devices/pci0000:00/0000:00:1f.3/sound/snd{n}" for n in range(9)}
        tree = ready_host(ETH1, controller("0000:00:1f.3", 0x040300, "snd_hda_intel"), links=cards)
        assert "snd3, and 5 more" in told(tree, tmp_path)["GROUP_SHARED"].sentence

    def test_a_vf_beside_its_pf(self, tmp_path: Path) -> None:
        pf, vf = pf_with_vfs("0000:02:00.0", "eth2", 1)
        tree = ready_host(pf, dataclasses.replace(vf, group=pf.group))
        assert "VF_GROUP_HAS_PF" in told(tree, tmp_path / "a", vf.address)
        assert "VF_GROUP_HAS_PF" not in told(tree, tmp_path / "b", pf.address)

    def test_two_vfs_in_one_group_without_the_pf(self, tmp_path: Path) -> None:
        pf, first, second = pf_with_vfs("0000:02:00.0", "eth2", 2)
        tree = ready_host(pf, first, dataclasses.replace(second, group=first.group))
        assert set(told(tree, tmp_path, first.address)) == {"GROUP_SHARED_BOUND"}

    def test_the_vm_of_a_member_is_named(self, tmp_path: Path) -> None:
        vms = (Vm(name="web", devices=hostdev_xml("0000:01:00.1")),)
        tree = ready_host(ETH1, nic("0000:01:00.1", driver="vfio-pci"), vms=vms)
        found = told(tree, tmp_path)["GROUP_HAS_OTHER_VM"]
        assert "VM web" in found.sentence
        assert "Take back what web has of it (0000:01:00.1)" in found.mend

    def test_there_is_a_way_out_where_the_card_does_not_isolate_itself(self, tmp_path: Path) -> None:
        vms = (Vm(name="web", devices=hostdev_xml("0000:01:00.1")),)
        port = bridge("0000:00:01.0")
        other = nic("0000:01:00.1", "eth2", under="0000:00:01.0")
        tree = ready_host(port, nic("0000:01:00.0", "eth1", under="0000:00:01.0"), other, vms=vms)
        assert told(tree, tmp_path)["GROUP_HAS_OTHER_VM"].mend


class TestWaysOut:
    """In order of safety, and never the ACS override."""

    def ways(self, tree: Tree, root: Path) -> str:
        return next(iter(told(tree, root).values())).mend

    def test_a_vf_comes_first_where_only_functions_of_the_card_share(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1", totalvfs=63), nic("0000:01:00.1", "eth2"))
        assert self.ways(tree, tmp_path).startswith("(1) Give the VM a VF")

    def test_no_vf_where_a_bridge_above_does_not_isolate(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1", totalvfs=63), nic("0000:02:00.0", "eth2"))
        assert "VF" not in self.ways(tree, tmp_path)

    def test_vfs_that_are_there_tell_for_certain(self, tmp_path: Path) -> None:
        pf, vf = pf_with_vfs(NIC, "eth1", 1, group=10)
        shared = nic("0000:01:00.1", "eth2", group=10)
        assert "its VFs have groups of their own" in self.ways(ready_host(pf, vf, shared), tmp_path / "a")
        tree = ready_host(pf, dataclasses.replace(vf, group=10), shared)
        assert "VFs have groups" not in self.ways(tree, tmp_path / "b")

    def test_a_free_root_port_is_named(self, tmp_path: Path) -> None:
        ports = (bridge("0000:00:01.0", group=2), bridge("0000:00:1c.0", group=3))
        tree = ready_host(*ports, nic("0000:01:00.0", "eth1", under="0000:00:01.0"), nic("0000:01:00.1", "eth2"))
        assert "nothing: 0000:00:1c.0." in self.ways(tree, tmp_path)

    def test_a_port_in_a_shared_group_is_not(self, tmp_path: Path) -> None:
        ports = (bridge("0000:00:1c.0", group=3), bridge("0000:00:1c.1", group=3))
        tree = ready_host(*ports, ETH1, nic("0000:01:00.1", "eth2"))
        assert "0000:00:1c" not in self.ways(tree, tmp_path)

    def test_the_firmwares_option_is_in_the_boards_words(self, tmp_path: Path) -> None:
        tree = ready_host(ETH1, nic("0000:01:00.1", "eth2"), files={"/sys/class/dmi/id/board_vendor": "Supermicro\n"})
        assert self.ways(tree, tmp_path).endswith("ACS Control.")

    def test_the_acs_override_is_never_a_first_advice(self, tmp_path: Path) -> None:
        finding = told(ready_host(ETH1, nic("0000:01:00.1", "eth2")), tmp_path)["GROUP_SHARED_BOUND"]
        assert "override" not in f"{finding.sentence} {finding.meaning} {finding.mend} {finding.command}"
