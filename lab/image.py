# SPDX-License-Identifier: Apache-2.0
"""The box's disk: Debian 13 with libvirt, QEMU and the tools of the trade, built without mounting anything.

Two artifacts, so that a change of a file of ours does not fetch Debian again: `base`, the packages as a folder, and
`image`, a copy of it with our files, made into an ext4 file system. QEMU itself also runs out of `base`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.cache import Cache, hash_code, hash_tree, recipe_key
from lab.errors import LabError
from lab.guest_image import build_guest_initrd

FILES = Path(__file__).parent / "files"
PROJECT = Path(__file__).parent.parent
LOCK = PROJECT / "locks" / "host.txt"
DISK_SIZE = "4G"
SUITE = "trixie"
PYTHON = "3.13"  # of that suite
PACKAGES = (
    *("linux-image-amd64", "systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod", "procps", "zstd"),
    *("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils", "seabios", "ipxe-qemu"),
    *("python3", "python3-libvirt", "python3-venv", "pipx", "qemu-guest-agent", "openssh-server"),
    *("iproute2", "iputils-ping", "ethtool", "pciutils", "pci.ids", "driverctl", "dpdk", "busybox-static"),
    *("network-manager", "ifupdown"),  # masked, see customise.sh; the host's own manager is systemd-networkd
    *("python3-msgspec", "python3-rich"),  # what of nicpass's libraries Debian has; pip takes minutes under emulation
)
EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
DOMAINS = {  # name: (UUID, the box's serial port that is the guest's console)
    "web01": ("6e696370-6173-4000-8000-00000000eb01", "/dev/ttyS1"),
    "db01": ("6e696370-6173-4000-8000-00000000db01", "/dev/ttyS2"),
}


@dataclass(frozen=True)
class Image:
    """The files that a host is started from. `key` stands for the recipe of all of them."""

    key: str
    disk: Path
    kernel: Path
    initrd: Path
    ssh_key: Path
    base: Path


def get_image(cache: Cache) -> Image:
    """The image, built now if its recipe has changed or was never followed."""
    base = cache.artifact(f"base-{_base_key()}", _build_base)
    key = recipe_key([_base_key(), _code(), _files(), _dependencies(), DISK_SIZE, DOMAINS])
    folder = cache.artifact(f"image-{key}", lambda out: _build_image(base / "root", out))
    return Image(key, folder / "disk.img", folder / "vmlinuz", folder / "initrd.img", folder / "ssh_key", base / "root")


def find_base(cache: Cache) -> Path | None:
    """The Debian tree that the image is made of, if it was built."""
    found = cache.find(f"base-{_base_key()}")
    return None if found is None else found / "root"


def _base_key() -> str:
    setup = hash_tree(FILES / "image/etc/initramfs-tools")
    return recipe_key([SUITE, PACKAGES, EXCLUDED, setup])


def _code() -> list[str]:
    return [hash_code(Path(__file__).with_name(name)) for name in ("image.py", "guest_image.py")]


def _files() -> list[dict[str, str]]:
    """The files that go into the image; `read_state.py` beside them is sent to the host when it runs."""
    return [hash_tree(FILES / name) for name in ("image", "guest", "domains", "build")]


def _dependencies() -> str:
    """The versions of the libraries that nicpass needs, with their hashes."""
    return LOCK.read_text()


def _build_base(out: Path) -> None:
    # The initramfs settings go in first: the kernel package makes its initrd when it is installed.
    _run(
        "mmdebstrap",
        *("--mode=root", "--format=directory", "--variant=apt", f"--include={','.join(PACKAGES)}"),
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        f'--essential-hook=mkdir -p "$1/etc"; cp -r \'{FILES}/image/etc/initramfs-tools\' "$1/etc/"',
        "--dpkgopt=force-confold",
        *(SUITE, str(out / "root")),
    )


def _build_image(base: Path, out: Path) -> None:
    root = out / "root"
    _run("cp", "-a", "--reflink=auto", str(base), str(root))
    kernel = next((root / "usr/lib/modules").iterdir()).name
    shutil.copy(root / f"boot/vmlinuz-{kernel}", out / "vmlinuz")
    shutil.copy(root / f"boot/initrd.img-{kernel}", out / "initrd.img")
    _add_files(root, kernel)
    _run("chroot", str(root), "/customise.sh")
    (root / "customise.sh").unlink()
    (root / "root/.ssh/lab_key").rename(out / "ssh_key")
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(out / "disk.img"), DISK_SIZE)
    shutil.rmtree(root)


def _add_files(root: Path, kernel: str) -> None:
    _run("cp", "-r", f"{FILES}/image/.", str(root))
    shutil.copy(FILES / "build/customise.sh", root / "customise.sh")
    lab = root / "var/lib/lab"
    lab.mkdir()
    shutil.copy(root / f"boot/vmlinuz-{kernel}", lab / "guest-vmlinuz")
    (lab / "guest-initrd.img").write_bytes(build_guest_initrd(root, kernel))
    template = (FILES / "domains/domain.xml").read_text()
    for name, (uuid, tty) in DOMAINS.items():
        text = template.replace("NAME", name).replace("UUID", uuid).replace("TTY", tty)
        (lab / f"{name}.xml").write_text(text)
    _download_wheels(root / "opt/wheelhouse")


def _download_wheels(folder: Path) -> None:
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"),
        *("--python-version", PYTHON, "--implementation", "cp", "--platform", "manylinux2014_x86_64"),
        *("--dest", str(folder), "--no-deps", "--require-hashes", "--requirement", str(LOCK)),
    )


# Builders mount /proc and start helpers: in namespaces of their own, both are gone with them, however they end.
_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def _run(*command: str) -> None:
    """Run a builder to its end; its output is only shown if it fails."""
    done = subprocess.run(
        (*_CONTAINED, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        output = _last_lines(done.stdout + done.stderr)
        raise LabError("building the image failed", command=" ".join(command), exit_code=done.returncode, output=output)


def _last_lines(text: str, count: int = 40) -> str:
    return "\n".join(text.splitlines()[-count:])


def missing_tools(names: Sequence[str] = ("mmdebstrap", "mke2fs", "ssh", "setpriv")) -> list[str]:
    """The programs that the lab needs from the machine and does not find."""
    return [name for name in names if shutil.which(name) is None]
