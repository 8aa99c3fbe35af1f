# SPDX-License-Identifier: Apache-2.0
"""`nicpass schema`: the JSON Schema of what the other commands print with --json."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.checks.verdict import Report, SecurityReport
from nicpass.cli.explaining import Explanations
from nicpass.cli.journal.history import ChangeDocument, History
from nicpass.cli.journal.settling import ConfirmDocument, RecoverDocument
from nicpass.cli.nic.views import NicList
from nicpass.cli.pool.listing import PoolList
from nicpass.cli.render.documents import ErrorDocument, OutcomeDocument, PlanDocument
from nicpass.cli.render.output import say_json
from nicpass.cli.state.applying import DifferenceDocument
from nicpass.cli.vf.restoring import RestoredVfs
from nicpass.cli.vf.views import VfList
from nicpass.model.errors import ExitCode
from nicpass.model.host import Host
from nicpass.model.state import DeclaredState

if TYPE_CHECKING:
    import argparse

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "check": Report,
    "security": SecurityReport,
    "list": NicList,
    "vfs": VfList,
    "pools": PoolList,
    "restored-vfs": RestoredVfs,
    "explain": Explanations,
    "snapshot": Host,
    "plan": PlanDocument,
    "outcome": OutcomeDocument,
    "recover": RecoverDocument,
    "confirm": ConfirmDocument,
    "history": History,
    "change": ChangeDocument,
    "state": DeclaredState,
    "difference": DifferenceDocument,
    "error": ErrorDocument,
}
"""Name to what is printed: `outcome` by the commands that change the host, `plan` by them with --dry-run."""


def schema_command(arguments: argparse.Namespace) -> int:
    say_json(build_schema(arguments.what))
    return ExitCode.DONE


def build_schema(what: str) -> dict[str, Any]:
    """A schema of JSON Schema's draft 2020-12, for one of the documents in `nicpass schema --help`."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"nicpass {what}"}
    schema: dict[str, Any] = _canonical(msgspec.json.schema(DOCUMENTS[what]))
    (document,) = (schema["$defs"][name] for name in [schema["$ref"].rpartition("/")[2]])
    # Always printed, and always the same: it is by this that a program knows what it has before it.
    name = document["properties"]["schema"]
    document["properties"]["schema"] = {"const": name["default"] if "default" in name else name["enum"][0]}
    document["required"] = ["schema", *(field for field in document.get("required", []) if field != "schema")]
    return dialect | schema


def _canonical(schema: Any) -> Any:
    """The same schema whichever version of msgspec has made it.

    The versions differ in the indentation of descriptions, which is taken out as PEP 257 says; in the order of `anyOf`,
    which means nothing (JSON Schema, 10.2.1.2): null comes last; in `uniqueItems`, which only newer ones tell of sets.
    """
    if isinstance(schema, list):
        return [_canonical(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _canonical(value) for key, value in schema.items() if key != "uniqueItems"}
    if isinstance(text := plain.get("description"), str):
        plain["description"] = inspect.cleandoc(text)
    if isinstance(choices := plain.get("anyOf"), list):
        plain["anyOf"] = sorted(choices, key=_place_in_any_of)
    return plain


def _place_in_any_of(choice: Any) -> tuple[bool, str]:
    return choice == {"type": "null"}, json.dumps(choice, sort_keys=True)
