# SPDX-License-Identifier: Apache-2.0
"""`nicpass schema`: the JSON Schema of what the other commands print with --json."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.checks.verdict import Report, SecurityReport
from nicpass.cli.history import History
from nicpass.cli.output import say_json
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
    schema: dict[str, Any] = _with_plain_texts(msgspec.json.schema(DOCUMENTS[what]))
    return dialect | schema


def _with_plain_texts(schema: Any) -> Any:
    """The schema with its descriptions as PEP 257 lays them out: versions of msgspec differ in the indentation."""
    if isinstance(schema, list):
        return [_with_plain_texts(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _with_plain_texts(value)
        for key, value in schema.items()
    }
