# SPDX-License-Identifier: Apache-2.0
"""The reader of PCI functions, on trees like those of a real kernel."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.host.doors.files import Files
from nicpass.host.pci.details import OF_A_VF
from nicpass.host.pci.functions import read_function, read_pci
from nicpass.model.address import Address
from nicpass.model.fact import Unknown, known
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from tests.support.hosts import bridge, generate_functions, nic, nvme, pf_with_vfs, virtio_disk, virtio_nic
from tests.support.trees import Function, Tree

NIC = "0000:01:00.0"
FOLDER = f"sys/devices/pci0000:01/{NIC}"


def read_one(function: Function, root: Path) -> PciFunction:
    (found,) = read_pci(Files(str(Tree(functions=(function,)).write(root))))
    return found


def test_a_nic_is_read_whole(tmp_path: Path) -> None:
    port = bridge("0000:00:01.0")
    function = nic(NIC, "eth1", under="0000:00:01.0", numa_node=1, driver_override="vfio-pci", group=7)
    tree = Tree(functions=(port, function))
    read = read_function(Files(str(tree.write(tmp_path))), Address(NIC))
    assert read == PciFunction(
        address=Address(NIC),
        class_code=0x020000,
        vendor_id=0x8086,
        device_id=0x10FB,
        subsystem_vendor_id=0x8086,
        subsystem_device_id=0x0003,
        driver="ixgbe",
        driver_override="vfio-pci",
        bridge=Address("0000:00:01.0"),
        iommu_group=7,
        numa_node=1,
        reset_methods=("flr", "bus"),
        netdevs=("eth1",),
    )


@pytest.mark.parametrize(
    ("function", "field", "value"),
    [
        (nic(NIC, numa_node=-1), "numa_node", None),
        (nic(NIC, numa_node=0), "numa_node", 0),
        (nic(NIC, driver=None), "driver", None),
        (nic(NIC), "driver_override", None),
        (nic(NIC, group=None), "iommu_group", None),
        (nic(NIC, group=0), "iommu_group", 0),
        (nic(NIC, reset_methods=()), "reset_methods", None),
        (nic(NIC, reset_methods=("pm",)), "reset_methods", ("pm",)),
        (nic(NIC), "totalvfs", None),
        (nic(NIC, totalvfs=0), "totalvfs", 0),
        (nic(NIC, totalvfs=63), "numvfs", 0),
        (nic(NIC), "netdevs", None),
        (nic(NIC, "b", "a"), "netdevs", ("a", "b")),
        (nic(NIC), "bridge", None),
        (nic(NIC), "physfn", None),
        (virtio_nic(NIC, "eth0", 3), "netdevs", ("eth0",)),
        (virtio_nic(NIC, "eth0", 3), "block_devices", ()),
        (virtio_disk(NIC, "vda", 0), "block_devices", ("vda",)),
        (virtio_disk(NIC, "vda", 0), "netdevs", None),
        (nvme(NIC, "nvme0n1", 3), "block_devices", ("nvme0n1",)),
        (nic("10000:01:00.0"), "address", "10000:01:00.0"),
    ],
)
def test_each_fact_is_read(function: Function, field: str, value: object, tmp_path: Path) -> None:
    assert getattr(read_one(function, tmp_path), field) == value


def test_a_pf_and_its_vfs_name_each_other(tmp_path: Path) -> None:
    functions = pf_with_vfs(NIC, "eth1", 12)
    pf, *vfs = read_pci(Files(str(Tree(functions=functions).write(tmp_path))))
    assert (pf.totalvfs, pf.numvfs) == (63, 12)
    # virtfn10 comes after virtfn9, not after virtfn1.
    assert pf.virtfns == tuple(vf.address for vf in vfs)
    assert {vf.physfn for vf in vfs} == {pf.address}
    assert pf.physfn is None
    assert pf.virtfn_indices is None


def test_a_vf_keeps_its_index_where_another_is_missing(tmp_path: Path) -> None:
    """A link that is gone or leads nowhere must not give its neighbour's settings to a VF."""
    functions = pf_with_vfs(NIC, "eth1", 4)
    root = Tree(functions=functions).write(tmp_path)
    folder = Path(root) / f"sys/bus/pci/devices/{NIC}"
    (folder / "virtfn1").unlink()
    (folder / "virtfn2").unlink()
    (folder / "virtfn2").symlink_to("../nowhere")
    (folder / "virtfn123456789").symlink_to("../0000:01:11.0")
    files = Files(str(root))
    pf = next(function for function in read_pci(files) if function.address == NIC)
    vfs = [function.address for function in functions[1:]]
    assert (pf.virtfns, pf.virtfn_indices) == ((vfs[0], vfs[3]), (0, 3))
    assert HostIndex(Host(pci=(pf,))).vf_indices == {vfs[0]: (NIC, 0), vfs[3]: (NIC, 3)}


