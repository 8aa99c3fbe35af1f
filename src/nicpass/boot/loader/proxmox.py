# SPDX-License-Identifier: Apache-2.0
"""proxmox-boot-tool, which keeps several EFI system partitions alike, none of them mounted.

Each partition is booted by systemd-boot, with the arguments of /etc/kernel/cmdline, or by GRUB, with those of
/etc/default/grub. Which of the two cannot be seen without mounting it, so nicpass's go into each file that is there.
Source: Proxmox VE administration guide, "Host Bootloader"; zz-proxmox-boot of proxmox-kernel-helper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.loader import grub, uki
from nicpass.boot.loader.edits import CMDLINE, plan_edits_removal
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.file_image import FileChange

_REFRESH = (Generator(argv=("proxmox-boot-tool", "refresh")),)


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last in each of the two files that is there, and writes all partitions anew.

    The partitions are written anew also where the files have the tokens: whether that was done since cannot be seen.

    Raises:
        BadInputError: neither file is there, or the arguments have more than the one line that is heeded.
    """
    if not tokens:
        return plan_removal(boot)
    files: tuple[FileChange, ...] = ()
    has_grub = content_of(boot, grub.DEFAULTS) is not None
    _refuse_more_lines(content_of(boot, CMDLINE))
    if content_of(boot, CMDLINE) is not None or not has_grub:
        files += uki.plan_cmdline(boot, tokens)
    if has_grub:
        files += grub.plan_settings(boot, tokens)
    return BootChange(files=files, generators=_REFRESH)


def plan_removal(boot: Boot) -> BootChange:
    """The change that takes nicpass's arguments out of both files."""
    files = plan_edits_removal(boot) + grub.plan_settings_removal(boot)
    return BootChange(files=files, generators=_REFRESH if files else ())


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """Refuse a trial boot, which is not possible with proxmox-boot-tool.

    Raises:
        ImpossibleError: always.
    """
    raise ImpossibleError(_("proxmox-boot-tool writes every partition at once, and cannot try an entry."))


def plan_trial_end(boot: Boot) -> BootChange:
    """The empty change, for there is no trial boot."""
    return BootChange()


def _refuse_more_lines(cmdline: bytes | None) -> None:
    """Refuse a file whose later lines would stand in an entry as lines of their own, where no loader heeds them."""
    lines = [line for line in (cmdline or b"").splitlines() if line.strip()]
    if len(lines) > 1:
        raise BadInputError(
            _("{path} has {count} lines, and proxmox-boot-tool gives the kernel the first of them only.").format(
                path=CMDLINE, count=len(lines)
            ),
            _("Put all arguments on its first line, and run nicpass again."),
        )
