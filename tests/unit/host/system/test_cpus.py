# SPDX-License-Identifier: Apache-2.0
"""The host's CPUs: cores, isolation, what systemd binds, and the interrupts of NICs that VMs have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nicpass.host.doors.files import Files
from nicpass.host.system.cpus import read_cpus, read_interrupts
from nicpass.model.address import Address
from nicpass.model.cpus import CpuClaim, Cpus, Interrupt, NicInterrupts
from nicpass.model.fact import Unknown
from nicpass.model.pci import PciFunction
from tests.support.cpus import CPUS, cpu_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NIC = Address("0000:03:00.0")
UNIT = "/etc/systemd/system/dpdk.service"
CGROUP = "/sys/fs/cgroup"


def write(root: Path, files: Mapping[str, str]) -> Files:
    for path, content in files.items():
        place = root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return Files(str(root))


def read(root: Path, files: Mapping[str, str], driver: str | None = None) -> Cpus:
    return read_cpus(write(root, files), [PciFunction(address=NIC, driver=driver)])


def claims_of(root: Path, files: Mapping[str, str]) -> list[tuple[str, str]]:
    found = read(root, cpu_files({0: "0-7"}) | dict(files)).claims
    assert isinstance(found, tuple)
    return [(claim.source, claim.cpus) for claim in found]


class TestCores:
    def test_each_once_in_the_order_of_its_first_thread(self, tmp_path: Path) -> None:
        far = {f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}\n" for cpu in range(4)}
        found = read(tmp_path, cpu_files({0: "0-3"}) | far)
        assert (found.online, found.cores) == ("0-3", ("0,2", "1,3"))

    def test_a_kernel_that_tells_no_threads(self, tmp_path: Path) -> None:
        assert read(tmp_path, {f"{CPUS}/online": "0-1\n"}).cores == ("0", "1")

    def test_a_tree_without_cpus(self, tmp_path: Path) -> None:
        found = read(tmp_path, {})
        assert (found.online, found.cores, found.isolated, found.claims) == (None, None, None, ())

    def test_what_is_no_list_is_unknown(self, tmp_path: Path) -> None:
        found = read(tmp_path, {f"{CPUS}/online": "all\n", f"{CPUS}/isolated": "3-1\n"})
        assert isinstance(found.online, Unknown)
        assert isinstance(found.cores, Unknown)
        assert isinstance(found.isolated, Unknown)


class TestIsolated:
    @pytest.mark.parametrize(
        ("files", "isolated", "nohz"),
        [
            ({}, None, None),
            ({f"{CPUS}/isolated": "\n", f"{CPUS}/nohz_full": "(null)\n"}, None, None),
            ({f"{CPUS}/isolated": "2-3\n", f"{CPUS}/nohz_full": "3\n"}, "2-3", "3"),
            ({f"{CPUS}/isolated": "2\n", f"{CGROUP}/cpuset.cpus.isolated": "5-6\n"}, "2,5-6", None),
        ],
    )
    def test_by_argument_and_by_cpuset(
        self, files: dict[str, str], isolated: str | None, nohz: str | None, tmp_path: Path
    ) -> None:
        found = read(tmp_path, cpu_files({0: "0-7"}) | files)
        assert (found.isolated, found.nohz_full) == (isolated, nohz)


class TestClaims:
    def test_units_and_their_drop_ins(self, tmp_path: Path) -> None:
        drop_in = "/etc/systemd/system/a.service.d/cpu.conf"
        files = {
            UNIT: "[Service]\nCPUAffinity=4 5\nCPUAffinity=6-7\n",
            drop_in: "[Service]\nAllowedCPUs=1,2\n",
            "/usr/lib/systemd/system/b.slice": "[Slice]\nAllowedCPUs=0\n",
        }
        units = [(drop_in, "1-2"), (UNIT, "4-5"), (UNIT, "6-7"), ("/usr/lib/systemd/system/b.slice", "0")]
        assert claims_of(tmp_path, files) == units

    def test_the_administrator_s_file_hides_the_package_s(self, tmp_path: Path) -> None:
        files = {
            UNIT: "[Service]\nCPUAffinity=\n",
            "/usr/lib/systemd/system/dpdk.service": "[Service]\nCPUAffinity=3\n",
        }
        assert claims_of(tmp_path, files) == []

    def test_the_manager_s_own(self, tmp_path: Path) -> None:
        files = {
            "/etc/systemd/system.conf": "[Manager]\n#CPUAffinity=3\nCPUAffinity=0-1\n",
            "/etc/systemd/system.conf.d/numa.conf": "[Manager]\nCPUAffinity=numa\n",
        }
        assert claims_of(tmp_path, files) == [("/etc/systemd/system.conf", "0-1")]

    def test_cpusets_but_not_those_of_vms(self, tmp_path: Path) -> None:
        files = {
            f"{CGROUP}/system.slice/cpuset.cpus": "0-1\n",
            f"{CGROUP}/system.slice/ovs.service/cpuset.cpus": "2\n",
            f"{CGROUP}/system.slice/idle.service/cpuset.cpus": "\n",
            f"{CGROUP}/kubepods.slice/pod1.slice/cri-1.scope/cpuset.cpus": "3\n",
            f"{CGROUP}/machine.slice/cpuset.cpus": "4-7\n",
            "/etc/systemd/system/machine.slice": "[Slice]\nAllowedCPUs=4-7\n",
        }
        wanted = [("system.slice", "0-1"), ("system.slice/ovs.service", "2")]
        wanted.append(("kubepods.slice/pod1.slice/cri-1.scope", "3"))
        assert claims_of(tmp_path, files) == [(f"{CGROUP}/{unit}/cpuset.cpus", cpus) for unit, cpus in wanted]

    def test_what_a_user_has_made_claims_nothing_and_hides_nothing(self, tmp_path: Path) -> None:
        """Any user may make thousands of groups below his own service, with whatever CPUs."""
        own = f"{CGROUP}/user.slice/user-1000.slice/user@1000.service"
        files = {f"{own}/app{number}.scope/cpuset.cpus": "0-6\n" for number in range(5001)}
        files |= {f"{CGROUP}/user.slice/cpuset.cpus": "0-3\n", f"{own}/cpuset.cpus": "2-3\n"}
        wanted = [(f"{CGROUP}/user.slice/cpuset.cpus", "0-3"), (f"{own}/cpuset.cpus", "2-3")]
        assert claims_of(tmp_path, files) == wanted

    def test_a_masked_unit_claims_nothing(self, tmp_path: Path) -> None:
        masked = tmp_path / "etc/systemd/system/masked.service"
        masked.parent.mkdir(parents=True)
        masked.symlink_to("/dev/null")
        (tmp_path / "dev").mkdir()
        os.mkfifo(tmp_path / "dev/null")  # no regular file, as the real one
        assert claims_of(tmp_path, {UNIT: "[Service]\nCPUAffinity=4\n"}) == [(UNIT, "4")]

    def test_one_that_cannot_be_read_makes_all_unknown(self, tmp_path: Path) -> None:
        found = read(tmp_path, {f"{CGROUP}/system.slice/cpuset.cpus": "some\n"}).claims
        assert isinstance(found, Unknown)

    def test_the_line_is_told(self, tmp_path: Path) -> None:
        found = read(tmp_path, {UNIT: "[Service]\nCPUAffinity=4\n"}).claims
        assert found == (CpuClaim(source=UNIT, text="CPUAffinity=4", cpus="4"),)


class TestInterrupts:
    FILES = {  # noqa: RUF012
        f"/sys/bus/pci/devices/{NIC}/msi_irqs/61": "msix\n",
        f"/sys/bus/pci/devices/{NIC}/msi_irqs/62": "msix\n",
        "/proc/irq/61/smp_affinity_list": "0-3\n",
    }

    def test_those_of_a_nic_that_a_vm_has(self, tmp_path: Path) -> None:
        there = NicInterrupts(address=NIC, interrupts=(Interrupt(number=61, cpus="0-3"),))
        assert read(tmp_path, self.FILES, "vfio-pci").interrupts == (there,)

    def test_not_those_of_the_host_s_own(self, tmp_path: Path) -> None:
        assert read(tmp_path, self.FILES, "ixgbe").interrupts == ()

    def test_a_vm_that_has_not_asked_for_any(self, tmp_path: Path) -> None:
        assert read_interrupts(write(tmp_path, {}), NIC) is None

    @pytest.mark.parametrize(
        ("options", "sizes"),
        [("rw", (0,)), ("rw,pagesize=2M", (2 << 20,)), ("rw,pagesize=1024M,mode=1770", (1 << 30,))],
    )
    def test_mounts_of_huge_pages(self, options: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
        line = "31 22 0:28 / /dev/hugepages rw,relatime shared:14 - hugetlbfs hugetlbfs"
        mounts = f"{line} {options}\n22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        assert read(tmp_path, {"/proc/self/mountinfo": mounts}).hugepage_mounts == sizes

    def test_irqbalance_is_seen_by_its_unit(self, tmp_path: Path) -> None:
        folder = tmp_path / "run/systemd/units"
        folder.mkdir(parents=True)
        (folder / "invocation:irqbalance.service").symlink_to("3f")
        assert read(tmp_path, {}).balancer == "irqbalance"
