# SPDX-License-Identifier: Apache-2.0
"""libvirt: its VMs, and the steps that change them, through its own library and its system daemon.

With `managed='yes'` libvirt itself takes the NIC from its driver when the VM starts and gives it back when
the VM stops (law 5: it owns the binding, so no lasting one is written).
Its daemon may hang, also when it lets one connect: nothing is asked of it without a bound (law 12).
Source: https://libvirt.org/html/libvirt-libvirt-domain.html
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import announce, forget_start, read_start
from nicpass.engine.bounded import ask
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.host.pci.functions import read_function
from nicpass.hypervisor.libvirt.hostdevs import build_device, find_device, parse_domain, parse_machine
from nicpass.hypervisor.libvirt.networks import DEFINITIONS, networks_of, read_networks
from nicpass.model.domain import Domain
from nicpass.model.errors import ImpossibleError, NicpassError, NoAnswerError, StepError
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.language import _
from nicpass.model.plan import DefineDevice, StartDomain, StopDomain, UndefineDevice
from nicpass.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.files import Files
    from nicpass.model.libvirt_network import LibvirtNetwork

URI = "qemu:///system"
SAVED_IMAGES = "/var/lib/libvirt/qemu/save"
"""Where `virsh managedsave` puts NAME.save."""
_START_SECONDS = 30.0
_SHUTDOWN_SECONDS = 30.0
"""How long a guest has to heed before it is switched off."""
_READ_SECONDS = 30.0
"""For all VMs; a thousand take two."""
_SECONDS = 30.0
_SECONDS_OF = {"create": 300.0, "destroy": 60.0, "attachDeviceFlags": 60.0, "detachDeviceFlags": 60.0}
"""For the answer to one call. A start pins all of the guest's memory for the NIC, which takes minutes for a TiB."""
_SECONDS_MORE = 3.0
"""For each call once one had no answer: there is other work that does not need libvirt."""

T = TypeVar("T")
Connection = Any
"""A virConnect; the binding is not typed."""


def read_domains(files: Files) -> Fact[tuple[Domain, ...]]:
    """Every VM that libvirt knows; of a capture, those that its folder of definitions names.

    None where there is no libvirt; Unknown, with the reason, where it cannot be asked.
    """
    return _ask(files, _domains_of) if files.is_live else read_definitions(files)


class Machines(NamedTuple):
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
    return Machines(_domains_of(connection), networks_of(connection, _library(), files))


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
    except _library().libvirtError as error:
        return Unknown(f"libvirt: {error.get_error_message()}")
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
        libvirt = _library()
    except ImportError:
        raise ImpossibleError(
            _("The Python binding of libvirt is not installed."),
            _("apt install python3-libvirt, or dnf; and install nicpass with pipx install --system-site-packages."),
        ) from None
    try:
        return libvirt.open(URI) if writing else libvirt.openReadOnly(URI)
    except libvirt.libvirtError as error:
        raise ImpossibleError(
            _("libvirt does not answer: {message}.").format(message=error.get_error_message()),
            "systemctl start libvirtd",
        ) from None


def libvirt_handlers(files: Files) -> Handlers:
    """The handlers of libvirt's steps; each opens its own connection, so a daemon that restarts is borne."""
    steps = LibvirtSteps(files)
    return {
        DefineDevice: Handler(steps.apply_define, steps.verify_define),
        UndefineDevice: Handler(steps.apply_undefine, steps.verify_undefine),
        StartDomain: Handler(steps.apply_start, steps.verify_start),
        StopDomain: Handler(steps.apply_stop, steps.verify_stop),
    }


