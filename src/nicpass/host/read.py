# SPDX-License-Identifier: Apache-2.0
"""Reads a whole host into one value: from the machine, from a tree, or from a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.boot.bindings import read_boot_bindings
from nicpass.host.boot.declared_vfs import read_declared_vfs
from nicpass.host.firmware.tables import read_firmware
from nicpass.host.intent.read import read_intents
from nicpass.host.network.interfaces import read_network
from nicpass.host.pci.class_devices import read_class_devices
from nicpass.host.pci.functions import read_pci, why_pci_unread
from nicpass.host.pci.groups import read_groups
from nicpass.host.pci.near import read_near
from nicpass.host.system.access import read_access
from nicpass.host.system.given import read_given, read_vetoes
from nicpass.host.system.leftovers import read_leftovers
from nicpass.host.system.memory import read_memory
from nicpass.host.system.platform import read_platform
from nicpass.host.use.activity import read_activity
from nicpass.model.boot import Boot
from nicpass.model.cpus import Cpus
from nicpass.model.errors import BadInputError
from nicpass.model.fact import known, value_or
from nicpass.model.guard import Guard
from nicpass.model.host import SCHEMA, Host
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.domain import Domain
    from nicpass.model.fact import Fact, Unknown
    from nicpass.model.libvirt_network import LibvirtNetwork
    from nicpass.model.pci import PciFunction


def read_host(
    files: Files,
    domains: Fact[tuple[Domain, ...]],
    processes: Callable[[], Processes] | None = None,
    environment: Mapping[str, str] | None = None,
    nic: str | None = None,
    *,
    with_boot: bool = False,
    with_cpus: bool = False,
    networks: Fact[tuple[LibvirtNetwork, ...]] = None,
    guard: Guard | None = None,
) -> Host:
    """Everything of a host; VMs, their networks and the guard come from the hypervisor, which this floor does not know.

    `environment` is the caller's, and `processes` are for interfaces in other network namespaces; both may be left
    out, and what they would have told is then not known. With `nic`, only the functions and groups near that NIC are
    read, where these can be told; `pci_unread` says so. How the host boots is read only `with_boot`: it takes as long
    as all the rest of a small host. Its CPUs are read only `with_cpus`: few commands place a VM.

    Raises:
        BadInputError: a file of a capture is damaged.
    """
    platform, network = read_platform(files), read_network(files)
    near = read_near(files, nic, network, domains) if nic is not None else None
    names = None if near is None else frozenset(name for f in near for name in value_or(f.netdevs, ()))
    network = msgspec.structs.replace(network, intents=read_intents(files, network, names))
    pci = read_pci(files) if near is None else near
    return Host(
        pci=pci,
        pci_unread=why_pci_unread(files, pci) if near is None else f"only what {nic} depends on was asked for",
        platform=platform,
        memory=read_memory(files),
        access=read_access(files),
        firmware=read_firmware(files),
        iommu_groups=read_groups(
            files, None if near is None else {f.iommu_group for f in near if known(f.iommu_group)}
        ),
        network=network,
        class_devices=read_class_devices(files, pci),
        leftovers=read_leftovers(files, platform.cmdline, platform.kernel, pci),
        boot_bindings=read_boot_bindings(files, platform.kernel, pci),
        vf_declarations=read_declared_vfs(files),
        activity=read_activity(files, pci, processes, environment),
        domains=domains,
        libvirt_networks=networks,
        guard=guard or Guard(),
        given=read_given(files),
        vetoes=read_vetoes(files),
        boot=_read_boot(files) if with_boot else Boot(unread="not asked for"),
        cpus=_read_cpus(files, pci) if with_cpus else Cpus(unread="not asked for"),
    )


def _read_boot(files: Files) -> Boot:
    from nicpass.host.boot.configuration import read_boot  # late: it loads much, and few commands ask for it

    return read_boot(files)


def _read_cpus(files: Files, pci: Iterable[PciFunction]) -> Cpus:
    from nicpass.host.system.cpus import read_cpus  # late, as the boot

    return read_cpus(files, pci)


def load_snapshot(path: str, content: bytes | Unknown | None) -> Host:
    """The host that `nicpass snapshot` wrote; `path` is only for the sentence.

    Raises:
        BadInputError: the file is not there, not readable, or no snapshot.
    """
    hint = _("Make one with: nicpass snapshot > host.json")
    if not isinstance(content, bytes):
        raise BadInputError(
            _("The snapshot cannot be read: {reason}.").format(
                reason=content.unknown if content else _("absent: {path}").format(path=path)
            ),
            hint,
        )
    try:
        return msgspec.json.decode(content, type=Host)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            _("{path} is not a snapshot of schema {schema}: {error}.").format(path=path, schema=SCHEMA, error=error),
            hint,
        ) from None
