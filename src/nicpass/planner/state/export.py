# SPDX-License-Identifier: Apache-2.0
"""Writes a host down as a file that, held against the same host, differs in nothing."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from nicpass.checks.lookup.nics import is_nic, list_nics, pf_of
from nicpass.checks.lookup.pools import pools_of_host
from nicpass.model.errors import NicpassError
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.model.state import (
    SCHEMA,
    DeclaredBoot,
    DeclaredNic,
    DeclaredPf,
    DeclaredPool,
    DeclaredState,
    DeclaredVf,
    DeclaredVm,
)
from nicpass.model.text import printable
from nicpass.planner.pool.network import is_pool_name
from nicpass.planner.select import select_domain, select_nic
from nicpass.planner.state.boot_aims import BootAim, BootNic, lacking_of_boot
from nicpass.planner.vf.use import why_machines_unknown
from nicpass.planner.vf.wish import range_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.checks.lookup.pools import Pool
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain, DomainDevice
    from nicpass.model.network import VfSettings
    from nicpass.model.pci import PciFunction
    from nicpass.model.prepared import Prepared

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
"""Names that need no care: others stand by address or UUID."""


def export_state(index: HostIndex, prepared: Prepared | None = None) -> DeclaredState:
    """What the boot goes by, the VFs of every PF that has some, the pools, and the NICs of every VM that has some."""
    pfs = {}
    for pf in list_nics(index.host):
        if count := value_or(pf.numvfs, 0):
            pfs[_name_of(pf, index)] = _export_pf(pf, count, index)
    pools = [pool for pool in pools_of_host(index) if not why_not_declared(pool, index)]
    vms = {}
    for domain in value_or(index.host.domains, None) or ():
        if nics := (*_export_nics(domain, index), *_export_draws(domain, index)):
            allow = {code for nic in index.given.values() if nic.uuid == domain.uuid for code in nic.allow}
            name = _name_of_vm(domain, index)
            if name is not None:
                vms[name] = DeclaredVm(nics=nics, allow=tuple(sorted(allow)))
    boot = _export_boot(index, prepared)
    return DeclaredState(boot=boot, pfs=pfs, pools={pool.name: _export_pool(pool, index) for pool in pools}, vms=vms)


def _export_boot(index: HostIndex, prepared: Prepared | None) -> DeclaredBoot | None:
    """The NICs that every boot binds, and whose arguments were asked for; None where nobody has prepared the host.

    A preparation that would not hold, as by an argument that somebody else has put there since, is no state to go to.
    """
    bound = [function for function in list_nics(index.host) if function.address in index.boot_bindings]
    if not bound and (prepared is None or not (prepared.arguments or prepared.group)):
        return None
    boot = DeclaredBoot(
        nics=tuple(function.address for function in bound),
        iommu_pt=prepared is not None and "iommu=pt" in prepared.arguments,
        group=prepared.group if prepared is not None else None,
    )
    nics = tuple(BootNic(("boot",), function.address, function) for function in bound)
    return None if any(lacking_of_boot(BootAim(("boot",), boot, nics), index, prepared)) else boot


def why_not_declared(pool: Pool, index: HostIndex) -> str:
    """Why no file can say that there is this pool, in a sentence; empty where one can."""
    network = pool.network
    if why_machines_unknown(index) is not None or not is_pool_name(pool.name):
        return _("nicpass gives no pool such a name")
    if network.pfs:
        return _("it lends every VF of {pf}, and lists none").format(pf=", ".join(network.pfs))
    if False in (network.active, network.autostart):
        return _("it is not started, now and at every boot")
    if not network.persistent or len(network.vlans) > 1:
        return _("it has no lasting definition, or several VLANs")
    if not pool.vfs or not all(_is_numbered(vf, index) for vf in pool.vfs):
        return _("not all that it lends is there as a VF")
    if any(_is_had(vf, pool, index) for vf in pool.vfs):
        return _("a VM or another pool has a VF of it")
    return ""


def _is_numbered(vf: Address, index: HostIndex) -> bool:
    """Whether it is a VF of a NIC that is there, by its number."""
    pf, number = index.vf_indices.get(vf, (None, 0))
    function = index.functions.get(pf) if pf is not None else None
    return function is not None and is_nic(function) and number < (value_or(function.numvfs, 0) or 0)


def _is_had(vf: Address, pool: Pool, index: HostIndex) -> bool:
    """Whether a VM has the VF in its definition, or a pool that comes before this one."""
    owners = index.owners.get(vf, ())
    if any(device.address == vf for owner in owners for device in owner.config_devices):
        return True
    earlier = itertools.takewhile(lambda other: other.name != pool.name, pools_of_host(index))
    return any(vf in other.vfs for other in earlier)


def _export_pool(pool: Pool, index: HostIndex) -> DeclaredPool:
    numbers: dict[str, list[int]] = {}
    for vf in pool.vfs:
        pf, number = index.vf_indices[vf]
        numbers.setdefault(_name_of(index.functions[pf], index), []).append(number)
    vlan = next(iter(pool.network.vlans), None)
    return DeclaredPool(vfs={pf: range_text(each) for pf, each in numbers.items()}, vlan=vlan)


def _export_draws(domain: Domain, index: HostIndex) -> Iterator[DeclaredNic]:
    """The VM's interfaces of pools; of several of one pool those that a MAC tells apart."""
    if why_machines_unknown(index) is not None:
        return
    for pool in pools_of_host(index):
        mine = [m for m in pool.members if (m.uuid, m.vm) == (domain.uuid, domain.name) and m.lasting]
        macs = dict.fromkeys(member.mac for member in mine)
        for mac in macs if pool.name.isprintable() else ():
            if len(macs) == 1 or mac is not None:
                yield DeclaredNic(pool=pool.name, mac=mac)


