# SPDX-License-Identifier: Apache-2.0
"""The power goes while a host is prepared: it boots, and is as it was or ready, and nothing between."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from lab.cache import Cache, hash_code
from lab.machine import Machine
from lab.shape import GRUB_BIOS
from lab.stages import Further
from lab.stages import fresh_host as open_fresh_host
from tests.lab.boots import NIC, UNIT, End, prepare, see_it_gone, see_it_ready
from tests.lab.conftest import READY
from tests.lab.deaths import ALL_WRITES, Death, cut_power_at

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation
WRITES = 27
"""Of `prepare`, a program counted as one; that there are no more is tested as well."""
NEW_INITRAMFS = "/boot/initrd.img-*.new"
"""update-initramfs(8) gives it its name when it is whole."""


@dataclass(frozen=True)
class Ends:
    """What the host is when nothing goes wrong."""

    before: End
    ready: End


@pytest.fixture(scope="module")
def ends(cache: Cache, wheel: Path) -> Ends:
    with open_fresh_host(cache, GRUB_BIOS, wheel) as machine:
        before = End.of(machine)
    with open_fresh_host(cache, GRUB_BIOS, wheel, READY) as machine:
        return Ends(before, End.of(machine))


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_the_power_goes_at_each_write(ends: Ends, fresh_host: Machine, number: int) -> None:
    see_it_either_way(fresh_host, Death("after", number, ALL_WRITES), ends)


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_the_power_goes_while_the_initramfs_is_written(ends: Ends, fresh_host: Machine) -> None:
    see_it_either_way(fresh_host, Death("while", NEW_INITRAMFS, ALL_WRITES), ends)


def see_it_either_way(machine: Machine, death: Death, ends: Ends) -> None:
    """Cut the power there; what boots is the host as it was, or ready."""
    assert cut_power_at(machine, death, f"prepare {NIC}")
    machine.wait_until_succeeds("nicpass recover --json | grep -q '\"settled\": *\\[\\]'", 300)
    is_ready = machine.execute("test -e /var/lib/nicpass/prepared.json").exit_code == 0
    (see_it_ready if is_ready else see_it_gone)(machine)
    (ends.ready if is_ready else ends.before).meet(End.of(machine))
    print(f"{death}: {'ready' if is_ready else 'as before'}", flush=True)


def test_the_power_goes_while_the_boot_is_looked_at(cache: Cache, wheel: Path, ends: Ends) -> None:
    """After each write of what keeps the arguments. The trial was booted once: by the old entry it is found failed."""
    for number in count(1):
        with open_fresh_host(cache, GRUB_BIOS, wheel, TRIED) as machine:
            death = Death("after", number, ALL_WRITES)
            if not cut_power_at(machine, death, "prepare --finish", may_fail=UNIT):
                break
            machine.wait_until_succeeds("nicpass recover --json | grep -q '\"settled\": *\\[\\]'", 300)
            has_failed = '"failed"' in machine.succeed("cat /var/lib/nicpass/prepared.json")
            if has_failed:
                machine.succeed("nicpass prepare --remove", 900)
            (see_it_gone if has_failed else see_it_ready)(machine)
            (ends.before if has_failed else ends.ready).meet(End.of(machine))
            print(f"{death}: {'failed, and taken out' if has_failed else 'ready'}", flush=True)
    assert number > 5


def _reboot_into_the_trial(machine: Machine) -> None:
    """And do not look at it yet."""
    prepare(machine, NIC)
    folder = f"/etc/systemd/system/{UNIT}.d"
    machine.succeed(f"mkdir {folder}; printf '[Service]\nExecStart=\nExecStart=true\n' >{folder}/later.conf")
    machine.reboot()
    machine.succeed(f"rm -r {folder}; systemctl daemon-reload; sync")


TRIED = Further(f"tried-{hash_code(Path(__file__))}", _reboot_into_the_trial)


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_there_is_no_write_more(fresh_host: Machine) -> None:
    assert not cut_power_at(fresh_host, Death("after", WRITES + 1, ALL_WRITES), f"prepare {NIC}")