class LibvirtSteps:
    """Handlers of the steps that change a VM."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.started: set[str] = set()
        """VMs that this run has started, by UUID: it stops no other."""

    def apply_define(self, step: DefineDevice) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            if find_device(_inactive_xml(domain), step.address) is None:
                domain.attachDeviceFlags(build_device(step.device), _library().VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: a start before it runs without the NIC, which nobody asked for.
            if domain.isActive() and find_device(str(domain.XMLDesc()), step.address) is None:
                raise StepError(
                    _("{domain} was started meanwhile, without the NIC.").format(domain=step.domain),
                    _("Shut it down first."),
                )

    def verify_define(self, step: DefineDevice) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            if find_device(_inactive_xml(domain), step.address) is None:
                raise StepError(
                    _("{address} does not stand in the definition of {domain}.").format(
                        address=step.address, domain=step.domain
                    )
                )

    def apply_undefine(self, step: UndefineDevice) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            element = find_device(_inactive_xml(domain), step.address)
            if element is not None:
                domain.detachDeviceFlags(element, _library().VIR_DOMAIN_AFFECT_CONFIG)
            # Asked after the change: from here on no start takes the NIC, and one before it is seen.
            if domain.isActive():
                raise StepError(
                    _("{domain} was started meanwhile.").format(domain=step.domain), _("Shut it down first.")
                )

    def verify_undefine(self, step: UndefineDevice) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            if find_device(_inactive_xml(domain), step.address) is not None:
                raise StepError(
                    _("{address} still stands in the definition of {domain}.").format(
                        address=step.address, domain=step.domain
                    )
                )

    def apply_start(self, step: StartDomain) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            if step.uuid in self.started:
                return
            if domain.isActive():
                raise StepError(
                    _("{domain} was started by somebody else meanwhile.").format(domain=step.domain),
                    _("Shut it down first."),
                )
            self.started.add(step.uuid)
            forget_start(self.files, step.uuid)
            with announce(self.files, step.uuid):
                domain.create()

    def verify_start(self, step: StartDomain) -> None:
        """The VM runs, and has the NIC: it is on vfio-pci and the host sees no interface of it."""
        with _DomainHandle(step.uuid, step.domain) as domain:
            if not domain.isActive():
                raise StepError(_("{domain} does not run.").format(domain=step.domain))
        # After a crash of ours libvirt may be in the middle of the start.
        wait_until(lambda: on_vfio(read_function(self.files, step.address)), _START_SECONDS)
        function = read_function(self.files, step.address)
        if not on_vfio(function):
            raise StepError(
                _("{domain} runs, but {address} is on {driver}.").format(
                    domain=step.domain, address=step.address, driver=function.driver or _("no driver")
                )
            )
        if known(function.netdevs) and function.netdevs:
            raise StepError(
                _("{domain} runs, but the host still has {names}.").format(
                    domain=step.domain, names=", ".join(function.netdevs)
                )
            )
        if step.guarded and step.address not in read_start(self.files, step.uuid):
            raise StepError(
                _("{domain} runs, but libvirt did not ask the guard: its later starts would not be looked at.").format(
                    domain=step.domain
                ),
                _("Restart libvirt's daemon, which looks for hooks then: systemctl restart libvirtd; VMs go on."),
            )

    def apply_stop(self, step: StopDomain) -> None:
        """Raises NoAnswerError where libvirt hangs, also when the VM's end was brought about without it."""
        try:
            with _DomainHandle(step.uuid, step.domain) as domain:
                if not domain.isActive() or not (step.for_all or step.uuid in self.started):
                    return
                with announce(self.files, step.uuid):
                    if not (step.for_all and self._shut_down(domain, step)):
                        domain.destroy()
        except (NoAnswerError, ImpossibleError):
            if step.unattended or step.uuid in self.started:
                from nicpass.hypervisor.libvirt.shutdown import end_guest  # late: libvirt seldom hangs

                end_guest(self.files, step.domain, step.uuid)
            raise

    def verify_stop(self, step: StopDomain) -> None:
        with _DomainHandle(step.uuid, step.domain) as domain:
            ours = step.for_all or step.uuid in self.started
            if ours and not wait_until(lambda: not domain.isActive(), _START_SECONDS):
                raise StepError(_("{domain} still runs.").format(domain=step.domain))
            self.started.discard(step.uuid)

    def _shut_down(self, domain: Any, step: StopDomain) -> bool:
        """Ask the guest to shut down, as its power button would; False where it cannot heed or does not in time."""
        with contextlib.suppress(_library().libvirtError):
            from nicpass.hypervisor.libvirt.shutdown import wait_for_shutdown  # late: an attach shuts nothing down

            domain.shutdown()
            return wait_for_shutdown(self.files, step.domain, lambda: bool(domain.isActive()), _SHUTDOWN_SECONDS)
        return False


class _DomainHandle:
    """One VM on a connection of its own; libvirt's errors leave it as StepErrors."""

    hangs = False
    """A call of this process had no answer, and none since."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid, self.name = uuid, name
        self.connection: Connection = None
        self.domain: Any = None

    def __enter__(self) -> _DomainHandle:
        self.connection = self._ask("open", lambda: connect(writing=True))
        try:
            self.domain = self._ask("lookup", lambda: self.connection.lookupByUUIDString(self.uuid))
        except _library().libvirtError as error:
            self._close()
            raise StepError(
                _("libvirt has no VM {name} any more: {message}.").format(
                    name=self.name, message=error.get_error_message()
                )
            ) from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._close()
        if isinstance(error, _library().libvirtError):
            message = error.get_error_message()
            raise StepError(
                _("libvirt, about {name}: {message}.").format(name=self.name, message=message),
                "journalctl -u libvirtd -n 20",
            ) from error

    def __getattr__(self, call: str) -> Any:
        """virDomain's own, each with a bound."""
        work = getattr(self.domain, call)
        return lambda *arguments: self._ask(call, lambda: work(*arguments))

    def _ask(self, call: str, work: Callable[[], T]) -> T:
        seconds = _SECONDS_MORE if _DomainHandle.hangs else _SECONDS_OF.get(call, _SECONDS)
        try:
            answer = ask(work, seconds, _("libvirt, about {name}: {call}").format(name=self.name, call=call))
        except NoAnswerError:
            _DomainHandle.hangs = True
            raise
        _DomainHandle.hangs = False
        return answer

    def _close(self) -> None:
        """A daemon that hangs does not answer to that either; the connection goes with the process."""
        if not _DomainHandle.hangs:
            with contextlib.suppress(NicpassError, _library().libvirtError):
                self._ask("close", self.connection.close)


def _library() -> Any:
    """The binding, loaded when first needed, with its habit of printing errors by itself taken away."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt


def _inactive_xml(domain: Any) -> str:
    return str(domain.XMLDesc(_library().VIR_DOMAIN_XML_INACTIVE))


def _domain_of(domain: Any) -> Domain:
    running = bool(domain.isActive())
    config_devices, config = parse_machine(_inactive_xml(domain))
    live_devices, live = parse_machine(domain.XMLDesc()) if running else ((), None)
    return Domain(
        name=domain.name(),
        uuid=domain.UUIDString(),
        running=running,
        persistent=bool(domain.isPersistent()),
        config_devices=config_devices,
        live_devices=live_devices,
        config=config,
        live=live,
        saved_image=bool(domain.hasManagedSaveImage()),
        snapshots=domain.snapshotNum(),
    )


def _domains_of(connection: Connection) -> tuple[Domain, ...]:
    """Every VM of the daemon; a VM that is gone by the time that it is asked about is left out."""
    library, domains = _library(), []
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
