# SPDX-License-Identifier: Apache-2.0
"""The simulated kernel's network interfaces: made and dropped by drivers, renamed by udev, written by rtnetlink(7)."""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.host.network.link_settings import FOLDERS, sysctl_path
from nicpass.host.network.links import VF_LINK_STATES, VLAN_PROTOCOLS
from nicpass.model.network import IpAddress, Link, LinkSettings, Network, Route, Setting
from tests.support.simulation.hardware import SYSCTLS, connected_route, link_local
from tests.support.trees import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.simulation.state import KernelState

CARRIER_SECONDS, DAD_SECONDS, UDEV_SECONDS = 1.5, 1.0, 0.4
_MTU = range(68, 9711)
IFINDEX_FIRST = 2  # 1 is lo


def refuse(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Interfaces:
    """The interfaces in `netlink.json` and in /sys/class/net, which are changed together."""

    def __init__(self, root: Path, state: KernelState) -> None:
        self.root, self.state = root, state
        self.path = root / "netlink.json"

    @property
    def network(self) -> Network:
        return msgspec.json.decode(self.path.read_bytes(), type=Network)

    def _save(self, links: list[Link], addresses: list[IpAddress], routes: list[Route]) -> None:
        network = msgspec.structs.replace(
            self.network, links=tuple(links), addresses=tuple(addresses), routes=tuple(routes)
        )
        self.path.write_bytes(msgspec.json.encode(network))

    def tables(self) -> tuple[list[Link], list[IpAddress], list[Route]]:
        network = self.network
        assert isinstance(network.addresses, tuple)
        assert isinstance(network.routes, tuple)
        return list(network.links), list(network.addresses), list(network.routes)

    def find(self, name: str) -> Link | None:
        return next((link for link in self.network.links if link.name == name), None)

    def name_of(self, index: int) -> str | None:
        """The name of the interface with this index."""
        for name in os.listdir(self.root / "sys/class/net"):
            if self.index_of(name) == index:
                return name
        return None

    def index_of(self, name: str) -> int | None:
        path = self.root / "sys/class/net" / name / "ifindex"
        return int(path.read_text()) if path.exists() else None

    # What drivers and udev do.

    def make(self, link: Link, device_folder: str) -> None:
        """A driver makes its interface under the kernel's name; udev will give it the one in `link`."""
        taken = {other.name for other in self.network.links}
        name = next(name for number in range(99) if (name := f"eth{number}") not in taken)
        index = self.state.take_index()
        links, addresses, routes = self.tables()
        made = msgspec.structs.replace(link, name=name)
        self._save([*links, made], addresses, routes)
        TreeWriter(str(self.root)).write_netdev(made, f"{device_folder}/net/{name}", index)
        for key, value in SYSCTLS.items():
            TreeWriter(str(self.root)).file(sysctl_path(name, key), f"{value}\n")
        self.state.later(UDEV_SECONDS, "rename", str(index), link.name)

    def drop(self, name: str) -> None:
        """The interface goes, and with it all that was on it."""
        links, addresses, routes = self.tables()
        self._save(
            [link for link in links if link.name != name],
            [address for address in addresses if address.netdev != name],
            [route for route in routes if route.netdev != name],
        )
        symlink = self.root / "sys/class/net" / name
        folder = symlink.resolve()
        symlink.unlink()
        shutil.rmtree(folder)
        if not os.listdir(folder.parent):
            folder.parent.rmdir()
        for sysctls in self._sysctls(name):
            shutil.rmtree(sysctls)

    def rename(self, index: int, new: str) -> None:
        old = self.name_of(index)
        if old is None or old == new:
            return
        if self.find(new) is not None:
            raise refuse(errno.EEXIST)
        links, addresses, routes = self.tables()
        replace = msgspec.structs.replace
        self._save(
            [replace(each, name=new) if each.name == old else each for each in links],
            [_moved(each, old, new) for each in addresses],
            [replace(each, netdev=new) if each.netdev == old else each for each in routes],
        )
        symlink = self.root / "sys/class/net" / old
        folder = symlink.resolve()
        symlink.unlink()
        folder.rename(folder.with_name(new))
        for sysctls in self._sysctls(old):
            sysctls.rename(sysctls.with_name(new))
        home = "/" + str(folder.with_name(new).relative_to(self.root.resolve()))
        TreeWriter(str(self.root)).link(f"/sys/class/net/{new}", home)
        self._show(new)

    def _sysctls(self, name: str) -> list[Path]:
        folders = (self.root / "proc/sys/net" / folder / name for folder in FOLDERS)
        return [folder for folder in folders if folder.is_dir()]

    # What rtnetlink requests do.

    def change(self, index: int, change: Callable[[Link], Link]) -> Link:
        name = self._name(index)
        links, addresses, routes = self.tables()
        changed = [change(link) if link.name == name else link for link in links]
        self._save(changed, addresses, routes)
        self._show(name)
        return next(link for link in changed if link.name == name)

    def set_link(self, index: int, settings: dict[str, object]) -> None:
        """RTM_NEWLINK: the keys that nicpass sends."""
        for key, value in settings.items():
            if key == "ifname":
                self.rename(index, str(value))
            elif key == "mtu":
                self._set_mtu(index, int(str(value)))
            elif key == "address":
                self.change(index, lambda link, mac=str(value): msgspec.structs.replace(link, mac=mac))  # type: ignore[misc]
            elif key == "state":
                (self._up if value == "up" else self._down)(index)
            elif key in ("ifalias", "txqlen"):
                field = {"ifalias": "alias", "txqlen": "txqueuelen"}[key]
                self.change(index, lambda link, change={field: value}: msgspec.structs.replace(link, **change))  # type: ignore[misc]
            elif key == "vf":
                assert isinstance(value, dict)
                self.set_vf(index, **value)
            else:
                raise AssertionError(f"the simulated kernel does not know {key}")

    def set_vf(self, index: int, *, vf: int, **changes: Any) -> None:
        """IFLA_VFINFO_LIST: what the PF is to enforce on one of its VFs."""
        vlan = changes.pop("vlan", None)
        spec = vlan[0] if isinstance(vlan, list) else vlan
        if isinstance(spec, dict):
            protocol = VLAN_PROTOCOLS[spec.get("proto", 0x8100)]
            changes |= {"vlan": spec["vlan"], "qos": spec["qos"], "vlan_protocol": protocol}
        elif spec is not None:
            changes |= {"vlan": spec}
        changes |= {key: bool(changes[key]) for key in ("spoofchk", "trust") if key in changes}
        changes |= changes.pop("rate", {})
        if "link_state" in changes:
            changes |= {"link_state": VF_LINK_STATES[changes["link_state"]]}
        if all(settings.vf_index != vf for settings in self._link(index).vfs):
            raise refuse(errno.EINVAL)

        def change(link: Link) -> Link:
            vfs = (msgspec.structs.replace(s, **changes) if s.vf_index == vf else s for s in link.vfs)
            return msgspec.structs.replace(link, vfs=tuple(vfs))

        self.change(index, change)

    def set_altnames(self, index: int, verb: str, names: list[str]) -> None:
        """RTM_NEWLINKPROP, RTM_DELLINKPROP."""
        taken = {name for link in self.network.links for name in (link.name, *link.altnames)}
        if verb == "property_add" and taken & set(names):
            raise refuse(errno.EEXIST)

        def change(link: Link) -> Link:
            kept = tuple(name for name in link.altnames if name not in names)
            return msgspec.structs.replace(link, altnames=(*kept, *names) if verb == "property_add" else kept)

        self.change(index, change)

    def set_driver(self, index: int, group: str, wanted: tuple[Setting, ...]) -> None:
        """ethtool(8)'s ioctl: rings and so on; an interface that is down takes them too."""

        def change(link: Link) -> Link:
            settings = link.settings or LinkSettings()
            values = {setting.name: setting for setting in wanted}
            now = getattr(settings, group) or ()
            changed = tuple(values.get(setting.name, setting) for setting in now)
            return msgspec.structs.replace(link, settings=msgspec.structs.replace(settings, **{group: changed}))

        self.change(index, change)

    def _set_mtu(self, index: int, mtu: int) -> None:
        if mtu not in _MTU:
            raise refuse(errno.EINVAL)
        self.change(index, lambda link: msgspec.structs.replace(link, mtu=mtu))

    def _up(self, index: int) -> None:
        """Set a link up: routes follow the addresses at once; carrier and the link-local address take their time."""
        if self._link(index).up:
            return
        link = self.change(index, lambda link: msgspec.structs.replace(link, up=True, operstate="down"))
        links, addresses, routes = self.tables()
        own = [address for address in addresses if address.netdev == link.name]
        local = link_local(link, tentative=True)
        self._save(links, [*addresses, local], [*routes, *map(connected_route, [*own, local])])
        self.state.later(CARRIER_SECONDS, "carrier", str(index))
        self.state.later(DAD_SECONDS, "address", str(index), local.address)

    def _down(self, index: int) -> None:
        """Set a link down: IPv6 addresses go (ip-sysctl.rst: keep_addr_on_down), IPv4 ones stay, no route does."""
        if not self._link(index).up:
            return
        link = self.change(index, lambda link: msgspec.structs.replace(link, up=False, operstate="down", carrier=False))
        links, addresses, routes = self.tables()
        kept = [a for a in addresses if a.netdev != link.name or ":" not in a.address]
        self._save(links, kept, [route for route in routes if route.netdev != link.name])

    def add_address(self, index: int, address: IpAddress) -> None:
        """RTM_NEWADDR with NLM_F_REPLACE; an IPv6 address is tentative for a while."""
        link = self._link(index)
        links, addresses, routes = self.tables()
        found = [a for a in addresses if a.netdev == link.name and a.address == address.address]
        if found:
            return
        added = [connected_route(address)] if link.up else []
        six = ":" in address.address
        self._save(links, [*addresses, msgspec.structs.replace(address, tentative=six)], [*routes, *added])
        if six:
            self.state.later(DAD_SECONDS, "address", str(index), address.address)

    def remove_address(self, index: int, text: str) -> None:
        """RTM_DELADDR; the routes that followed it go too."""
        name = self._name(index)
        links, addresses, routes = self.tables()
        gone = [a for a in addresses if (a.netdev, a.address) == (name, text)]
        if not gone:
            raise refuse(errno.EADDRNOTAVAIL)
        followed = {_key(connected_route(address)) for address in gone}
        self._save(
            links,
            [address for address in addresses if address not in gone],
            [r for r in routes if r.netdev != name or (_key(r) not in followed and r.source != text)],
        )

    def add_route(self, route: Route, *, replace: bool) -> None:
        """RTM_NEWROUTE, NLM_F_REPLACE or NLM_F_EXCL; all that a route names must exist (net/ipv4/fib_semantics.c)."""
        link = self.find(route.netdev)
        if link is None:
            raise refuse(errno.ENODEV)
        if not link.up:
            raise refuse(errno.ENETDOWN)
        links, addresses, routes = self.tables()
        if route.gateway is not None and not any(_reaches(each, route) for each in routes):
            raise refuse(errno.ENETUNREACH)
        if route.source is not None and all(address.address != route.source for address in addresses):
            raise refuse(errno.EINVAL)
        if not replace and any(_key(each) == _key(route) for each in routes):
            raise refuse(errno.EEXIST)
        kept = [each for each in routes if _key(each) != _key(route)]
        self._save(links, addresses, [*kept, route])

    def settle_carrier(self, index: int) -> None:
        if (name := self.name_of(index)) is not None and (link := self.find(name)) is not None and link.up:
            self.change(index, lambda link: msgspec.structs.replace(link, carrier=True, operstate="up"))

    def settle_address(self, index: int, text: str) -> None:
        name = self.name_of(index)
        links, addresses, routes = self.tables()
        replace = msgspec.structs.replace
        settled = [replace(a, tentative=False) if (a.netdev, a.address) == (name, text) else a for a in addresses]
        self._save(links, settled, routes)

    def _name(self, index: int) -> str:
        name = self.name_of(index)
        if name is None:
            raise refuse(errno.ENODEV)
        return name

    def _link(self, index: int) -> Link:
        link = self.find(self._name(index))
        assert link is not None, "netlink.json and /sys/class/net agree"
        return link

    def _show(self, name: str) -> None:
        """Bring the interface's attributes in sysfs up to date."""
        link, index = self.find(name), self.index_of(name)
        assert link is not None
        assert index is not None
        folder = (self.root / "sys/class/net" / name).resolve()
        home = "/" + str(folder.relative_to(self.root.resolve()))
        TreeWriter(str(self.root)).write_netdev_attributes(link, home, index)


def _moved(address: IpAddress, old: str, new: str) -> IpAddress:
    if address.netdev != old:
        return address
    return msgspec.structs.replace(address, netdev=new)


def _reaches(route: Route, wanted: Route) -> bool:
    if route.gateway is not None or route.netdev != wanted.netdev or route.family != wanted.family:
        return False
    return ipaddress.ip_address(wanted.gateway or "::") in ipaddress.ip_network(route.destination)


def _key(route: Route) -> tuple[object, ...]:
    return (route.family, route.table, route.destination, route.metric)
