# SPDX-License-Identifier: Apache-2.0
"""Unified kernel images, which hold their arguments: /etc/kernel/cmdline is edited, and the images are made anew.

Sources: ukify(1), kernel-install(8) with `layout=uki`, mkinitcpio(8) with `*_uki=` in its presets. An image cannot be
tried once, for its arguments are part of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.boot.loader.edits import CMDLINE, VENDOR_CMDLINE, plan_edits, plan_edits_removal
from nicpass.boot.text.changes import content_of
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.file_image import FileChange

INSTALL_CONFIGS = ("/etc/kernel/install.conf", "/usr/lib/kernel/install.conf")
PRESETS_FOLDER = "/etc/mkinitcpio.d"
_LAYOUT = re.compile(rb"^[ \t]*layout[ \t]*=[ \t]*uki[ \t]*$", re.MULTILINE)
_PRESET = re.compile(rb"^[ \t]*\w+_(?:uki|efi_image)=", re.MULTILINE)


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that puts `tokens` last in the file that images are made with, and makes all images anew.

    The images are made anew also where the file has the tokens: whether that was done since is not read.

    Raises:
        BadInputError: there is no such file.
        ImpossibleError: it is not known what makes the images.
    """
    if not tokens:
        return plan_removal(boot)
    makers = _make_images(boot)
    return BootChange(files=plan_cmdline(boot, tokens), generators=makers)


def plan_removal(boot: Boot) -> BootChange:
    """The change that takes nicpass's arguments out of the file that images are made with, and makes these anew."""
    files = plan_edits_removal(boot)
    return BootChange(files=files, generators=_make_images(boot) if files else ())


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """Refuse a trial boot, which is not possible with a unified kernel image.

    Raises:
        ImpossibleError: always.
    """
    raise ImpossibleError(_("A unified kernel image cannot be tried with other arguments."))


def plan_trial_end(boot: Boot) -> BootChange:
    """The empty change, for there is no trial boot."""
    return BootChange()


def plan_cmdline(boot: Boot, tokens: Sequence[str]) -> tuple[FileChange, ...]:
    """The changes that put `tokens` last in /etc/kernel/cmdline, which is made of the vendor's where there is none.

    Where neither file is there, the running kernel's arguments are taken at every making of an image, and nicpass's
    could not be taken out.

    Raises:
        BadInputError: neither file is there.
    """
    vendor = content_of(boot, VENDOR_CMDLINE)
    if content_of(boot, CMDLINE) is None and vendor is None:
        raise BadInputError(
            _("{path} is not there, so the kernel's arguments have no place of their own.").format(path=CMDLINE),
            _("Make it of those that the host runs with, look at it, and run nicpass again: {command}").format(
                command=f"sed -E 's/(BOOT_IMAGE|initrd)=[^ ]* ?//g' /proc/cmdline > {CMDLINE}"
            ),
        )
    return plan_edits(boot, tokens, (CMDLINE,), {CMDLINE: vendor} if vendor is not None else {})


def _make_images(boot: Boot) -> tuple[Generator, ...]:
    if any(_LAYOUT.search(content_of(boot, path) or b"") for path in INSTALL_CONFIGS) and boot.kernels:
        argvs = (("kernel-install", "add", kernel.release, kernel.path) for kernel in boot.kernels)
        return tuple(Generator(argv=argv) for argv in argvs)
    presets = (file.path for file in boot.files if file.path.startswith(f"{PRESETS_FOLDER}/"))
    if any(_PRESET.search(content_of(boot, path) or b"") for path in presets):
        return (Generator(argv=("mkinitcpio", "-P")),)
    raise ImpossibleError(
        _("This host boots a unified kernel image, and nicpass cannot tell what makes it."),
        _("Add the arguments to {path} or where your tool keeps them, make the image anew, and reboot.").format(
            path=CMDLINE
        ),
    )