def test_functions_are_in_the_order_of_lspci(tmp_path: Path) -> None:
    addresses = ["10000:00:00.0", "0001:00:00.0", "0000:ff:00.0", "0000:02:1f.0", "0000:02:03.7", "0000:02:03.0"]
    tree = Tree(functions=tuple(nic(address) for address in addresses))
    assert [f.address for f in read_pci(Files(str(tree.write(tmp_path))))] == addresses[::-1]


def test_no_pci_bus_is_no_function(tmp_path: Path) -> None:
    assert read_pci(Files(str(tmp_path))) == ()


def test_without_uevent_the_attributes_answer(tmp_path: Path) -> None:
    read_one(nic(NIC, "eth1"), tmp_path)
    whole = read_function(Files(str(tmp_path)), Address(NIC))
    (tmp_path / FOLDER / "uevent").unlink()
    assert read_function(Files(str(tmp_path)), Address(NIC)) == whole


def test_an_old_kernel_has_a_reset_and_does_not_say_which(tmp_path: Path) -> None:
    read_one(nic(NIC), tmp_path)
    (tmp_path / FOLDER / "reset_method").unlink()
    methods = read_function(Files(str(tmp_path)), Address(NIC)).reset_methods
    assert isinstance(methods, Unknown)
    assert "reset_method" in methods.unknown


class DenyingFiles(Files):
    """Permission denied, or another errno, for some of the paths: root itself is never refused."""

    def __init__(self, root: Path, *endings: str, code: int = errno.EACCES) -> None:
        super().__init__(str(root))
        self.denied, self.code = endings, code

    def read_bytes(self, path: str, limit: int | None = None) -> bytes | Unknown | None:
        return self._answer(path) or super().read_bytes(path, limit)

    def read_attribute(self, path: str) -> str | Unknown | None:
        return self._answer(path) or super().read_attribute(path)

    def read_link(self, path: str) -> str | Unknown | None:
        return self._answer(path) or super().read_link(path)

    def list_directory(self, path: str) -> tuple[str, ...] | Unknown | None:
        return self._answer(path) or super().list_directory(path)

    def _answer(self, path: str) -> Unknown | None:
        return Unknown(f"{os.strerror(self.code).lower()}: {path}") if path.endswith(self.denied) else None


@pytest.mark.parametrize(
    ("ending", "field"),
    [
        ("/driver_override", "driver_override"),
        ("/iommu_group", "iommu_group"),
        ("/numa_node", "numa_node"),
        ("/reset_method", "reset_methods"),
        ("/sriov_totalvfs", "totalvfs"),
        ("/sriov_numvfs", "numvfs"),
        ("/net", "netdevs"),
    ],
)
def test_what_may_not_be_read_is_unknown_not_absent(ending: str, field: str, tmp_path: Path) -> None:
    pf, *_ = pf_with_vfs(NIC, "eth1", 0)
    read_one(pf, tmp_path)
    fact = getattr(read_function(DenyingFiles(tmp_path, ending), Address(NIC)), field)
    assert isinstance(fact, Unknown)
    assert fact.unknown.startswith("permission denied: /sys/")


@pytest.mark.parametrize("field", ["class_code", "vendor_id", "driver", "iommu_group", "netdevs", "totalvfs"])
def test_of_a_folder_that_may_not_be_listed_all_is_unknown(field: str, tmp_path: Path) -> None:
    read_one(nic(NIC, "eth1"), tmp_path)
    function = read_function(DenyingFiles(tmp_path, NIC), Address(NIC))
    assert isinstance(getattr(function, field), Unknown)


# A VF's folder is not listed where its PF has told of it.


