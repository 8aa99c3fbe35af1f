# SPDX-License-Identifier: Apache-2.0
"""libvirt's VMs, as its own library and its system daemon tell them, or the definitions in a captured tree.

The daemon may hang, also when it lets one connect: nothing is asked of it without a bound (law 12).
Source: https://libvirt.org/html/libvirt-libvirt-domain.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nicpass.engine.bounded import ask
from nicpass.hypervisor.libvirt.hostdevs import parse_domain, parse_machine
from nicpass.hypervisor.libvirt.networks import DEFINITIONS, networks_of, read_networks
from nicpass.model.domain import Domain
from nicpass.model.errors import ImpossibleError, NicpassError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.libvirt_network import LibvirtNetwork
from nicpass.model.text import clause, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.files import Files

URI = "qemu:///system"
SAVED_IMAGES = "/var/lib/libvirt/qemu/save"
"""Where `virsh managedsave` puts NAME.save."""
_READ_SECONDS = 30.0
"""For all VMs; a thousand take two."""

T = TypeVar("T")
Connection = Any
"""A virConnect; the binding is not typed."""


def read_domains(files: Files) -> Fact[tuple[Domain, ...]]:
    """Every VM that libvirt knows; of a capture, those that its folder of definitions names.

    None where there is no libvirt; Unknown, with the reason, where it cannot be asked.
    """
    return _ask(files, _domains_of) if files.is_live else read_definitions(files)


class Machines(msgspec.Struct, frozen=True):
    """What libvirt knows of a host; each is unknown by itself."""

    domains: Fact[tuple[Domain, ...]]
    networks: Fact[tuple[LibvirtNetwork, ...]]


def read_machines(files: Files) -> Machines:
    """The VMs, as `read_domains` reads them, and the networks that lend NICs to them; one connection for both."""
    if not files.is_live:
        return Machines(read_definitions(files), read_networks(files))
    found = _ask(files, lambda connection: _machines_of(connection, files))
    return found if isinstance(found, Machines) else Machines(found, found)


def _machines_of(connection: Connection, files: Files) -> Machines:
    return Machines(_domains_of(connection), networks_of(connection, load_binding(), files))


def _ask(files: Files, question: Callable[[Connection], T]) -> Fact[T]:
    """The daemon's answer; None where there is no libvirt; Unknown, with the reason, where it cannot be asked."""
    try:
        return ask(lambda: _answer(question), _READ_SECONDS, "libvirt")
    except ImpossibleError as error:
        # A host on which libvirt was never installed has no VMs of libvirt: that is known, and no obstacle to list.
        return Unknown(error.sentence.rstrip(".。")) if files.exists("/etc/libvirt") else None
    except NicpassError as error:
        return Unknown(error.sentence.rstrip(".。"))


def _answer(question: Callable[[Connection], T]) -> T | Unknown:
    """By one connection, from its opening to its end: whatever of it hangs, all is left behind."""
    connection = connect(writing=False)
    try:
        return question(connection)
    except load_binding().libvirtError as error:
        return Unknown(f"libvirt: {clause(error.get_error_message())}")
    except UnicodeDecodeError:  # its binding decodes strictly
        return Unknown("libvirt: an answer that is no UTF-8")
    finally:
        connection.close()


def connect(*, writing: bool) -> Connection:
    """A connection to the system daemon.

    Raises:
        ImpossibleError: the binding is not installed, or the daemon does not answer.
    """
    try:
        libvirt = load_binding()
    except ImportError:
        raise ImpossibleError(
            _("The Python binding of libvirt is not installed."),
            _("apt install python3-libvirt, or dnf; and install nicpass with pipx install --system-site-packages."),
        ) from None
    try:
        return libvirt.open(URI) if writing else libvirt.openReadOnly(URI)
    except libvirt.libvirtError as error:
        raise ImpossibleError(
            _("libvirt does not answer: {message}.").format(message=clause(error.get_error_message())),
            "systemctl start libvirtd",
        ) from None


def load_binding() -> Any:
    """The binding, loaded when first needed, with its habit of printing errors by itself taken away."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def inactive_xml(domain: Any) -> str:
    return str(domain.XMLDesc(load_binding().VIR_DOMAIN_XML_INACTIVE))


def _domain_of(domain: Any) -> Domain:
    running = bool(domain.isActive())
    library = load_binding()
    config_devices, config = parse_machine(inactive_xml(domain))
    live_devices, live = parse_machine(domain.XMLDesc()) if running else ((), None)
    return Domain(
        name=domain.name(),
        uuid=domain.UUIDString(),
        running=running,
        paused=running and domain.state()[0] in _states_of_paused(library),
        persistent=bool(domain.isPersistent()),
        config_devices=config_devices,
        live_devices=live_devices,
        config=config,
        live=live,
        saved_image=bool(domain.hasManagedSaveImage()),
        snapshots=domain.snapshotNum(),
    )


def _states_of_paused(library: Any) -> tuple[int, ...]:
    """virDomainState: those in which QEMU is there and the guest does not run."""
    return (library.VIR_DOMAIN_PAUSED, library.VIR_DOMAIN_CRASHED, library.VIR_DOMAIN_PMSUSPENDED)


def _domains_of(connection: Connection) -> tuple[Domain, ...]:
    """Every VM of the daemon; a VM that is gone by the time that it is asked about is left out."""
    library, domains = load_binding(), []
    for domain in connection.listAllDomains():
        try:
            domains.append(_domain_of(domain))
        except library.libvirtError as error:
            if error.get_error_code() != library.VIR_ERR_NO_DOMAIN:
                raise
    return tuple(domains)


def read_definitions(files: Files) -> Fact[tuple[Domain, ...]]:
    """The VMs by their files, without asking libvirt: which of them run is not in there."""
    names = files.list_directory(DEFINITIONS)
    if not isinstance(names, tuple):
        return names or Unknown(f"not captured: {DEFINITIONS}")
    saved = files.list_directory(SAVED_IMAGES)
    domains: list[Domain] = []
    for name in sorted(name for name in names if name.endswith(".xml")):
        path = f"{DEFINITIONS}/{name}"
        text = files.read_text(path)
        if not isinstance(text, str):
            return Unknown(printable(text.unknown if text else f"gone: {path}"))
        try:
            domain = parse_domain(text)
        except NicpassError as error:
            return Unknown(f"{printable(path)}: {error.sentence.rstrip('.')}")
        domains.append(msgspec.structs.replace(domain, saved_image=_is_saved(domain, saved)))
    return tuple(domains)


def _is_saved(domain: Domain, saved: Fact[tuple[str, ...]]) -> Fact[bool]:
    if not isinstance(saved, tuple):
        return saved or Unknown(f"not captured: {SAVED_IMAGES}")
    return f"{domain.name}.save" in saved
