# SPDX-License-Identifier: Apache-2.0
"""A misspelt word is told with the one that was most likely meant, whatever it is a name of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.cli.main import main
from tests.support.hosts import bridge, pf_with_vfs, ready_host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("lsit", "list"),
        ("vf craete", "create"),
        ("list --snapshto x", "--snapshot"),
        ("schema chekc", "check"),
        ("explain GROUP_SHERED", "GROUP_SHARED"),
        ("attach guest enp1s0 --allow HAS_ADRESS --dry-run --root", "HAS_ADDRESS"),
        ("prepare --allow HAS_ADRESS --dry-run --root", "HAS_ADDRESS"),
        ("list enp1s1 --root", "enp1s0"),
        ("check enp1s1 --root", "enp1s0"),
        ("attach guest enp1s1 --dry-run --root", "enp1s0"),
        ("attach guest --from enp1s1 --dry-run --root", "enp1s0"),
        ("prepare enp1s1 --dry-run --root", "enp1s0"),
        ("vf create enp1s1 --count 1 --dry-run --root", "enp1s0"),
        ("vf list enp1s1 --root", "enp1s0"),
        ("check enp1s0 --vm gest --root", "guest"),
        ("attach gest enp1s0 --dry-run --root", "guest"),
        ("detach gest enp1s0 --dry-run --root", "guest"),
        ("tune gest --dry-run --root", "guest"),
        ("tune guest --cpsu 1 --dry-run --root", "--cpus"),
    ],
)
def test_it_is_offered(line: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()
    if words[-1] == "--root":
        port = "0000:00:01.0"
        host = ready_host(bridge(port), *pf_with_vfs("0000:01:00.0", "enp1s0", 0, under=port))
        words.append(str(host.write(tmp_path)))
    assert main(words) == 2
    assert f"Did you mean {meant}?" in capsys.readouterr().err
