# SPDX-License-Identifier: Apache-2.0
"""Writes those documents that are made from the code: `python -m tests.support.documents`."""

from __future__ import annotations

import json
from pathlib import Path

from nicpass.cli.schemas import DOCUMENTS, build_schema

DOCS = Path(__file__).resolve().parents[2] / "docs"


def make_documents() -> dict[str, str]:
    """The documents that are made from the code: path below docs/ to content."""
    return {f"schema/{what}.json": json.dumps(build_schema(what), indent=2) + "\n" for what in DOCUMENTS}


if __name__ == "__main__":
    for name, content in make_documents().items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(content, encoding="utf-8")
