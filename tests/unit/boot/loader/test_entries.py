# SPDX-License-Identifier: Apache-2.0
"""Loaders with entries and files that know no comments: systemd-boot, blscfg, unified images, Proxmox, rpm-ostree."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.loader import choice as loaders
from nicpass.boot.loader import edits
from nicpass.boot.loader.bls import compare_versions
from nicpass.boot.loader.edits import CMDLINE, RECORD, VENDOR_CMDLINE, arguments_of, with_tokens, without_tokens
from nicpass.host.boot.configuration import read_boot
from nicpass.host.boot.efi_variables import VARIABLES
from nicpass.host.doors.files import Files
from nicpass.model.boot import Boot, BootChange, BootFile, InitramfsGenerator, Loader, invert_boot_change
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import Unknown
from tests.support.boot import GRUB2_PROGRAMS, MKCONFIG, UUID, BootTree, after_change, apply_files, grub_cfg, grubenv

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = ("intel_iommu=on", "iommu=pt")
MACHINE = "0123456789abcdef0123456789abcdef"
OTHER_MACHINE = "fedcba9876543210fedcba9876543210"
NEWER, OLDER = "6.1.0-18-amd64", "6.1.0-9-amd64"
ENTRY = "/boot/efi/loader/entries/{name}.conf"
EFIVARS = f"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n30 22 0:29 / {VARIABLES} rw - efivarfs efivarfs rw\n"


def debian_entry(kernel: str, machine: str = MACHINE, options: str = f"root=UUID={UUID} ro quiet") -> str:
    return (
        "# Boot Loader Specification type#1 entry\n"
        f"title      Debian GNU/Linux 12 (bookworm)\nversion    {kernel}\nmachine-id {machine}\nsort-key   debian\n"
        f"options    {options} systemd.machine_id={machine}\nlinux      /{machine}/{kernel}/linux\n"
        f"initrd     /{machine}/{kernel}/initrd.img-{kernel}\n"
    )


def fedora_entry(kernel: str, options: str = f"root=UUID={UUID} ro rhgb quiet") -> str:
    return (
        f"title Fedora Linux ({kernel}) 40 (Server Edition)\nversion {kernel}\nlinux /vmlinuz-{kernel}\n"
        f"initrd /initramfs-{kernel}.img $tuned_initrd\noptions {options} $tuned_params\n"
        "grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n"
    )


def systemd_boot(files: dict[str, str | bytes], **fields: Any) -> BootTree:
    variables = {"LoaderInfo": "systemd-boot 252.39-1~deb12u1"} | fields.pop("variables", {})
    common: dict[str, str | bytes] = {
        "/etc/machine-id": f"{MACHINE}\n",
        "/boot/efi/loader/loader.conf": "timeout 3\n",
    }
    files = common | files
    programs = ("kernel-install", "bootctl", *fields.pop("programs", ()))
    mounts = fields.pop("mounts", EFIVARS)
    return BootTree(files=files, programs=programs, menu=None, uefi=True, variables=variables, mounts=mounts, **fields)


DEBIAN = systemd_boot(
    {
        ENTRY.format(name=f"{MACHINE}-{NEWER}"): debian_entry(NEWER),
        ENTRY.format(name=f"{MACHINE}-{OLDER}"): debian_entry(OLDER),
        ENTRY.format(name=f"{OTHER_MACHINE}-9.9"): debian_entry("9.9", OTHER_MACHINE).replace("debian", "zz"),
    }
)
ARCH = systemd_boot(
    {
        ENTRY.format(
            name="arch"
        ): "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=/dev/vda2 rw\n",
        ENTRY.format(
            name="arch-fallback"
        ): "title Arch\nlinux /vmlinuz-linux\ninitrd /f.img\noptions root=/dev/vda2 rw",
        "/boot/efi/loader/loader.conf": "default  arch.conf\n#timeout 3\n",
    }
)
FEDORA = BootTree(
    programs=(*GRUB2_PROGRAMS, "grubby", "kernel-install"),
    mkconfig=MKCONFIG,
    folder="/boot/grub2",
    menu=grub_cfg() + "insmod blscfg\nblscfg\n",
    environment=grubenv(saved_entry=f"{MACHINE}-6.8.5-301.fc40.x86_64", kernelopts="root=/dev/vda1 ro"),
    files={
        "/etc/machine-id": MACHINE,
        "/etc/default/grub": 'GRUB_CMDLINE_LINUX="rhgb quiet"\nGRUB_ENABLE_BLSCFG=true\n',
        f"/boot/loader/entries/{MACHINE}-6.8.5-301.fc40.x86_64.conf": fedora_entry("6.8.5-301.fc40.x86_64"),
        f"/boot/loader/entries/{MACHINE}-6.11.4-201.fc40.x86_64.conf": fedora_entry("6.11.4-201.fc40.x86_64"),
        f"/boot/loader/entries/{MACHINE}-0-rescue.conf": fedora_entry("0-rescue"),
    },
)
RHEL_8 = BootTree(
    programs=FEDORA.programs,
    mkconfig=MKCONFIG,
    folder="/boot/grub2",
    menu=FEDORA.menu,
    environment=FEDORA.environment,
    files={
        "/etc/machine-id": MACHINE,
        f"/boot/loader/entries/{MACHINE}-6.8.5-301.fc40.x86_64.conf": fedora_entry("4.18.0-513.el8", "$kernelopts"),
    },
)
TREES = {"debian": DEBIAN, "arch": ARCH, "fedora": FEDORA, "rhel 8": RHEL_8}


def again(root: Path) -> Boot:
    return read_boot(Files(str(root)))


def contents(root: Path) -> dict[str, bytes]:
    """Every file below the folders where boot files stand."""
    places = [root / name for name in ("boot", "etc", "var", "efi") if (root / name).exists()]
    return {str(path.relative_to(root)): path.read_bytes() for p in places for path in p.rglob("*") if path.is_file()}


def text_of(root: Path, path: str) -> str:
    return (root / path.lstrip("/")).read_text()


@pytest.mark.parametrize(
    ("tree", "loader", "default", "arguments"),
    [
        (DEBIAN, Loader.SYSTEMD_BOOT, f"{MACHINE}-{NEWER}", f"root=UUID={UUID} ro quiet systemd.machine_id={MACHINE}"),
        (ARCH, Loader.SYSTEMD_BOOT, "arch", "root=/dev/vda2 rw"),
        (FEDORA, Loader.GRUB_BLS, f"{MACHINE}-6.8.5-301.fc40.x86_64", f"root=UUID={UUID} ro rhgb quiet"),
        (RHEL_8, Loader.GRUB_BLS, f"{MACHINE}-6.8.5-301.fc40.x86_64", "root=/dev/vda1 ro"),
    ],
    ids=TREES,
)
def test_what_boots_next(tree: BootTree, loader: Loader, default: str, arguments: str, tmp_path: Path) -> None:
    boot = tree.read(tmp_path)
    assert (boot.loaders, boot.default_entry) == ((loader,), default)
    assert loaders.arguments_of_next_boot(boot) == arguments
    assert (boot.can_try, boot.why_not_try) == (True, "")


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_ours_are_last_and_come_out_byte_for_byte(tree: BootTree, tmp_path: Path) -> None:
    tree.write(tmp_path)
    before = contents(tmp_path)
    apply_files(tmp_path, loaders.plan_arguments(again(tmp_path), TOKENS).files)
    if tree is not RHEL_8:
        assert str(loaders.arguments_of_next_boot(again(tmp_path))).endswith("intel_iommu=on iommu=pt")
    assert not loaders.plan_arguments(again(tmp_path), TOKENS).files
    apply_files(tmp_path, loaders.plan_arguments(again(tmp_path), ("iommu=pt",)).files)
    apply_files(tmp_path, loaders.plan_removal(again(tmp_path)).files)
    assert contents(tmp_path) == before
    assert not loaders.plan_removal(again(tmp_path))


def test_entries_of_another_installation_are_left_alone(tmp_path: Path) -> None:
    change = loaders.plan_arguments(DEBIAN.read(tmp_path), TOKENS)
    assert not any(OTHER_MACHINE in file.path for file in change.files)
    apply_files(tmp_path, change.files)
    assert text_of(tmp_path, CMDLINE) == (
        f"root=UUID={UUID} ro quiet systemd.machine_id={MACHINE} intel_iommu=on iommu=pt\n"
    )


def test_a_persons_own_entries_make_no_cmdline_file(tmp_path: Path) -> None:
    apply_files(tmp_path, loaders.plan_arguments(ARCH.read(tmp_path), TOKENS).files)
    assert not (tmp_path / CMDLINE.lstrip("/")).exists()
    assert text_of(tmp_path, ENTRY.format(name="arch-fallback")).endswith(
        "options root=/dev/vda2 rw intel_iommu=on iommu=pt"
    )


def test_an_entry_that_kernel_install_made_meanwhile_loses_ours_too(tmp_path: Path) -> None:
    files = DEBIAN.write(tmp_path)
    apply_files(tmp_path, loaders.plan_arguments(read_boot(files), TOKENS).files)
    options = " ".join(text_of(tmp_path, CMDLINE).split()).replace(f" systemd.machine_id={MACHINE}", "")
    newest = tmp_path / ENTRY.format(name=f"{MACHINE}-6.1.0-20-amd64").lstrip("/")
    newest.write_text(debian_entry("6.1.0-20-amd64", options=options))
    gone = tmp_path / ENTRY.format(name=f"{MACHINE}-{OLDER}").lstrip("/")
    gone.unlink()
    assert "6.1.0-20" in str(again(tmp_path).default_entry)
    assert not loaders.plan_arguments(again(tmp_path), TOKENS).generators
    apply_files(tmp_path, loaders.plan_removal(again(tmp_path)).files)
    assert newest.read_text() == debian_entry("6.1.0-20-amd64")
    assert not (tmp_path / RECORD.lstrip("/")).exists()


def test_what_others_edited_meanwhile_stays(tmp_path: Path) -> None:
    tree = systemd_boot(dict(DEBIAN.files) | {CMDLINE: "root=/dev/sda1 ro\n"})
    apply_files(tmp_path, loaders.plan_arguments(tree.read(tmp_path), TOKENS).files)
    cmdline = tmp_path / CMDLINE.lstrip("/")
    assert cmdline.read_text() == "root=/dev/sda1 ro intel_iommu=on iommu=pt\n"
    cmdline.write_text("root=/dev/sdb1 ro intel_iommu=on iommu=pt nosmt\n")
    apply_files(tmp_path, loaders.plan_removal(again(tmp_path)).files)
    assert cmdline.read_text() == "root=/dev/sdb1 ro nosmt\n"


def test_what_was_there_before_us_is_not_ours(tmp_path: Path) -> None:
    options = "root=/dev/vda2 rw iommu=pt intel_iommu=on"
    tree = systemd_boot({ENTRY.format(name="arch"): f"title A\nlinux /l\noptions {options}\n"})
    boot = tree.read(tmp_path)
    assert not loaders.plan_arguments(boot, TOKENS)
    assert not loaders.plan_removal(boot)


def test_the_vendors_cmdline_is_what_ours_are_added_to(tmp_path: Path) -> None:
    tree = systemd_boot(dict(DEBIAN.files) | {VENDOR_CMDLINE: "root=LABEL=x ro\n"})
    apply_files(tmp_path, loaders.plan_arguments(tree.read(tmp_path), TOKENS).files)
    assert text_of(tmp_path, CMDLINE) == "root=LABEL=x ro intel_iommu=on iommu=pt\n"
    assert text_of(tmp_path, VENDOR_CMDLINE) == "root=LABEL=x ro\n"


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    boot = systemd_boot(dict(DEBIAN.files) | {RECORD: "{"}).read(tmp_path)
    with pytest.raises(BadInputError, match=r"boot-edits\.json is damaged"):
        loaders.plan_arguments(boot, TOKENS)
    with pytest.raises(BadInputError, match=r"boot-edits\.json is damaged"):
        loaders.plan_removal(boot)


@pytest.mark.parametrize("tree", [DEBIAN, ARCH, FEDORA], ids=["debian", "arch", "fedora"])
def test_a_trial_is_booted_once_and_never_by_itself(tree: BootTree, tmp_path: Path) -> None:
    files = tree.write(tmp_path)
    before, boot = contents(tmp_path), read_boot(files)
    change = loaders.plan_trial(boot, TOKENS)
    trial = "nicpass-trial" if tree is FEDORA else "-nicpass-trial"
    assert [generator.argv[-1].removesuffix(".conf") for generator in change.generators] == [trial]
    apply_files(tmp_path, change.files)
    tried = again(tmp_path)
    assert tried.default_entry == boot.default_entry
    assert isinstance(tried.entries, tuple)
    arguments = {entry.identity: entry.arguments for entry in tried.entries}
    assert arguments[trial] == f"{loaders.arguments_of_next_boot(boot)} intel_iommu=on iommu=pt panic=30"
    assert not any("trial" in file.path for file in loaders.plan_arguments(tried, TOKENS).files)
    apply_files(tmp_path, loaders.plan_trial_end(tried).files)
    assert contents(tmp_path) == before


def test_the_trial_is_what_boots_next_and_can_be_forgotten(tmp_path: Path) -> None:
    apply_files(tmp_path, loaders.plan_trial(DEBIAN.read(tmp_path), TOKENS).files)
    variables = {"LoaderEntryOneShot": "-nicpass-trial.conf"}
    once = systemd_boot(dict(DEBIAN.files), variables=variables).read(tmp_path)
    assert once.one_shot == "-nicpass-trial"
    assert str(loaders.arguments_of_next_boot(once)).endswith("panic=30")
    end = loaders.plan_trial_end(once)
    assert [generator.argv for generator in end.generators] == [("bootctl", "set-oneshot", "")]
    back = invert_boot_change(end).generators
    assert [generator.argv for generator in back] == [("bootctl", "set-oneshot", "--", "-nicpass-trial.conf")]


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (systemd_boot(dict(DEBIAN.files), variables={"LoaderInfo": "systemd-boot 247.3"}), "older than 250"),
        (systemd_boot(dict(DEBIAN.files), mounts=EFIVARS.replace("efivarfs rw", "efivarfs ro")), "not mounted for"),
        (systemd_boot(dict(DEBIAN.files) | {"/boot/efi/EFI/Linux/a.efi": ""}), "a unified image may come first"),
        (systemd_boot({}), "there is no entry"),
        (
            systemd_boot(dict(DEBIAN.files), variables={"LoaderEntryDefault": ""}),
            "empty",
        ),
    ],
)
def test_where_systemd_boot_cannot_try(tree: BootTree, reason: str, tmp_path: Path) -> None:
    boot = tree.read(tmp_path)
    assert re.search(reason, boot.why_not_try), boot.why_not_try
    with pytest.raises(ImpossibleError, match=reason):
        loaders.plan_trial(boot, TOKENS)


@pytest.mark.parametrize(
    ("saved", "can_try"), [(f"{MACHINE}-6.8.5-301.fc40.x86_64", True), ("", False), ("1", False), ("gone", False)]
)
def test_blscfg_tries_only_where_the_default_is_named(saved: str, can_try: bool, tmp_path: Path) -> None:
    tree = BootTree(
        programs=FEDORA.programs, mkconfig=MKCONFIG, folder="/boot/grub2", menu=FEDORA.menu, files=FEDORA.files,
        environment=grubenv(saved_entry=saved),
    )  # fmt: skip
    assert tree.read(tmp_path).can_try is can_try


@pytest.mark.parametrize(
    ("config", "variables", "default"),
    [
        ("default debian*\n", {}, f"{MACHINE}-{NEWER}"),
        (f"default *-{OLDER}.conf\n", {}, f"{MACHINE}-{OLDER}"),
        ("default @saved\n", {"LoaderEntryLastBooted": f"{MACHINE}-{OLDER}.conf"}, f"{MACHINE}-{OLDER}"),
        ("default x\n", {"LoaderEntryDefault": f"{MACHINE.upper()}-{OLDER}.conf"}, f"{MACHINE}-{OLDER}"),
        ("", {}, f"{MACHINE}-{NEWER}"),
    ],
)
def test_systemd_boots_default(config: str, variables: dict[str, str], default: str, tmp_path: Path) -> None:
    files = dict(DEBIAN.files) | {"/boot/efi/loader/loader.conf": config}
    assert systemd_boot(files, variables=variables).read(tmp_path).default_entry == default


def test_an_entry_without_tries_left_is_not_the_default(tmp_path: Path) -> None:
    files = dict(DEBIAN.files) | {ENTRY.format(name=f"{MACHINE}-6.1.0-30-amd64+0-3"): debian_entry("6.1.0-30-amd64")}
    assert systemd_boot(files).read(tmp_path).default_entry == f"{MACHINE}-{NEWER}"


def test_rhel_8_shares_its_arguments_in_grubenv(tmp_path: Path) -> None:
    boot = RHEL_8.read(tmp_path)
    change = loaders.plan_arguments(boot, TOKENS)
    assert [generator.argv for generator in change.generators] == [
        ("grub2-editenv", "-", "set", "kernelopts=root=/dev/vda1 ro intel_iommu=on iommu=pt")
    ]
    assert change.generators[0].back == ("grub2-editenv", "-", "set", "kernelopts=root=/dev/vda1 ro")
    apply_files(tmp_path, change.files)
    (tmp_path / "boot/grub2/grubenv").write_bytes(grubenv(kernelopts="root=/dev/vda1 ro intel_iommu=on iommu=pt"))
    assert not loaders.plan_arguments(again(tmp_path), TOKENS)
    assert [generator.argv for generator in loaders.plan_removal(again(tmp_path)).generators] == [
        ("grub2-editenv", "-", "set", "kernelopts=root=/dev/vda1 ro")
    ]


def test_fedoras_opposite_argument_stays_before_ours(tmp_path: Path) -> None:
    name = f"/boot/loader/entries/{MACHINE}-6.8.5-301.fc40.x86_64.conf"
    files = dict(FEDORA.files) | {name: fedora_entry("6.8.5-301.fc40.x86_64", "root=/dev/vda1 ro intel_iommu=off")}
    tree = BootTree(
        programs=FEDORA.programs, mkconfig=MKCONFIG, folder="/boot/grub2", menu=FEDORA.menu, files=files,
        environment=FEDORA.environment,
    )  # fmt: skip
    apply_files(tmp_path, loaders.plan_arguments(tree.read(tmp_path), TOKENS).files)
    line = "options root=/dev/vda1 ro intel_iommu=off $tuned_params intel_iommu=on iommu=pt\n"
    assert line in text_of(tmp_path, name)
    assert "# nicpass prepare" in text_of(tmp_path, "/etc/default/grub")


def uki(files: dict[str, str | bytes], programs: tuple[str, ...]) -> BootTree:
    return BootTree(menu=None, uefi=True, variables={"StubInfo": "systemd-stub 255"}, files=files, programs=programs)


def test_unified_images_are_made_anew(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "/etc/kernel/install.conf": "layout=uki\nuki_generator=ukify\n",
        CMDLINE: "root=/dev/vda2 rw\n",
        "/usr/lib/modules/6.8.5/vmlinuz": "",
        "/usr/lib/modules/6.8.4/modules.dep": "",
        "/boot/vmlinuz-6.8.4": "",
    }
    boot = uki(files, ("kernel-install", "ukify")).read(tmp_path)
    assert (boot.loaders, boot.can_try) == ((Loader.UKI,), False)
    change = loaders.plan_arguments(boot, TOKENS)
    assert [generator.argv for generator in change.generators] == [
        ("kernel-install", "add", "6.8.4", "/boot/vmlinuz-6.8.4"),
        ("kernel-install", "add", "6.8.5", "/usr/lib/modules/6.8.5/vmlinuz"),
    ]
    apply_files(tmp_path, change.files)
    assert text_of(tmp_path, CMDLINE) == "root=/dev/vda2 rw intel_iommu=on iommu=pt\n"
    assert not loaders.plan_arguments(again(tmp_path), TOKENS).files
    assert len(loaders.plan_removal(again(tmp_path)).generators) == 2


def test_mkinitcpio_makes_unified_images_too(tmp_path: Path) -> None:
    preset = 'ALL_kver="/boot/vmlinuz-linux"\nPRESETS=(default)\ndefault_uki="/efi/EFI/Linux/arch-linux.efi"\n'
    files: dict[str, str | bytes] = {"/etc/mkinitcpio.d/linux.preset": preset, CMDLINE: "rw\n"}
    boot = uki(files, ("mkinitcpio",)).read(tmp_path)
    assert boot.generators == (InitramfsGenerator.MKINITCPIO,)
    assert [made.argv for made in loaders.plan_arguments(boot, TOKENS).generators] == [("mkinitcpio", "-P")]


@pytest.mark.parametrize(
    ("files", "error", "sentence"),
    [
        ({CMDLINE: "rw\n"}, ImpossibleError, "cannot tell what makes it"),
        ({"/etc/mkinitcpio.d/a.preset": "default_uki=x\n"}, BadInputError, "no place of their own"),
    ],
)
def test_a_unified_image_that_is_not_understood(
    files: dict[str, str | bytes], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        loaders.plan_arguments(uki(files, ()).read(tmp_path), TOKENS)


def test_proxmox_gets_ours_into_both(tmp_path: Path) -> None:
    tree = BootTree(
        programs=("proxmox-boot-tool", *BootTree().programs),
        files={
            "/etc/kernel/proxmox-boot-uuids": "1A2B-3C4D\n5E6F-7A8B\n",
            CMDLINE: "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        },
    )
    tree.write(tmp_path)
    before, boot = contents(tmp_path), again(tmp_path)
    assert boot.loaders == (Loader.PROXMOX,)
    change = loaders.plan_arguments(boot, TOKENS)
    assert [generator.argv for generator in change.generators] == [("proxmox-boot-tool", "refresh")]
    apply_files(tmp_path, change.files)
    assert text_of(tmp_path, CMDLINE) == "root=ZFS=rpool/ROOT/pve-1 boot=zfs intel_iommu=on iommu=pt\n"
    assert "iommu=pt" in text_of(tmp_path, "/etc/default/grub.d/zz-nicpass.cfg")
    assert not loaders.plan_arguments(again(tmp_path), TOKENS).files
    apply_files(tmp_path, loaders.plan_removal(again(tmp_path)).files)
    assert contents(tmp_path) == before
    with pytest.raises(ImpossibleError, match="cannot try"):
        loaders.plan_trial(boot, TOKENS)


def test_rpm_ostree_is_told_and_writes_itself(tmp_path: Path) -> None:
    entry = "title CoreOS\nversion 2\noptions root=UUID=1 intel_iommu=off {}ostree=/ostree/boot.1/x/0\nlinux /o/v\n"
    files: dict[str, str | bytes] = {"/run/ostree-booted": "", "/boot/loader/entries/ostree-2.conf": entry.format("")}
    tree = BootTree(menu=None, programs=("rpm-ostree",), files=files)
    boot = tree.read(tmp_path)
    assert boot.loaders == (Loader.RPM_OSTREE,)
    change = loaders.plan_arguments(boot, TOKENS)
    added = ("--append=intel_iommu=on", "--append=iommu=pt")
    gone = ("--delete-if-present=intel_iommu=on", "--delete-if-present=iommu=pt")
    assert [(made.argv, made.back) for made in change.generators] == [
        (("rpm-ostree", "kargs", *added), ("rpm-ostree", "kargs", *gone))
    ]
    apply_files(tmp_path, change.files)
    (tmp_path / "boot/loader/entries/ostree-2.conf").write_text(entry.format("intel_iommu=on iommu=pt "))
    assert not loaders.plan_arguments(again(tmp_path), TOKENS)
    assert [made.argv for made in loaders.plan_removal(again(tmp_path)).generators] == [("rpm-ostree", "kargs", *gone)]


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (BootTree(uefi=True, variables={"LoaderInfo": "GRUB 2.12"}), (Loader.GRUB,)),
        (BootTree(uefi=True, variables={"LoaderInfo": "rEFInd 0.14.2"}), ()),
        (BootTree(uefi=True, variables={"LoaderInfo": "systemd-boot 255.4"}), (Loader.SYSTEMD_BOOT,)),
        (BootTree(uefi=True), (Loader.GRUB,)),
        (BootTree(programs=()), ()),
        (BootTree(menu=None), ()),
        (BootTree(menu=None, programs=(), files={"/run/ostree-booted": ""}), ()),
        (BootTree(files={"/etc/kernel/proxmox-boot-uuids": ""}), (Loader.GRUB,)),
        (
            BootTree(
                files={
                    "/sys/firmware/efi/fw_platform_size": "64\n",
                    "/efi/loader/loader.conf": "",
                    "/efi/loader/entries/a.conf": "linux /a\n",
                }
            ),
            (Loader.GRUB, Loader.SYSTEMD_BOOT),
        ),
    ],
)
def test_which_loader_is_recognised(tree: BootTree, found: tuple[Loader, ...], tmp_path: Path) -> None:
    assert tree.read(tmp_path).loaders == found


def test_which_generator_is_in_use(tmp_path: Path) -> None:
    both = ("mkinitramfs", "dracut")
    hook = {"/etc/kernel/postinst.d/dracut": ""}
    assert BootTree(programs=both).read(tmp_path / "1").generators == (
        InitramfsGenerator.INITRAMFS_TOOLS,
        InitramfsGenerator.DRACUT,
    )
    assert BootTree(programs=both, files=hook).read(tmp_path / "2").generators == (InitramfsGenerator.DRACUT,)


def test_the_images_that_a_generator_has_made_are_found(tmp_path: Path) -> None:
    release, token = "6.1.0-18-amd64", "6e69637061737300000000006c616221"
    there = (
        f"/boot/initrd.img-{release}",
        "/boot/initramfs-linux.img",
        f"/boot/efi/{token}/{release}/initrd.img-{release}",
    )
    passing = (f"/boot/initrd.img-{release}.new", f"/boot/initrd.img-{release}.dpkg-bak", "/boot/initramfs.img.tmp")
    others = (*passing, f"/boot/vmlinuz-{release}", f"/usr/lib/modules/{release}/vmlinuz")
    assert set(BootTree(files=dict.fromkeys(there + others, "")).read(tmp_path).initramfs) == set(there)


@pytest.mark.parametrize("content", [b"\x06\0\0\0\xff", b"", b"\x06\0\0\0\x00\xd8\0\0", b"\x06\0"])
def test_a_damaged_variable_is_unknown(content: bytes, tmp_path: Path) -> None:
    tree = systemd_boot(dict(DEBIAN.files) | {f"{VARIABLES}/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": content})
    boot = tree.read(tmp_path)
    assert boot.loaders == (Loader.SYSTEMD_BOOT,), "by its files"
    assert not boot.can_try


def test_entries_that_cannot_be_read_are_unknown(tmp_path: Path) -> None:
    files = DEBIAN.write(tmp_path)
    place = tmp_path / ENTRY.format(name=f"{MACHINE}-{NEWER}").lstrip("/")
    place.unlink()
    place.mkdir()
    boot = read_boot(files)
    assert isinstance(boot.default_entry, Unknown)
    assert isinstance(loaders.arguments_of_next_boot(boot), Unknown)


def test_a_host_that_was_not_read_is_not_planned_for() -> None:
    boot = Boot(unread="not asked for")
    assert isinstance(loaders.arguments_of_next_boot(boot), Unknown)
    with pytest.raises(BadInputError, match="not asked for"):
        loaders.plan_arguments(boot, TOKENS)


CMDLINES = {
    "fedora": b"root=UUID=6d2d2a6b-5a9c-4f8e-9d5f-0c1b2a3d4e5f ro rhgb quiet \n",
    "proxmox": b"root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
    "arch": b"root=/dev/vda2 rw",
    "lines": b"root=/dev/vda2\nrw\nquiet\n\n",
    "empty": b"",
    "blank": b" \n",
    "dos": b"root=/dev/vda2 rw\r\n",
    "quoted": b'dyndbg="file drivers/iommu/* +p" rw\n',
    "opposite": b"intel_iommu=off iommu=nopt\n",
    "alike": b"xintel_iommu=on iommu=pty\n",
    "twice": b"intel_iommu=on iommu=pt intel_iommu=off\n",
    "not text": b"\xff\xfe rw\n",
}
_WORDS = st.lists(
    st.sampled_from([b"intel_iommu=on", b"iommu=pt", b"iommu=off", b" ", b"\n", b"\t", b"quiet", b"\xff"])
)


@pytest.mark.parametrize("content", CMDLINES.values(), ids=CMDLINES)
def test_every_cmdline_comes_back(content: bytes) -> None:
    edited = with_tokens(CMDLINE, content, TOKENS)
    assert arguments_of(CMDLINE, edited).endswith("intel_iommu=on iommu=pt")
    assert without_tokens(CMDLINE, edited, TOKENS) == content or not content.strip()


@given(_WORDS.map(b" ".join), st.sampled_from([b"", b"\n", b" \n", b"\r\n"]))
def test_any_cmdline_comes_back(words: bytes, end: bytes) -> None:
    content = words + end
    boot = Boot(files=(), loaders=(Loader.UKI,))
    boot = msgspec.structs.replace(boot, files=(BootFile(path=CMDLINE, content=content),))
    change = BootChange(files=edits.plan_edits(boot, TOKENS, (CMDLINE,)))
    edited = after_change(boot, change)
    back = after_change(edited, BootChange(files=edits.plan_edits_removal(edited)))
    assert back == boot


_ENTRY_LINES = st.lists(
    st.sampled_from([b"title x", b"options a b", b"options", b"options \t", b"linux /l", b"# options c", b"", b"\xff"])
    | st.binary(max_size=8).filter(lambda line: b"\n" not in line)
)


@given(_ENTRY_LINES.map(b"\n".join), st.booleans())
def test_any_entry_gets_ours_and_loses_just_them(content: bytes, ends: bool) -> None:
    path = "/boot/loader/entries/a.conf"
    content += b"\n" if ends else b""
    edited = with_tokens(path, content, TOKENS)
    assert arguments_of(path, edited).endswith("intel_iommu=on iommu=pt")
    assert [line for line in content.splitlines() if not line.startswith(b"options")] == [
        line for line in edited.splitlines() if not line.startswith(b"options")
    ]
    assert with_tokens(path, edited, TOKENS) == edited


@pytest.mark.spawns
def test_versions_are_compared_as_systemd_does() -> None:
    if (program := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed")
    names = [f"{MACHINE}-6.1.0-{n}-amd64" for n in (9, 18)] + ["arch", "-nicpass-trial", "6.1~rc2", "6.1", "a_b", "1a"]
    for one, other in itertools.combinations(names, 2):
        done = subprocess.run([program, "compare-versions", "--", one, other], capture_output=True, check=False)
        assert compare_versions(one, other) == {11: 1, 12: -1, 0: 0}[done.returncode], (one, other)


@given(st.text(st.sampled_from("ab01~-^._"), max_size=8), st.text(st.sampled_from("ab01~-^._"), max_size=8))
def test_comparing_versions_is_an_order(one: str, other: str) -> None:
    assert compare_versions(one, other) == -compare_versions(other, one)
    assert compare_versions(one, one) == 0
