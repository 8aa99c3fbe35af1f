# SPDX-License-Identifier: Apache-2.0
"""Puts back what a NIC was, once its driver has it again: its interfaces, what stood on them, what its PF enforced.

All is written in an order that the kernel takes, and only where it differs. Sysctls come before an interface is up,
for by them IPv6 makes its addresses; gateways after the routes that reach them. A setting that is refused does not
keep the rest from being put back.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.dependence.usage import describe_whole_route
from nicpass.engine.attempts import Attempts
from nicpass.engine.nic.interface import DRIVER_SETTINGS, vf_changes
from nicpass.host.network.link_settings import port_path, read_port, read_sysctls, sysctl_path
from nicpass.model.errors import StepError
from nicpass.model.fact import known, value_or
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.planner.nic_state.words import describe_address, plain_route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from nicpass.engine.nic.interface import Interface
    from nicpass.host.doors.files import Files
    from nicpass.model.fact import Fact
    from nicpass.model.network import IpAddress, Link, LinkSettings, Route, Setting, VfSettings
    from nicpass.model.plan import NicState

    OpenInterface: TypeAlias = Callable[[str], Interface]

_BY_MAC, _NONE = "0", "1"  # linux/if_link.h: IN6_ADDR_GEN_MODE_EUI64, IN6_ADDR_GEN_MODE_NONE
_FIRST = "ipv6/conf/stable_secret"
# The kernel reckons a port's cost anew from the link's speed, as long as nobody has set it; set by us, it would stay.
_NOT_WRITTEN = frozenset({"path_cost"})
_SELF_MADE = frozenset({"kernel", "ra", "dhcp"})
"""Routes that follow an address, a router's word or a lease; written by hand they would outlive it."""


def restore_link(files: Files, open_interface: OpenInterface, link: Link, now: Link, attempts: Attempts) -> None:
    """Restore one interface, which is called `now.name` still, and its settings."""
    settings = link.settings
    if settings is not None:
        _write_sysctls(files, now.name, settings, attempts)
    with open_interface(now.name) as interface:
        # Many drivers take the interface down and up for them, so they are tried while it is down, and then once more.
        _set_driver(interface, settings, now.settings, Attempts())
        with attempts:
            interface.restore(link, now)
        if settings is not None:
            # The MTU of IPv6 has followed that of the link.
            _write_sysctls(files, interface.name, settings, attempts)
            _write_port(files, interface, settings, attempts)


def restore_driver(open_interface: OpenInterface, link: Link, now: Link, attempts: Attempts) -> None:
    """Set what the driver did not take while the interface was down."""
    with open_interface(now.name) as interface:
        _set_driver(interface, link.settings, now.settings, attempts)


def _set_driver(
    interface: Interface, settings: LinkSettings | None, now: LinkSettings | None, attempts: Attempts
) -> None:
    if settings is None or now is None:
        return
    for group in DRIVER_SETTINGS:
        is_so = getattr(now, group)
        wanted = _changed(getattr(settings, group), is_so) if known(is_so) else ()
        if wanted:
            with attempts:
                interface.set_driver(group, wanted)


def _changed(wanted: Fact[tuple[Setting, ...]], now: Fact[tuple[Setting, ...]]) -> tuple[Setting, ...]:
    """The wanted settings that have another value now; a setting that is not there now cannot be set."""
    values = {setting.name: setting.value for setting in value_or(now, ())}
    return tuple(s for s in value_or(wanted, ()) if s.name in values and values[s.name] != s.value)


def restore_sysctls(files: Files, state: NicState) -> None:
    """Write again the sysctls that differ, once the interfaces are back: some are lost later on.

    With the first carrier the kernel sets the MTU of IPv6 to that of the link (addrconf_notify() in
    net/ipv6/addrconf.c). A refusal is seen by whoever compares.
    """
    for link in state.links:
        if link.settings is not None:
            _write_sysctls(files, link.name, link.settings, Attempts())


