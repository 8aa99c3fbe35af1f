# SPDX-License-Identifier: Apache-2.0
"""`nicpass schema`: the JSON Schema of what the other commands print with --json."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.checks.verdict import Report, SecurityReport
from nicpass.cli.history import History
from nicpass.cli.output import say_json
from nicpass.cli.vf_views import VfList
from nicpass.cli.views import NicList
from nicpass.model.change import Change
from nicpass.model.errors import ExitCode
from nicpass.model.host import Host
from nicpass.model.plan import Plan

if TYPE_CHECKING:
    import argparse

DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "check": Report,
    "security": SecurityReport,
    "list": NicList,
    "vfs": VfList,
    "snapshot": Host,
    "plan": Plan,
    "history": History,
    "change": Change,
}


def schema_command(arguments: argparse.Namespace) -> int:
    say_json(build_schema(arguments.what))
    return ExitCode.DONE


def build_schema(what: str) -> dict[str, Any]:
    """A schema of JSON Schema's draft 2020-12, for one of the documents in `nicpass schema --help`."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"nicpass {what}"}
    schema: dict[str, Any] = _canonical(msgspec.json.schema(DOCUMENTS[what]))
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
