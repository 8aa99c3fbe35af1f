# SPDX-License-Identifier: Apache-2.0
"""The step that puts a VM of libvirt's into another place of the host, for its next start.

libvirt has no call that changes a part of a definition: it is read, changed and defined anew, as `virsh edit` does it.
What somebody else writes between the two would be lost, so it is read just before, and read again behind. It is read
with its secrets (a VNC password), or these would be lost, and they go nowhere but back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.handler import Handler, Handlers
from nicpass.hypervisor.libvirt.domains import load_binding
from nicpass.hypervisor.libvirt.handle import DomainHandle
from nicpass.hypervisor.libvirt.placing import placement_in, put_placement
from nicpass.model.errors import StepError
from nicpass.model.language import _
from nicpass.model.placement import same_place
from nicpass.model.plan import PlaceDomain

if TYPE_CHECKING:
    from nicpass.model.domain import Placement


def tuning_handlers() -> Handlers:
    return {PlaceDomain: Handler(apply_placement, verify_placement)}


def apply_placement(step: PlaceDomain) -> None:
    """Raises StepError where the definition puts the VM into a third place by now."""
    with DomainHandle(step.uuid, step.domain) as domain:
        library = load_binding()
        xml = str(domain.XMLDesc(library.VIR_DOMAIN_XML_INACTIVE | library.VIR_DOMAIN_XML_SECURE))
        if _is(xml, step.after):
            return
        if not _is(xml, step.before):
            if step.back:
                return
            raise StepError(
                _("The definition of {domain} was changed meanwhile.").format(domain=step.domain),
                _("Look at it, and plan anew."),
            )
        domain.define(put_placement(xml, step.after))


def verify_placement(step: PlaceDomain) -> None:
    """Raises StepError where the definition does not put the VM where it was to be."""
    with DomainHandle(step.uuid, step.domain) as domain:
        xml = str(domain.XMLDesc(load_binding().VIR_DOMAIN_XML_INACTIVE))
        if not _is(xml, step.after) and not (step.back and not _is(xml, step.before)):
            raise StepError(
                _("The definition of {domain} does not say what was written there.").format(domain=step.domain)
            )


def _is(xml: str, placement: Placement) -> bool:
    now = placement_in(xml)
    return now is not None and same_place(now, placement)
