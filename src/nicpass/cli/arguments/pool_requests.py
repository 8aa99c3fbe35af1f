# SPDX-License-Identifier: Apache-2.0
"""The words of the command line about pools, as a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.request import PoolAttachRequest, PoolDetachRequest, PoolRequest
from nicpass.model.text import quote

if TYPE_CHECKING:
    import argparse

    from nicpass.model.request import Where

_NOT_WITH_POOL = {
    "nic": "NIC",
    "from_pf": "--from",
    "with_group": "--with-group",
    "vlan": "--vlan",
    "allow": "--allow",
    "confirm_within": "--confirm-within",
}
"""What an attach or a detach may be told beside, and what means nothing for an interface of a pool's."""


def pool_request_of(arguments: argparse.Namespace, where: Where) -> PoolRequest | PoolAttachRequest | PoolDetachRequest:
    if arguments.command == "pool":
        given = {name: getattr(arguments, name, None) for name in ("pf", "vfs", "vlan")}
        return PoolRequest(action=arguments.action, name=arguments.name, **given)
    _refuse_beside(arguments)
    if arguments.command == "attach":
        return PoolAttachRequest(
            vm=arguments.vm, pool=arguments.from_pool, mac=arguments.mac, start=arguments.start, where=where
        )
    return PoolDetachRequest(
        vm=arguments.vm, pool=arguments.from_pool, mac=arguments.mac, stop=arguments.stop, where=where
    )


def _refuse_beside(arguments: argparse.Namespace) -> None:
    for name, word in _NOT_WITH_POOL.items():
        given = getattr(arguments, name, None)
        if given is None or given is False or given == []:  # `--confirm-within 0` was said, and is equal to False
            continue
        hint = f"nicpass {arguments.command} {quote(arguments.vm)} --from-pool {quote(arguments.from_pool)}"
        if name == "vlan":
            hint = _("The VLAN is the pool's: nicpass pool create --vlan.")
        raise BadInputError(_("{option} does not go with --from-pool.").format(option=word), hint)
