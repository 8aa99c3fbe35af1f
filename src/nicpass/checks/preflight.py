# SPDX-License-Identifier: Apache-2.0
"""All checks of a host and of its NICs, in the order in which they are told."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from nicpass.checks.dependence.group import check_group
from nicpass.checks.dependence.machines import check_machines
from nicpass.checks.dependence.usage import check_usage
from nicpass.checks.device.boot_bindings import check_boot_bindings, check_nic_boot_binding
from nicpass.checks.device.capabilities import (
    check_card_nodes,
    check_config,
    check_config_readable,
    check_d3cold,
    check_option_rom,
)
from nicpass.checks.device.declared_vfs import check_declared_vfs
from nicpass.checks.device.ownership import check_driver, check_owner, check_vf_preferred
from nicpass.checks.device.path import check_conventional_bridge, check_isolation, check_link
from nicpass.checks.device.quirks import check_quirks
from nicpass.checks.device.reserved import check_domain, check_reserved, check_tables, check_unit
from nicpass.checks.device.reset import check_reset
from nicpass.checks.device.same_mac import check_same_mac
from nicpass.checks.device.sriov import check_sriov, check_vf_counts, check_vf_mac
from nicpass.checks.device.switchdev import check_representor
from nicpass.checks.device.vf_making import check_vf_making
from nicpass.checks.host.given import check_given
from nicpass.checks.host.guard import check_guard
from nicpass.checks.host.leftovers import check_leftovers, check_nic_leftovers
from nicpass.checks.host.platform import check_platform
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.vm.definition import (
    check_guest_driver,
    check_machine,
    check_migration,
    check_other_hostdevs,
    check_state,
    check_unread,
    check_viommu,
    check_virtio_enough,
)
from nicpass.checks.vm.memory import (
    check_address_width,
    check_hugepages,
    check_memory_lock,
    check_numa,
    check_reserved_memory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.model.domain import Domain
    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

NIC_CHECKS: tuple[Callable[[PciFunction, HostIndex], Iterator[Finding]], ...] = (
    check_machines,
    check_owner,
    check_usage,
    check_group,
    check_unit,
    check_reserved,
    check_domain,
    check_driver,
    check_nic_leftovers,
    check_nic_boot_binding,
    check_isolation,
    check_conventional_bridge,
    check_config,
    check_reset,
    check_d3cold,
    check_vf_preferred,
    check_sriov,
    check_vf_making,
    check_vf_counts,
    check_vf_mac,
    check_same_mac,
    check_representor,
    check_link,
    check_card_nodes,
    check_option_rom,
    check_quirks,
)
"""The checks of a NIC. To add one: write it in its subject's file, name its codes in the catalogue, list it here."""

VM_CHECKS: tuple[Callable[[PciFunction, Domain, HostIndex], Iterator[Finding]], ...] = (
    check_state,
    check_unread,
    check_machine,
    check_viommu,
    check_memory_lock,
    check_reserved_memory,
    check_hugepages,
    check_numa,
    check_address_width,
    check_guest_driver,
    check_other_hostdevs,
    check_migration,
    check_virtio_enough,
)
"""The checks of a NIC together with the VM that shall have it."""


def check_host(host: Host, index: HostIndex | None = None) -> tuple[Finding, ...]:
    """The findings about the host, whichever NIC is meant; `index` is this host's, where there is one already."""
    index = index or HostIndex(host)
    return (
        *check_platform(host),
        *check_tables(host),
        *check_config_readable(host),
        *check_leftovers(index),
        *check_guard(host),
        *check_boot_bindings(index),
        *check_declared_vfs(index),
        *check_given(index),
    )


def check_nic(function: PciFunction, index: HostIndex) -> tuple[Finding, ...]:
    """The findings about one NIC, apart from the host's own findings."""
    return tuple([finding for check in NIC_CHECKS for finding in check(function, index)])


def check_vm(function: PciFunction, domain: Domain, index: HostIndex) -> tuple[Finding, ...]:
    """The findings about this VM with this NIC, apart from those about either alone."""
    return tuple(chain.from_iterable(check(function, domain, index) for check in VM_CHECKS))
