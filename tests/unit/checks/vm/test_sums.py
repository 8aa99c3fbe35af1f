# SPDX-License-Identifier: Apache-2.0
"""What a VM's memory comes to: where it lies, and how often it is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_vm
from nicpass.checks.vm.layout import leaves_hole, memory_ranges, most_below
from nicpass.hypervisor.libvirt.hostdevs import parse_domain
from nicpass.model.address import Address
from nicpass.model.fact import known
from nicpass.model.groups import IommuGroup, ReservedRegion
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from tests.support.domains import definition_xml
from tests.support.reports import read_report
from tests.support.trees import hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding

GIB = 1 << 30
NIC = PciFunction(address=Address("0000:41:00.0"), class_code=0x020000, driver="ice", iommu_group=7)
HYPERTRANSPORT = ReservedRegion("0xfd00000000", "0xffffffffff", "reserved")
MSI = ReservedRegion("0xfee00000", "0xfeefffff", "msi")
VIOMMU = "<iommu model='{model}'><driver caching_mode='on'/></iommu>"


def host_with(*regions: ReservedRegion) -> Host:
    return Host(pci=(NIC,), iommu_groups=(IommuGroup(number=7, reserved_regions=regions),))


def told(gib: int, machine: str, host: Host, *, devices: str = "", tune: str = "") -> dict[str, Finding]:
    xml = definition_xml(
        memory=f"<memory unit='GiB'>{gib}</memory>",
        os=f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>",
        devices=devices,
        tune=tune,
    )
    return {finding.code: finding for finding in check_vm(NIC, parse_domain(xml), HostIndex(host))}


class TestReservedRange:
    def test_the_report_of_a_big_vm_on_amd(self, tmp_path: Path) -> None:
        index = HostIndex(read_report("08-amd-1tib-old-machine", tmp_path))
        domains = index.host.domains
        assert known(domains)
        function = index.functions[Address("0000:41:00.0")]
        found = {finding.code: finding for finding in check_vm(function, domains[0], index)}
        assert found["VM_MEMORY_RESERVED"].severity == "impossible"
        assert "0xfd00000000-0xffffffffff" in found["VM_MEMORY_RESERVED"].sentence
        assert "pc-q35-7.1 or a newer one" in found["VM_MEMORY_RESERVED"].mend
        assert "1010 GiB" in found["VM_MEMORY_RESERVED"].mend

    @pytest.mark.parametrize(
        ("machine", "gib", "across"),
        [
            ("pc-q35-6.2", 1536, True),
            ("pc-q35-7.0", 1011, True),
            ("pc-q35-7.0", 1010, False),
            ("pc-i440fx-6.2", 1012, True),
            ("pc-i440fx-6.2", 1011, False),
            ("pc-q35-7.1", 1536, False),
            ("pc-q35-10.0", 1536, False),
            ("q35", 1536, False),
            ("pc-q35-rhel9.0.0", 1536, True),
            ("pc-q35-rhel9.2.0", 1536, False),
            ("pc-q35-jammy", 1536, True),
            ("pc-q35-jammy-hpb", 1536, True),
            ("pc-q35-noble", 1536, False),
            ("pc-q35-a-name-of-tomorrow", 1536, False),
            ("microvm", 1536, False),
            ("virt-8.2", 1536, True),
            ("virt", 1010, False),
        ],
    )
    def test_by_machine_type_and_size(self, machine: str, gib: int, across: bool) -> None:
        assert ("VM_MEMORY_RESERVED" in told(gib, machine, host_with(HYPERTRANSPORT))) is across

    def test_another_range_of_another_host(self) -> None:
        """Below 4 GiB, where also a small VM has memory: no type of machine leaves that out."""
        host = host_with(ReservedRegion("0x40000000", "0x4fffffff", "reserved"))
        found = told(2, "pc-q35-7.2", host)
        assert found["VM_MEMORY_RESERVED"].mend == "Less than 1 GiB of memory."
        assert "VM_MEMORY_RESERVED" not in told(1, "pc-q35-7.2", host)

    @pytest.mark.parametrize("kind", ["direct", "direct-relaxable"])
    def test_what_must_stay_mapped_is_another_matter(self, kind: str) -> None:
        assert "VM_MEMORY_RESERVED" not in told(
            8, "pc-q35-7.2", host_with(ReservedRegion("0x40000000", "0x4fffffff", kind))
        )

    @pytest.mark.parametrize(
        ("machine", "memory"), [("pc-q35-6.2", 3 * GIB), ("pc-i440fx-9.0", 2048 * GIB), ("virt", 1)]
    )
    def test_no_byte_is_lost_or_doubled(self, machine: str, memory: int) -> None:
        ranges = memory_ranges(machine, memory)
        assert ranges is not None
        assert sum(each.stop - each.start for each in ranges) == memory

    @pytest.mark.parametrize(
        ("machine", "start"),
        [("pc-q35-6.2", 0xFD << 32), ("pc-i440fx-6.2", 0xFD << 32), ("virt", 1 << 31), ("pc-q35-6.2", 1 << 30)],
    )
    def test_the_most_is_the_most(self, machine: str, start: int) -> None:
        most = most_below(machine, start)
        fits, too_big = memory_ranges(machine, most), memory_ranges(machine, most + 1)
        assert fits is not None
        assert too_big is not None
        assert fits[-1].stop <= start < too_big[-1].stop

    def test_a_type_that_is_not_known_is_not_judged(self) -> None:
        assert leaves_hole("microvm") is None
        assert memory_ranges("s390-ccw-virtio-9.0", GIB) is None


@pytest.mark.parametrize("gib", [1, 2, 3, 4, 64])
def test_interrupts_have_their_place_where_no_machine_has_memory(gib: int) -> None:
    assert "VM_MEMORY_RESERVED" not in told(gib, "pc-q35-7.2", host_with(MSI))


class TestLockedMemory:
    """Behind a virtual IOMMU each device has an address space of its own."""

    SECOND = hostdev_xml("0000:41:00.1")

    def limit(self, gib: int) -> str:
        return f"<memtune><hard_limit unit='GiB'>{gib}</hard_limit></memtune>"

    def test_what_goes_in_the_same_change_counts(self) -> None:
        xml = definition_xml(memory="<memory unit='GiB'>8</memory>", devices=VIOMMU.format(model="intel") + self.SECOND)
        domain = parse_domain(xml)
        index = HostIndex(host_with()).for_vm(domain, (NIC.address, Address("0000:42:00.0"), Address("0000:41:00.1")))
        found = {finding.code: finding for finding in check_vm(NIC, domain, index)}
        assert "24 GiB (3 times 8 GiB)" in found["VM_MEMORY_LOCK_EACH"].sentence

    @pytest.mark.parametrize(
        ("model", "devices", "times"),
        [("", "", 1), ("", SECOND, 1), ("intel", "", 1), ("intel", SECOND, 2), ("virtio", SECOND, 2)],
    )
    def test_it_is_locked_for_each(self, model: str, devices: str, times: int) -> None:
        viommu = VIOMMU.format(model=model) if model else ""
        found = told(8, "pc-q35-7.2", host_with(), devices=viommu + devices)
        assert ("VM_MEMORY_LOCK_EACH" in found) is (times > 1)
        if times > 1:
            assert "16 GiB (2 times 8 GiB)" in found["VM_MEMORY_LOCK_EACH"].sentence

    @pytest.mark.parametrize(
        ("devices", "gib", "code"),
        [
            ("", 10, None),
            (VIOMMU.format(model="intel") + SECOND, 10, "VM_MEMORY_LIMIT"),
            (VIOMMU.format(model="intel") + SECOND, 16, "VM_MEMORY_LIMIT_TIGHT"),
            (VIOMMU.format(model="intel") + SECOND, 17, None),
        ],
    )
    def test_the_limit_has_to_allow_for_all(self, devices: str, gib: int, code: str | None) -> None:
        found = told(8, "pc-q35-7.2", host_with(), devices=devices, tune=self.limit(gib))
        assert {"VM_MEMORY_LIMIT", "VM_MEMORY_LIMIT_TIGHT"} & set(found) == ({code} if code else set())
        if code == "VM_MEMORY_LIMIT":
            assert f"--hard-limit {18 << 20} " in found[code].command
