# SPDX-License-Identifier: Apache-2.0
"""What the changing commands print with --json, and every command for an error: one document each, named by `schema`.

Imported late, for most runs print for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nicpass.cli.render.output import ERROR_SCHEMA, say_json
from nicpass.model.address import Address
from nicpass.model.finding import Finding
from nicpass.model.network import LinkSettings
from nicpass.model.plan import Step
from nicpass.model.request import Request
from nicpass.model.text import well_formed

if TYPE_CHECKING:
    import argparse

    from nicpass.model.errors import NicpassError

T = TypeVar("T")


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done, and what to do about it."""

    code: str
    exit_code: int
    sentence: str
    hint: str = ""
    findings: tuple[Finding, ...] = ()


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What every command prints with --json where it fails."""

    schema: str = ERROR_SCHEMA
    error: ErrorView


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a changing command prints with --dry-run --json."""

    schema: str = "nicpass.plan/1"
    full: bool = False
    """Whether the interfaces' sysctls, hundreds of lines, stand in it too (--full); else they are null."""
    summary: str
    request: Request
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


class ComparedField(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a NIC that came back, in the words of the report."""

    address: Address
    field: str
    before: str
    after: str
    equal: bool


class MadeVf(msgspec.Struct, frozen=True, kw_only=True):
    """One VF of a PF of which the change has set their number."""

    pf: Address
    vf_index: int
    address: Address
    netdevs: tuple[str, ...]
    mac: str | None = None
    """As the PF has given it; null where the PF's driver does not tell, and of `vlan` too."""
    vlan: int | None = None


class OutcomeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass attach`, `detach`, `vf`, `prepare` and `undo` print with --json."""

    schema: str = "nicpass.outcome/1"
    full: bool = False
    """Whether the interfaces' sysctls, hundreds of lines, stand in it too (--full); else they are null."""
    summary: str
    change: str | None
    """Its name in `nicpass history`; null where there was nothing to do."""
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    compared: tuple[ComparedField, ...] = ()
    """Of NICs that came back: each field as it was and as it is now."""
    vfs: tuple[MadeVf, ...] = ()
    confirm_within: int | None = None
    """Seconds after which all is taken back unless `nicpass confirm` comes."""
    told: tuple[str, ...] = ()
    """What the steps had to say."""
    now: str | None = None
    """What is so now, in a sentence."""
    way_back: str | None = None
    """The command that takes the change back."""
    reboot_needed: bool | None = None
    """Of `prepare` and `apply` alone."""
    finished: OutcomeDocument | None = None
    """What `prepare` did first about a reboot that had come since the last one."""
    error: ErrorView | None = None
    """Why the reboot did not begin that `prepare --reboot` asked for; the change itself is done."""


def view_error(error: NicpassError) -> ErrorView:
    return ErrorView(
        code=error.code,
        exit_code=int(error.exit_code),
        sentence=well_formed(error.sentence),
        hint=well_formed(error.hint),
        findings=error.findings,
    )


def say_document(document: msgspec.Struct, arguments: argparse.Namespace) -> None:
    """Print a document that may hold what NICs were: with `--full` all of it, else without their sysctls."""
    full = bool(getattr(arguments, "full", False))
    say_json(msgspec.structs.replace(document, full=True) if full else without_sysctls(document))


def without_sysctls(value: T) -> T:
    """The same value; but of every interface's settings the sysctls are None."""
    return _without_sysctls(value)  # type: ignore[no-any-return]


def _without_sysctls(value: Any) -> Any:
    if isinstance(value, LinkSettings):
        return msgspec.structs.replace(value, sysctls=None)
    if isinstance(value, tuple):
        return tuple(map(_without_sysctls, value))
    if not isinstance(value, msgspec.Struct):
        return value
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    changed = {name: new for name, old in fields.items() if (new := _without_sysctls(old)) is not old and new != old}
    return msgspec.structs.replace(value, **changed) if changed else value
