# SPDX-License-Identifier: Apache-2.0
"""What GRUB's own tool makes of settings that distributions and people have written, with ours in them."""

from __future__ import annotations

import re

import pytest

from lab.machine import Machine
from lab.shape import GRUB_BIOS
from nicpass.boot.loader import grub
from tests.support.boot import after_change
from tests.unit.boot.text.test_shell import FILES, TOKENS, boot_with, content_after

pytestmark = [pytest.mark.lab, pytest.mark.full]  # each takes seconds under emulation
REFUSED = {
    "amazon-linux-2": "its terminal ec2-console is Amazon's own",
    "odd-bash-plus-equals": "Debian's sh is no bash",
    "odd-byte-order-mark": "the shell takes the mark for a command",
}
"""What Debian's grub-mkconfig does not take at all, ours or not."""
_MAKE = """
trap 'rm -f /etc/system-release' EXIT
touch /etc/system-release  # some files of the Red Hat family ask for it
mount --bind /run/settings /etc/default/grub
grub-mkconfig 2>/run/said || { cat /run/said >&2; exit 1; }"""
_ENTRY = re.compile(r"\n\tlinux\t\S+ (.*?)\n\techo", re.DOTALL)


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_grub_mkconfig_has_ours_last(fresh_host: Machine, subtests: pytest.Subtests) -> None:
    """Its first entry gets just the arguments that nicpass says it will."""
    for name, settings in FILES.items():
        with subtests.test(name):
            before = boot_with(settings)
            change = grub.plan_arguments(before, TOKENS)
            fresh_host.put_file("/run/settings", content_after(before, change, grub.DEFAULTS) or b"")
            made = fresh_host.execute(["unshare", "--mount", "sh", "-c", _MAKE])
            if name in REFUSED:
                assert made.exit_code != 0
                continue
            assert made.exit_code == 0, made.stderr
            found = _ENTRY.search(made.stdout)
            assert found is not None, made.stdout
            assert found[1].split()[-len(TOKENS) :] == list(TOKENS)
            expected = grub.configured_arguments(after_change(before, change))
            if isinstance(expected, str):
                words = expected.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split()
                assert found[1].split()[-len(words) :] == words
