# SPDX-License-Identifier: Apache-2.0
"""Writes one network interface's name, link settings, addresses and routes over rtnetlink(7)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from nicpass.model.errors import StepError
from nicpass.model.language import _

if TYPE_CHECKING:
    from types import TracebackType

    from nicpass.model.network import IpAddress, Link, Route

_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}  # linux/rtnetlink.h: enum rt_scope_t
_PROTOCOLS = {"redirect": 1, "kernel": 2, "boot": 3, "static": 4, "ra": 9, "dhcp": 16}


class Interface:
    """One netlink socket, and one interface that it writes to. All methods raise StepError."""

    def __init__(self, name: str, kernel: Any = None) -> None:
        """`kernel` stands in for pyroute2's IPRoute: a host in a test answers by its own."""
        from pyroute2 import IPRoute

        self.name = name
        self._kernel = kernel or IPRoute()

    def __enter__(self) -> Interface:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kernel.close()

    def restore(self, link: Link, now: Link) -> None:
        """Name, MAC, MTU and link state, in the order in which the kernel takes them; only what differs from `now`.

        A VF refuses a MAC from here, even its own, once its PF has set one.
        """
        if now.name != link.name:
            self._set(state="down")  # older kernels rename only what is down
            self._set(ifname=link.name)
            self.name = link.name
        if link.mtu not in (None, now.mtu):
            self._set(mtu=link.mtu)
        if link.mac not in (None, now.mac):
            self._set(address=link.mac)
        # Asked for in any case: renaming may have taken it down.
        self._set(state="up" if link.up else "down")

    def add_address(self, address: IpAddress) -> None:
        """An address that is there already is no error."""
        optional = {"broadcast": address.broadcast, "label": address.label}
        if address.peer is not None:
            optional["local"] = address.address
        self._ask(
            _("the address {text}").format(text=address.text),
            "replace",
            "addr",
            address=address.peer or address.address,
            prefixlen=address.prefix_length,
            scope=_SCOPES.get(address.scope, 0),
            **{key: value for key, value in optional.items() if value is not None},
        )

    def add_route(self, route: Route) -> None:
        """A route that is there already is no error."""
        optional = {"gateway": route.gateway, "priority": route.metric, "prefsrc": route.source}
        self._ask(
            _("the route {destination}").format(destination=route.destination),
            "replace",
            "route",
            dst=route.destination,
            family=socket.AF_INET6 if route.family == "inet6" else socket.AF_INET,
            oif=self._index(),
            table=route.table,
            proto=_PROTOCOLS.get(route.protocol) or (int(route.protocol) if route.protocol.isdecimal() else 0),
            scope=_SCOPES.get(route.scope, 0),
            **{key: value for key, value in optional.items() if value is not None},
        )

    def _set(self, **settings: object) -> None:
        self._ask(f"{settings}", "set", "link", **settings)

    def _ask(self, what: str, verb: str, kind: str, **arguments: object) -> None:
        from pyroute2 import NetlinkError

        try:
            if kind != "route":
                arguments["index"] = self._index()
            getattr(self._kernel, kind)(verb, **arguments)
        except NetlinkError as error:
            raise StepError(
                _("The kernel does not take {what} on {name}: {error}.").format(
                    what=what, name=self.name, error=error.args[1]
                )
            ) from error

    def _index(self) -> int:
        try:
            return socket.if_nametoindex(self.name)
        except OSError as error:
            raise StepError(_("The interface {name} has gone.").format(name=self.name)) from error