def _name_of(function: PciFunction, index: HostIndex) -> str:
    """The NIC's netdev where that means it and nothing else; else its address, which always does."""
    for name in value_or(function.netdevs, ())[:1]:
        try:
            if _PLAIN.fullmatch(name) and select_nic(index, name) is function:
                return name
        except NicpassError:
            pass
    return function.address


def _name_of_vm(domain: Domain, index: HostIndex) -> str | None:
    """The VM's name where it means it; else its UUID; None for one that answers to neither."""
    for name in (domain.name, domain.uuid):
        try:
            if (name == domain.uuid or _PLAIN.fullmatch(name)) and select_domain(index, name) is domain:
                return name
        except NicpassError:
            pass
    return None


def _export_pf(pf: PciFunction, count: int, index: HostIndex) -> DeclaredPf:
    settings = {vf.vf_index: vf for link in index.netdevs(pf) for vf in link.vfs if vf.vf_index < count}
    had = {
        number
        for address, (owner, number) in index.vf_indices.items()
        if owner == pf.address and index.owners.get(address)
    }
    each = {number: _export_vf(vf, had=number in had) for number, vf in sorted(settings.items())}
    common = _in_common(list(each.values())) if len(each) == count else DeclaredVf()
    own = {number: _without(vf, common) for number, vf in each.items()}
    return DeclaredPf(
        vfs=count,
        for_host=pf.vf_autoprobe is True,
        all=common,
        each={number: vf for number, vf in own.items() if vf != DeclaredVf()},
    )


def _export_vf(vf: VfSettings, *, had: bool) -> DeclaredVf:
    """The VF's settings; MAC and VLAN of one that a VM has stand with the VM, whose definition says them."""
    vlan = vf.vlan if vf.vlan and not had else None
    return DeclaredVf(
        mac=vf.mac if vf.mac != NO_MAC and not had and vf.mac.count(":") == 5 else None,
        vlan=vlan,
        qos=vf.qos if vlan and vf.qos else None,
        proto="802.1ad" if vlan and vf.vlan_protocol == "802.1ad" else None,
        spoofchk=vf.spoofchk,
        trust=vf.trust,
        min_tx_rate=vf.min_tx_rate or None,
        max_tx_rate=vf.max_tx_rate or None,
        state=vf.link_state if vf.link_state in ("enable", "disable") else None,  # type: ignore[arg-type]
        query_rss=vf.query_rss,
        node_guid=_guid(vf.node_guid),
        port_guid=_guid(vf.port_guid),
    )


def _guid(guid: str | None) -> str | None:
    return guid if guid is not None and guid.strip("0:") else None


def _in_common(vfs: list[DeclaredVf]) -> DeclaredVf:
    """What is the same for all of them; a single VF has all in common with itself, but for its names."""
    names = [name for name in DeclaredVf.__struct_fields__ if name not in ("mac", "node_guid", "port_guid")]
    same: dict[str, Any] = {}
    for name in names:
        values = Counter(getattr(vf, name) for vf in vfs)
        if len(values) == 1:
            same[name] = next(iter(values))
    return DeclaredVf(**same)


def _without(vf: DeclaredVf, common: DeclaredVf) -> DeclaredVf:
    names = DeclaredVf.__struct_fields__
    return DeclaredVf(**{n: getattr(vf, n) for n in names if getattr(vf, n) != getattr(common, n)})


def _export_nics(domain: Domain, index: HostIndex) -> tuple[str | DeclaredNic, ...]:
    found: list[str | DeclaredNic] = []
    for device in domain.config_devices:
        function = index.functions.get(device.address)
        # What one VM has of another's cannot be in one file: the first has it.
        if function is not None and is_nic(function) and index.owners.get(device.address, [domain])[0] == domain:
            found.append(_export_nic(function, device, index))
    return tuple(found)


def _export_nic(function: PciFunction, device: DomainDevice, index: HostIndex) -> str | DeclaredNic:
    place = pf_of(function, index)
    mac = device.mac if device.element == "interface" else None
    vlan = device.vlan or None if device.element == "interface" else None
    if place is not None and place[1] is not None and place[0] in index.functions:
        return DeclaredNic(pf=_name_of(index.functions[place[0]], index), vf=place[1], mac=mac, vlan=vlan)
    if mac is not None or vlan is not None:
        return DeclaredNic(nic=function.address, mac=mac, vlan=vlan)
    return _name_of(function, index)


def render_state(state: DeclaredState, head: Iterable[str] = ()) -> str:
    """The file, with comments at its head."""
    data = _plain(state)
    comments = "".join(f"# {line}\n" for line in head)
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
    return f"{comments}{body}"


def _plain(value: Any) -> Any:
    """Structs as maps of what they say, without what they leave to the defaults."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        said = ((f.name, getattr(value, f.name), f.default) for f in fields)
        head = {"schema": SCHEMA} if isinstance(value, DeclaredState) else {}
        return head | {name: _plain(each) for name, each, default in said if each != default and each not in ((), {})}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def comments_of(index: HostIndex) -> list[str]:
    """What is not in the file though a VM has it, in words."""
    gone = [
        _("{vm} has {nic}, which is not there.").format(vm=ascii(domain.name)[1:-1], nic=device.address)
        for domain in value_or(index.host.domains, None) or ()
        for device in domain.config_devices
        if device.address not in index.functions
    ]
    left_out = ((pool, why_not_declared(pool, index)) for pool in pools_of_host(index))
    return gone + [
        _("The pool {pool} is left out: {reason}.").format(pool=ascii(pool.name)[1:-1], reason=printable(reason))
        for pool, reason in left_out
        if reason
    ]
