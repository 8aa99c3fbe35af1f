# SPDX-License-Identifier: Apache-2.0
"""Reads the guard as it is found, of this machine or of a tree.

SELinux: https://github.com/SELinuxProject/selinux-notebook (`/sys/fs/selinux/enforce`, `booleans/NAME`, which holds the
value in force and the pending one); the boolean is that of Fedora's selinux-policy, where hooks have a domain of their
own, virt_hook_t.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING, Literal

from nicpass.host.system.given import EVENTS, EVENTS_OF_BOOT
from nicpass.model.address import parse_address
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.guard import HOOK, Guard, Unguarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files

SELINUX = "/sys/fs/selinux"
HOOKS_BOOLEAN = "virt_hooks_unconfined"
_WORDS: dict[str, Literal["started", "vetoed", "stopped"]] = {
    "started": "started",
    "vetoed": "vetoed",
    "stopped": "stopped",
}
_LINES = 6
_LARGEST = 10_000  # bytes of one such file


def read_guard(files: Files) -> Guard:
    """All of `Guard`."""
    status, text = files.read_status(HOOK), files.read_text(HOOK)
    named = _named_in(text) if isinstance(text, str) else {}
    python, package = (named.get(word) if isinstance(text, str) else text for word in ("python", "package"))
    program = _follow(files, python) if isinstance(python, str) else None
    return Guard(
        hook_mode=stat.S_IMODE(status.st_mode) if isinstance(status, os.stat_result) else status,
        python=python,
        python_is_there=_may_be_run(files, program) if program is not None else None,
        python_version=_version_in(r"/python(\d+\.\d+)$", program) if program is not None else None,
        package=package,
        package_is_there=files.exists(f"{package}/cli/hook.py") if isinstance(package, str) else None,
        package_version=_version_in(r"/python(\d+\.\d+)/", package) if isinstance(package, str) else None,
        is_ours=_is_ours(files, text),
        unguarded=_read_unguarded(files),
        selinux=_read_switch(files, f"{SELINUX}/enforce"),
        hooks_unconfined=_read_switch(files, f"{SELINUX}/booleans/{HOOKS_BOOLEAN}"),
    )


def _named_in(text: str) -> dict[str, str]:
    """The words that the script is given in its first lines, `python=...`; none of a script of somebody else."""
    import shlex  # late: on most hosts there is no hook

    found: dict[str, str] = {}
    for line in text.splitlines()[:20]:
        name, equals, word = line.partition("=")
        if equals and name in ("python", "package"):
            with contextlib.suppress(ValueError):
                found[name] = "".join(shlex.split(word))
    return found if len(found) == 2 else {}


def _follow(files: Files, path: str) -> str:
    """Where links lead, below the tree's root; as far as the kernel follows: path_resolution(7)."""
    for _link in range(40):
        target = files.read_link(path)
        if not isinstance(target, str):
            break
        path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    return path


def _may_be_run(files: Files, path: str) -> Fact[bool]:
    status = files.read_status(path)
    if isinstance(status, os.stat_result):
        return bool(stat.S_ISREG(status.st_mode) and status.st_mode & 0o111)
    return False if status is None else status


def _version_in(pattern: str, path: str) -> str | None:
    found = re.search(pattern, path)
    return found[1] if found is not None else None


def _is_ours(files: Files, text: Fact[str]) -> Fact[bool]:
    if not isinstance(text, str):
        return text
    if not files.is_live:
        return Unknown("a tree does not show which nicpass it has")
    from nicpass.hypervisor.libvirt.guard import plan_guard  # late: on most hosts there is no hook

    return plan_guard(files) == ()


def _read_switch(files: Files, path: str) -> Fact[bool]:
    text = files.read_text(path)
    return text.startswith("1") if isinstance(text, str) else text


def _read_unguarded(files: Files) -> Fact[tuple[Unguarded, ...]]:
    lists = {folder: files.list_directory(folder) for folder in (EVENTS, EVENTS_OF_BOOT)}
    unread = next((names for names in lists.values() if isinstance(names, Unknown)), None)
    if unread is not None:
        return unread
    found = [
        event
        for folder, names in lists.items()
        for name in (names if known(names) else ())
        for event in _parse_event(files, f"{folder}/{name}")
    ]
    return tuple(sorted(found, key=lambda event: (event.when, event.path)))


def _parse_event(files: Files, path: str) -> Iterator[Unguarded]:
    """What one file says, as the script writes it; of a damaged one at least that there is one."""
    uuid, _dot, word = path.rpartition("/")[2].partition(".")
    what = _WORDS.get(word)
    content = files.read_bytes(path, _LARGEST)
    if what is None or not isinstance(content, bytes):
        return
    lines = content.decode("utf-8", "backslashreplace").split("\n", _LINES - 1)
    lines += [""] * (_LINES - len(lines))
    when, _what, nics, reason, loss, name = (line.strip() for line in lines)
    yield Unguarded(
        what=what,
        vm=name or uuid,
        uuid=uuid,
        nics=tuple(address for nic in nics.split() if (address := parse_address(nic)) is not None),
        when=when,
        reason=reason,
        loss=loss,
        path=path,
    )
