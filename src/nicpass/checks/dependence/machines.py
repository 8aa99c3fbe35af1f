# SPDX-License-Identifier: Apache-2.0
"""Law 9 for VMs: a macvtap or vDPA device of a VM on the NIC, a network of libvirt's that lends it or goes out by it.

What stands in a VM's definition as a PCI device has an owner, and is told as that (`device.ownership`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label, pf_of
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.text import quote, vm_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.checks.lookup.machines import MachineUse
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.machines", "dependence.usage")


def check_machines(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Told for the VM that shall get the NIC as for every other: without the NIC that interface of it is gone."""
    uses = uses_of(function, index)
    if not uses and not index.machine_uses.unread:
        return
    nic, address = label(function), function.address
    if vms := [use for use in uses if use.kind == "vm"]:
        yield make_finding(
            "USED_BY_VM",
            address,
            _evidence(vms),
            nic=nic,
            owners=", ".join(dict.fromkeys(use.name for use in vms)),
            how=_ways(vms),
            owner=handle_of(vms[0]),
        )
    if networks := [use for use in uses if use.kind == "network"]:
        takers = ", ".join(dict.fromkeys(taker for use in networks for taker in use.takers))
        yield make_finding(
            "NAMED_BY_NETWORK",
            address,
            _evidence(networks),
            nic=nic,
            networks=", ".join(dict.fromkeys(use.name for use in networks)),
            how=_ways(networks),
            takers=takers or _("none"),
            undo=_undo(function, networks[0], index),
        )
    if index.machine_uses.unread:
        reason = "; ".join(index.machine_uses.unread)
        yield make_finding("USE_UNKNOWN", address, ((_("libvirt, definitions"), reason),), nic=nic, reason=reason)


def _undo(function: PciFunction, network: MachineUse, index: HostIndex) -> str:
    """The command that takes it out: of a pool that lists its VFs, by the VF's number."""
    place = pf_of(function, index)
    if network.is_pool and "<address" in network.how and place is not None and place[1] is not None:
        return f"nicpass pool drain {quote(network.name)} --pf {place[0]} --vfs {place[1]}"
    return f"virsh net-edit {handle_of(network)}"


def uses_of(function: PciFunction, index: HostIndex) -> tuple[MachineUse, ...]:
    """By the NIC itself, or by an interface that stands on it; each once."""
    machines = index.machine_uses
    if not machines:
        return ()
    own, above = _names_of(function, index), _names_above(function, index)
    found = [*machines.by_address.get(function.address, ())]
    for name in own:
        found += machines.by_pf.get(name, ())
    for name in (*own, *above, *_nodes_of(function, index)):
        found += machines.by_dev.get(name, ())
    if machines.by_pf:
        found += pools_of(function, index)
    return tuple(dict.fromkeys(found))


def pools_of(vf: PciFunction, index: HostIndex) -> list[MachineUse]:
    """The networks that lend out all VFs of its PF; none for what is no VF."""
    place = pf_of(vf, index)
    pf = index.functions.get(place[0]) if place is not None else None
    names = _names_of(pf, index) if pf is not None else ()
    return [use for name in names for use in index.machine_uses.by_pf.get(name, ())]


def handle_of(use: MachineUse) -> str:
    """What names it in a line to paste; virsh reads the name of a network as it does that of a VM."""
    return vm_word(use.name, use.uuid)


def tell_use(use: MachineUse) -> str:
    """`VM web, <interface type='direct'>`; `pool blue`; `network lan`."""
    if use.is_pool:
        return _("pool {name}").format(name=use.name)
    if use.kind == "network":
        return _("network {name}").format(name=use.name)
    return _("VM {name} by {element}").format(name=use.name, element=use.how)


def _names_of(function: PciFunction, index: HostIndex) -> tuple[str, ...]:
    """Of its own interfaces, alternative names among them; a definition may give any of these."""
    altnames = [name for link in index.netdevs(function) for name in link.altnames]
    return tuple(dict.fromkeys((*value_or(function.netdevs, ()), *altnames)))


def _names_above(function: PciFunction, index: HostIndex) -> list[str]:
    return [name for chain in index.chains(function) for name in (chain[-1].name, *chain[-1].altnames)]


def _nodes_of(function: PciFunction, index: HostIndex) -> list[str]:
    return [node for device in index.devices.get(function.address, ()) for node in device.nodes]


def _ways(uses: Sequence[MachineUse]) -> str:
    return ", ".join(dict.fromkeys(use.how for use in uses))


def _evidence(uses: Sequence[MachineUse]) -> tuple[tuple[str, object], ...]:
    return tuple((tell_use(use), use.how) for use in uses)
