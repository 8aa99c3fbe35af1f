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
from nicpass.boot.loader.bls import own_entries, plan_trial_entry, plan_trial_entry_removal, written_arguments
from nicpass.boot.loader.edits import plan_edits, plan_edits_removal, read_edits
from nicpass.boot.loader.grub_menu import known_entry, parse_environment
from nicpass.boot.loader.systemd_boot import cmdline_paths, made_cmdline
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import Unknown, known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot

TRIAL_ENTRY = grub.TRIAL_ENTRY
GRUBENV = "/boot/grub2/grubenv"
_KERNELOPTS = "$kernelopts"


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last in each entry of this installation, and in all files that make new ones.

    An entry that takes its arguments from a variable which is nowhere (RHEL 9's rescue entry says `$kernelopts`, and
    its grubenv has none) is left as it is, unless it is the one that boots.

    Raises:
        ImpossibleError: this installation has no entry.
        BadInputError: the entry that boots takes its arguments from where nicpass cannot write them.
    """
    if not tokens:
        return plan_removal(boot)
    own = own_entries(boot, TRIAL_ENTRY)
    if not own:
        raise ImpossibleError(
            _("No entry of this installation was found below {folder}.").format(folder="/boot/loader")
        )
    written = {path: written_arguments((content_of(boot, path) or b"").decode("utf-8", "replace")) for path in own}
    paths = [path for path, arguments in written.items() if arguments and _KERNELOPTS not in arguments.split()]
    _refuse_no_options(boot, [path for path, arguments in written.items() if not arguments])
    sharing = [path for path, arguments in written.items() if _KERNELOPTS in arguments.split()]
    is_shared = _is_shared(boot, sharing)
    shared = _plan_shared(boot, tokens) if is_shared else ()
    made = {} if is_shared else made_cmdline(boot)
    made_kernelopts = is_shared and _is_kernelopts_ours(boot)
    elsewhere = bool(shared) or (is_shared and read_edits(boot) is not None)
    files = plan_edits(
        boot, tokens, (*paths, *cmdline_paths(boot)), made, elsewhere=elsewhere, made_kernelopts=made_kernelopts
    )
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


def _refuse_no_options(boot: Boot, paths: Sequence[str]) -> None:
    """Refuse a default entry without `options`: GRUB gives it default_kernelopts, which a line of ours would replace.

    Source: blscfg.c of Fedora's GRUB, create_entry().
    """
    entry = known_entry(boot.entries, boot.default_entry)
    if entry is not None and entry.source in paths:
        raise BadInputError(
            _("{path} has no line `options`, and the entry that boots takes its arguments from elsewhere.").format(
                path=entry.source
            ),
            _("Write the arguments that /proc/cmdline shows into a line `options` there, and run nicpass again."),
        )


def _is_shared(boot: Boot, sharing: Sequence[str]) -> bool:
    """Whether `kernelopts` of grubenv is to have the arguments: for it is there, or what boots cannot do without."""
    if not sharing:
        return False
    entry = known_entry(boot.entries, boot.default_entry)
    return _shared_arguments(boot) is not None or entry is None or entry.source in sharing


def _plan_shared(boot: Boot, tokens: Sequence[str]) -> tuple[Generator, ...]:
    """The command that puts `tokens` last in `kernelopts` of grubenv, from which all entries take their arguments.

    Where grubenv lacks it, GRUB goes by the fallback of grub.cfg, and what is written starts with that.
    """
    now = _shared_arguments(boot)
    start = boot.fallback_arguments if now is None else now
    if not known(start):
        raise BadInputError(
            _("Entries take their arguments from kernelopts, and neither {path} nor grub.cfg has it.").format(
                path=GRUBENV
            ),
            _("Write the arguments that /proc/cmdline shows into the entries' lines `options`, and run nicpass again."),
        )
    edits = read_edits(boot)
    without = _without(start, edits.tokens) if edits is not None else start
    if now is not None and are_last(now, tokens):
        return ()
    return (_set_shared(boot, now, f"{without.strip()} {join_tokens(tokens)}"),)


def _is_kernelopts_ours(boot: Boot) -> bool:
    """Whether `kernelopts` is in grubenv, or will be, because nicpass has written it."""
    edits = read_edits(boot)
    return _shared_arguments(boot) is None or (edits is not None and edits.made_kernelopts)


def _plan_shared_removal(boot: Boot) -> tuple[Generator, ...]:
    now, edits = _shared_arguments(boot), read_edits(boot)
    if now is None or edits is None or (without := _without(now, edits.tokens)) == now:
        return ()
    fallback = boot.fallback_arguments
    is_as_made = edits.made_kernelopts and known(fallback) and without.split() == fallback.split()
    return (_set_shared(boot, now, None if is_as_made else without),)


def _set_shared(boot: Boot, before: str | None, after: str | None) -> Generator:
    program = grub.program(boot, "editenv")
    argv, back = (
        (program, "-", "unset", "kernelopts") if value is None else (program, "-", "set", f"kernelopts={value}")
        for value in (after, before)
    )
    return Generator(argv=argv, back=back)


def _shared_arguments(boot: Boot) -> str | None:
    """The value of `kernelopts` in grubenv; None where it is not in it.

    Raises:
        BadInputError: the file is no environment block, so that neither GRUB nor its tools read or write it.
    """
    environment = parse_environment(content_of(boot, GRUBENV))
    if isinstance(environment, Unknown):
        raise BadInputError(
            _("{path} is no environment block of GRUB, which has 1024 bytes and its own first line.").format(
                path=GRUBENV
            ),
            _("Keep a copy of it, then make it anew: {command}").format(
                command=f"{grub.program(boot, 'editenv')} {GRUBENV} create"
            ),
        )
    return environment.get("kernelopts") if environment is not None else None


def _without(arguments: str, tokens: Sequence[str]) -> str:
    return take_tokens_out(arguments.encode(), tokens).decode()
