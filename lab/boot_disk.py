# SPDX-License-Identifier: Apache-2.0
"""A disk with partitions and a boot loader, as Debian's packages leave it: what a host with `boot` starts from.

Two artifacts: `bootpackages`, the packages that such a host has beside those of all hosts, a second kernel to be
installed on it, and UEFI's firmware; and `bootdisk`, made without mounting anything. The boot loader is installed by
the host itself, in one boot that needs none.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lab import qemu
from lab.cache import Cache, hash_code, hash_tree, recipe_key
from lab.image import FILES, Image
from lab.image import _add_files as add_files
from lab.image import _run as run_builder
from lab.running import make_overlay, run_tool, running
from lab.shape import Boot, Firmware, Initramfs, Iommu, Loader, Shape

ROOT_UUID = "6e696370-6173-4000-8000-000000000001"
_MIB = 1 << 20
_ROOT_SIZE = 4096  # MiB
_ESP_SIZE = 256  # MiB
_LOADERS: dict[tuple[Loader | None, Firmware], tuple[str, ...]] = {
    (Loader.GRUB, Firmware.BIOS): ("grub-pc",),
    (Loader.GRUB, Firmware.UEFI): ("grub-efi-amd64", "efibootmgr"),
    (Loader.SYSTEMD_BOOT, Firmware.UEFI): ("systemd-boot", "efibootmgr"),
}
_TOOLS = ("fdisk", "dosfstools")


@dataclass(frozen=True)
class _Layout:
    """The layout of a disk: sfdisk(8)'s script, and where the root's file system begins, in MiB."""

    script: str
    root_start: int

    @property
    def size(self) -> int:
        return self.root_start + _ROOT_SIZE + 1  # a GPT has its copy at the end


_LAYOUTS = {
    # GRUB embeds its core image between the MBR and the first partition.
    Firmware.BIOS: _Layout(f"label: dos\nstart=1MiB, size={_ROOT_SIZE}MiB, type=83, bootable\n", 1),
    Firmware.UEFI: _Layout(
        f"label: gpt\nstart=1MiB, size={_ESP_SIZE}MiB, type=uefi\nsize={_ROOT_SIZE}MiB, type=linux\n", 1 + _ESP_SIZE
    ),
}


def get_boot_disk(cache: Cache, image: Image, boot: Boot, arguments: tuple[str, ...]) -> Image:
    """The image of hosts that boot in this way, with `arguments` in the boot loader's configuration."""
    packages = _packages(boot)
    files = hash_tree(FILES / "boot")
    packages_key = recipe_key([image.base.parent.name, packages, files["download.sh"]])
    code = [hash_code(Path(__file__)), files]
    key = recipe_key([image.key, packages_key, boot.loader, boot.firmware, boot.initramfs, arguments, code])

    def build(out: Path) -> None:
        debs = cache.artifact(
            f"bootpackages-{packages_key}", lambda folder: _download_packages(image.base, packages, folder)
        )
        if boot.firmware is Firmware.UEFI:
            _copy_firmware(image, debs / "firmware", out)
        _Builder(image, boot, arguments, debs, out).build()

    folder = cache.artifact(f"bootdisk-{key}", build)
    return replace(image, key=key, disk=folder / "disk.img", ssh_key=folder / "ssh_key")


def _packages(boot: Boot) -> tuple[str, ...]:
    dracut = ("dracut",) if boot.initramfs is Initramfs.DRACUT else ()
    return (*_TOOLS, *_LOADERS[boot.loader, boot.firmware], *dracut)


def _download_packages(base: Path, packages: tuple[str, ...], out: Path) -> None:
    root = out / "root"
    run_builder("cp", "-a", "--reflink=auto", str(base), str(root))
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(FILES / "boot/download.sh", root / "download.sh")
    run_builder("chroot", str(root), "/download.sh", *packages)
    for name in ("debs", "firmware", "kernel"):
        (root / name).rename(out / name)
    shutil.rmtree(root)


