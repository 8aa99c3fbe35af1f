# SPDX-License-Identifier: Apache-2.0
"""systemd-boot: the entries of this installation, and /etc/kernel/cmdline for those that kernel-install will make.

The entries' own lines are edited, which needs no kernel to be copied anew and works for entries that a person wrote.
Sources: systemd-boot(7), kernel-install(8), bootctl(1); 90-loaderentry.install and src/boot/boot.c of systemd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.boot.loader.bls import ENTRIES_FOLDER, own_entries, plan_trial_entry, plan_trial_entry_removal
from nicpass.boot.loader.edits import (
    CMDLINE,
    VENDOR_CMDLINE,
    plan_edits,
    plan_edits_removal,
    read_edits,
    without_tokens,
)
from nicpass.boot.loader.grub_menu import known_entry
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import ImpossibleError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot

TRIAL_ENTRY = "-nicpass-trial"
"""The trial entry's name: its dash sorts it after all others, so it never becomes the default by itself (UAPI.10)."""
_FORGET = ("bootctl", "set-oneshot", "")


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last in each entry of this installation, and in kernel-install's file for new ones.

    Raises:
        ImpossibleError: this installation has no entry.
    """
    if not tokens:
        return plan_removal(boot)
    own = own_entries(boot, TRIAL_ENTRY)
    if not own:
        raise ImpossibleError(
            _("No entry of this installation was found below {folder}.").format(folder=ENTRIES_FOLDER),
            _("Mount the EFI system partition (at /efi, /boot or /boot/efi), and run nicpass again."),
        )
    return BootChange(files=plan_edits(boot, tokens, (*own, *cmdline_paths(boot)), made_cmdline(boot)))


def plan_removal(boot: Boot) -> BootChange:
    """The change that takes nicpass's arguments out of all entries, also of those that were made since."""
    return BootChange(files=plan_edits_removal(boot, (*own_entries(boot, TRIAL_ENTRY), *cmdline_paths(boot))))


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that makes a copy of the default entry with `tokens`, which systemd-boot takes once.

    Raises:
        ImpossibleError: systemd-boot cannot try an entry here.
    """
    entry = known_entry(boot.entries, boot.default_entry)
    if not boot.can_try or entry is None:
        reason = boot.why_not_try
        raise ImpossibleError(_("systemd-boot cannot try the arguments once: {reason}.").format(reason=reason))
    files = plan_trial_entry(boot, entry, tokens, TRIAL_ENTRY)
    once = Generator(argv=("bootctl", "set-oneshot", "--", f"{TRIAL_ENTRY}.conf"), back=_FORGET)
    return BootChange(files=files, generators=(once,))


def plan_trial_end(boot: Boot) -> BootChange:
    """The change that removes the trial's entry, and with it the request to boot it."""
    files = plan_trial_entry_removal(boot, TRIAL_ENTRY)
    if boot.one_shot != TRIAL_ENTRY:
        return BootChange(files=files)
    back = ("bootctl", "set-oneshot", "--", f"{TRIAL_ENTRY}.conf")
    return BootChange(files=files, generators=(Generator(argv=_FORGET, back=back),))


def cmdline_paths(boot: Boot) -> tuple[str, ...]:
    """The path of the file that kernel-install takes the arguments from, if there is one."""
    return (CMDLINE,) if content_of(boot, CMDLINE) is not None else ()


def made_cmdline(boot: Boot) -> dict[str, bytes]:
    """Path to content of the /etc/kernel/cmdline to make where none is, so that the next kernel gets our arguments too.

    Without that file kernel-install takes /usr/lib/kernel/cmdline, or the arguments of the running kernel; in place of
    the latter stand those of the default entry, by which the host boots. Entries that kernel-install did not make have
    no `version`; then no file is made.
    """
    edits = read_edits(boot)
    was_made = edits is not None and any(edit.path == CMDLINE and edit.before is None for edit in edits.edits)
    if content_of(boot, CMDLINE) is not None and not was_made:
        return {}
    if (vendor := content_of(boot, VENDOR_CMDLINE)) is not None:
        return {CMDLINE: vendor}
    entry = known_entry(boot.entries, boot.default_entry)
    if entry is None or "kernel-install" not in boot.programs or not re.search(r"^version\s", entry.text, re.MULTILINE):
        return {}
    tokens = edits.tokens if edits is not None else ()
    return {CMDLINE: without_tokens(CMDLINE, f"{entry.arguments}\n".encode(), tokens)}
