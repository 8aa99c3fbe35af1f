# SPDX-License-Identifier: Apache-2.0
"""The script that binds at boot: where it lies, and its unit for the pass after the initramfs.

It lies in /etc, for there it is at hand in both passes: /usr may be read-only, and /usr/local another file system that
is not mounted before udev. It needs nothing of nicpass once it is there. Kernel updates need nothing: the hooks of the
initramfs generators stand in /etc too, and put it into the image of each new kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCRIPT: Final = "/etc/nicpass/bind-at-boot"
UNIT: Final = "/etc/systemd/system/nicpass-bind.service"
WANTS: Final = "/etc/systemd/system/sysinit.target.wants"

# The unit runs the script by /bin/sh, so that no mount option and no SELinux type of the file stands in the way.
# modules-load is systemd's own way to load modules early; it must not load a NIC's driver before the unit has run.
BIND_UNIT: Final = f"""\
# Put here by nicpass prepare; nicpass prepare --remove takes it away.
[Unit]
Description=Give NICs to vfio-pci before any other driver sees them
DefaultDependencies=no
After=systemd-remount-fs.service
Before=systemd-modules-load.service systemd-udev-trigger.service sysinit.target
ConditionPathExists={SCRIPT}
ConditionPathExistsGlob=/etc/nicpass/boot.d/*.conf

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {SCRIPT} unit

[Install]
WantedBy=sysinit.target
"""


def read_script() -> bytes:
    """The content of the script `bind-at-boot`, out of this package."""
    return (Path(__file__).parent / "files" / "bind-at-boot").read_bytes()
