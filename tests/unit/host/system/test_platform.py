# SPDX-License-Identifier: Apache-2.0
"""The readers of platform, network and files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicpass.host.doors.files import Files
from nicpass.host.network.interfaces import read_network
from nicpass.host.network.sysfs_links import read_sysfs_links
from nicpass.host.pci.ids import PLACES, PciIds
from nicpass.host.system.platform import read_platform
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from tests.support.hosts import VM, address, link, network, nic, ready_host, route
from tests.support.trees import Tree, Vm, hostdev_xml, vf_interface_xml


def test_a_ready_host_says_so(tmp_path: Path) -> None:
    platform = ready_host().read(tmp_path).platform
    assert (platform.cpu_vendor, platform.virtualization) == ("GenuineIntel", "vmx")
    assert platform.kvm_device is True
    assert platform.iommu_tables == ("DMAR",)
    assert platform.iommu_units == ("dmar0",)
    assert platform.iommu_groups == 2
    assert platform.unsafe_interrupts is False
    assert isinstance(platform.modules, tuple)
    states = {module.name: module.state for module in platform.modules}
    assert states == dict.fromkeys(("vfio", "vfio_pci", "vfio_iommu_type1", "kvm", "kvm_intel"), "loaded") | {
        "kvm_amd": "loadable"
    }
    assert platform.interrupt_chips == ("IR-PCI-MSIX",)
    assert platform.hostname == "host"


@pytest.mark.parametrize(
    ("cpu", "vendor", "virtualization"),
    [("intel", "GenuineIntel", "vmx"), ("amd", "AuthenticAMD", "svm"), ("bare", "GenuineIntel", None)],
)
def test_the_processor_is_read(cpu: str, vendor: str, virtualization: str | None, tmp_path: Path) -> None:
    platform = read_platform(Files(str(Tree(cpu=cpu).write(tmp_path))))
    assert (platform.cpu_vendor, platform.virtualization) == (vendor, virtualization)


def test_of_a_processor_without_flags_virtualization_is_unknown(tmp_path: Path) -> None:
    platform = read_platform(Files(str(Tree(cpu="arm").write(tmp_path))))
    assert isinstance(platform.virtualization, Unknown)


@pytest.mark.parametrize(
    ("tables", "found"),
    [((), ()), (("DMAR",), ("DMAR",)), (("IVRS", "SLIC", "SRAT"), ("IVRS",)), (("SPMI", "DMARX"), ())],
)
def test_only_iommu_tables_count(tables: tuple[str, ...], found: tuple[str, ...], tmp_path: Path) -> None:
    assert read_platform(Files(str(Tree(tables=tables).write(tmp_path)))).iommu_tables == found


def test_an_empty_root_is_unknown_or_absent_and_no_crash(tmp_path: Path) -> None:
    platform = read_platform(Files(str(tmp_path)))
    assert platform.cmdline is None
    assert platform.iommu_tables is None
    assert isinstance(platform.modules, Unknown)
    assert isinstance(platform.kvm_device, Unknown)


def test_a_root_with_dev_and_without_kvm_has_no_kvm(tmp_path: Path) -> None:
    assert read_platform(Files(str(Tree(kvm=False).write(tmp_path)))).kvm_device is False


def test_modules_with_dashes_and_compression_are_found(tmp_path: Path) -> None:
    tree = Tree(loaded=(), available=("vfio", "vfio_pci"))
    platform = read_platform(Files(str(tree.write(tmp_path))))
    assert [platform.module_state(name) for name in ("vfio", "vfio_pci", "kvm")] == ["loadable", "loadable", "absent"]


def test_the_network_of_a_capture_is_what_rtnetlink_said(tmp_path: Path) -> None:
    said = network(link("eth0"), address("eth0", "10.0.0.5/24"), route("eth0"))
    found = read_network(Files(str(Tree(network=said).write(tmp_path))))
    assert found == msgspec.structs.replace(said, intents=None), "these are not the kernel's to say"


def test_without_it_sysfs_tells_of_links_and_nothing_of_addresses(tmp_path: Path) -> None:
    files = Files(str(Tree(functions=(nic("0000:01:00.0", "eth0"),)).write(tmp_path)))
    read = read_network(files)
    assert [each.name for each in read.links] == ["eth0"]
    assert isinstance(read.addresses, Unknown)
    assert isinstance(read.routes, Unknown)


def test_links_are_read_from_sysfs_as_they_are(tmp_path: Path) -> None:
    said = network(
        link("br0", mac="52:54:00:00:00:01"),
        link("eth0", mac="52:54:00:00:00:02", mtu=9000, master="br0"),
        link("eth1", mac="52:54:00:00:00:03", up=False, operstate="down", carrier=None),
        link("eth2", mac="52:54:00:00:00:04", operstate="down", carrier=False),
    )
    tree = Tree(functions=(nic("0000:01:00.0", "eth0"), nic("0000:01:00.1", "eth1")), network=said)
    assert read_sysfs_links(Files(str(tree.write(tmp_path)))) == said.links


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"links": 5}', b'{"links": [{"mtu": 1500}]}'])
def test_a_damaged_capture_of_the_network_is_bad_input(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "netlink.json").write_bytes(content)
    with pytest.raises(BadInputError, match=r"netlink\.json"):
        read_network(Files(str(tmp_path)))


def test_a_capture_of_the_network_too_deep_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "netlink.json").write_bytes(b'{"later": ' + b"[" * 100_000)
    with pytest.raises(BadInputError, match=r"netlink\.json"):
        read_network(Files(str(tmp_path)))


def test_an_unreadable_capture_of_the_network_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "netlink.json").mkdir()
    assert read_network(Files(str(tmp_path))).addresses == Unknown("is a directory: /netlink.json")


def test_domains_are_read_from_their_definitions(tmp_path: Path) -> None:
    devices = hostdev_xml("0000:01:00.0") + vf_interface_xml("0000:02:10.1", "52:54:00:aa:00:01", vlan=7)
    domains = read_domains(Files(str(Tree(vms=(Vm(name="web", devices=devices), VM)).write(tmp_path))))
    assert isinstance(domains, tuple)
    assert [domain.name for domain in domains] == ["guest", "web"]
    pci, vf = domains[1].config_devices
    assert (pci.address, pci.element, pci.managed, pci.mac) == ("0000:01:00.0", "hostdev", True, None)
    assert (vf.address, vf.element, vf.mac) == ("0000:02:10.1", "interface", "52:54:00:aa:00:01")


def test_a_capture_without_definitions_does_not_know_its_vms(tmp_path: Path) -> None:
    domains = read_domains(Files(str(Tree(vms=None).write(tmp_path))))
    assert domains == Unknown("not captured: /etc/libvirt/qemu")
    assert read_domains(Files(str(ready_host(vms=()).write(tmp_path / "b")))) == ()


@pytest.mark.parametrize("content", ["", "<domain>", "<domain/>", "<domain><name>x</name></domain>"])
def test_a_damaged_definition_makes_the_vms_unknown(content: str, tmp_path: Path) -> None:
    tree = ready_host()
    tree.write(tmp_path)
    (tmp_path / "etc/libvirt/qemu/broken.xml").write_text(content)
    domains = read_domains(Files(str(tmp_path)))
    assert isinstance(domains, Unknown)
    assert "broken.xml" in domains.unknown


def test_a_host_from_a_tree_round_trips(tmp_path: Path) -> None:
    host = ready_host().read(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host


class TestFiles:
    """The door itself."""

    @pytest.mark.parametrize(
        ("content", "number"), [("5\n", 5), ("0x1003\n", 0x1003), ("-1\n", -1), (" 7 ", 7), ("0", 0)]
    )
    def test_numbers(self, content: str, number: int, tmp_path: Path) -> None:
        (tmp_path / "n").write_text(content)
        assert Files(str(tmp_path)).read_int("/n") == number

    def test_absent_is_none_everywhere(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        files = Files(str(tmp_path))
        for path in ("/absent", "/absent/below", "/file/below"):
            assert files.read_bytes(path) is None
            assert files.read_text(path) is None
            assert files.read_int(path) is None
            assert files.read_link(path) is None
            assert files.list_directory(path) is None
            assert not files.exists(path)

    def test_what_is_of_another_kind_is_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        files = Files(str(tmp_path))
        assert files.read_bytes("/folder") == Unknown("is a directory: /folder")
        assert files.read_link("/folder") == Unknown("not a symbolic link: /folder")

    def test_a_loop_of_links_is_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        assert isinstance(Files(str(tmp_path)).read_bytes("/loop"), Unknown)

    def test_a_dangling_link_is_there_and_reads_as_absent(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere/0000:01:00.0")
        files = Files(str(tmp_path))
        assert files.exists("/link")
        assert files.read_bytes("/link") is None
        assert files.read_link("/link") == "nowhere/0000:01:00.0"

    @pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, 200_000])
    def test_a_file_is_read_whole(self, size: int, tmp_path: Path) -> None:
        content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        (tmp_path / "f").write_bytes(content)
        assert Files(str(tmp_path)).read_bytes("/f") == content

    def test_bytes_that_are_no_text_are_kept_escaped(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"a\xffb\n")
        assert Files(str(tmp_path)).read_text("/f") == "a\\xffb"

    def test_an_atomic_write_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        files.write_atomic("/new/place/f", b"one")
        files.write_atomic("/new/place/f", b"two")
        assert files.read_bytes("/new/place/f") == b"two"
        assert files.list_directory("/new/place") == ("f",)
        assert (tmp_path / "new/place/f").stat().st_mode & 0o777 == 0o600
        files.remove("/new/place/f")
        files.remove("/new/place/f")
        assert files.list_directory("/new/place") == ()

    def test_a_kernel_attribute_is_never_created(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Files(str(tmp_path)).write_kernel("/unbind", "0000:01:00.0")
        assert not (tmp_path / "unbind").exists()

    def test_only_the_root_is_live(self) -> None:
        assert Files("/").is_live
        assert Files().is_live
        assert not Files("/srv/").is_live
        assert Files("/srv/").path("/sys") == "/srv/sys"


PCI_IDS = """#
#\tList of PCI ID's
#
0e11  Compaq Computer Corporation
\t0001  PCI to EISA Bridge
8086  Intel Corporation
\t10c9  82576 Gigabit Network Connection
\t\t103c 31ef  NC362i Integrated Dual Port Gigabit Server Adapter
\t\t8086 a01c  Gigabit ET Dual Port Server Adapter
# a comment in the midst of a vendor
\t10ca  82576 Virtual Function
8087  Intel Neighbour
\t1572  Not Intel's
C 02  Network controller
\t00  Ethernet controller
"""


@pytest.mark.parametrize(
    ("vendor_id", "device_id", "names"),
    [
        (0x8086, 0x10C9, ("Intel Corporation", "82576 Gigabit Network Connection")),
        (0x8086, 0x10CA, ("Intel Corporation", "82576 Virtual Function")),
        (0x8086, 0x1572, ("Intel Corporation", None)),
        (0x8086, 0xA01C, ("Intel Corporation", None)),
        (0x8087, 0x1572, ("Intel Neighbour", "Not Intel's")),
        (0x0E11, 0x0001, ("Compaq Computer Corporation", "PCI to EISA Bridge")),
        (0x103C, 0x31EF, (None, None)),
        (0xFFFF, 0xFFFF, (None, None)),
    ],
)
def test_names_come_from_pci_ids(vendor_id: int, device_id: int, names: tuple[str, str], tmp_path: Path) -> None:
    Files(str(tmp_path)).write_atomic(PLACES[0], PCI_IDS.encode())
    assert PciIds(Files(str(tmp_path))).names(vendor_id, device_id) == names


@pytest.mark.parametrize("content", [None, b"", b"8086  Intel", b"8086  Intel\n\t10c9  Gigabit"])
def test_a_pci_ids_that_is_absent_or_cut_off_is_borne(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        Files(str(tmp_path)).write_atomic(PLACES[0], content)
    vendor, _ = PciIds(Files(str(tmp_path))).names(0x8086, 0x10C9)
    assert vendor == ("Intel" if content else None)
