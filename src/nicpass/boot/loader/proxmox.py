# SPDX-License-Identifier: Apache-2.0
"""proxmox-boot-tool, which keeps several EFI system partitions alike, none of them mounted.

Each is booted by systemd-boot, with the arguments of /etc/kernel/cmdline, or by GRUB, with those of
/etc/default/grub. Which it is cannot be seen without mounting it, so ours go into both that are there.
Source: Proxmox VE administration guide, "Host Bootloader"; zz-proxmox-boot of proxmox-kernel-helper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.loader import grub, uki
from nicpass.boot.loader.edits import CMDLINE, plan_edits_removal
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import ImpossibleError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.file_image import FileChange

_REFRESH = (Generator(argv=("proxmox-boot-tool", "refresh")),)


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """Ours last in what is there of both, and all partitions anew.

    Raises:
        BadInputError: there is neither.
    """
    if not tokens:
        return plan_removal(boot)
    files: tuple[FileChange, ...] = ()
    has_grub = content_of(boot, grub.DEFAULTS) is not None
    if content_of(boot, CMDLINE) is not None or not has_grub:
        files += uki.plan_cmdline(boot, tokens)
    if has_grub:
        files += grub.plan_settings(boot, tokens)
    return BootChange(files=files, generators=_REFRESH if files else ())


def plan_removal(boot: Boot) -> BootChange:
    """Ours out of both."""
    files = plan_edits_removal(boot) + grub.plan_settings_removal(boot)
    return BootChange(files=files, generators=_REFRESH if files else ())


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """Not possible here.

    Raises:
        ImpossibleError: always.
    """
    raise ImpossibleError(_("proxmox-boot-tool writes every partition at once, and cannot try an entry."))


def plan_trial_end(boot: Boot) -> BootChange:
    """Nothing: there is no trial."""
    return BootChange()
