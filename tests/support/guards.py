# SPDX-License-Identifier: Apache-2.0
"""Hosts whose guard is not in order, one for each code about it."""

from __future__ import annotations

import msgspec

from nicpass.engine.nic.store import KeptNic
from nicpass.host.system.given import EVENTS
from nicpass.hypervisor.libvirt.guard_files import hook_script
from nicpass.model.address import Address
from nicpass.model.guard import HOOK
from nicpass.model.plan import NicOwner, NicState
from tests.support.hosts import VM, ready_host
from tests.support.trees import Tree

NIC = Address("0000:01:00.0")
PYTHON = "/opt/nicpass/bin/python"
PACKAGE = "/opt/nicpass/lib/python3.11/site-packages/nicpass"
RECORD = f"/var/lib/nicpass/nics/{NIC}.json"
REASON = f"{PYTHON} could not run it (exit code 1)"


def record(*, managed: bool = True) -> bytes:
    owner = NicOwner(domain=VM.name, uuid=VM.uuid, managed=managed)
    return msgspec.json.encode(KeptNic(state=NicState(address=NIC, driver="ixgbe"), owner=owner))


def guarded(
    *, python: str | None = "/usr/bin/python3.11", package: bool = True, mode: int = 0o755, managed: bool = True
) -> Tree:
    """A host that has given its NIC away; the hook's Python is a link to `python`."""
    files: dict[str, str | bytes] = {
        RECORD: record(managed=managed),
        HOOK: hook_script(PYTHON, PACKAGE, "/var/lib/nicpass/nics"),
    }
    modes = {HOOK: mode}
    if python is not None:
        files[python] = ""
        modes[python] = 0o755
    if package:
        files[f"{PACKAGE}/cli/hook.py"] = ""
    return ready_host(files=files, modes=modes, links={PYTHON: python or "/usr/bin/python3.11"})


def event(what: str, loss: str = "", *, folder: str = EVENTS, name: str = "web01") -> dict[str, str]:
    """What the hook's script leaves."""
    text = f"2026-01-31 23:59:59 UTC\n{what}\n{NIC}\n{REASON}\n{loss}\n{name}\n"
    return {f"{folder}/{VM.uuid}.{what}": text}


HAVING: dict[str, Tree] = {
    "GUARD_MISSING": ready_host(files={RECORD: record()}),
    "GUARD_NOT_EXECUTABLE": guarded(mode=0o644),
    "GUARD_BROKEN": guarded(python="/usr/bin/python3.13"),
    "GUARD_CHANGED": ready_host(files={RECORD: record(), HOOK: "#!/bin/sh\nexit 0\n"}, modes={HOOK: 0o755}),
    "STARTED_UNGUARDED": ready_host(files=event("started")),
    "VETOED_UNGUARDED": ready_host(files=event("vetoed", "a default route of the host leads over eth1")),
    "STOPPED_UNGUARDED": ready_host(files=event("stopped")),
    "HOOKS_CONFINED": ready_host(
        files={"/sys/fs/selinux/enforce": "1", "/sys/fs/selinux/booleans/virt_hooks_unconfined": "0 0"}
    ),
}
