# SPDX-License-Identifier: Apache-2.0
"""Why the kernel did not make VFs, by the errno of the write to `sriov_numvfs`.

Source: `sriov_numvfs_store()` and `sriov_enable()` in drivers/pci/iov.c, and what drivers answer there: mlx5 with
ENOSPC when the card's MSI-X vectors are used up.
"""

from __future__ import annotations

import errno
import locale
import os

from nicpass.model.language import _


def explain_refusal(error: str) -> str:
    """What the kernel means by `error`, the text of a failed write; empty where that is not known."""
    for number, reason in _reasons().items():
        if any(words in error for words in _words_of(number)):
            return reason
    return ""


def _words_of(number: int) -> tuple[str, str]:
    """The error in English and as the C library words it in the language of the programs that are run."""
    english, before = os.strerror(number), locale.setlocale(locale.LC_MESSAGES)
    try:
        locale.setlocale(locale.LC_MESSAGES, "")
        return english, os.strerror(number)
    except locale.Error:
        return english, english
    finally:
        locale.setlocale(locale.LC_MESSAGES, before)


def _reasons() -> dict[int, str]:
    return {
        errno.ENOENT: _("It has no driver, or a driver that makes no VFs in this way."),
        errno.ENOSPC: _("The card has no more of what VFs need, mostly interrupts (MSI-X): ask for fewer VFs."),
        errno.ENOMEM: _(
            "There is no room for them in memory (MMIO), or there are no bus numbers; dmesg says which. In the "
            "firmware setup turn on SR-IOV and Above 4G Decoding, or ask for fewer VFs."
        ),
        errno.EBUSY: _("VFs of it are there already, or the driver is in a mode in which it makes none; see dmesg."),
        errno.ERANGE: _("They are more than its driver can make; see sriov_totalvfs."),
        errno.EINVAL: _("Its driver does not take this number, or not in the mode that it is in; see dmesg."),
    }
