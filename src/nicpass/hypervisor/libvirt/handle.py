# SPDX-License-Identifier: Apache-2.0
"""One VM of libvirt's, by its own library and its system daemon, which may hang: each call has a bound (law 12)."""

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

_SECONDS = 30.0
_SECONDS_OF = {"create": 300.0, "destroy": 60.0, "attachDeviceFlags": 300.0, "detachDeviceFlags": 60.0}
"""For the answer to one call. A start pins all of the guest's memory for the NIC, and so does the first NIC that is
plugged into a running VM: it takes minutes for a TiB."""
_MORE = 3.0
"""For each call once one had no answer: there is other work that does not need libvirt."""

T = TypeVar("T")


class DomainHandle:
    """One VM on a connection of its own; libvirt's errors leave it as StepErrors."""

    hangs = False
    """A call of this process had no answer, and none since."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid, self.name = uuid, name
        self.connection: Connection = None
        self.domain: Any = None

    def __enter__(self) -> DomainHandle:
        self.connection = self._ask("open", lambda: connect(writing=True))
        try:
            self.domain = self._ask("lookup", lambda: self.connection.lookupByUUIDString(self.uuid))
        except load_binding().libvirtError as error:
            self._close()
            raise StepError(
                _("libvirt has no VM {name} any more: {message}.").format(
                    name=self.name, message=clause(error.get_error_message())
                )
            ) from error
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._close()
        if isinstance(error, load_binding().libvirtError):
            message = clause(error.get_error_message())
            raise StepError(
                _("libvirt, about {name}: {message}.").format(name=self.name, message=message),
                "journalctl -u libvirtd -n 20",
            ) from error

    def __getattr__(self, call: str) -> Any:
        """virDomain's own, each with a bound."""
        work = getattr(self.domain, call)
        return lambda *arguments: self._ask(call, lambda: work(*arguments))

    def define(self, xml: str) -> None:
        """Write the VM's lasting definition anew; libvirt knows by the UUID in there which VM it is."""
        self._ask("defineXML", lambda: self.connection.defineXML(xml))

    def _ask(self, call: str, work: Callable[[], T]) -> T:
        seconds = _MORE if DomainHandle.hangs else _SECONDS_OF.get(call, _SECONDS)
        try:
            answer = ask(work, seconds, _("libvirt, about {name}: {call}").format(name=self.name, call=call))
        except NoAnswerError:
            DomainHandle.hangs = True
            raise
        DomainHandle.hangs = False
        return answer

    def _close(self) -> None:
        """A daemon that hangs does not answer to that either; the connection goes with the process."""
        if not DomainHandle.hangs:
            with contextlib.suppress(NicpassError, load_binding().libvirtError):
                self._ask("close", self.connection.close)
