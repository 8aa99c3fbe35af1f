# SPDX-License-Identifier: Apache-2.0
"""Files have what the host needs, and the running kernel has not: which is told, and what is missing is done."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.boot.loader.edits import CMDLINE
from nicpass.model.boot import BootPurpose
from nicpass.model.errors import ImpossibleError
from nicpass.model.fact import known
from nicpass.model.plan import ChangeBoot
from nicpass.model.request import PrepareRequest
from nicpass.planner.boot.prepare import Preparation, is_reboot_due, plan_prepare
from tests.support.boot import BootTree, grub_cfg
from tests.support.hosts import nic, ready_host

if TYPE_CHECKING:
    from pathlib import Path

NIC = "0000:01:00.0"
OFF = ready_host(nic(NIC, "eth1", group=None), cmdline="root=/dev/a ro", iommu_units=())
WRITTEN = grub_cfg("root=/dev/a ro intel_iommu=on")


def plan(tree: object, boot: BootTree, root: Path, **request: bool) -> Preparation:
    host = tree.read(root / "host")  # type: ignore[attr-defined]
    host = msgspec.structs.replace(host, boot=boot.read(root / "boot"))
    return plan_prepare(host, PrepareRequest(**request), None, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("running", "menu", "options", "awaited"),
    [
        ("root=/dev/a ro", WRITTEN, {}, "intel_iommu=on"),
        ("root=/dev/a ro intel_iommu=off", WRITTEN, {}, "intel_iommu=on"),
        ("root=/dev/a ro iommu=off", WRITTEN, {}, "intel_iommu=on"),
        ("root=/dev/a ro intel_iommu=on", grub_cfg("ro intel_iommu=on iommu=pt"), {"iommu_pt": True}, "iommu=pt"),
        ("root=/dev/a ro quiet intel_iommu=on", WRITTEN, {}, None),
    ],
)
def test_only_the_reboot_is_missing(
    running: str, menu: str, options: dict[str, bool], awaited: str | None, tmp_path: Path
) -> None:
    made = plan(OFF.but(cmdline=running), BootTree(menu=menu), tmp_path, **options)
    assert made.plan.steps == ()
    assert made.awaits_reboot is (awaited is not None)
    assert ("only the reboot is missing" in made.plan.summary) is (awaited is not None)
    assert (awaited or "prepared already") in made.plan.summary


def test_groups_that_are_there_await_nothing(tmp_path: Path) -> None:
    made = plan(ready_host(cmdline="root=/dev/a ro"), BootTree(menu=WRITTEN), tmp_path)
    assert (made.plan.steps, made.awaits_reboot) == ((), False)


def test_where_nothing_is_needed_no_loader_has_to_be_recognised(tmp_path: Path) -> None:
    nothing = BootTree(menu=None, programs=())
    made = plan(ready_host(cmdline="root=/dev/a ro"), nothing, tmp_path)
    assert (made.plan.steps, made.plan.summary) == ((), "This host is prepared already")
    with pytest.raises(ImpossibleError, match="not recognised"):
        plan(OFF, nothing, tmp_path / "off")


PROXMOX = BootTree(
    menu=None,
    programs=("proxmox-boot-tool",),
    files={CMDLINE: "root=ZFS=r intel_iommu=on\n", "/etc/kernel/proxmox-boot-uuids": "ABCD-1234\n"},
)
IMAGES = BootTree(
    menu=None,
    programs=("mkinitcpio",),
    uefi=True,
    variables={"StubInfo": "systemd-stub 255"},
    files={CMDLINE: "root=/dev/a intel_iommu=on\n", "/etc/mkinitcpio.d/linux.preset": "default_uki=/efi/a.efi\n"},
)


@pytest.mark.parametrize(
    ("boot", "argv"), [(PROXMOX, ("proxmox-boot-tool", "refresh")), (IMAGES, ("mkinitcpio", "-P"))]
)
def test_what_boots_is_made_anew_of_files_that_have_it(boot: BootTree, argv: tuple[str, ...], tmp_path: Path) -> None:
    made = plan(OFF, boot, tmp_path)
    (step,) = (step for step in made.plan.steps if isinstance(step, ChangeBoot))
    assert step.purpose == BootPurpose.ARGUMENTS
    assert [generator.argv for generator in step.change.generators] == [argv]
    assert step.change.files == ()
    assert "have intel_iommu=on already" in made.plan.notes[-1]
    host = OFF.read(tmp_path / "again")
    assert known(host.platform.cmdline)
    assert is_reboot_due(host, made.record)
    # Once the running kernel has it, nothing is made anew.
    up = plan(dataclasses.replace(OFF, cmdline="root=/dev/a intel_iommu=on"), boot, tmp_path / "up")
    assert (up.plan.steps, up.awaits_reboot) == ((), False)
