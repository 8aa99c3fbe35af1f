# SPDX-License-Identifier: Apache-2.0
"""What nicpass has put down of NICs that it gave away: records that have outlived their VM or NIC; vetoed starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.model.fact import value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding

make_finding = Finder("host.given")

_RECORDS = "/var/lib/nicpass/nics"


def check_given(index: HostIndex) -> Iterator[Finding]:
    """Findings about records that have outlived their VM or their NIC, and about VMs that were kept from starting."""
    if not index.given and not index.host.vetoes:  # nearly every host
        return
    from nicpass.checks.host.orphans import advise_vf, find_orphans

    for orphan in find_orphans(index):
        yield make_finding(
            "RECORD_WITHOUT_VM" if orphan.nic_is_here else "RECORD_WITHOUT_NIC",
            orphan.nic.address,
            ((f"{_RECORDS}/{orphan.nic.address}.json", f"{orphan.nic.label}, {orphan.nic.vm}, {orphan.nic.uuid}"),),
            nic=orphan.nic.label,
            vm=orphan.nic.vm,
            reason=orphan.reason,
            advice=advise_vf(orphan.nic, index) or _("If it was put elsewhere, nicpass list shows where."),
            command=orphan.command,
        )
    yield from _check_vetoes(index)


def _check_vetoes(index: HostIndex) -> Iterator[Finding]:
    having = {nic.uuid: nic.address for nic in reversed(index.given.values())}
    for vm in value_or(index.host.vetoes, ()):
        veto = vm.standing
        if veto is not None and vm.uuid in having:  # without a NIC of ours nobody would veto the next start
            yield make_finding(
                "START_VETOED",
                having[vm.uuid],
                ((f"/var/lib/nicpass/vetoes/{vm.uuid}.json", ", ".join(veto.codes) or veto.sentence),),
                vm=vm.vm,
                when=veto.when,
                sentence=veto.sentence,
                advice=veto.mend or veto.hint,
                command=veto.command,
            )