def _write_sysctls(files: Files, netdev: str, settings: LinkSettings, attempts: Attempts) -> None:
    """Write sysctls that differ; stable_secret before addr_gen_mode, which setting it changes (ip-sysctl.rst)."""
    now = read_sysctls(files, netdev)
    secrets = [s for s in value_or(settings.sysctls, ()) if s.name == _FIRST and s not in value_or(now, ())]
    for setting in secrets:
        with attempts:
            files.write_kernel(sysctl_path(netdev, setting.name), setting.value)
    for setting in _changed(settings.sysctls, read_sysctls(files, netdev) if secrets else now):
        with attempts:
            files.write_kernel(sysctl_path(netdev, setting.name), setting.value)


def _write_port(files: Files, interface: Interface, settings: LinkSettings, attempts: Attempts) -> None:
    for setting in _changed(settings.port, read_port(files, interface.name)) if known(settings.port) else ():
        if setting.name not in _NOT_WRITTEN:
            with attempts:
                files.write_kernel(port_path(interface.name, setting.name), setting.value)
    if known(settings.port_vlans) and files.is_live:
        with attempts:
            interface.restore_port_vlans(settings.port_vlans)


def restore_uppers(open_interface: OpenInterface, state: NicState, now: NicState, attempts: Attempts) -> None:
    """Restore the VLANs that went with the NIC; other interfaces on it have settings that are not known here."""
    present = {upper.name: upper for upper in now.uppers or ()}
    for upper in state.uppers or ():
        if upper.kind != "vlan" or upper.lower is None or upper.vlan_id is None:
            continue
        with attempts:
            is_now = present.get(upper.name)
            if is_now is None:
                with open_interface(upper.lower) as lower:
                    lower.add_vlan(upper)
                is_now = msgspec.structs.replace(upper, mac=None, mtu=None, up=False, master=None, altnames=())
            with open_interface(upper.name) as interface:
                interface.restore(upper, is_now)


def restore_addresses(
    open_interface: OpenInterface, state: NicState, read: Callable[[], NicState], attempts: Attempts
) -> None:
    """Restore addresses that are missing or differ, in their order, by which the kernel tells first from second."""
    wanted = [address for address in state.addresses if not _comes_by_itself(address, state)]
    now = read().addresses
    stale = [is_so for address in wanted for is_so in now if _clashes(address, is_so)]
    for netdev, addresses in _by_netdev(stale):
        with attempts, open_interface(netdev) as interface:
            for address in addresses:
                with attempts:
                    interface.remove_address(address)
    now = read().addresses if stale else now
    missing = [address for address in wanted if not any(_is_same(address, is_so) for is_so in now)]
    for netdev, addresses in _by_netdev(missing):
        with attempts, open_interface(netdev) as interface:
            for address in addresses:
                with attempts:
                    interface.add_address(address)


def restore_routes(open_interface: OpenInterface, state: NicState, now: NicState, attempts: Attempts) -> None:
    """Restore the routes that are missing. A gateway is valid only once the route that reaches it is there."""
    knows_all = all(route.onlink is not None for route in state.routes)
    texts = {_route_text(route, knows_all=knows_all) for route in now.routes}
    own = {_key_of(route) for route in now.routes}
    missing = [r for r in state.routes if not _follows(r) and _route_text(r, knows_all=knows_all) not in texts]
    for route in sorted(missing, key=lambda route: route.gateway is not None):
        with attempts, open_interface(route.netdev) as interface:
            if _key_of(route) in own:
                interface.replace_route(route)
            else:
                interface.add_route(route)


