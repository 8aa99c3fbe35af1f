# SPDX-License-Identifier: Apache-2.0
"""Writes an interface's name, link settings, addresses, routes and VFs over rtnetlink(7), and its driver's by ioctl."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any

from nicpass.engine.attempts import Attempts
from nicpass.host.network import ethtool
from nicpass.host.network.link_settings import VLAN_FLAGS, read_port_vlans
from nicpass.host.network.links import IFF_ALLMULTI, IFF_PROMISC, VF_LINK_STATES, VLAN_PROTOCOLS
from nicpass.host.network.netlink import ADDRESS_FLAGS
from nicpass.host.network.routes import PREFERENCES, PROTOCOLS, RTNH_F_ONLINK, SCOPES
from nicpass.model.errors import NotSupportedError, StepError
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from nicpass.model.network import IpAddress, Link, Route, Setting, VfSettings

_DEPRECATED = {"preferred": 0, "valid": 0xFFFFFFFF}  # seconds; all ones is for ever (linux/if_addr.h)
_TEXT_METRIC = "congctl"
# pyroute2 names the metrics as the kernel's RTAX_* does, iproute2 not always
_METRIC_NAMES = {_TEXT_METRIC: "cc_algo"}
_GROUPS = {
    "channels": ethtool.CHANNELS,
    "rings": ethtool.RINGS,
    "coalescing": ethtool.COALESCING,
    "pause": ethtool.PAUSE,
}
DRIVER_SETTINGS = (*_GROUPS, "features")
"""Fields of LinkSettings that the driver keeps, in the order in which they are set: new queues get rings."""


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
        """Restore name, MAC, MTU and so on, and link state, where they differ, in an order that the kernel takes.

        A VF refuses a MAC from here, even its own, once its PF has set one. A setting that is refused does not
        keep the rest from being set, and is told at the end.
        """
        attempts = Attempts()
        enslave = link.master not in (None, now.master)
        if now.name != link.name or enslave or link.mac not in (None, now.mac):
            with attempts:
                # Older kernels rename only what is down, a bond takes no port that is up, many drivers no other MAC;
                # and the address that IPv6 has made of the old MAC goes.
                self._set(state="down")
        if now.name != link.name:
            with attempts:
                self._set(ifname=link.name)
                self.name = link.name
        for change in _changes(link, now):
            with attempts:
                self._set(**change)
        with attempts:
            self._restore_altnames(link, now)
        if enslave and link.master is not None:
            with attempts:
                self._set(master=_index_of(link.master))
        with attempts:
            # The state is asked for in any case: renaming may have taken the link down.
            self._set(state="up" if link.up else "down")
        attempts.raise_refusals()

    def add_vlan(self, upper: Link) -> None:
        """Make a VLAN on this interface, as it was; its own settings are then `restore`d."""
        protocol = _number_of(upper.vlan_protocol, VLAN_PROTOCOLS)
        optional = {"vlan_protocol": protocol} if protocol is not None else {}
        self._call(
            _("the VLAN {name}").format(name=upper.name),
            "link",
            "add",
            ifname=upper.name,
            kind="vlan",
            link=self._index(),
            vlan_id=upper.vlan_id,
            **optional,
        )

    def add_address(self, address: IpAddress) -> None:
        """Add an address; one that is there already is no error."""
        flags = sum(ADDRESS_FLAGS.get(flag, 0) for flag in address.flags or () if flag != "deprecated")
        optional = {
            "broadcast": address.broadcast,
            "label": address.label,
            "rt_priority": address.metric,
            "flags": flags or None,
        }
        if address.peer is not None:
            optional["local"] = address.address
        if "deprecated" in (address.flags or ()):
            optional |= _DEPRECATED
        self._ask(
            _("the address {text}").format(text=address.text),
            "replace",
            "addr",
            address=address.peer or address.address,
            prefixlen=address.prefix_length,
            scope=_number_of(address.scope, SCOPES) or 0,
            **_given(optional),
        )

    def remove_address(self, address: IpAddress) -> None:
        """Remove an address that is there otherwise than it was: most attributes of one cannot be changed in place."""
        local = {"local": address.address} if address.peer is not None else {}
        self._ask(
            _("that the address {text} goes").format(text=address.text),
            "delete",
            "addr",
            address=address.peer or address.address,
            prefixlen=address.prefix_length,
            **local,
        )

    def add_route(self, route: Route) -> None:
        """Add a route; where another interface has such a route by now, that one stays, and StepError says so."""
        self._write_route(route, "add")

    def replace_route(self, route: Route) -> None:
        """Write a route in place of this interface's own one, which is there otherwise than it was."""
        self._write_route(route, "replace")

    def _write_route(self, route: Route, verb: str) -> None:
        optional = {
            "priority": route.metric,
            "prefsrc": route.source,
            "tos": route.tos,
            "flow": route.realm,
            "src": route.from_prefix,
            "flags": RTNH_F_ONLINK if route.onlink else None,
            "pref": _number_of(route.preference, PREFERENCES),
            "metrics": _metrics_of(route) or None,
            **_gateway_of(route),
        }
        self._call(
            _("the route {destination}").format(destination=route.destination),
            "route",
            verb,
            dst=route.destination,
            family=socket.AF_INET6 if route.family == "inet6" else socket.AF_INET,
            oif=self._index(),
            table=route.table,
            proto=_number_of(route.protocol, PROTOCOLS) or 0,
            scope=_number_of(route.scope, SCOPES) or 0,
            **_given(optional),
        )

    def set_vf(self, vf: VfSettings, now: VfSettings) -> None:
        """Set what this PF is to enforce on one of its VFs; only settings that differ, and each by itself.

        A driver refuses a request whole when it does not know one setting in it.
        """
        attempts = Attempts()
        for change in vf_changes(vf, now):
            with attempts:
                try:
                    self._ask(_words_of(vf.vf_index, change), "set", "link", vf={"vf": vf.vf_index, **change})
                except NotSupportedError as error:
                    raise NotSupportedError(error.sentence, settings=(_setting_of(change),)) from error
        attempts.raise_refusals()

    def set_driver(self, group: str, wanted: tuple[Setting, ...]) -> None:
        """Set what is `wanted` of one group of DRIVER_SETTINGS."""
        try:
            if group in _GROUPS:
                ethtool.write_group(self.name, _GROUPS[group], wanted)
            else:
                ethtool.write_features(self.name, wanted)
        except (OSError, ValueError) as error:
            text = ", ".join(f"{setting.name} {setting.value}" for setting in wanted)
            raise self._refused(f"{group} ({text})", getattr(error, "strerror", None) or str(error)) from error

    def restore_port_vlans(self, wanted: tuple[Setting, ...]) -> None:
        """Give this port of a bridge exactly the `wanted` VLANs."""
        attempts = Attempts()
        found = read_port_vlans(self.name)
        now = found if known(found) else ()
        values = {setting.name: setting.value for setting in wanted}
        for setting in now:
            if setting.name not in values:
                with attempts:
                    self._ask(f"VLAN {setting.name}", "del", "vlan_filter", vlan_info={"vid": int(setting.name)})
        for setting in wanted:
            if setting not in now:
                flags = sum(VLAN_FLAGS.get(word, 0) for word in setting.value.split())
                with attempts:
                    info = {"vid": int(setting.name), "flags": flags}
                    self._ask(f"VLAN {setting.name}", "add", "vlan_filter", vlan_info=info)
        attempts.raise_refusals()

    def _restore_altnames(self, link: Link, now: Link) -> None:
        """Give the link exactly the altnames that it had: another interface may be waiting for one of the rest."""
        extra = [name for name in now.altnames if name not in link.altnames and name != link.name]
        lost = [name for name in link.altnames if name not in now.altnames]
        if extra:
            self._ask(", ".join(extra), "property_del", "link", altname=extra)
        if lost:
            self._ask(", ".join(lost), "property_add", "link", altname=lost)

    def _set(self, **settings: object) -> None:
        self._ask(f"{settings}", "set", "link", **settings)

    def _ask(self, what: str, verb: str, kind: str, **arguments: object) -> None:
        """Send a request about this interface, which is named by its index."""
        self._call(what, kind, verb, index=self._index(), **arguments)

    def _call(self, what: str, request: str, verb: str, **arguments: object) -> None:
        from pyroute2 import NetlinkError

        try:
            getattr(self._kernel, request)(verb, **arguments)
        except NetlinkError as error:
            if error.code == errno.EEXIST and request == "route":
                raise self._refused(what, _("another interface has such a route by now")) from error
            kind = NotSupportedError if error.code == errno.EOPNOTSUPP else StepError
            raise self._refused(what, str(error.args[1]), kind) from error

    def _refused(self, what: str, reason: str, kind: type[StepError] = StepError) -> StepError:
        return kind(
            _("The kernel does not take {what} on {name}: {error}.").format(what=what, name=self.name, error=reason)
        )

    def _index(self) -> int:
        return _index_of(self.name)


