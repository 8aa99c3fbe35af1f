# SPDX-License-Identifier: Apache-2.0
"""Mutated definitions of VMs: read, taken to JSON and back now and then, and judged with a NIC."""

from __future__ import annotations

import random

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_vm
from nicpass.hypervisor.libvirt.hostdevs import parse_domain
from nicpass.model.address import Address
from nicpass.model.domain import Domain
from nicpass.model.errors import NicpassError
from nicpass.model.host import Host
from nicpass.model.memory import HugepagePool, Memory, NumaNode
from nicpass.model.pci import PciFunction
from nicpass.model.platform import Platform
from tests.fuzz.bound import HangError, rearm, watching
from tests.support.domains import RICH, definition_xml, mutate, mutate_tree

JSON_EVERY = 16
BROKEN_SHARE = 0.25
"""So many are then damaged as bytes too, which mostly leaves them no XML; the others are read to the end."""

_NIC = PciFunction(address=Address("0000:3b:00.0"), class_code=0x020000, driver="igc", numa_node=1)
_POOLS = (HugepagePool(size=2 << 20, total=10, free=5),)
_HOST = Host(
    pci=(_NIC,),
    platform=Platform(physical_bits=46),
    memory=Memory(
        total=1 << 33,
        available=1 << 32,
        hugepage_size=2 << 20,
        hugepages=_POOLS,
        nodes=tuple(NumaNode(node=node, cpus=f"{8 * node}-{8 * node + 7}", hugepages=_POOLS) for node in (0, 1)),
    ),
)


def fuzz(count: int, seed: int) -> int:
    """Try `count` mutated definitions; the same seed tries the same ones.

    Raises:
        AssertionError: one of them crashed or hung the reader or a check; it has the definition in it.
    """
    rng = random.Random(seed)  # noqa: S311  the same inputs again are what it is for
    sources = (RICH, definition_xml())
    with watching():
        for number in range(count):
            text = mutate_tree(rng.choice(sources), rng)
            if rng.random() < BROKEN_SHARE:
                text = mutate(text, rng)
            rearm()
            try_definition(text, with_json=number % JSON_EVERY == 0)
    return count


def try_definition(text: str, *, with_json: bool = True) -> None:
    """Read it and judge it.

    Raises:
        AssertionError: a crash, a hang, or an answer that does not hold.
    """
    try:
        domain = parse_domain(text)
        for running in (False, True):
            chosen = msgspec.structs.replace(domain, running=running, live=domain.config if running else None)
            for finding in check_vm(_NIC, chosen, HostIndex(_HOST)):
                assert finding.sentence.isprintable()
                assert "\x1b" not in finding.command
        if with_json:
            assert msgspec.json.decode(msgspec.json.encode(domain), type=Domain) == domain
    except NicpassError:
        return
    except HangError:
        raise AssertionError(f"hangs: {text.encode('utf-8', 'surrogatepass').hex()}") from None
    except Exception as error:
        shown = text.encode("utf-8", "surrogatepass").hex()
        raise AssertionError(f"{type(error).__name__}: {error}: {shown}") from error
