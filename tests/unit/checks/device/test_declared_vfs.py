# SPDX-License-Identifier: Apache-2.0
"""What is told of VFs that are to be there, besides that each finding has a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.device.declared_vfs import check_declared_vfs
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.model.address import Address
from nicpass.model.declared_vfs import VfDeclarations
from nicpass.model.fact import Unknown
from tests.support.boot_bindings import NIC
from tests.support.declared_vfs import HAVING, ON_ROOT_BUS, declared, kept
from tests.support.hosts import pf_with_vfs, ready_host

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.host import Host


def codes_of(host: Host) -> list[str]:
    return [finding.code for finding in check_declared_vfs(HostIndex(host))]


def test_vfs_that_are_there_are_no_finding(tmp_path: Path) -> None:
    tree = kept(ready_host(*pf_with_vfs(NIC, "eth1", 4)), declared(identity=ON_ROOT_BUS))
    assert codes_of(tree.read(tmp_path)) == []


def test_where_only_part_of_the_host_was_read_no_card_is_missed(tmp_path: Path) -> None:
    host = HAVING["PF_OF_VFS_ABSENT"].read(tmp_path)
    assert codes_of(host) == ["PF_OF_VFS_ABSENT"]
    assert codes_of(msgspec.structs.replace(host, pci_unread="only what is near")) == []


def test_what_could_not_be_read_is_told(tmp_path: Path) -> None:
    unread = VfDeclarations(found=Unknown("permission denied: /etc/nicpass/vfs.d"))
    host = msgspec.structs.replace(ready_host().read(tmp_path), vf_declarations=unread)
    assert codes_of(host) == ["VF_FILES_UNREAD"]


def test_a_vf_that_was_made_for_vms_lacks_no_driver(tmp_path: Path) -> None:
    pf, *vfs = pf_with_vfs(NIC, "eth1", 2)
    host = ready_host(pf, *vfs).read(tmp_path)
    for autoprobe, told in ((True, True), (False, False)):
        pci = tuple(
            msgspec.structs.replace(f, vf_autoprobe=autoprobe)
            if f.address == NIC
            else msgspec.structs.replace(f, driver=None)
            for f in host.pci
        )
        index = HostIndex(msgspec.structs.replace(host, pci=pci))
        found = {finding.code for finding in check_nic(index.functions[Address(vfs[0].address)], index)}
        assert ("DRIVER_ABSENT" in found) == told
