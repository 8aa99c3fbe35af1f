# SPDX-License-Identifier: Apache-2.0
"""The functions that every boot loader has, and the choice of the loader that is asked.

Each function raises ImpossibleError where the host has no loader that nicpass knows, or two, or is a container, and
BadInputError where a file that has to be edited cannot be read or is not whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nicpass.boot.arguments.tokens import join_tokens
from nicpass.boot.loader import grub, grub_bls, proxmox, rpm_ostree, systemd_boot, uki
from nicpass.boot.loader.grub_menu import known_entry
from nicpass.model.boot import BootChange, Loader
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nicpass.model.boot import Boot


class LoaderModule(Protocol):
    """The module of one boot loader; each function is pure."""

    def plan_arguments(self, boot: Boot, tokens: Sequence[str]) -> BootChange: ...
    def plan_removal(self, boot: Boot) -> BootChange: ...
    def plan_trial(self, boot: Boot, tokens: Sequence[str]) -> BootChange: ...
    def plan_trial_end(self, boot: Boot) -> BootChange: ...


_MODULES: Mapping[Loader, LoaderModule] = {
    Loader.GRUB: grub,
    Loader.GRUB_BLS: grub_bls,
    Loader.SYSTEMD_BOOT: systemd_boot,
    Loader.UKI: uki,
    Loader.PROXMOX: proxmox,
    Loader.RPM_OSTREE: rpm_ostree,
}


def arguments_of_next_boot(boot: Boot) -> Fact[str]:
    """The arguments that the entry of the next boot gives to the kernel, as the loader's own files have them by now."""
    if boot.unread is not None:
        return Unknown(boot.unread)
    if isinstance(boot.entries, Unknown):
        return boot.entries
    if isinstance(boot.one_shot, Unknown):
        return boot.one_shot
    identity = boot.one_shot if boot.one_shot is not None else boot.default_entry
    if not known(identity):
        return identity
    entry = known_entry(boot.entries, identity)
    if entry is None:
        return Unknown(f"no such entry: {identity}")
    if Loader.GRUB_BLS in boot.loaders and "$" in entry.arguments:
        return Unknown(f"only the loader knows its variables: {entry.arguments}")
    return entry.arguments


def plan_arguments(boot: Boot, tokens: Sequence[str], container: Fact[str] = None) -> BootChange:
    """The change that puts `tokens` last at every boot, in place of an earlier run's; empty where nothing is to do."""
    module = _module(boot, tokens, container)
    _refuse_end_of_arguments(boot)
    return module.plan_arguments(boot, tokens)


def plan_removal(boot: Boot, container: Fact[str] = None) -> BootChange:
    """The change that takes nicpass's arguments out: a file that only nicpass edited is as it was, byte for byte."""
    return _module(boot, (), container).plan_removal(boot)


def plan_trial(boot: Boot, tokens: Sequence[str], container: Fact[str] = None) -> BootChange:
    """The change that puts `tokens` last at the next boot only, whatever comes of it; only where `boot.can_try`."""
    module = _module(boot, tokens, container)
    _refuse_end_of_arguments(boot)
    return module.plan_trial(boot, tokens)


def plan_trial_end(boot: Boot, container: Fact[str] = None) -> BootChange:
    """The change that removes what a trial boot left."""
    return _module(boot, (), container).plan_trial_end(boot)


def advise_by_hand(tokens: Sequence[str]) -> str:
    """Advice for a person whose loader is not known: which arguments to add, and where the common loaders keep them."""
    return _(
        "Add {tokens} to the kernel's arguments by hand, after all others, and reboot. GRUB: to GRUB_CMDLINE_LINUX in "
        "/etc/default/grub, then make grub.cfg anew. systemd-boot: to the line `options` of the entry below "
        "loader/entries. extlinux or syslinux: to the line `APPEND`. rEFInd: in /boot/refind_linux.conf. Limine: to "
        "the line `cmdline` of limine.conf. A network boot: where the server keeps the arguments."
    ).format(tokens=f"`{join_tokens(tokens)}`")


def _module(boot: Boot, tokens: Sequence[str], container: Fact[str]) -> LoaderModule:
    if known(container):
        raise ImpossibleError(
            _("This is a container ({kind}): its host boots the kernel, not it.").format(kind=container),
            _("Run nicpass on the host."),
        )
    if boot.unread is not None:
        raise BadInputError(_("How this host boots was not read: {reason}.").format(reason=boot.unread))
    if len(boot.loaders) > 1:
        found = ", ".join(f"{loader.value}" for loader in boot.loaders)
        raise ImpossibleError(
            _("More than one boot loader is in use by all that can be seen: {found}.").format(found=found),
            _("Remove the one that does not boot this host. {by_hand}").format(by_hand=advise_by_hand(tokens)),
        )
    module = _MODULES.get(boot.loaders[0]) if boot.loaders else None
    if module is None:
        raise ImpossibleError(_("The boot loader of this host was not recognised."), advise_by_hand(tokens))
    return module


def _refuse_end_of_arguments(boot: Boot) -> None:
    """Refuse an entry with a `--`: words after it are not the kernel's but init's (parse_args() in kernel/params.c)."""
    entry = known_entry(boot.entries, boot.default_entry)
    if entry is not None and "--" in entry.arguments.split():
        raise BadInputError(
            _("The kernel's arguments of the entry {entry} have a `--`, after which all is for init.").format(
                entry=entry.title
            ),
            _("Take `--` out of the kernel's arguments, or put what is for init elsewhere."),
        )