def restore_vfs(
    pf: NicState,
    wanted: Iterable[VfSettings],
    open_interface: OpenInterface,
    attempts: Attempts,
    own_mac: str | None = None,
    *,
    given: Mapping[int, str] | None = None,
) -> tuple[int, ...]:
    """Restore what a PF enforces on its VFs; the indices of VFs whose MAC was written, for their drivers to ask anew.

    `own_mac` is the MAC that the VF's interface had by its own choice, where the PF had given it none; `given` are the
    MACs by index that a change has given to VFs, and that go with it.

    Raises:
        StepError: the PF shows no interface.
    """
    wanted = tuple(wanted)
    if wanted and not pf.links:
        raise StepError(_("The PF {address} shows no interface to set its VFs by.").format(address=pf.address))
    present = {vf.vf_index: vf for link in pf.links for vf in link.vfs}
    written: list[int] = []
    for vf in wanted:
        now = present.get(vf.vf_index)
        target = _with_mac(vf, now, own_mac, (given or {}).get(vf.vf_index)) if now is not None else vf
        if now is None or not any(vf_changes(target, now)):
            continue
        with attempts, open_interface(pf.links[0].name) as interface:
            if target.mac != now.mac:
                written.append(vf.vf_index)
            interface.set_vf(target, now)
    return tuple(written)


def _with_mac(vf: VfSettings, now: VfSettings, own_mac: str | None, given: str | None) -> VfSettings:
    """The VF's settings to write; one that its PF gave no MAC keeps its present one, unless somebody has given that."""
    chosen = vf.mac != NO_MAC or (own_mac is not None and now.mac != own_mac) or now.mac == given
    return vf if chosen else msgspec.structs.replace(vf, mac=now.mac)


def _by_netdev(addresses: list[IpAddress]) -> Iterator[tuple[str, list[IpAddress]]]:
    for netdev in dict.fromkeys(address.netdev for address in addresses):
        yield netdev, [address for address in addresses if address.netdev == netdev]


def _is_same(wanted: IpAddress, now: IpAddress) -> bool:
    """Whether two addresses are equal but for `tentative`: whether others were asked already if they have it too."""
    knows = wanted.flags is not None
    settled = msgspec.structs.replace(now, tentative=False)
    own = msgspec.structs.replace(wanted, tentative=False)
    return wanted.netdev == now.netdev and describe_address(own, flags=knows) == describe_address(settled, flags=knows)


def _clashes(wanted: IpAddress, now: IpAddress) -> bool:
    """Whether `now` is the same address with a difference that a second request would not change."""
    return (wanted.netdev, wanted.text, wanted.peer) == (now.netdev, now.text, now.peer) and not _is_same(wanted, now)


def _comes_by_itself(address: IpAddress, state: NicState) -> bool:
    if address.comes_with_link:
        return _kernel_makes(address, state)
    return address.dynamic or address.temporary


def _kernel_makes(address: IpAddress, state: NicState) -> bool:
    """Whether a link-local address is the kernel's own (ip-sysctl.rst: addr_gen_mode), and not somebody's choice."""
    link = next((link for link in state.links if link.name == address.netdev), None)
    sysctls = value_or(link.settings.sysctls, ()) if link is not None and link.settings is not None else ()
    mode = next((setting.value for setting in sysctls if setting.name == "ipv6/conf/addr_gen_mode"), None)
    if link is None or link.mac is None or mode != _BY_MAC:
        return mode != _NONE
    return IPv6Address(address.address).packed[8:] == _interface_identifier(link.mac)


def _interface_identifier(mac: str) -> bytes | None:
    """The modified EUI-64 of a MAC (RFC 4291, appendix A); None for a MAC that is no Ethernet's."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]) if len(octets) == 6 else None


def _follows(route: Route) -> bool:
    """Whether a route comes by itself or has several hops: written for one NIC, it would replace the others' hops."""
    return route.protocol in _SELF_MADE or route.multipath


def _route_text(route: Route, *, knows_all: bool) -> str:
    return describe_whole_route(route if knows_all else plain_route(route))


def _key_of(route: Route) -> tuple[object, ...]:
    """The key by which the kernel tells one route of a table from another (net/ipv4/fib_trie.c, net/ipv6/ip6_fib.c)."""
    return (route.netdev, route.family, route.table, route.destination, route.metric or 0, route.tos or 0)
