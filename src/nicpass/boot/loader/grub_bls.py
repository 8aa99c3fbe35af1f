# SPDX-License-Identifier: Apache-2.0
"""GRUB with entries of the Boot Loader Specification, as Fedora and Red Hat have it.

The entries' own lines are edited, not by grubby: `grubby --args` takes an opposite argument away that somebody left,
and could not bring it back. New kernels take their arguments from /etc/kernel/cmdline, or from `kernelopts` of grubenv
where entries say `$kernelopts`; `grub2-mkconfig --update-bls-cmdline` writes those of /etc/default/grub into all
entries, so nicpass's stand there too. Sources: grubby(8), Fedora's 20-grub.install and blscfg of its GRUB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.arguments.tokens import are_last, join_tokens, take_tokens_out
from nicpass.boot.loader import grub
from nicpass.boot.loader.bls import own_entries, plan_trial_entry, plan_trial_entry_removal
from nicpass.boot.loader.edits import plan_edits, plan_edits_removal, read_edits
from nicpass.boot.loader.grub_menu import known_entry, parse_environment
from nicpass.boot.loader.systemd_boot import cmdline_paths, made_cmdline
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot

TRIAL_ENTRY = grub.TRIAL_ENTRY
GRUBENV = "/boot/grub2/grubenv"
_KERNELOPTS = "$kernelopts"


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last in each entry of this installation, and in all files that make new ones.

    Raises:
        ImpossibleError: this installation has no entry.
        BadInputError: entries say `$kernelopts`, and grubenv does not say what that is.
    """
    if not tokens:
        return plan_removal(boot)
    own = own_entries(boot, TRIAL_ENTRY)
    if not own:
        raise ImpossibleError(
            _("No entry of this installation was found below {folder}.").format(folder="/boot/loader")
        )
    paths = [path for path in own if _KERNELOPTS.encode() not in (content_of(boot, path) or b"")]
    made = made_cmdline(boot) if len(paths) == len(own) else {}
    shared = _plan_shared(boot, tokens) if len(paths) < len(own) else ()
    elsewhere = bool(shared) or (len(paths) < len(own) and read_edits(boot) is not None)
    files = plan_edits(boot, tokens, (*paths, *cmdline_paths(boot)), made, elsewhere=elsewhere)
    if content_of(boot, grub.DEFAULTS) is not None:
        files += grub.plan_settings(boot, tokens)
    return BootChange(files=files, generators=shared)


def plan_removal(boot: Boot) -> BootChange:
    """The change that takes nicpass's arguments out of all these files, also out of entries that were made since."""
    files = plan_edits_removal(boot, (*own_entries(boot, TRIAL_ENTRY), *cmdline_paths(boot)))
    return BootChange(files=files + grub.plan_settings_removal(boot), generators=_plan_shared_removal(boot))


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that makes a copy of the default entry with `tokens`, which the next boot takes and no other.

    Raises:
        ImpossibleError: this host's GRUB cannot try an entry once.
    """
    entry = known_entry(boot.entries, boot.default_entry)
    if not boot.can_try or entry is None:
        raise ImpossibleError(_("GRUB cannot try the arguments once: {reason}.").format(reason=boot.why_not_try))
    files = plan_trial_entry(boot, entry, tokens, TRIAL_ENTRY)
    return BootChange(files=files, generators=(grub.boot_trial_once(boot),))


def plan_trial_end(boot: Boot) -> BootChange:
    """The change that removes the trial's entry, and with it the request to boot it."""
    files = plan_trial_entry_removal(boot, TRIAL_ENTRY)
    return BootChange(files=files, generators=grub.forget_trial(boot))


def _plan_shared(boot: Boot, tokens: Sequence[str]) -> tuple[Generator, ...]:
    """The command that puts `tokens` last in `kernelopts` of grubenv, from which all entries take their arguments."""
    now = _shared_arguments(boot)
    if now is None:
        raise BadInputError(
            _("Entries take their arguments from kernelopts, and {path} does not have it.").format(path=GRUBENV),
            _("Make it anew: grub2-mkconfig -o /boot/grub2/grub.cfg"),
        )
    edits = read_edits(boot)
    without = _without(now, edits.tokens) if edits is not None else now
    return () if are_last(now, tokens) else (_set_shared(boot, now, f"{without} {join_tokens(tokens)}"),)


def _plan_shared_removal(boot: Boot) -> tuple[Generator, ...]:
    now, edits = _shared_arguments(boot), read_edits(boot)
    if now is None or edits is None or (without := _without(now, edits.tokens)) == now:
        return ()
    return (_set_shared(boot, now, without),)


def _set_shared(boot: Boot, before: str, after: str) -> Generator:
    program = grub.program(boot, "editenv")
    argv, back = ((program, "-", "set", f"kernelopts={value}") for value in (after, before))
    return Generator(argv=argv, back=back)


def _shared_arguments(boot: Boot) -> str | None:
    environment = parse_environment(content_of(boot, GRUBENV))
    return environment.get("kernelopts") if known(environment) else None


def _without(arguments: str, tokens: Sequence[str]) -> str:
    return take_tokens_out(arguments.encode(), tokens).decode()
