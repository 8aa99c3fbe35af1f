# SPDX-License-Identifier: Apache-2.0
"""One VM or network of libvirt's, by its library and its daemon, which may hang: each call has a bound (law 12)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from nicpass.engine.bounded import ask
from nicpass.hypervisor.libvirt.domains import Connection, connect, load_binding
from nicpass.model.errors import NicpassError, NoAnswerError, StepError
from nicpass.model.language import _
from nicpass.model.text import clause

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from nicpass.model.plan import JoinPool, PlugDevice

_SECONDS = 30.0
_SECONDS_OF = {"create": 300.0, "destroy": 60.0, "attachDeviceFlags": 300.0, "detachDeviceFlags": 60.0}
"""For the answer to one call. A start pins all of the guest's memory for the NIC, and so does the first NIC that is
plugged into a running VM: it takes minutes for a TiB."""
_MORE = 3.0
"""For each call once one had no answer: there is other work that does not need libvirt."""

T = TypeVar("T")


class NoDomainError(StepError):
    """There is no such VM any more."""


class Handle:
    """One thing of libvirt's on a connection of its own; libvirt's errors leave it as StepErrors."""

    hangs = False
    """A call of this process had no answer, and none since."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: Connection = None
        self.found: Any = None
        """virDomain or virNetwork."""

    def open(self) -> None:
        self.connection = self.ask("open", lambda: connect(writing=True))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, load_binding().libvirtError):
            message = clause(error.get_error_message())
            raise StepError(
                _("libvirt, about {name}: {message}.").format(name=self.name, message=message),
                "journalctl -u libvirtd -n 20",
            ) from error

    def __getattr__(self, call: str) -> Any:
        """virDomain's or virNetwork's own, each with a bound."""
        work = getattr(self.found, call)
        return lambda *arguments: self.ask(call, lambda: work(*arguments))

    def ask(self, call: str, work: Callable[[], T]) -> T:
        seconds = _MORE if Handle.hangs else _SECONDS_OF.get(call, _SECONDS)
        try:
            answer = ask(work, seconds, _("libvirt, about {name}: {call}").format(name=self.name, call=call))
        except NoAnswerError:
            Handle.hangs = True
            raise
        Handle.hangs = False
        return answer

    def close(self) -> None:
        """A daemon that hangs does not answer to that either; the connection goes with the process."""
        if not Handle.hangs:
            with contextlib.suppress(NicpassError, load_binding().libvirtError):
                self.ask("close", self.connection.close)


class DomainHandle(Handle):
    """One VM."""

    def __init__(self, uuid: str, name: str) -> None:
        super().__init__(name)
        self.uuid = uuid

    def __enter__(self) -> Self:
        self.open()
        try:
            self.found = self.ask("lookup", lambda: self.connection.lookupByUUIDString(self.uuid))
        except load_binding().libvirtError as error:
            self.close()
            is_gone = error.get_error_code() == load_binding().VIR_ERR_NO_DOMAIN
            raise (NoDomainError if is_gone else StepError)(
                _("libvirt has no VM {name} any more: {message}.").format(
                    name=self.name, message=clause(error.get_error_message())
                )
            ) from error
        return self

    @classmethod
    def is_off(cls, step: PlugDevice | JoinPool) -> bool:
        """Whether the VM is there no more, or does not run, and so needs nothing again that it had while it ran."""
        if not step.again:
            return False
        try:
            with cls(step.uuid, step.domain) as domain:
                return not domain.isActive()
        except NoDomainError:
            return True

    def define(self, xml: str) -> None:
        """Write the VM's lasting definition anew; libvirt knows by the UUID in there which VM it is."""
        self.ask("defineXML", lambda: self.connection.defineXML(xml))


class NetworkHandle(Handle):
    """One network, which need not be there: then `found` is None."""

    def __enter__(self) -> Self:
        self.open()
        try:
            self.find()
        except BaseException:
            self.close()
            raise
        return self

    def find(self) -> None:
        """Look for it anew."""
        try:
            self.found = self.ask("lookup", lambda: self.connection.networkLookupByName(self.name))
        except load_binding().libvirtError as error:
            if error.get_error_code() != load_binding().VIR_ERR_NO_NETWORK:
                raise StepError(
                    _("libvirt, about {name}: {message}.").format(
                        name=self.name, message=clause(error.get_error_message())
                    )
                ) from error
            self.found = None

    def define(self, xml: str) -> None:
        """Write its lasting definition; what runs goes on as it is."""
        self.found = self.ask("networkDefineXML", lambda: self.connection.networkDefineXML(xml))
