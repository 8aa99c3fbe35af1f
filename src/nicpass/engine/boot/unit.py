# SPDX-License-Identifier: Apache-2.0
"""The unit of systemd that looks at a boot for which the host was prepared (systemd.unit(5), systemd.service(5))."""

from __future__ import annotations

_UNIT = """\
# Put here by nicpass prepare, which takes it away with: nicpass prepare --remove
[Unit]
Description=See whether the host came up as nicpass prepared it
After=local-fs.target systemd-modules-load.service nicpass-recover.service
After=libvirtd.socket libvirtd.service virtqemud.socket virtqemud.service
ConditionPathExists=@RECORD@

[Service]
Type=oneshot
# Far more than the longest of it, the making of an initramfs, and yet a bound: without one a boot never ends.
TimeoutStartSec=3600
ExecStart="@PYTHON@" -I -m nicpass prepare --finish
# A unit that has failed is seen; of one whose Python is gone nobody else would say what that means.
ExecStopPost=/bin/sh -c 'test "$$SERVICE_RESULT" = success || \\
    echo "<3>nicpass did not see how this boot came up ($$SERVICE_RESULT, $$EXIT_STATUS)." \\
    "If its Python or its package is gone, install nicpass anew, then: nicpass prepare --finish"'

[Install]
WantedBy=multi-user.target
"""


def finish_unit(python: str, record: str) -> str:
    """The text of the unit; both arguments are absolute paths."""
    text = _UNIT
    for name, word in {"@PYTHON@": python, "@RECORD@": record}.items():
        text = text.replace(name, word.replace("%", "%%"))
    return text
