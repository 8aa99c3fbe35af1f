# SPDX-License-Identifier: Apache-2.0
"""Filters of tc(8) that send an interface's packets to another one (tc-mirred(8)), of this network namespace.

One question tells whether there is any such action; only where there is, the filters are asked for, by which it is
known whose packets go. Numbers: linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from typing import TYPE_CHECKING

from nicpass.host.network.rtnetlink import (
    Kind,
    MalformedError,
    dump,
    fixed_part,
    read_attributes,
    split_attributes,
    text_of,
)
from nicpass.model.fact import Fact, Unknown
from nicpass.model.network import Redirect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RTM_GETQDISC, _RTM_GETTFILTER, _RTM_GETACTION = 38, 46, 50
_TCM = struct.Struct("=BxHiIII")  # struct tcmsg: family, ifindex, handle, parent, info
_MIRRED = struct.Struct("=IIiiiiI")  # struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
_TCA_KIND, _TCA_ROOT_TAB, _TCA_ACT_KIND, _TCA_ACT_OPTIONS, _TCA_MIRRED_PARMS = 1, 1, 1, 2, 2
_NAME = b"mirred\0"
_ACTION = struct.pack("=HH7sx", 4 + len(_NAME), _TCA_ACT_KIND, _NAME)
_ENTRY = struct.pack("=HH", 4 + len(_ACTION), 1) + _ACTION  # the first of a table
_ACTIONS = Kind(_RTM_GETACTION, bytes(4) + struct.pack("=HH", 4 + len(_ENTRY), _TCA_ROOT_TAB) + _ENTRY, 4)
_QDISCS = Kind(_RTM_GETQDISC, _TCM.pack(0, 0, 0, 0, 0, 0), _TCM.size)
_HOOKS = (0xFFFFFFF2, 0xFFFFFFF3)  # TC_H_CLSACT with TC_H_MIN_INGRESS, with TC_H_MIN_EGRESS
_MAX_DEPTH = 8  # filters nest less
_ABSENT = frozenset({errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})


def read_redirects(names: dict[int, str]) -> Fact[tuple[Redirect, ...]]:
    """All of them, each once; `names` are those of all interfaces, by index.

    Unknown when the kernel did not answer; a kernel without tc has none.
    """
    try:
        targets = dict(mirred_of(dump(_ACTIONS), _ACTIONS.fixed))
        if not targets:
            return ()
        found = list(_filters_of(names))
    except OSError as error:
        return () if error.errno in _ABSENT else Unknown(f"tc: {error.strerror or error}")
    placed = {index for _, index, _ in found}
    # One that hangs on a block which several interfaces share is no interface's own.
    found += [("?", index, target) for index, target in targets.items() if index not in placed]
    pairs = dict.fromkeys((name, names[target]) for name, _, target in found if target in names)
    return tuple(Redirect(netdev=name, target=target) for name, target in pairs if name != target)


def _filters_of(names: dict[int, str]) -> Iterator[tuple[str, int, int]]:
    """(interface, number of its action, index of the interface to which it sends)."""
    for body in dump(_QDISCS):
        _, _, ifindex, handle, _, _ = fixed_part(_TCM, body)
        kind = text_of(read_attributes(body, _TCM.size).get(_TCA_KIND))
        for parent in _HOOKS if kind in ("ingress", "clsact") else (handle,):
            if parent and ifindex in names:
                for index, target in mirred_of(_filters(ifindex, parent), _TCM.size):
                    yield names[ifindex], index, target


def _filters(ifindex: int, parent: int) -> list[bytes]:
    """Those that hang there; a queueing discipline that takes none has none."""
    try:
        return dump(Kind(_RTM_GETTFILTER, _TCM.pack(0, 0, ifindex, 0, parent, 0), _TCM.size))
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise


def mirred_of(bodies: Iterable[bytes], fixed: int) -> Iterator[tuple[int, int]]:
    """(number of the action, index of the interface to which it sends) of each that something uses.

    Each kind of filter has its actions at another place, so they are sought by what they are.

    Raises:
        MalformedError: an action is too short.
    """
    for body in bodies:
        for content in _find(body[fixed:], 0):
            index, _, _, _, bound, _, target = fixed_part(_MIRRED, content)
            if bound and target:
                yield index, target


def _find(data: bytes, depth: int) -> Iterator[bytes]:
    """Every TCA_MIRRED_PARMS in it."""
    try:
        parts = list(split_attributes(data))
    except MalformedError:  # no nest but a value
        return
    found = dict(parts)
    if found.get(_TCA_ACT_KIND) == _NAME and _TCA_ACT_OPTIONS in found:
        with contextlib.suppress(MalformedError):
            settings = read_attributes(found[_TCA_ACT_OPTIONS])
            if _TCA_MIRRED_PARMS in settings:
                yield settings[_TCA_MIRRED_PARMS]
        return
    if depth < _MAX_DEPTH:
        for _, content in parts:
            yield from _find(content, depth + 1)
