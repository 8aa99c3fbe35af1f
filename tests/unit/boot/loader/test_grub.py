# SPDX-License-Identifier: Apache-2.0
"""GRUB with grub-mkconfig: what boots, our arguments last, out again byte for byte, tried once where it can be."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.loader import choice as loaders
from nicpass.boot.loader.grub import DEFAULTS, OUR_FILE, TRIAL_ENTRY, configured_arguments
from nicpass.boot.loader.grub_menu import entries_of, find_default, find_entry, parse_environment, parse_menu
from nicpass.host.boot.configuration import read_boot
from nicpass.host.doors.files import Files
from nicpass.model.boot import Loader
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import Unknown
from nicpass.model.file_image import RegularFile
from tests.support.boot import (
    GRUB2_PROGRAMS,
    MKCONFIG,
    MOUNTS,
    UUID,
    BootTree,
    apply_files,
    grub_cfg,
    grubenv,
)

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.boot import Boot

TOKENS = ("intel_iommu=on", "iommu=pt")
NEWER, OLDER = "6.1.0-18-amd64", "6.1.0-17-amd64"
DEBIAN = BootTree(files={DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n'})
SUSE = BootTree(programs=GRUB2_PROGRAMS, mkconfig=MKCONFIG, folder="/boot/grub2", files=DEBIAN.files)
CUSTOM = "/boot/grub/custom.cfg"


def test_debian_is_recognised(tmp_path: Path) -> None:
    boot = DEBIAN.read(tmp_path)
    assert (boot.loaders, boot.uefi, boot.reads_grub_d) == ((Loader.GRUB,), False, True)
    assert boot.default_entry == f"gnulinux-simple-{UUID}"
    assert loaders.arguments_of_next_boot(boot) == f"root=UUID={UUID} ro quiet"
    assert (boot.one_shot, boot.can_try, boot.why_not_try) == (None, True, "")


def test_entries_have_their_kernels_and_ways(tmp_path: Path) -> None:
    boot = BootTree(menu=grub_cfg(kernels=(NEWER, OLDER))).read(tmp_path)
    assert isinstance(boot.entries, tuple)
    assert [(found.identity.replace(UUID, "U"), found.kernel) for found in boot.entries] == [
        ("gnulinux-simple-U", NEWER),
        (f"gnulinux-advanced-U>gnulinux-{NEWER}-advanced-U", NEWER),
        (f"gnulinux-advanced-U>gnulinux-{OLDER}-advanced-U", OLDER),
    ]


@pytest.mark.parametrize(
    ("default", "kernel"),
    [
        ("0", NEWER),
        ("1>1", OLDER),
        (f"gnulinux-advanced-{UUID}>gnulinux-{OLDER}-advanced-{UUID}", OLDER),
        (f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {OLDER}", OLDER),
        ("no such entry", NEWER),
        ("17", NEWER),
        ("", NEWER),
    ],
)
def test_the_default_is_found_as_grub_finds_it(default: str, kernel: str, tmp_path: Path) -> None:
    menu = grub_cfg(default="${saved_entry}", kernels=(NEWER, OLDER))
    boot = BootTree(menu=menu, environment=grubenv(saved_entry=default)).read(tmp_path)
    assert isinstance(boot.entries, tuple)
    assert [found.kernel for found in boot.entries if found.identity == boot.default_entry] == [kernel]


def test_a_submenu_as_default_is_unknown(tmp_path: Path) -> None:
    boot = BootTree(menu=grub_cfg(default="1")).read(tmp_path)
    assert isinstance(boot.default_entry, Unknown)
    assert not boot.can_try


def test_the_entry_of_the_next_boot_only_comes_first(tmp_path: Path) -> None:
    menu = grub_cfg(kernels=(NEWER, OLDER))
    boot = BootTree(menu=menu, environment=grubenv(next_entry="1>1")).read(tmp_path)
    assert boot.one_shot == f"gnulinux-advanced-{UUID}>gnulinux-{OLDER}-advanced-{UUID}"


def test_a_file_of_our_own_where_the_folder_is_read(tmp_path: Path) -> None:
    boot = DEBIAN.read(tmp_path)
    change = loaders.plan_arguments(boot, TOKENS)
    assert [file.path for file in change.files] == [OUR_FILE]
    assert [generator.argv for generator in change.generators] == [("update-grub",)]
    assert change.generators[0].makes == boot.generated
    apply_files(tmp_path, change.files)
    changed = DEBIAN.read(tmp_path)
    assert configured_arguments(changed) == "quiet intel_iommu=on iommu=pt"
    assert loaders.plan_arguments(changed, TOKENS).files == ()
    assert loaders.plan_arguments(changed, TOKENS).generators, "grub.cfg has not been made anew yet"
    made = BootTree(files=DEBIAN.files, menu=grub_cfg(arguments="root=/dev/sda1 ro quiet intel_iommu=on iommu=pt"))
    assert not loaders.plan_arguments(made.read(tmp_path), TOKENS)


def test_the_folder_is_made_and_goes_again(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    files = DEBIAN.write(tmp_path)
    shutil.rmtree(tmp_path / "etc/default/grub.d")
    apply_files(tmp_path, loaders.plan_arguments(read_boot(files), TOKENS).files)
    assert (tmp_path / OUR_FILE.lstrip("/")).exists()
    apply_files(tmp_path, loaders.plan_removal(read_boot(files)).files)
    assert not (tmp_path / "etc/default/grub.d").exists()


def again(root: Path) -> Boot:
    return read_boot(Files(str(root)))


@pytest.mark.parametrize("tree", [DEBIAN, SUSE], ids=["grub.d", "no grub.d"])
def test_new_tokens_replace_the_old_ones(tree: BootTree, tmp_path: Path) -> None:
    apply_files(tmp_path, loaders.plan_arguments(tree.read(tmp_path), TOKENS).files)
    apply_files(tmp_path, loaders.plan_arguments(again(tmp_path), ("intel_iommu=on",)).files)
    assert configured_arguments(again(tmp_path)) == "quiet intel_iommu=on"
    apply_files(tmp_path, loaders.plan_arguments(again(tmp_path), ()).files)
    assert (tmp_path / DEFAULTS.lstrip("/")).read_bytes() == str(DEBIAN.files[DEFAULTS]).encode()


def test_one_line_of_ours_where_no_folder_is_read(tmp_path: Path) -> None:
    change = loaders.plan_arguments(SUSE.read(tmp_path), TOKENS)
    assert [generator.argv for generator in change.generators] == [("grub2-mkconfig", "-o", "/boot/grub2/grub.cfg")]
    apply_files(tmp_path, change.files)
    lines = (tmp_path / DEFAULTS.lstrip("/")).read_text().splitlines()
    assert lines[-1] == (
        'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on iommu=pt"'
        " # nicpass prepare: intel_iommu=on iommu=pt"
    )
    assert configured_arguments(again(tmp_path)) == "quiet intel_iommu=on iommu=pt"


def test_what_others_added_to_our_line_stays(tmp_path: Path) -> None:
    apply_files(tmp_path, loaders.plan_arguments(SUSE.read(tmp_path), TOKENS).files)
    defaults = tmp_path / DEFAULTS.lstrip("/")
    defaults.write_text(defaults.read_text().replace('iommu=pt"', 'iommu=pt nosmt"') + "GRUB_TIMEOUT=9\n")
    apply_files(tmp_path, loaders.plan_removal(again(tmp_path)).files)
    assert defaults.read_text() == (
        str(DEBIAN.files[DEFAULTS])
        + 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT   nosmt"\nGRUB_TIMEOUT=9\n'
    )


def test_a_file_that_sets_it_anew_after_ours_is_named(tmp_path: Path) -> None:
    late = "/etc/default/grub.d/zzz-late.cfg"
    tree = BootTree(files={late: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n'})
    with pytest.raises(BadInputError, match=r"zzz-late\.cfg is read after"):
        loaders.plan_arguments(tree.read(tmp_path), TOKENS)
    harmless = BootTree(files={late: 'GRUB_CMDLINE_LINUX_DEFAULT="panic=5 $GRUB_CMDLINE_LINUX_DEFAULT"\n'})
    assert loaders.plan_arguments(harmless.read(tmp_path), TOKENS)


@pytest.mark.parametrize("text", ["A='open\n", "A=1 \\\n", "if true; then\nA=1\n", "cat <<X\n", "return 0\n"])
def test_a_file_that_does_not_end_is_left_alone(text: str, tmp_path: Path) -> None:
    tree = BootTree(programs=GRUB2_PROGRAMS, mkconfig=MKCONFIG, folder="/boot/grub2", files={DEFAULTS: text})
    with pytest.raises(BadInputError, match="ends in the middle"):
        loaders.plan_arguments(tree.read(tmp_path), TOKENS)


def test_a_trial_is_a_copy_that_is_booted_once(tmp_path: Path) -> None:
    change = loaders.plan_trial(DEBIAN.read(tmp_path), TOKENS)
    assert [(made.argv, made.back) for made in change.generators] == [
        (("grub-reboot", TRIAL_ENTRY), ("grub-editenv", "-", "unset", "next_entry"))
    ]
    apply_files(tmp_path, change.files)
    (tmp_path / "boot/grub/grubenv").write_bytes(grubenv(next_entry=TRIAL_ENTRY))
    boot = again(tmp_path)
    assert (boot.one_shot, boot.default_entry) == (TRIAL_ENTRY, f"gnulinux-simple-{UUID}")
    assert loaders.arguments_of_next_boot(boot) == f"root=UUID={UUID} ro quiet intel_iommu=on iommu=pt panic=30"
    text = (tmp_path / CUSTOM.lstrip("/")).read_text()
    assert "savedefault" not in text
    assert "initrd\t/boot/initrd.img-6.1.0-18-amd64\n}" in text
    end = loaders.plan_trial_end(boot)
    assert [made.argv for made in end.generators] == [("grub-editenv", "-", "unset", "next_entry")]
    apply_files(tmp_path, end.files)
    assert not (tmp_path / CUSTOM.lstrip("/")).exists()


@pytest.mark.parametrize("custom", ["", "set timeout=3", "set timeout=3\n", "menuentry 'x' {\n  chainloader +1\n}\n"])
def test_an_administrators_custom_cfg_comes_back(custom: str, tmp_path: Path) -> None:
    tree = BootTree(files={CUSTOM: custom})
    apply_files(tmp_path, loaders.plan_trial(tree.read(tmp_path), TOKENS).files)
    apply_files(tmp_path, loaders.plan_trial(again(tmp_path), ("iommu=pt",)).files)
    assert (tmp_path / CUSTOM.lstrip("/")).read_text().count("nicpass begin") == 1
    apply_files(tmp_path, loaders.plan_trial_end(again(tmp_path)).files)
    assert (tmp_path / CUSTOM.lstrip("/")).read_text() == custom
    assert not loaders.plan_trial_end(again(tmp_path))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mounts": "22 1 0:30 / / rw - btrfs /dev/vda1 rw\n"}, "cannot write to btrfs: /"),
        ({"mounts": MOUNTS + "23 22 0:9 / /boot rw - zfs bpool rw\n"}, "cannot write to zfs: /boot"),
        ({"disk": "../../devices/virtual/block/dm-0"}, "a disk made of others .*: dm-0"),
        ({"disk": "../../devices/virtual/block/md0"}, "a disk made of others .*: md0"),
        ({"programs": ("grub-mkconfig",)}, "not installed: grub-reboot"),
        ({"menu": grub_cfg().replace("custom.cfg", "other.cfg")}, "no custom.cfg"),
        ({"menu": grub_cfg().replace("next_entry", "first_entry")}, "chooses its default"),
        ({"menu": b"\xff\xfe\n}\n"}, "not understood: /boot/grub/grub.cfg, line 2"),
        ({"menu": ""}, "no Linux"),
        ({"files": {CUSTOM: "password_pbkdf2 root grub.pbkdf2.sha512.10000.C0FFEE\n"}}, "holds a password"),
    ],
)
def test_where_nothing_can_be_tried_the_reason_is_told(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    boot = BootTree(**changes).read(tmp_path)
    assert not boot.can_try
    assert re.search(reason, boot.why_not_try), boot.why_not_try
    with pytest.raises(ImpossibleError, match=reason):
        loaders.plan_trial(boot, TOKENS)


def test_a_multipath_disk_is_plain_to_grub(tmp_path: Path) -> None:
    tree = BootTree(
        disk="../../devices/virtual/block/dm-2",
        files={"/sys/devices/virtual/block/dm-2/dm/uuid": "part1-mpath-3600508b4\n"},
    )
    assert tree.read(tmp_path).can_try


def test_a_grubenv_elsewhere_is_looked_for_there(tmp_path: Path) -> None:
    mounts = MOUNTS + "23 22 0:30 / /boot/efi rw - btrfs /dev/vdb1 rw\n"
    tree = BootTree(mounts=mounts, environment=None, files={"/boot/efi/grubenv": grubenv()})
    files = tree.write(tmp_path)
    (tmp_path / "boot/grub/grubenv").symlink_to("../efi/grubenv")
    assert "btrfs" in read_boot(files).why_not_try


def test_no_password_goes_into_the_value(tmp_path: Path) -> None:
    secret = "grub.pbkdf2.sha512.10000.5EC4E7"
    menu = f'set superusers="root"\npassword_pbkdf2 root {secret}\n{grub_cfg()}'
    boot = BootTree(menu=menu, files={CUSTOM: f"  password_pbkdf2 root {secret}\n"}).read(tmp_path)
    assert "5EC4E7" not in msgspec.json.encode(boot).decode()
    assert loaders.arguments_of_next_boot(boot) == f"root=UUID={UUID} ro quiet"


def test_who_may_boot_the_entry_may_boot_its_copy(tmp_path: Path) -> None:
    menu = grub_cfg().replace("--class os", "--class os --unrestricted --users 'a b'")
    change = loaders.plan_trial(BootTree(menu=menu).read(tmp_path), TOKENS)
    assert isinstance(change.files[0].after, RegularFile)
    head = change.files[0].after.content.decode().splitlines()[1]
    assert head == (
        "menuentry 'Debian GNU/Linux (nicpass)' --class debian --class gnu-linux --class os --unrestricted "
        "--users 'a b' --id nicpass-trial {"
    )


def test_arguments_for_init_are_refused(tmp_path: Path) -> None:
    boot = BootTree(menu=grub_cfg(arguments="root=/dev/sda1 quiet -- single")).read(tmp_path)
    for plan in (loaders.plan_arguments, loaders.plan_trial):
        with pytest.raises(BadInputError, match="after which all is for init"):
            plan(boot, TOKENS)


def test_a_container_and_an_unknown_loader_are_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImpossibleError, match=r"container \(lxc\)"):
        loaders.plan_arguments(DEBIAN.read(tmp_path / "1"), TOKENS, "lxc")
    boot = BootTree(menu=None, programs=()).read(tmp_path / "2")
    assert boot.loaders == ()
    with pytest.raises(ImpossibleError, match="not recognised") as caught:
        loaders.plan_arguments(boot, TOKENS)
    assert "Add `intel_iommu=on iommu=pt` to the kernel's arguments" in caught.value.hint


def test_two_loaders_at_once_are_named(tmp_path: Path) -> None:
    boot = msgspec.structs.replace(DEBIAN.read(tmp_path), loaders=(Loader.GRUB, Loader.SYSTEMD_BOOT))
    with pytest.raises(ImpossibleError, match=r"More than one boot loader .* grub, systemd-boot"):
        loaders.plan_arguments(boot, TOKENS)


def test_what_cannot_be_read_is_not_edited(tmp_path: Path) -> None:
    boot = SUSE.read(tmp_path)
    unread = tuple(
        msgspec.structs.replace(file, content=Unknown("permission denied: x")) if file.path == DEFAULTS else file
        for file in boot.files
    )
    with pytest.raises(BadInputError, match=r"/etc/default/grub cannot be read: permission denied"):
        loaders.plan_arguments(msgspec.structs.replace(boot, files=unread), TOKENS)


@pytest.mark.parametrize("token", ["a b", 'x="y"', "$x", "a;b", "", "x=`id`", "--"])
def test_a_token_that_needs_quotes_is_refused(token: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError):
        loaders.plan_arguments(DEBIAN.read(tmp_path), (token,))


@pytest.mark.parametrize("size", [0, 1023, 1025])
def test_a_damaged_grubenv_is_unknown(size: int, tmp_path: Path) -> None:
    boot = BootTree(menu=grub_cfg(default="${saved_entry}"), environment=grubenv().ljust(1025)[:size]).read(tmp_path)
    assert isinstance(boot.one_shot, Unknown)
    assert isinstance(boot.default_entry, Unknown)
    assert isinstance(loaders.arguments_of_next_boot(boot), Unknown)


def test_a_symbolic_link_is_followed_and_stays(tmp_path: Path) -> None:
    files = SUSE.write(tmp_path)
    real, link = tmp_path / "etc/sysconfig/grub", tmp_path / "etc/default/grub"
    real.parent.mkdir()
    link.rename(real)
    link.symlink_to("../sysconfig/grub")
    apply_files(tmp_path, loaders.plan_arguments(read_boot(files), TOKENS).files)
    assert link.is_symlink()
    assert configured_arguments(read_boot(files)) == "quiet intel_iommu=on iommu=pt"


_MENU_LINES = st.lists(
    st.sampled_from(
        [
            "menuentry 'a' --id a {",
            'menuentry "b" --class x {',
            "submenu 'c' $menuentry_id_option 'c' {",
            "function f {",
            "}",
            "\tlinux /vmlinuz-6.1 root=/dev/sda1 ro",
            "linux",
            "linux /x \\",
            'set default="${saved_entry}"',
            'set default="1>0"',
            "# }",
            "menuentry 'd' { linux /x; }",
            "source ${config_directory}/custom.cfg",
        ]
    )
    | st.text(max_size=10)
)


@given(_MENU_LINES.map("\n".join), st.text(max_size=8))
def test_no_menu_is_too_odd_to_be_read(text: str, name: str) -> None:
    menu = parse_menu(text, "grub.cfg")
    if isinstance(menu, Unknown):
        return
    identities = {entry.identity for entry in entries_of(menu.items)}
    for found in (find_entry(name, menu.items), find_default(text, menu.items, {"saved_entry": name})):
        assert found is None or isinstance(found, Unknown) or found in identities


def test_submenus_without_end_are_refused() -> None:
    depth = 100_000
    assert isinstance(parse_menu("submenu 'a' {\n" * depth + "}\n" * depth, "grub.cfg"), Unknown)


@pytest.mark.spawns
@pytest.mark.parametrize("custom", ["", "# here\nset timeout=3"])
def test_grub_itself_takes_the_trials_entry(custom: str, tmp_path: Path) -> None:
    if (program := shutil.which("grub-script-check")) is None:
        pytest.skip("grub-script-check (grub-common) is not installed")
    tree = BootTree(files={CUSTOM: custom}, menu=grub_cfg().replace("Debian GNU", "Debian'\\''s {GNU}"))
    apply_files(tmp_path, loaders.plan_trial(tree.read(tmp_path), TOKENS).files)
    for path in (CUSTOM, "/boot/grub/grub.cfg"):
        subprocess.run([program, str(tmp_path / path.lstrip("/"))], check=True)
    assert "Debian'\\''s {GNU}/Linux (nicpass)" in (tmp_path / CUSTOM.lstrip("/")).read_text()


@pytest.mark.spawns
def test_grubs_own_environment_is_read_right(tmp_path: Path) -> None:
    if (program := shutil.which("grub-editenv")) is None:
        pytest.skip("grub-editenv (grub-common) is not installed")
    path = tmp_path / "grubenv"
    subprocess.run([program, str(path), "create"], check=True)
    values = {"saved_entry": "1>2", "next_entry": "a b", "odd": "x=y\\z#"}
    subprocess.run([program, str(path), "set", *(f"{name}={value}" for name, value in values.items())], check=True)
    assert parse_environment(path.read_bytes()) == values
