# SPDX-License-Identifier: Apache-2.0
"""Reading VMs from a daemon whose VMs come and go; the daemon is a small stand-in with libvirt's names."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.model.domain import Domain
from nicpass.model.fact import Unknown
from tests.support.domains import RICH, definition_xml

NO_DOMAIN, INTERNAL = 42, 1
RUNNING = 1  # virDomainState
INACTIVE = 2


class LibvirtError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def get_error_code(self) -> int:
        return self.code

    def get_error_message(self) -> str:
        return f"error {self.code}"


class DomainOfDaemon:
    """As much of virDomain as is asked for; with a code it is gone, or broken, by then."""

    def __init__(self, xml: str, *, live: str | None = None, code: int | None = None) -> None:
        self.xml, self.live, self.code = xml, live, code
        self.running_state = RUNNING

    def isActive(self) -> int:  # noqa: N802
        return int(self.live is not None)

    def state(self) -> list[int]:
        return [self.running_state, 0]

    def isPersistent(self) -> int:  # noqa: N802
        return 1

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        if self.code is not None:
            raise LibvirtError(self.code)
        return self.xml if flags == INACTIVE or self.live is None else self.live

    def name(self) -> str:
        return "web"

    def UUIDString(self) -> str:  # noqa: N802
        return "1"

    def hasManagedSaveImage(self) -> int:  # noqa: N802
        return 1

    def snapshotNum(self) -> int:  # noqa: N802
        return 3


def domains_of(monkeypatch: pytest.MonkeyPatch, *domains: DomainOfDaemon) -> object:
    connection = types.SimpleNamespace(listAllDomains=lambda: list(domains), close=lambda: None)
    library = types.ModuleType("libvirt")
    vars(library).update(
        libvirtError=LibvirtError,
        VIR_ERR_NO_DOMAIN=NO_DOMAIN,
        VIR_DOMAIN_XML_INACTIVE=INACTIVE,
        VIR_DOMAIN_PAUSED=3,
        VIR_DOMAIN_CRASHED=6,
        VIR_DOMAIN_PMSUSPENDED=7,
        openReadOnly=lambda _uri: connection,
        registerErrorHandler=lambda *_: None,
    )
    monkeypatch.setitem(sys.modules, "libvirt", library)
    return read_domains(Files())


def test_a_running_vm_has_both_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    found = domains_of(monkeypatch, DomainOfDaemon(definition_xml(), live=RICH))
    assert isinstance(found, tuple)
    domain = found[0]
    assert isinstance(domain, Domain)
    assert (domain.running, domain.saved_image, domain.snapshots) == (True, True, 3)
    assert domain.config is not None
    assert domain.live is not None
    assert (domain.config.iommu is None, domain.live.iommu is None) == (True, False)
    assert (len(domain.config_devices), len(domain.live_devices)) == (0, 2)


@pytest.mark.parametrize(("state", "paused"), [(RUNNING, False), (3, True), (6, True), (7, True)])
def test_a_guest_that_does_not_run_is_told_from_one_that_does(
    monkeypatch: pytest.MonkeyPatch, state: int, paused: bool
) -> None:
    one = DomainOfDaemon(definition_xml(), live=RICH)
    one.running_state = state
    found = domains_of(monkeypatch, one)
    assert isinstance(found, tuple)
    assert isinstance(found[0], Domain)
    assert (found[0].running, found[0].paused) == (True, paused)


def test_a_vm_that_has_gone_meanwhile_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = domains_of(monkeypatch, DomainOfDaemon("", code=NO_DOMAIN), DomainOfDaemon(definition_xml()))
    assert isinstance(found, tuple)
    assert len(found) == 1


def test_another_error_makes_the_whole_list_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = domains_of(monkeypatch, DomainOfDaemon(definition_xml()), DomainOfDaemon("", code=INTERNAL))
    assert found == Unknown("libvirt: error 1")


def test_a_definition_that_is_no_xml_makes_it_unknown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = domains_of(monkeypatch, DomainOfDaemon("<domain>"))
    assert isinstance(found, Unknown)
    assert "cannot be read" in found.unknown


def test_a_file_with_a_strange_name_is_named_in_letters(tmp_path: Path) -> None:
    folder = tmp_path / "etc/libvirt/qemu"
    folder.mkdir(parents=True)
    (folder / "a\x1b[31m\nb.xml").write_text("<domain>")
    found = read_domains(Files(str(tmp_path)))
    assert isinstance(found, Unknown)
    assert found.unknown.isprintable()
    assert not found.unknown.endswith(".")
