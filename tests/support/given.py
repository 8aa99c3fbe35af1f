# SPDX-License-Identifier: Apache-2.0
"""Hosts with records of NICs that were given to VMs, and each of the findings about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.nic.store import NICS, KeptNic
from nicpass.host.system.given import VETOES
from nicpass.model.address import Address
from nicpass.model.given import Veto, VetoedVm
from nicpass.model.network import NO_MAC, Link, VfSettings
from nicpass.model.plan import NicOwner, NicState
from tests.support.hosts import VM, ready_host
from tests.support.trees import UUID, Vm, hostdev_xml

if TYPE_CHECKING:
    from tests.support.trees import Tree

NIC = "0000:01:00.0"
UUID_OF_VM = VM.uuid


def given(tree: Tree, address: str, uuid: str = UUID_OF_VM, vf: VfSettings | None = None) -> Tree:
    """The host with the record of a NIC that was given away."""
    state = NicState(address=Address(address), driver="ixgbe", links=(Link(name="eth7"),), vf=vf)
    record = KeptNic(state=state, owner=NicOwner(domain="guest", uuid=uuid))
    return tree.but(files={**tree.files, f"{NICS}/{address}.json": msgspec.json.encode(record)})


def vetoed(tree: Tree) -> Tree:
    """The host on which a start of the VM was vetoed."""
    veto = Veto(time=1.0, when="1970-01-01 00:00:01 +0000", sentence="guest is not started: no.", hint="Mend it.")
    vm = VetoedVm(vm="guest", uuid=UUID_OF_VM, vetoes=(veto,))
    return tree.but(files={**tree.files, f"{VETOES}/{UUID_OF_VM}.json": msgspec.json.encode(vm)})


HAVING: dict[str, Tree] = {
    "RECORD_WITHOUT_VM": given(ready_host(), NIC, uuid=UUID.format(99)),
    # Where a VF stood that the VM was given, a whole NIC stands now.
    "RECORD_WITHOUT_NIC": given(
        ready_host(vms=(Vm(name="guest", devices=hostdev_xml(NIC)),)), NIC, vf=VfSettings(vf_index=0, mac=NO_MAC)
    ),
    "START_VETOED": vetoed(given(ready_host(vms=(Vm(name="guest", devices=hostdev_xml(NIC)),)), NIC)),
}
