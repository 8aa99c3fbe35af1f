# SPDX-License-Identifier: Apache-2.0
"""The unit of systemd that looks at a boot for which the host was prepared (systemd.unit(5), systemd.service(5))."""

from __future__ import annotations

_UNIT = """\
# Put here by nicpass prepare, which takes it away with: nicpass prepare --remove
[Unit]
Description=See whether the host came up as nicpass prepared it
After=local-fs.target systemd-modules-load.service nicpass-recover.service
After=libvirtd.socket libvirtd.service virtqemud.socket virtqemud.service
ConditionPathExists=@PYTHON@
ConditionPathExists=@PACKAGE@/cli/main.py
ConditionPathExists=@RECORD@

[Service]
Type=oneshot
ExecStart="@PYTHON@" -I -m nicpass prepare --finish

[Install]
WantedBy=multi-user.target
"""


def finish_unit(python: str, package: str, record: str) -> str:
    """The text of the unit; all three arguments are absolute paths."""
    text = _UNIT
    for name, word in {"@PYTHON@": python, "@PACKAGE@": package, "@RECORD@": record}.items():
        text = text.replace(name, word.replace("%", "%%"))
    return text
