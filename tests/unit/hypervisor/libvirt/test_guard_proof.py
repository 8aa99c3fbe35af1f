# SPDX-License-Identifier: Apache-2.0
"""Whether libvirt runs the hook is seen, and what could not be seen is said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt import guard_proof
from nicpass.hypervisor.libvirt.guard_files import PROOF, PROOF_NAME
from nicpass.model.errors import ImpossibleError, NoAnswerError, StepError

CAPABILITIES = """<domainCapabilities><path>/usr/bin/qemu-kvm</path><domain>kvm</domain>
<machine>pc-q35-9.0</machine><arch>x86_64</arch></domainCapabilities>"""


class FakeError(Exception):
    def get_error_message(self) -> str:
        return str(self)


class FakeLibvirt:
    """The binding, a connection and a VM in one."""

    libvirtError = FakeError  # noqa: N815
    VIR_DOMAIN_START_PAUSED = 1
    VIR_DOMAIN_START_AUTODESTROY = 2

    def __init__(self, files: Files, *, asks_after: int | None = 0, other: str | None = None) -> None:
        self.files, self.asks_after, self.other = files, asks_after, other
        self.definitions: list[str] = []
        self.flags: list[int] = []
        self.destroyed = self.closed = 0

    def getDomainCapabilities(self) -> str:  # noqa: N802
        return CAPABILITIES

    def createXML(self, definition: str, flags: int) -> FakeLibvirt:  # noqa: N802
        self.definitions.append(definition)
        self.flags.append(flags)
        if self.other is not None:
            raise FakeError(self.other)
        if self.asks_after is not None and len(self.definitions) > self.asks_after:
            uuid = definition.partition("<uuid>")[2].partition("<")[0]
            Path(self.files.path(PROOF)).write_text(f"{uuid}\n")
            raise FakeError("Hook script execution failed")
        return self

    def destroy(self) -> None:
        self.destroyed += 1

    def close(self) -> None:
        self.closed += 1


def prove(monkeypatch: pytest.MonkeyPatch, libvirt: FakeLibvirt) -> str | None:
    monkeypatch.setattr(guard_proof, "connect", lambda *, writing: libvirt)
    monkeypatch.setattr(guard_proof, "load_binding", lambda: libvirt)
    monkeypatch.setattr(guard_proof, "_RELOAD_SECONDS", 0)
    try:
        return guard_proof.prove_hook(libvirt.files)
    finally:
        assert not libvirt.files.exists(PROOF)
        assert libvirt.closed == len(libvirt.definitions)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(str(tmp_path))


def test_a_hook_that_was_asked_is_proved(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = FakeLibvirt(files)
    assert prove(monkeypatch, libvirt) is None
    (definition,) = libvirt.definitions
    domain = ET.fromstring(definition)  # noqa: S314
    assert (domain.get("type"), domain.findtext("name")) == ("kvm", PROOF_NAME)
    assert domain.findtext("devices/emulator") == "/usr/bin/qemu-kvm"
    assert domain.find("os/type").attrib == {"arch": "x86_64", "machine": "pc-q35-9.0"}  # type: ignore[union-attr]
    assert (libvirt.flags, libvirt.destroyed) == ([3], 0)


def test_the_log_that_libvirt_leaves_goes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(guard_proof.LOG, b"shutting down, reason=failed\n")
    prove(monkeypatch, FakeLibvirt(files))
    assert not files.exists(guard_proof.LOG)


def test_a_daemon_that_reloads_a_moment_later_is_waited_for(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = FakeLibvirt(files, asks_after=1)
    monkeypatch.setattr(guard_proof, "wait_until", lambda condition, *_, **__: condition() or condition())
    assert prove(monkeypatch, libvirt) is None
    assert libvirt.destroyed == 1


def test_one_that_does_not_ask_is_an_error_and_its_vm_goes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt = FakeLibvirt(files, asks_after=None)
    with pytest.raises(StepError, match="without asking the guard"):
        prove(monkeypatch, libvirt)
    assert libvirt.destroyed == len(libvirt.definitions) > 0


def test_what_hinders_the_start_is_told_as_no_proof(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prove(monkeypatch, FakeLibvirt(files, other="no emulator")) == "no emulator"


@pytest.mark.parametrize(
    "error", [ImpossibleError("libvirt does not answer."), NoAnswerError("No answer."), OSError(28, "No space", "/run")]
)
def test_neither_a_deaf_libvirt_nor_a_full_disk_is_an_error(
    error: Exception, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise error

    libvirt = FakeLibvirt(files)
    monkeypatch.setattr(guard_proof, "ask", fail)
    reason = prove(monkeypatch, libvirt)
    assert reason is not None
    assert "ns" in reason or "No" in reason


def test_a_refusal_without_a_word_is_no_proof(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prove(monkeypatch, FakeLibvirt(files, other="")) == "libvirt gives no reason"


def test_an_old_mark_proves_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_atomic(PROOF, b"11111111-2222-3333-4444-555555555555\n")
    assert prove(monkeypatch, FakeLibvirt(files, other="else")) == "else"
