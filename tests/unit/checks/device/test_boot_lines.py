# SPDX-License-Identifier: Apache-2.0
"""Who makes VFs, or binds a NIC, at every boot: named with the file and the line, whichever way it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nicpass.checks.lookup.boot_lines import find_binders, find_counts
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.host.system.boot_scripts import parse_lines
from nicpass.model.address import Address
from nicpass.model.request import VfRequest
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import nic, ready_host
from tests.support.reports import lay_out, run_on

if TYPE_CHECKING:
    from pathlib import Path

NIC = "0000:01:00.0"
PF = nic(NIC, "eth1", totalvfs=63, driver="ixgbe")
OTHER = "0000:02:00.0"


def index_of(root: Path, *functions: object, **more: Any) -> HostIndex:
    return HostIndex(ready_host(*(functions or (PF,)), **more).read(root))  # type: ignore[arg-type]


COUNTS: dict[str, tuple[str, str, int | None]] = {
    "link": ("/etc/systemd/network/10-a.link", "[Match]\nDriver=ixgbe\n[Link]\nSR-IOVVirtualFunctions=3\n", 3),
    "netplan": (
        "/etc/netplan/01.yaml",
        "network:\n  version: 2\n  ethernets:\n    eth1:\n      virtual-function-count: 5\n",
        5,
    ),
    "NetworkManager": (
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\nid=a\nuuid=1\ntype=ethernet\ninterface-name=eth1\n[sriov]\ntotal-vfs=6\n",
        6,
    ),
    "ifcfg": ("/etc/sysconfig/network-scripts/ifcfg-eth1", "DEVICE=eth1\nONBOOT=yes\nSRIOV_TOTAL_VFS=7\n", 7),
    "module": ("/etc/modprobe.d/ixgbe.conf", "options ixgbe allow_unsupported_sfp=1 max_vfs=2,2\n", 2),
    "udev": (
        "/etc/udev/rules.d/70-vfs.rules",
        'ACTION=="add", SUBSYSTEM=="net", ENV{ID_NET_DRIVER}=="igb|ixgbe", ATTR{device/sriov_numvfs}="4"\n',
        4,
    ),
    "rc.local": (
        "/etc/rc.local",
        "echo 0 > /sys/class/net/eth1/device/sriov_numvfs\necho 8 > /sys/class/net/eth1/device/sriov_numvfs\n",
        8,
    ),
    "interfaces": (
        "/etc/network/interfaces.d/vfs",
        "iface eth1 inet manual\n pre-up echo 9 > /sys/class/net/eth1/device/sriov_numvfs\n",
        9,
    ),
    "sysfs.conf": ("/etc/sysfs.conf", "class/net/eth1/device/sriov_numvfs = 10\n", 10),
    "tmpfiles": ("/etc/tmpfiles.d/v.conf", f"w /sys/bus/pci/devices/{NIC}/sriov_numvfs - - - - 11\n", 11),
    "unit": (
        "/etc/systemd/system/vfs.service",
        f"[Service]\nExecStart=/bin/sh -c 'echo 12 > /sys/bus/pci/devices/{NIC}/sriov_numvfs'\n",
        12,
    ),
    "by a variable": (
        "/etc/rc.d/rc.local",
        f'for d in {NIC}; do\n  echo "$n" > /sys/bus/pci/devices/$d/sriov_numvfs\ndone\n',
        None,
    ),
}


class TestCounts:
    """Every way in which the number of VFs is set at a boot."""

    @pytest.mark.parametrize("way", COUNTS)
    def test_the_file_and_the_number_are_told(self, way: str, tmp_path: Path) -> None:
        path, text, count = COUNTS[way]
        index = index_of(tmp_path, files={path: text})
        (setting,) = find_counts(index.functions[Address(NIC)], index)
        assert (setting.source, setting.vfs) == (path, count)
        found = {finding.code: finding for finding in check_nic(index.functions[Address(NIC)], index)}
        assert path in found["VFS_SET_AT_BOOT"].sentence

    @pytest.mark.parametrize("way", sorted(set(COUNTS) - {"module", "udev", "link"}))
    def test_another_card_is_not_meant(self, way: str, tmp_path: Path) -> None:
        path, text, _ = COUNTS[way]
        other = nic(OTHER, "eth2", group=11, totalvfs=63, driver="ixgbe")
        index = index_of(tmp_path, PF, other, files={path: text})
        assert find_counts(index.functions[Address(OTHER)], index) == []

    @pytest.mark.parametrize("way", ["module", "udev", "link"])
    def test_another_driver_is_not_meant(self, way: str, tmp_path: Path) -> None:
        path, text, _ = COUNTS[way]
        index = index_of(tmp_path, nic(NIC, "eth1", totalvfs=63, driver="bnxt_en"), files={path: text})
        assert find_counts(index.functions[Address(NIC)], index) == []

    def test_the_kernels_arguments_set_it_too(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, cmdline="ro intel_iommu=on ixgbe.max_vfs=3")
        assert find_counts(index.functions[Address(NIC)], index)[0].vfs == 3

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [(2, "makes 4 VFs of eth1"), (4, None), (6, "makes only 4 VFs of eth1")],
    )
    def test_the_plan_says_what_becomes_of_it(self, wanted: int, words: str | None, tmp_path: Path) -> None:
        path, text, _ = COUNTS["udev"]
        plan = plan_vf(ready_host(PF, files={path: text}).read(tmp_path), VfRequest(pf="eth1", count=wanted))
        assert [path in note for note in plan.notes] == ([] if words is None else [True])
        assert words is None or words in plan.notes[0]

    def test_the_report_of_four_places(self, tmp_path: Path) -> None:
        root = lay_out("07-vf-count-set-elsewhere", tmp_path)
        files = ("10-enp3s0f0.link", "/etc/netplan/01.yaml", "/etc/modprobe.d/igb.conf", "70-sriov.rules")
        code, told = run_on(root, "vf", "remove", "enp3s0f0", "--dry-run")
        assert code == 0
        assert all(file in told for file in files)
        assert "again at the next boot" in told
        told = run_on(root, "vf", "create", "enp3s0f0", "--count", "5", "--dry-run")[1]
        assert "2 of 5 are gone then" in told
        told = run_on(root, "check", "enp3s0f0", "-v")[1]
        assert "VFS_SET_AT_BOOT" in told


INSTALL = {"/etc/modprobe.d/vfio.conf": "install vfio-pci /usr/local/bin/bind.sh\n"}
SCRIPT = {
    "/etc/initramfs-tools/scripts/init-top/bind.sh": f"DEVS={NIC}\n"
    "for d in $DEVS; do echo vfio-pci > /sys/bus/pci/devices/$d/driver_override; done\n"
}


class TestBinders:
    """Why a NIC is on vfio-pci although nobody seems to have done it."""

    @pytest.mark.parametrize(("files", "number"), [(INSTALL, 1), (SCRIPT, 1), ({**INSTALL, **SCRIPT}, 2), ({}, 0)])
    def test_they_are_named(self, files: dict[str, str], number: int, tmp_path: Path) -> None:
        index = index_of(tmp_path, nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), files=files)
        function = index.functions[Address(NIC)]
        found = {finding.code: finding for finding in check_nic(function, index)}["ON_VFIO"]
        assert sum(path in found.mend for path in files) == number
        assert ("nothing of that kind was found" in found.mend) is (number == 0)

    @pytest.mark.parametrize(
        "files",
        [
            {"/etc/modprobe.d/no.conf": "install vfio-pci /bin/false\n"},
            {"/etc/rc.local": f"#echo vfio-pci > /sys/bus/pci/devices/{NIC}/driver_override\n"},
            {"/etc/rc.local": f"echo vfio-pci > /sys/bus/pci/devices/{OTHER}/driver_override\n"},
            {"/etc/systemd/system/nicpass-bind.service": f"ExecStart=bind {NIC} vfio-pci\n"},
            {"/etc/udev/rules.d/1.rules": f'KERNEL=="{OTHER}", ATTR{{driver_override}}="vfio-pci"\n'},
        ],
    )
    def test_what_does_not_bind_this_one_is_not(self, files: dict[str, str], tmp_path: Path) -> None:
        index = index_of(tmp_path, nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), files=files)
        assert find_binders(index.functions[Address(NIC)], index) == []

    def test_the_report_of_own_scripts(self, tmp_path: Path) -> None:
        told = run_on(lay_out("17-custom-binding-scripts", tmp_path), "check", "08:00.0", "-v")[1]
        for path in (
            "/etc/modprobe.d/vfio.conf (install vfio-pci /usr/local/bin/vfio-pci-override.sh)",
            "/etc/initramfs-tools/scripts/init-top/bind_vfio.sh",
            "/etc/rc.local",
        ):
            assert path in told


def test_no_script_is_looked_at_where_no_nic_may_be_meant(tmp_path: Path) -> None:
    index = index_of(tmp_path, nic(NIC, "eth1"), files={"/etc/rc.local": "echo 1 > x/sriov_numvfs\n"})
    assert index.host.leftovers.boot_lines == ()


@pytest.mark.parametrize("text", ["", "\0", "\xff" * 90, "echo > " + "/sys/class/net/" * 999, "driver_override\\\n"])
def test_no_script_is_too_strange(text: str) -> None:
    assert all(line.path == "/x" for line in parse_lines("/x", text))