class CountingFiles(Files):
    """Keeps in mind which folders were listed."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.listed: list[str] = []

    def list_directory(self, path: str) -> tuple[str, ...] | Unknown | None:
        self.listed.append(path.rsplit("/", 1)[-1])
        return super().list_directory(path)


VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"driver": None},
    {"driver_override": "vfio-pci", "driver": "vfio-pci", "netdevs": ()},
    {"group": None, "reset_methods": ()},
    {"class_code": 0x010802, "driver": "nvme", "disks": ("nvme0n1",), "netdevs": ()},
    {"vendor_id": 0x1AF4, "driver": "virtio-pci", "virtio": 3},
)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("lacking", ["", "uevent", "reset_method", "numa_node", "physfn", "net"])
def test_a_vf_is_read_with_its_pf_as_it_is_by_itself(variant: dict[str, object], lacking: str, tmp_path: Path) -> None:
    pf, first, second = pf_with_vfs(NIC, "eth1", 2)
    vf = dataclasses.replace(first, **variant)  # type: ignore[arg-type]
    Tree(functions=(pf, vf, second)).write(tmp_path)
    folder = tmp_path / f"sys/bus/pci/devices/{vf.address}"
    (folder / "infiniband/mlx5_2").mkdir(parents=True)
    gone = folder / lacking
    if lacking and gone.is_dir() and not gone.is_symlink():
        shutil.rmtree(gone)
    elif lacking:
        gone.unlink(missing_ok=True)
    files = Files(str(tmp_path))
    by_pf = {function.address: function for function in read_pci(files)}
    alone = read_function(files, Address(vf.address))
    details = {field: getattr(alone, field) for field in OF_A_VF}
    assert msgspec.structs.replace(by_pf[Address(vf.address)], **details) == alone


def test_only_folders_of_what_may_have_more_are_listed(tmp_path: Path) -> None:
    pf, first, second, third = pf_with_vfs(NIC, "eth1", 3)
    strange = dataclasses.replace(second, vendor_id=0x1AF4, driver="virtio-pci", virtio=3)
    files = CountingFiles(Tree(functions=(pf, first, strange, third)).write(tmp_path))
    read_pci(files)
    assert {name for name in files.listed if ":" in name} == {pf.address, strange.address}


@pytest.mark.parametrize(
    ("ending", "field"),
    [
        ("/uevent", "class_code"),
        ("/driver_override", "driver_override"),
        ("/iommu_group", "iommu_group"),
        ("/net", "netdevs"),
        ("/numa_node", "numa_node"),
        ("/reset_method", "reset_methods"),
        ("/physfn", "physfn"),
    ],
)
def test_what_may_not_be_read_of_a_vf_is_unknown(ending: str, field: str, tmp_path: Path) -> None:
    pf, vf = pf_with_vfs(NIC, "eth1", 1)
    Tree(functions=(pf, vf)).write(tmp_path)
    denied = [f"{vf.address}{ending}", *([f"{vf.address}/class"] if ending == "/uevent" else [])]
    found = {function.address: function for function in read_pci(DenyingFiles(tmp_path, *denied))}
    assert isinstance(getattr(found[Address(vf.address)], field), Unknown)


@pytest.mark.parametrize("name", ["numa_node", "sriov_totalvfs"])
@pytest.mark.parametrize("content", ["", "many\n", "0x\n", "1 2\n"])
def test_what_is_no_number_is_unknown_not_zero(name: str, content: str, tmp_path: Path) -> None:
    pf, *_ = pf_with_vfs(NIC, "eth1", 0)
    read_one(pf, tmp_path)
    (tmp_path / FOLDER / name).write_text(content)
    function = read_function(Files(str(tmp_path)), Address(NIC))
    assert isinstance(function.numa_node if name == "numa_node" else function.totalvfs, Unknown)


def test_a_function_that_goes_away_meanwhile_is_absent_not_a_crash(tmp_path: Path) -> None:
    read_one(nic(NIC, "eth1"), tmp_path)
    shutil.rmtree(tmp_path / FOLDER)
    assert read_function(Files(str(tmp_path)), Address(NIC)).class_code is None


def test_the_generated_hosts_have_as_many_functions_as_asked_for() -> None:
    for count in (1, 65, 66, 1024, 8192):
        functions = generate_functions(count)
        assert len({function.address for function in functions}) == count
        assert known(functions[-1].group)


@pytest.mark.spawns
@pytest.mark.skipif(shutil.which("lspci") is None, reason="pciutils is not installed")
def test_lspci_reads_the_same_functions(tmp_path: Path) -> None:
    """The trees are like sysfs, or pciutils would not read them; and both see the same."""
    import subprocess

    tree = Tree(functions=(bridge("0000:00:01.0"), *pf_with_vfs(NIC, "eth1", 3, under="0000:00:01.0")))
    functions = read_pci(Files(str(tree.write(tmp_path))))
    argv = ["lspci", "-O", f"sysfs.path={tmp_path}/sys/bus/pci", "-Dvmmnnk"]  # lspci's PATH is the test's own
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    records = [dict(line.split(":\t", 1) for line in block.splitlines()) for block in output.strip().split("\n\n")]
    assert [(r["Slot"], r["Driver"], int(r["IOMMUGroup"])) for r in records] == [
        (f.address, f.driver, f.iommu_group) for f in functions
    ]
    assert [r["Device"].rsplit("[", 1)[-1] for r in records] == [f"{f.device_id:04x}]" for f in functions]