def _index_of(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise StepError(_("The interface {name} has gone.").format(name=name)) from error


def _number_of(text: str | None, names: Mapping[int, str]) -> int | None:
    """The kernel's number for a name that was read by the table `names`; numbers without a name were left as text."""
    found = next((number for number, name in names.items() if name == text), None)
    return int(text) if found is None and text is not None and text.isdecimal() else found


def _given(optional: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in optional.items() if value is not None}


def _changes(link: Link, now: Link) -> Iterator[dict[str, Any]]:
    """The requests for what differs but name and state; the MTU first, since a MAC of a bond's port is the bond's."""
    if link.mtu not in (None, now.mtu):
        yield {"mtu": link.mtu}
    if link.mac not in (None, now.mac):
        yield {"address": link.mac}
    if link.txqueuelen not in (None, now.txqueuelen):
        yield {"txqlen": link.txqueuelen}
    if link.alias not in (None, now.alias):
        yield {"ifalias": link.alias}
    for wanted, is_so, flag in (
        (link.promisc, now.promisc, IFF_PROMISC),
        (link.allmulticast, now.allmulticast, IFF_ALLMULTI),
    ):
        if wanted not in (None, is_so):
            yield {"flags": flag if wanted else 0, "change": flag}


def vf_changes(vf: VfSettings, now: VfSettings) -> Iterator[dict[str, Any]]:
    """The requests for settings of a VF that differ from `now`, one each."""
    if vf.mac != now.mac:
        yield {"mac": vf.mac}
    if (vf.vlan, vf.qos or 0, vf.vlan_protocol) != (now.vlan, now.qos or 0, vf.vlan_protocol and now.vlan_protocol):
        yield _vf_vlan(vf)
    if vf.spoofchk not in (None, now.spoofchk):
        yield {"spoofchk": int(bool(vf.spoofchk))}
    if vf.trust not in (None, now.trust):
        yield {"trust": int(bool(vf.trust))}
    if vf.link_state not in (None, now.link_state) and vf.link_state in VF_LINK_STATES:
        yield {"link_state": VF_LINK_STATES.index(vf.link_state)}
    rates = (vf.min_tx_rate, vf.max_tx_rate)
    if rates not in ((None, None), (now.min_tx_rate, now.max_tx_rate)):
        yield {"rate": {"min_tx_rate": vf.min_tx_rate or 0, "max_tx_rate": vf.max_tx_rate or 0}}
    if vf.query_rss not in (None, now.query_rss):
        yield {"rss_query_en": int(bool(vf.query_rss))}
    for name, guid, is_so in (("node", vf.node_guid, now.node_guid), ("port", vf.port_guid, now.port_guid)):
        if guid is not None and guid != is_so:
            yield {f"ib_{name}_guid": _vf_guid(guid)}


def _words_of(vf_index: int, change: dict[str, Any]) -> str:
    """A request of `vf_changes` in words: `vf 3 vlan 20 qos 0`."""
    ((name, value),) = change.items()
    inner = value[0] if isinstance(value, list) else value
    words = [f"{key} {number}" for key, number in inner.items()] if isinstance(inner, dict) else [f"{name} {inner}"]
    return " ".join([f"vf {vf_index}", *words])


def _setting_of(change: dict[str, Any]) -> str:
    """The field of VfSettings that a request of `vf_changes` is most about: the one that fewer drivers know."""
    ((name, value),) = change.items()
    if name == "rate":
        return "min_tx_rate" if value["min_tx_rate"] else "max_tx_rate"
    if name == "vlan":
        proto = isinstance(value, list)
        return "vlan_protocol" if proto else "qos" if value["qos"] else "vlan"
    return {"rss_query_en": "query_rss"}.get(name, name.removeprefix("ib_"))


def _vf_guid(guid: str) -> str:
    """The GUID in the order in which pyroute2 makes the kernel's number of it: it takes every machine for x86."""
    return guid if sys.byteorder == "little" else ":".join(reversed(guid.split(":")))


def _vf_vlan(vf: VfSettings) -> dict[str, Any]:
    """The request for a VF's VLAN; drivers of before Linux 4.9 know only the old attribute, which is for 802.1Q."""
    protocol = _number_of(vf.vlan_protocol, VLAN_PROTOCOLS)
    spec = {"vlan": vf.vlan, "qos": vf.qos or 0}
    return {"vlan": [{**spec, "proto": protocol}] if protocol and vf.vlan_protocol != "802.1Q" else spec}


def _gateway_of(route: Route) -> dict[str, Any]:
    """The request's words for a route's gateway; that of an IPv4 route may be of IPv6 (RTA_VIA)."""
    if route.gateway is not None and route.family == "inet" and ":" in route.gateway:
        return {"via": {"family": socket.AF_INET6, "addr": route.gateway}}
    return {"gateway": route.gateway}


def _metrics_of(route: Route) -> dict[str, Any]:
    return {
        _METRIC_NAMES.get(metric.name, metric.name): metric.value if metric.name == _TEXT_METRIC else int(metric.value)
        for metric in route.metrics
        if metric.name == _TEXT_METRIC or metric.value.isdecimal()
    }
