# SPDX-License-Identifier: Apache-2.0
"""How a NIC can be reset between its users: by itself, only with its whole bus, or not at all.

Source: `pci_reset_fn_methods[]` and `pci_parent_bus_reset()` in drivers/pci/pci.c of the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.quirk_table import NO_BUS_RESET, NO_BUS_RESET_BELOW, NO_FLR, has_device_reset, is_one_of
from nicpass.checks.lookup.nics import attribute, kind_of, label
from nicpass.model.fact import Fact, Unknown, known, why_unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.reset")

_WITH_THE_BUS = frozenset({"bus", "cxl_bus"})
"""Names in `reset_method` (Documentation/ABI/testing/sysfs-bus-pci) that stand for more than the function."""


def check_reset(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    methods = reset_methods(function, index)
    if isinstance(methods, Unknown):
        if kind_of(function, index) != "vf":  # every VF has FLR (PCI Express 5.0, 9.2.2.3)
            evidence = ((attribute(function, "reset_method"), methods.unknown),)
            yield make_finding("RESET_UNKNOWN", function.address, evidence, nic=label(function), reason=methods.unknown)
        return
    if set(methods or ()) - _WITH_THE_BUS:
        return
    shown = ((attribute(function, "reset_method"), " ".join(methods or ()) or "none"),)
    if methods:
        yield make_finding("RESET_BUS_ONLY", function.address, shown, nic=label(function))
    elif can_reset_bus(function, index) and (others := bus_companions(function, index)):
        names = ", ".join(label(other) for other in others)
        yield make_finding("RESET_BUS_SHARED", function.address, shown, nic=label(function), others=names)
    else:
        yield make_finding("RESET_NONE", function.address, shown, nic=label(function))


def reset_methods(function: PciFunction, index: HostIndex) -> Fact[tuple[str, ...]]:
    """The reset methods that sysfs lists; where it does not, those that configuration space shows. Empty: none."""
    listed = function.reset_methods
    if known(listed):
        return listed
    if listed is None and index.shows_reset_methods:
        return ()
    derived = derive_reset_methods(function, index)
    # An older kernel has `reset`, so there is a method; which one, only config may tell.
    return derived if derived or not isinstance(listed, Unknown) else listed


def derive_reset_methods(function: PciFunction, index: HostIndex) -> Fact[tuple[str, ...]]:
    """The reset methods as the kernel itself finds them, in its order."""
    config = function.config
    if not known(config):
        return Unknown(why_unknown(config) or f"absent: {attribute(function, 'config')}")
    found = ["device_specific"] if has_device_reset(function) else []
    if not is_one_of(function, NO_FLR):
        found += ["flr"] if known(config.pcie) and config.pcie.flr else []
        found += ["af_flr"] if config.af_flr is True else []
    found += ["pm"] if known(config.pm) and not config.pm.no_soft_reset else []
    if can_reset_bus(function, index) and not bus_companions(function, index):
        found.append("bus")
    unseen = next(filter(None, map(why_unknown, (config.pcie, config.af_flr, config.pm))), None)
    if unseen is not None and not set(found) - _WITH_THE_BUS:
        return Unknown(unseen)
    return tuple(found)


def can_reset_bus(function: PciFunction, index: HostIndex) -> bool:
    """Whether a bridge is above that may reset the bus on which the function is."""
    bridge = index.functions.get(function.bridge) if function.bridge is not None else None
    return bridge is not None and not is_one_of(function, NO_BUS_RESET) and not is_one_of(bridge, NO_BUS_RESET_BELOW)


def bus_companions(function: PciFunction, index: HostIndex) -> list[PciFunction]:
    """The functions that a reset of the function's bus would also reset; its own VFs go with it in any case."""
    own = {function.address, *function.virtfns}
    mates = index.buses[function.address[:-5]]
    return [mate for mate in mates if mate.address not in own and mate.physfn != function.address]
