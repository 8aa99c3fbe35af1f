# SPDX-License-Identifier: Apache-2.0
"""VFs that were asked for at every boot, and are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import label
from nicpass.model.declared_vfs import path_of
from nicpass.model.fact import Unknown, known
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.declared_vfs import DeclaredVfs
    from nicpass.model.finding import Finding

make_finding = Finder("device.declared_vfs")


def check_declared_vfs(index: HostIndex) -> Iterator[Finding]:
    """Findings about the host. Where only part of it was read, no PF is missed."""
    declarations = index.host.vf_declarations
    for damaged in declarations.damaged:
        evidence, file = ((damaged.path, damaged.reason),), quote(damaged.path)
        yield make_finding("VF_FILE_DAMAGED", evidence=evidence, path=damaged.path, reason=damaged.reason, file=file)
    if isinstance(declarations.found, Unknown):
        reason = declarations.found.unknown
        yield make_finding("VF_FILES_UNREAD", evidence=(("/etc/nicpass/vfs.d", reason),), reason=reason)
    for one in declarations.found if known(declarations.found) else ():
        yield from _check_one(one, index)


def _check_one(one: DeclaredVfs, index: HostIndex) -> Iterator[Finding]:
    from nicpass.boot.binding.identity import match_identity  # late: many a host has none

    match = match_identity(one.identity, index.host.pci)
    if match.outcome != "found":
        if index.host.pci_unread is None:
            instead = ", ".join(label(index.functions[address]) for address in match.addresses)
            reason = _("in its place is {instead}").format(instead=instead) if instead else _("nothing is in its place")
            yield make_finding(
                "PF_OF_VFS_ABSENT",
                evidence=((path_of(one), "/".join(one.identity.slots)),),
                address=one.address,
                count=one.count,
                reason=reason,
                file=quote(path_of(one)),
            )
        return
    pf = index.functions[match.addresses[0]]
    if isinstance(pf.numvfs, int) and pf.numvfs != one.count:
        evidence = ((path_of(one), one.count), (f"/sys/bus/pci/devices/{pf.address}/sriov_numvfs", pf.numvfs))
        yield make_finding(
            "VFS_MISSING" if pf.numvfs < one.count else "VFS_TOO_MANY",
            pf.address,
            evidence,
            nic=label(pf),
            count=one.count,
            numvfs=pf.numvfs,
            address=pf.address,
        )
