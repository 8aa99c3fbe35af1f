# SPDX-License-Identifier: Apache-2.0
"""Whole hosts whose files lie, vanish and refuse to be read: read, judged by every check, audited, taken to JSON."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import list_nics
from nicpass.checks.preflight import check_host, check_nic, check_vm
from nicpass.checks.security import check_security
from nicpass.host.doors.files import Files
from nicpass.host.doors.open_file import OpenFile
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_machines
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from tests.fuzz.bound import HangError, rearm, watching
from tests.fuzz.mutate import mutate
from tests.support.dependence import DEPENDENT
from tests.support.hosts import pf_with_vfs, ready_host
from tests.support.provoking import HAVING
from tests.support.trees import Tree, Vm, hostdev_xml

JSON_EVERY = 8
_NIC = "0000:01:00.0"
_NAMES = ("\x1b[31m", "a\nb", "..", "0000:ff:1f.7", "-1", "9" * 40, "eth\\xff", "virtfn999999999999", "'; rm -rf /")
_SECONDS = 20.0
"""A host takes 5 ms; on a busy machine the whole process may stand still for seconds."""
_FAR = 40
"""How many reads one fault stands for, on average."""


class LyingFiles(Files):
    """A tree in which now and then an answer is another than what lies there."""

    def __init__(self, root: str, rng: random.Random) -> None:
        super().__init__(root)
        self.rng = rng
        self.seen: list[bytes] = [b"0\n"]

    def _read(self, path: str, how: Callable[[int], bytes]) -> Fact[bytes]:
        return self._spoil(super()._read(path, how), path)

    @contextlib.contextmanager
    def open_for_reading(self, path: str) -> Iterator[Fact[OpenFile]]:
        content = self.read_bytes(path)
        if not isinstance(content, bytes):
            yield content
            return
        descriptor = os.memfd_create("fuzz")
        try:
            os.write(descriptor, content)
            yield OpenFile(descriptor, path)
        finally:
            os.close(descriptor)

    def read_link(self, path: str) -> Fact[str]:
        target = super().read_link(path)
        if self.rng.random() * _FAR >= 1:
            return target
        return self.rng.choice((None, Unknown(f"permission denied: {path}"), *_NAMES))

    def list_directory(self, path: str) -> Fact[tuple[str, ...]]:
        names = super().list_directory(path)
        if self.rng.random() * _FAR >= 1 or not isinstance(names, tuple):
            return names
        kept = tuple(name for name in names if self.rng.random() < 0.8)
        return self.rng.choice((None, Unknown(f"permission denied: {path}"), kept, (*names, self.rng.choice(_NAMES))))

    def _spoil(self, content: Fact[bytes], path: str) -> Fact[bytes]:
        if self.rng.random() * _FAR >= 1:
            return content
        kind = int(self.rng.random() * 4)
        if kind == 0 or not isinstance(content, bytes):
            return self.rng.choice((None, Unknown(f"permission denied: {path}")))
        self.seen = [*self.seen[-20:], content or b"\n"]
        return mutate(content, self.seen, self.rng)


def fuzz(count: int, seed: int) -> int:
    """Read and judge `count` hosts; the same seed makes the same ones.

    Raises:
        AssertionError: one of them crashed or hung the reader or a check; it says by which seed.
    """
    roots = _write_trees()
    with watching():
        for number in range(count):
            case = seed * 1_000_000_007 + number
            rearm(_SECONDS)
            try_host(roots[number % len(roots)], case, with_json=number % JSON_EVERY == 0)
    return count


def try_host(root: Path, case: int, *, with_json: bool = True) -> None:
    """Read the tree at `root` with the faults of `case`, and judge it.

    Raises:
        AssertionError: a crash, a hang, or an answer that does not hold.
    """
    files = LyingFiles(str(root), random.Random(case))  # noqa: S311  the same faults again are what it is for
    try:
        machines = read_machines(files)
        host = read_host(files, machines.domains, with_boot=True, with_cpus=True, networks=machines.networks)
        for finding in judge_all(host):
            assert finding.sentence.isprintable(), finding.sentence
            assert "\x1b" not in finding.command, finding.command
        if with_json:
            assert msgspec.json.decode(msgspec.json.encode(host), type=Host) == host
    except NicpassError:
        return  # a damaged capture is said so
    except HangError:
        raise AssertionError(f"hangs: {root.name}, case {case}") from None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}: {root.name}, case {case}") from error


def judge_all(host: Host) -> Iterator[Finding]:
    index = HostIndex(host)
    yield from check_host(host)
    yield from check_security(host)
    domains = host.domains if isinstance(host.domains, tuple) else ()
    for function in list_nics(host):
        yield from check_nic(function, index)
        for domain in domains:
            yield from check_vm(function, domain, index)


def _trees() -> dict[str, Tree]:
    vms = (Vm(name="web", devices=hostdev_xml(_NIC)), Vm(name="db"))
    plain = {
        "ready": ready_host(vms=vms),
        "pf": ready_host(*pf_with_vfs(_NIC, "eth1", 4), vms=vms),
    }
    return plain | {f"usage-{code}": tree for code, tree in DEPENDENT.items()} | dict(HAVING)


def _write_trees() -> list[Path]:
    """In memory where there is such a folder: a million reads are to be quick."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="nicpass-fuzz-", dir=memory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [tree.write(folder / name) for name, tree in sorted(_trees().items())]
