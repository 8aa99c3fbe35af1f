# SPDX-License-Identifier: Apache-2.0
"""When VFs are made: at boot before anybody looks at them, and again whenever their PF comes back.

A PF comes back when its driver is loaded anew or reinitialises it: each makes a new interface, and a udev rule leaves a
mark for it. A unit that watches for the mark starts the service, and looks again once that has ended: no event is lost
while it is at work. Sources: systemd.unit(5), systemd.path(5), systemd.special(7) on network-pre.target, udev(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.declared_vfs import DeclaredVfs

DUE: Final = "/run/nicpass/vfs-due"
"""The mark, a folder, that a PF has come back."""

# No condition: where one is not met, the mark stays, and what watches for it starts the service again and again.
# Without the usual dependencies, which order a unit after sysinit.target: cloud-init stands before that and after
# network-pre.target, and would close a circle.
_SERVICE = """\
# Put here by nicpass vf create; nicpass vf remove takes it away.
[Unit]
Description=Make the VFs that were asked for, and set them
DefaultDependencies=no
RequiresMountsFor=/etc/nicpass /var/lib/nicpass "@PYTHON@" "@PACKAGE@"
After=local-fs.target systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service
Wants=network-pre.target
Before=network-pre.target
Before=libvirtd.service libvirtd.socket virtqemud.service virtqemud.socket virtnetworkd.service
Before=nicpass-recover.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
# A driver takes up to half a second a VF; a boot that waited without a bound would never end.
TimeoutStartSec=300
ExecStartPre=-/bin/sh -c 'rmdir @DUE@ 2>/dev/null'
ExecStart="@PYTHON@" -I -m nicpass vf restore
# A unit that has failed is seen; of one whose Python is gone nobody else would say what that means.
ExecStopPost=/bin/sh -c 'test "$$SERVICE_RESULT" = success || \\
    echo "<3>nicpass did not make all VFs that were asked for ($$SERVICE_RESULT, $$EXIT_STATUS)." \\
    "If its Python or its package is gone, install nicpass anew, then: nicpass vf restore"'

[Install]
WantedBy=multi-user.target
"""

PATH_UNIT: Final = f"""\
# Put here by nicpass vf create; nicpass vf remove takes it away.
[Unit]
Description=See when a PF comes back that is to have VFs

[Path]
PathExists={DUE}
Unit=nicpass-vfs.service

[Install]
WantedBy=multi-user.target
"""

_RULE = (
    'ACTION=="add", SUBSYSTEM=="net", ATTRS{{vendor}}=="0x{vendor_id:04x}", ATTRS{{device}}=="0x{device_id:04x}", '
    'RUN+="/bin/mkdir -p {due}"\n'
)


def service_unit(python: str, package: str) -> str:
    """The text of the service; both arguments are absolute paths."""
    text = _SERVICE
    for name, word in {"@PYTHON@": python, "@PACKAGE@": package, "@DUE@": DUE}.items():
        text = text.replace(name, word.replace("%", "%%"))
    return text


def udev_rules(declared: Iterable[DeclaredVfs]) -> str:
    """Rules that see each PF come back. One that is of the same kind sets the mark in vain, and nothing comes of it."""
    kinds = sorted({(one.identity.vendor_id, one.identity.device_id) for one in declared})
    rules = "".join(_RULE.format(vendor_id=vendor, device_id=device, due=DUE) for vendor, device in kinds)
    return f"# Put here by nicpass vf create; nicpass vf remove takes it away.\n{rules}"
