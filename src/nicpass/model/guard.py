# SPDX-License-Identifier: Apache-2.0
"""The guard in libvirt's hooks as it is found: whether it could do its work, and what happened when it could not."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact

HOOK = "/etc/libvirt/hooks/qemu.d/nicpass"
"""Where libvirt looks for it since 6.5.0 (https://libvirt.org/hooks.html)."""


class Unguarded(msgspec.Struct, frozen=True, kw_only=True):
    """A start or a stop of a VM for which nicpass could not run, so that the hook's script stood alone."""

    what: Literal["started", "vetoed", "stopped"]
    vm: str
    uuid: str
    nics: tuple[Address, ...] = ()
    when: str = ""
    """By the host's clock, `2026-01-31 23:59:59 UTC`."""
    reason: str
    """Why nicpass could not run, as the script says it."""
    loss: str = ""
    """What the administrator would have lost, for which the script vetoed the start."""
    path: str
    """The file that says so."""


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """The hook's file and what it names; all None in a snapshot from before this was read."""

    hook_mode: Fact[int] = None
    """The permission bits of the hook's file; None where there is none."""
    python: Fact[str] = None
    """The Python that the hook names; None where it is no hook of nicpass's."""
    python_is_there: Fact[bool] = None
    """Whether a program is behind that name, and may be run."""
    python_version: Fact[str] = None
    """The `3.13` in the program's name, all links followed; None where its name does not tell."""
    package: Fact[str] = None
    """The folder of the package that the hook names."""
    package_is_there: Fact[bool] = None
    package_version: Fact[str] = None
    """The version of Python in whose folder the package lies; None where any may load it."""
    is_ours: Fact[bool] = None
    """Whether the guard's files are those that the nicpass that looks would write; another's tree cannot tell."""
    unguarded: Fact[tuple[Unguarded, ...]] = None
    """The last start, veto and stop of each VM for which nicpass could not run, until `nicpass recover` clears them."""
    selinux: Fact[bool] = None
    """Whether SELinux is on and enforces; None where the kernel has none."""
    hooks_unconfined: Fact[bool] = None
    """SELinux' boolean virt_hooks_unconfined; None where the policy has none, and then hooks were never confined."""
