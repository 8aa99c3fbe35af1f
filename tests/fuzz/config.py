# SPDX-License-Identifier: Apache-2.0
"""Mutated configuration spaces: decoded, checked against what must hold of any answer, and now and then to JSON."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import msgspec

from nicpass.host.pci.config_space import CONVENTIONAL, EXTENDED, EXTENDED_SIZE, decode_config
from nicpass.model.config_space import ConfigSpace
from nicpass.model.fact import Unknown, known
from tests.fuzz.bound import HangError, rearm, watching
from tests.fuzz.mutate import mutate
from tests.support.config_dumps import parse_dump
from tests.support.config_space import CONVENTIONAL as CONVENTIONAL_PCI
from tests.support.config_space import PORT, Capabilities, Identity, Sriov, build_config

DUMPS = Path(__file__).resolve().parents[3] / "shared" / "hosts" / "pciutils-nic-config-dumps"
JSON_EVERY = 16
REARM_EVERY = 16
"""The limit holds for so many inputs together: setting it for each would take as long as a decoder does."""

POINTERS = (0x34, *range(0x41, 0x100, 4), *range(0x102, 0x200, 4))
"""Where a next pointer mostly lies: in the header, below 256, above it."""

POINTED_SHARE = 0.5
_MAX_CAPABILITIES = (256 - 64) // 4 + (4096 - 256) // 4


def fuzz(count: int, seed: int) -> int:
    """Try `count` mutated configuration spaces; the same seed tries the same ones.

    Raises:
        AssertionError: one of them crashed or hung the decoder, or the answer does not hold.
    """
    rng = random.Random(seed)  # noqa: S311  the same inputs again are what it is for
    sources = seeds()
    with watching():
        for number in range(count):
            content = mutate(rng.choice(sources), sources, rng)
            if rng.random() < POINTED_SHARE:
                content = point_elsewhere(content, rng)
            if number % REARM_EVERY == 0:
                rearm()
            try_config(content, with_json=number % JSON_EVERY == 0)
    return count


def point_elsewhere(content: bytes, rng: random.Random) -> bytes:
    """Loops and steps outside come from pointers, so these are hit more often than chance would."""
    data = bytearray(content)
    place = rng.choice(POINTERS)
    data[place : place + 2] = bytes((int(rng.random() * 256), int(rng.random() * 256)))
    return bytes(data)


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """The real ones where they are at hand, and made ones that have what those lack; each cut as readers get it."""
    whole = [content for dump in sorted(DUMPS.glob("*")) for content in _read(dump)]
    whole += made_configs()
    return tuple(dict.fromkeys(content[:size] for content in whole for size in (64, 256, 4096)))


def _read(dump: Path) -> list[bytes]:
    if dump.suffix in (".md", ".json"):
        return []
    return list(parse_dump(dump.read_text(errors="replace")).values())


def made_configs() -> list[bytes]:
    """A PF, a VF, a port, a conventional card, and one that is gone."""
    nic = Identity(0x8086, 0x10FB, 0x8086, 0x0003, 0x020000)
    port = Identity(0x8086, 0x1901, 0, 0, 0x060400)
    everything = Capabilities(af_flr=True, acs=(0x1F, 0x1D), ari=True, multifunction=True)
    return [
        build_config(nic, 4096, sriov=Sriov(63, 2, 16, 1, 0x10ED), serial=1, capabilities=everything),
        build_config(nic, 4096, is_vf=True),
        build_config(port, 4096, secondary_bus=1, capabilities=PORT._replace(slot=7)),
        build_config(nic, 256, capabilities=CONVENTIONAL_PCI),
        b"\xff" * 4096,
    ]


def try_config(content: bytes, *, with_json: bool = True) -> None:
    """Decode it; an AssertionError has the input in it.

    Raises:
        AssertionError: a crash, a hang, or an answer that does not hold.
    """
    try:
        config = decode_config(content)
        check_answer(config, content)
        if with_json:
            assert msgspec.json.decode(msgspec.json.encode(config), type=ConfigSpace) == config
    except HangError:
        raise AssertionError(f"hangs: {content.hex()}") from None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}: {content.hex()}") from error


def check_answer(config: ConfigSpace, content: bytes) -> None:
    """What holds of every answer, whatever the bytes."""
    size = min(len(content), EXTENDED_SIZE)
    assert config.bytes_read == size
    assert len(config.problems) <= _MAX_CAPABILITIES
    conventional = [getattr(config, capability.field) for capability in CONVENTIONAL.values()]
    extended = [getattr(config, capability.field) for capability in EXTENDED.values()]
    has_list = size >= 64 and content[6] & 0x10
    if not config.responds:
        assert set(content[:256]) == {0xFF}
    if size < 256 and (has_list or size < 64):
        assert all(isinstance(fact, Unknown) for fact in (*conventional, *extended)), "what nobody saw is unknown"
    if size <= 256:
        assert not any(known(fact) for fact in extended)
    if not config.problems and config.responds and size > 256:
        assert not any(isinstance(fact, Unknown) for fact in (*conventional, *extended)), (
            "nothing hides without a reason"
        )
    if known(config.sriov):
        assert config.sriov.num_vfs <= config.sriov.total_vfs
