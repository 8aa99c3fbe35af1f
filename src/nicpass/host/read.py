# SPDX-License-Identifier: Apache-2.0
"""Reads a whole host into one value: from the machine, from a tree, or from a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.activity import read_activity
from nicpass.host.network import read_network
from nicpass.host.pci import read_pci
from nicpass.host.platform import read_platform
from nicpass.model.errors import BadInputError
from nicpass.model.host import SCHEMA, Host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nicpass.host.files import Files
    from nicpass.host.processes import Processes
    from nicpass.model.domain import Domain
    from nicpass.model.fact import Fact, Unknown


def read_host(
    files: Files,
    domains: Fact[tuple[Domain, ...]],
    processes: Callable[[], Processes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Host:
    """Everything of a host; the VMs come from their hypervisor, which this floor does not know.

    `environment` is the caller's, and `processes` are for interfaces in other network namespaces; both may be left
    out, and what they would have told is then not known.

    Raises:
        BadInputError: a file of a capture is damaged.
    """
    pci = read_pci(files)
    return Host(
        pci=pci,
        platform=read_platform(files),
        network=read_network(files),
        activity=read_activity(files, pci, processes, environment),
        domains=domains,
    )


def load_snapshot(path: str, content: bytes | Unknown | None) -> Host:
    """The host that `nicpass snapshot` wrote; `path` is only for the sentence.

    Raises:
        BadInputError: it is not there, not readable, or not such a file.
    """
    hint = "Make one with: nicpass snapshot > host.json"
    if not isinstance(content, bytes):
        raise BadInputError(f"The snapshot cannot be read: {content.unknown if content else f'absent: {path}'}.", hint)
    try:
        return msgspec.json.decode(content, type=Host)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is not a snapshot of schema {SCHEMA}: {error}.", hint) from None
