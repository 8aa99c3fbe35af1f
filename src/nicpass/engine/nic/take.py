# SPDX-License-Identifier: Apache-2.0
"""The steps about a NIC's record: what it is to the host is kept on disk when it leaves, and on which terms.

libvirt takes it from there.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.admission import forget_nic_of_start
from nicpass.engine.handler import Handler, Handlers
from nicpass.engine.nic.store import KeptNic, is_half_written, is_kept, keep_nic, read_kept_nic
from nicpass.model.errors import StepError
from nicpass.model.language import _
from nicpass.model.plan import SetTerms, TakeNic

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files


def take_handlers(files: Files) -> Handlers:
    """The handlers of this file's steps."""
    steps = TakeSteps(files)
    return {
        TakeNic: Handler(steps.apply, steps.verify),
        SetTerms: Handler(steps.apply_terms, steps.verify_terms),
    }


class TakeSteps:
    """The apply and verify of TakeNic and SetTerms, with their door to files."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def apply(self, step: TakeNic) -> None:
        """Write the NIC's record; one that says the same stays: the guard may have noted in it that the NIC is out."""
        with contextlib.suppress(StepError):  # a damaged record is written anew
            kept = read_kept_nic(self.files, step.address)
            if kept is not None and (kept.state, kept.owner) == (step.state, step.owner):
                return
        if step.owner is not None:  # what a stop of the VM left unsettled before it was given is not owed again
            forget_nic_of_start(self.files, step.owner.uuid, step.address)
        keep_nic(self.files, KeptNic(state=step.state, owner=step.owner))

    def verify(self, step: TakeNic) -> None:
        """Raises StepError where the NIC's record is not that of the step."""
        if is_kept(self.files, KeptNic(state=step.state, owner=step.owner)):
            return
        kept = read_kept_nic(self.files, step.address)
        # The guard may have seen the NIC leave since, and have put down what it was then.
        if kept is None or kept.owner != step.owner or (kept.state != step.state and not kept.renewed):
            raise StepError(
                _("What {address} is to the host was not kept on disk as it was written.").format(address=step.address)
            )

    def apply_terms(self, step: SetTerms) -> None:
        """Write the terms into the NIC's record, and leave what the NIC was as it stands there.

        Raises:
            StepError: there is no such record, or it is on other terms by now.
        """
        kept = read_kept_nic(self.files, step.address)
        if kept is None or kept.owner not in (step.before, step.after):
            if step.back:
                return
            raise StepError(
                _("The record of {address} is not the one that was to be changed.").format(address=step.address)
            )
        if kept.owner != step.after or is_half_written(self.files, step.address):
            keep_nic(self.files, msgspec.structs.replace(kept, owner=step.after))

    def verify_terms(self, step: SetTerms) -> None:
        """Raises StepError where the NIC's record is on other terms."""
        kept = read_kept_nic(self.files, step.address)
        as_it_was = step.back and (kept is None or kept.owner != step.before)
        if not as_it_was and (kept is None or kept.owner != step.after):
            raise StepError(
                _("On which terms {address} is given was not kept on disk as it was written.").format(
                    address=step.address
                )
            )
