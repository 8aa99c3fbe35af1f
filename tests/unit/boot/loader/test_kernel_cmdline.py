# SPDX-License-Identifier: Apache-2.0
"""/etc/kernel/cmdline as people write it: on two lines, with comments, or with GRUB's syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.boot.loader import choice as loaders
from nicpass.boot.loader.edits import CMDLINE, arguments_of, with_tokens, without_tokens
from nicpass.model.errors import BadInputError
from tests.support.boot import BootTree
from tests.support.reports import lay_out, run_on

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = ("intel_iommu=on",)
PRESET = {"/etc/mkinitcpio.d/linux.preset": 'default_uki="/efi/EFI/Linux/arch-linux.efi"\n'}


def proxmox(cmdline: str) -> BootTree:
    files: dict[str, str | bytes] = {CMDLINE: cmdline, "/etc/kernel/proxmox-boot-uuids": "ABCD-1234\n"}
    return BootTree(files=files, programs=("proxmox-boot-tool",), menu=None)


def images(cmdline: str) -> BootTree:
    stub = {"StubInfo": "systemd-stub 255"}
    return BootTree(files={CMDLINE: cmdline, **PRESET}, programs=("mkinitcpio",), menu=None, uefi=True, variables=stub)


@pytest.mark.parametrize("cmdline", ["root=ZFS=r ro\nquiet\n", "root=ZFS=r\n\nquiet", "root=ZFS=r\n# quiet\n"])
def test_proxmox_heeds_one_line(cmdline: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="2 lines, and proxmox-boot-tool"):
        loaders.plan_arguments(proxmox(cmdline).read(tmp_path), TOKENS)


@pytest.mark.parametrize("cmdline", ["root=ZFS=r quiet", "root=ZFS=r quiet\n\n", "\nroot=ZFS=r\n"])
def test_one_line_of_words_is_taken(cmdline: str, tmp_path: Path) -> None:
    change = loaders.plan_arguments(proxmox(cmdline).read(tmp_path), TOKENS)
    assert change.files[-1].after.content.strip().endswith(b" intel_iommu=on")  # type: ignore[union-attr]


@pytest.mark.parametrize("tree", ["tree", "full"])
def test_the_report_of_two_lines(tree: str, tmp_path: Path) -> None:
    root = lay_out(f"h05-proxmox-second-line-gets-the-argument/{tree}", tmp_path)
    code, told = run_on(root, "prepare", "--dry-run=shell")
    assert code == 2
    assert "proxmox-boot-tool gives the kernel the first of them only" in told


@pytest.mark.parametrize("tree", [proxmox, images])
@pytest.mark.parametrize(
    "cmdline", ['GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\n', 'root=/dev/a GRUB_CMDLINE_LINUX+="iommu=pt"']
)
def test_grubs_syntax_is_refused_with_its_reason(tree: object, cmdline: str, tmp_path: Path) -> None:
    assert callable(tree)
    with pytest.raises(BadInputError, match=r"GRUB_CMDLINE_LINUX\w*\+?=, which is written for GRUB"):
        loaders.plan_arguments(tree(cmdline).read(tmp_path), TOKENS)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"root=/dev/a rw\n# was: intel_iommu=off\n", b"root=/dev/a rw intel_iommu=on\n# was: intel_iommu=off\n"),
        (b"# ours\nroot=/dev/a\n  # b", b"# ours\nroot=/dev/a intel_iommu=on\n  # b"),
        (b"# nothing\n", b"# nothing\nintel_iommu=on\n"),
        (b"# intel_iommu=on", b"# intel_iommu=on\nintel_iommu=on\n"),
        (b"a#b\nrw\n", b"a#b\nrw intel_iommu=on\n"),
        (b"", b"intel_iommu=on"),
    ],
)
def test_ours_never_become_part_of_a_comment(content: bytes, wanted: bytes) -> None:
    assert with_tokens(CMDLINE, content, TOKENS) == wanted
    assert with_tokens(CMDLINE, wanted, TOKENS) == wanted
    assert "intel_iommu=on" not in arguments_of(CMDLINE, without_tokens(CMDLINE, wanted, TOKENS)).split()