def _copy_firmware(image: Image, firmware: Path, out: Path) -> None:
    shutil.copy(firmware / "OVMF_CODE_4M.fd", out / qemu.FIRMWARE)
    convert = ("convert", "-f", "raw", "-O", "qcow2", str(firmware / "OVMF_VARS_4M.fd"), str(out / qemu.VARIABLES))
    run_tool([*qemu.qemu_program(image.base, "qemu-img"), *convert])


@dataclass(frozen=True)
class _Builder:
    """The steps of one build, in the folder `out`."""

    image: Image
    boot: Boot
    arguments: tuple[str, ...]
    packages: Path
    out: Path

    @property
    def root(self) -> Path:
        return self.out / "root"

    @property
    def layout(self) -> _Layout:
        return _LAYOUTS[self.boot.firmware]

    def build(self) -> None:
        """Leave the disk and the ssh key in `out`, and nothing else."""
        run_builder("cp", "-a", "--reflink=auto", str(self.image.base), str(self.root))
        add_files(self.root, next((self.root / "usr/lib/modules").iterdir()).name)
        self._install_packages()
        self._partition()
        run_builder("chroot", str(self.root), "/customise.sh")
        (self.root / "customise.sh").unlink()
        (self.root / "root/.ssh/lab_key").rename(self.out / "ssh_key")
        self._fill_root()
        shutil.rmtree(self.root)
        self._install_loader()

    def _install_packages(self) -> None:
        """Install the packages by the tree's own dpkg, and make an initramfs for the first boot."""
        run_builder("cp", "-r", f"{FILES}/boot/image/.", str(self.root))
        run_builder("cp", "-r", str(self.packages / "debs"), str(self.root / "debs"))
        shutil.copy(FILES / "boot/install-packages.sh", self.root / "install-packages.sh")
        words = (str(self.boot.loader), self.boot.initramfs, ROOT_UUID, " ".join(self.arguments))
        run_builder("chroot", str(self.root), "/install-packages.sh", *words)
        run_builder("cp", "-r", str(self.packages / "kernel"), str(self.root / "var/lib/lab/kernel"))
        (self.root / "install-packages.sh").unlink()
        shutil.rmtree(self.root / "debs")

    def _partition(self) -> None:
        """Partition the disk by the tree's own sfdisk, which needs nothing of a disk but its file."""
        with (self.root / "disk.img").open("wb") as file:
            file.truncate(self.layout.size * _MIB)
        command = ("sh", "-c", 'printf %s "$1" | sfdisk --quiet /disk.img', "sh", self.layout.script)
        run_builder("chroot", str(self.root), *command)
        (self.root / "disk.img").rename(self.out / "disk.img")

    def _fill_root(self) -> None:
        run_builder(
            # GRUB reads neither of the two features that newer versions of mke2fs set.
            *("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum_seed,^orphan_file", "-U", ROOT_UUID),
            *("-E", f"offset={self.layout.root_start * _MIB}", "-d", str(self.root)),
            *(str(self.out / "disk.img"), f"{_ROOT_SIZE}M"),
        )

    def _install_loader(self) -> None:
        """Install the boot loader from inside the host, which QEMU boots this one time."""
        folder = self.out / "host"
        folder.mkdir()
        disk = replace(self.image, disk=self.out / "disk.img", ssh_key=self.out / "ssh_key")
        make_overlay(disk, folder)
        boot = Boot(loader=None, firmware=self.boot.firmware)
        shape = Shape("installing", Iommu.NONE, (), (f"root=UUID={ROOT_UUID}",), boot=boot)
        with running(disk, shape, folder, None) as machine:
            machine.wait_booted()
            machine.put_file("/run/install-loader.sh", (FILES / "boot/install-loader.sh").read_bytes())
            words = (str(self.boot.loader), self.boot.firmware, self.boot.initramfs)
            machine.succeed(["sh", "/run/install-loader.sh", *words], 900)
            machine.shutdown()
        run_tool([*qemu.qemu_program(disk.base, "qemu-img"), "commit", "-q", str(folder / qemu.OVERLAY)])
        if self.boot.firmware is Firmware.UEFI:
            (folder / qemu.VARIABLES).replace(self.out / qemu.VARIABLES)
        shutil.rmtree(folder)
