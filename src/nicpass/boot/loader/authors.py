# SPDX-License-Identifier: Apache-2.0
"""Advice for hosts whose boot configuration is somebody else's: the place there, and the words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.arguments.tokens import join_tokens
from nicpass.model.boot import Author
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Authorship


def describe_author(authorship: Authorship) -> str:
    """Why nothing is written on such a host, in a sentence."""
    author = authorship.author
    shown = f"{authorship.source}: {authorship.shown}"
    if author == Author.FIRMWARE:
        return _(
            "The firmware boots this kernel by itself, by its entry Boot{number} ({label}), and has the kernel's "
            "arguments there."
        ).format(number=authorship.place, label=authorship.shown)
    if author == Author.TRANSACTIONAL:
        return _(
            "The root of this host is a read-only snapshot, of which transactional-update makes the next one ({shown})."
        ).format(shown=shown)
    return _("{author} writes how this host boots; what others write there does not stay ({shown}).").format(
        author=author.value, shown=shown
    )


def advise_author(authorship: Authorship, tokens: Sequence[str], nics: Sequence[str]) -> str:
    """What to write for the kernel's arguments `tokens` and the NICs at the addresses `nics`, and where; lines."""
    lines = [_advise_arguments(authorship, join_tokens(tokens))] if tokens else []
    if nics and authorship.author == Author.NIXOS:
        lines.append(_bind_on_nixos(nics))
    elif nics and authorship.author == Author.UNRAID:
        lines.append(
            _("NICs: Tools > System Devices, tick {nics}, and Bind Selected to VFIO at Boot; then reboot.").format(
                nics=" ".join(nics)
            )
        )
    if nics:
        lines.append(
            _("A NIC needs nothing at boot where libvirt binds it whenever its VM starts: nicpass attach VM NIC")
        )
    return "\n".join(lines)


def _advise_arguments(authorship: Authorship, words: str) -> str:
    place = authorship.place
    match authorship.author:
        case Author.NIXOS:
            listed = " ".join(f'"{word}"' for word in words.split())
            return _("In configuration.nix: {line} Then nixos-rebuild boot, and reboot.").format(
                line=f"boot.kernelParams = [ {listed} ];"
            )
        case Author.GUIX:
            listed = " ".join(f'"{word}"' for word in words.split())
            return _("In the operating-system declaration: {line} Then guix system reconfigure, and reboot.").format(
                line=f"(kernel-arguments (append (list {listed}) %default-kernel-arguments))"
            )
        case Author.ELEMENTAL:
            return _("Set {words} in extra_cmdline, behind what it has already, and reboot: {lines}").format(
                words=words,
                lines=f"\ngrub2-editenv {place} list\nmount -o remount,rw {place.rpartition('/')[0]}\n"
                f"grub2-editenv {place} set extra_cmdline={quote(words)}",
            )
        case Author.UNRAID:
            return _(
                "In the web interface, Main > Flash > Syslinux Configuration, or in {place}: add {words} to the line "
                "append of the label that boots, before initrd=, and reboot."
            ).format(place=place, words=words)
        case Author.FLATCAR:
            return _("In {place}: {line} Then reboot.").format(
                place=place, line=f'set linux_append="$linux_append {words}"'
            )
        case Author.UBUNTU_CORE:
            return _("By snapd, which reboots by itself: {command}").format(
                command=f"snap set system system.kernel.cmdline-append={quote(words)}"
            )
        case Author.TRUENAS:
            return _("Beside what kernel_extra_options has already: {command} Then reboot.").format(
                command=f'midclt call system.advanced.update \'{{"kernel_extra_options": "{words}"}}\''
            )
        case Author.FIRMWARE:
            return _(
                "Make a second entry, so that the first stays as the way back; disk and partition are those of the EFI "
                "system partition: {command}"
            ).format(
                command=f"\nefibootmgr --create --disk DISK --part NUMBER --label iommu --loader "
                f"{quote(authorship.image)} --unicode {quote(f'{authorship.now} {words}')}"
            )
        case Author.TRANSACTIONAL:
            return _advise_snapshot(place, words)


def _advise_snapshot(place: str, words: str) -> str:
    if place == "/etc/kernel/cmdline":
        return _("Put {words} at the end of the line in {place}, then {command}, and reboot.").format(
            words=words, place=place, command="sdbootutil update-all-entries"
        )
    return _("Put {words} at the end of {variable} in {place}, then {command}, and reboot.").format(
        words=words, variable="GRUB_CMDLINE_LINUX_DEFAULT", place=place, command="transactional-update grub.cfg"
    )


def _bind_on_nixos(nics: Sequence[str]) -> str:
    """A service that gives each NIC its driver by its address, before udev looks for one (law 1)."""
    writes = " ".join(f"echo vfio-pci > /sys/bus/pci/devices/{nic}/driver_override;" for nic in nics)
    return _("NICs, where the initrd does not load their driver first: {lines}").format(
        lines='\nboot.initrd.kernelModules = [ "vfio_pci" "vfio_iommu_type1" ];\nsystemd.services.vfio-nics = {\n'
        '  wantedBy = [ "sysinit.target" ]; before = [ "systemd-udev-trigger.service" ];\n'
        '  unitConfig.DefaultDependencies = false; serviceConfig.Type = "oneshot";\n'
        f'  script = "{writes}";\n}};'
    )
