# SPDX-License-Identifier: Apache-2.0
"""Hosts whose boot configuration somebody else writes, and folders that keep nothing: refused, with the words."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.boot.loader.authors import advise_author, describe_author
from nicpass.host.boot.authors import parse_load_option
from nicpass.host.boot.efi_variables import VARIABLES
from nicpass.host.doors.files import Files
from nicpass.model.boot import Author, BootChange, BootPurpose
from nicpass.model.errors import ImpossibleError
from nicpass.model.file_image import FileChange, RegularFile
from nicpass.model.plan import ChangeBoot
from nicpass.model.request import PrepareRequest
from nicpass.planner.boot.place import refuse_lost_files
from nicpass.planner.boot.prepare import plan_prepare
from tests.support.boot import MOUNTS, BootTree
from tests.support.hosts import nic, ready_host
from tests.support.reports import lay_out, run_on

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.boot import Boot

NIC = "0000:01:00.0"
OFF = ready_host(nic(NIC, "eth1", group=None), cmdline="ro quiet intel_iommu=off", iommu_units=())
READ_ONLY = "22 1 254:1 / / ro,relatime shared:1 - btrfs /dev/vda1 rw\n23 22 0:50 / /etc rw - overlay overlay rw\n"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def load_option(label: str, path: str, arguments: str) -> bytes:
    """An EFI_LOAD_OPTION with a file on a disk, behind the four bytes of attributes that efivarfs has."""
    name = f"{path}\0".encode("utf-16-le")
    nodes = struct.pack("<BBH", 4, 1, 42) + bytes(38) + struct.pack("<BBH", 4, 4, 4 + len(name)) + name
    nodes += struct.pack("<BBH", 0x7F, 0xFF, 4)
    head = struct.pack("<IH", 1, len(nodes)) + f"{label}\0".encode("utf-16-le")
    return b"\7\0\0\0" + head + nodes + arguments.encode("utf-16-le")


def by_firmware(content: bytes, **variables: str) -> BootTree:
    files: dict[str, str | bytes] = {
        f"{VARIABLES}/BootCurrent-{GLOBAL}": b"\6\0\0\0\3\0",
        f"{VARIABLES}/Boot0003-{GLOBAL}": content,
    }
    return BootTree(files=files, menu=None, programs=(), uefi=True, variables=variables)


STUB = by_firmware(load_option("Arch", "\\vmlinuz-linux", "root=/dev/sda2 rw initrd=\\initramfs-linux.img"))
AUTHORS: dict[Author, tuple[BootTree, str]] = {
    Author.NIXOS: (BootTree(files={"/etc/NIXOS": ""}), 'boot.kernelParams = [ "intel_iommu=on" ];'),
    Author.GUIX: (BootTree(files={"/etc/os-release": "ID=guix\n"}), "kernel-arguments"),
    Author.ELEMENTAL: (
        BootTree(
            cmdline="root=LABEL=COS_ACTIVE cos-img/filename=/cOS/active.img",
            files={"/oem/grubenv": ""},
        ),
        "grub2-editenv /oem/grubenv set extra_cmdline=intel_iommu=on",
    ),
    Author.UNRAID: (BootTree(files={"/etc/unraid-version": "7.0.0\n"}), "/boot/syslinux/syslinux.cfg"),
    Author.FLATCAR: (BootTree(files={"/etc/os-release": 'ID="flatcar"\n', "/oem/grub.cfg": ""}), "/oem/grub.cfg"),
    Author.UBUNTU_CORE: (BootTree(files={"/etc/os-release": "ID=ubuntu-core\n"}), "snap set system"),
    Author.TRUENAS: (BootTree(files={"/usr/bin/midclt": ""}), "kernel_extra_options"),
    Author.TRANSACTIONAL: (
        BootTree(files={"/usr/sbin/transactional-update": ""}, mounts=READ_ONLY),
        "transactional-update grub.cfg",
    ),
    Author.FIRMWARE: (STUB, "efibootmgr --create"),
}


def prepare(boot: Boot, root: Path, **request: Any) -> ImpossibleError:
    host = msgspec.structs.replace(OFF.read(root), boot=boot)
    with pytest.raises(ImpossibleError) as caught:
        plan_prepare(host, PrepareRequest(**request), None, {})
    return caught.value


@pytest.mark.parametrize("author", AUTHORS)
def test_nothing_is_written_there_and_the_place_is_told(author: Author, tmp_path: Path) -> None:
    tree, words = AUTHORS[author]
    boot = tree.read(tmp_path / "boot")
    assert boot.authorship is not None
    assert boot.authorship.author == author
    error = prepare(boot, tmp_path / "host")
    assert words in error.hint
    assert boot.authorship.shown in error.sentence


def test_every_author_is_here_and_has_advice_for_nics(tmp_path: Path) -> None:
    assert set(AUTHORS) == set(Author)
    for number, (tree, _) in enumerate(AUTHORS.values()):
        authorship = tree.read(tmp_path / str(number)).authorship
        assert authorship is not None
        assert "nicpass attach" in advise_author(authorship, (), (NIC,))
        assert "{" not in describe_author(authorship)


def test_a_nic_is_bound_on_nixos_by_its_address(tmp_path: Path) -> None:
    error = prepare(AUTHORS[Author.NIXOS][0].read(tmp_path / "boot"), tmp_path / "host", nics=("eth1",))
    assert f"echo vfio-pci > /sys/bus/pci/devices/{NIC}/driver_override" in error.hint
    assert "ids=" not in error.hint


def test_the_firmwares_own_entry_is_told_with_what_it_has(tmp_path: Path) -> None:
    error = prepare(STUB.read(tmp_path / "boot"), tmp_path / "host")
    assert "Boot0003 (Arch)" in error.sentence
    assert "--loader '\\vmlinuz-linux'" in error.hint
    assert "'root=/dev/sda2 rw initrd=\\initramfs-linux.img intel_iommu=on'" in error.hint


@pytest.mark.parametrize(
    "tree",
    [
        by_firmware(load_option("debian", "\\EFI\\debian\\shimx64.efi", "")),
        by_firmware(load_option("Arch", "\\vmlinuz", "root=/dev/sda2")[:40]),
        by_firmware(load_option("Arch", "\\vmlinuz", "root=/dev/sda2"), LoaderInfo="GRUB 2.12"),
        by_firmware(b""),
        BootTree(uefi=True),
        BootTree(files={"/usr/sbin/transactional-update": ""}),  # its root can be written
        BootTree(files={"/etc/os-release": "ID=debian\n"}),
    ],
)
def test_others_are_nobodys(tree: BootTree, tmp_path: Path) -> None:
    assert tree.read(tmp_path).authorship is None


@pytest.mark.parametrize("end", range(0, 120, 7))
def test_a_load_option_that_is_cut_off_is_none(end: int) -> None:
    content = load_option("A", "\\v", "root=/dev/a")[4:]
    assert parse_load_option(content[: min(end, len(content) - 30)]) is None


@pytest.mark.parametrize(
    ("mounts", "folder", "reason"),
    [
        (MOUNTS.replace("rw,relatime", "ro,relatime"), "/etc", "/ is mounted read-only"),
        (f"{MOUNTS}23 22 8:1 / /boot ro - vfat /dev/sda1 ro\n", "/boot/loader/entries", "/boot is mounted read-only"),
        ("1 1 0:2 / / rw - rootfs rootfs rw\n", "/etc/kernel", "kept in memory"),
        (f"{MOUNTS}23 22 0:9 / /etc rw - tmpfs tmpfs rw\n", "/etc/systemd/system", "kept in memory"),
        (
            "1 1 0:2 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/run/o/rw,workdir=/w\n"
            "2 1 0:3 / /run rw - tmpfs tmpfs rw\n",
            "/etc",
            "changes of / are kept in memory",
        ),
    ],
)
def test_folders_that_keep_nothing(mounts: str, folder: str, reason: str, tmp_path: Path) -> None:
    boot = BootTree(mounts=mounts).read(tmp_path / "boot")
    assert reason in dict(boot.unwritable)[folder]
    assert "cannot be written so that it stays" in prepare(boot, tmp_path / "host").sentence


def test_a_folder_that_is_a_link_counts_where_it_leads(tmp_path: Path) -> None:
    tree = BootTree(mounts=f"{MOUNTS}23 22 8:2 /store /store ro - ext4 /dev/sda2 rw\n")
    tree.write(tmp_path)
    (tmp_path / "etc/systemd").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").symlink_to("../../store/units")
    (tmp_path / "store/units").mkdir(parents=True)
    from nicpass.host.boot.authors import read_unwritable

    assert dict(read_unwritable(Files(str(tmp_path)))) == {"/etc/systemd/system": "/store is mounted read-only (ext4)"}


@pytest.mark.parametrize(("efi", "refused"), [("rw", False), ("ro", True)])
def test_an_esp_that_can_be_written_on_a_boot_that_cannot(efi: str, refused: bool, tmp_path: Path) -> None:
    mounts = f"{MOUNTS}23 22 8:1 / /boot ro - ext4 /dev/sda1 ro\n24 23 8:2 / /boot/efi {efi} - vfat /dev/sda2 {efi}\n"
    boot = BootTree(mounts=mounts).read(tmp_path)
    entry, old = "/boot/efi/loader/entries/nicpass-trial.conf", "/boot/loader/entries/nicpass-trial.conf"
    for path, lost in ((entry, refused), (old, True)):
        with pytest.raises(ImpossibleError) if lost else contextlib.nullcontext():
            refuse_lost_files(boot, [_written(path)])


def _written(path: str) -> ChangeBoot:
    change = BootChange(files=(FileChange(path=path, before=None, after=RegularFile(b"", 0o644)),))
    return ChangeBoot(purpose=BootPurpose.TRIAL, change=change)


def test_what_can_be_written_is_no_hindrance(tmp_path: Path) -> None:
    overlay = "1 1 0:2 / / rw - overlay overlay rw,upperdir=/up/rw\n2 1 8:1 / /up rw - ext4 /dev/sda1 rw\n"
    for number, mounts in enumerate((MOUNTS, overlay, "")):
        assert BootTree(mounts=mounts).read(tmp_path / str(number)).unwritable == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("14-nixos", 'boot.kernelParams = [ "intel_iommu=on" ];'),
        ("15-image-based-hosts/tree-microos", "sdbootutil update-all-entries"),
        ("15-image-based-hosts/tree-elemental", "extra_cmdline=intel_iommu=on"),
    ],
)
def test_the_reports_get_no_plan_but_the_place(name: str, words: str, tmp_path: Path) -> None:
    root = lay_out(name, tmp_path)
    code, told = run_on(root, "prepare", "--dry-run")
    assert code == 3
    assert words in told
    assert "/usr/lib/dracut" not in told


def test_the_report_of_nixos_with_a_nic(tmp_path: Path) -> None:
    code, told = run_on(lay_out("14-nixos", tmp_path), "prepare", "enp1s0f0", "--dry-run")
    assert code == 3
    assert "boot.initrd.kernelModules" in told
    assert "systemd.services" in told
