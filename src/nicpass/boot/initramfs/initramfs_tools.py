# SPDX-License-Identifier: Apache-2.0
"""initramfs-tools, which Debian and Ubuntu use: initramfs-tools(7), update-initramfs(8).

Its init runs what stands in /scripts/init-top in the order that mkinitramfs writes to the file ORDER there
(cache_run_scripts() in hook-functions): tsort(1) sorts pairs of a script and what it must follow, and of those that
follow nothing the first by name comes first. The script `udev` follows nothing, and nothing can be put before it but by
a name; so ours begins with zeros. /run, /dev, /proc and /sys are mounted by then, and /run goes on into the host.

A new kernel needs nothing: its package calls update-initramfs, and the hook stands in /etc.
"""

from __future__ import annotations

import re
from typing import Final

from nicpass.boot.initramfs.bind_script import SCRIPT
from nicpass.model.file_image import FileImage, RegularFile

ARGV: Final = ("update-initramfs", "-u", "-k", "all")
NAME: Final = "00-nicpass"
HOOK: Final = "/etc/initramfs-tools/hooks/nicpass"
INIT_TOP: Final = f"/etc/initramfs-tools/scripts/init-top/{NAME}"

# The files of boot.d go in without their links and owners; od is for serial numbers, and may be busybox's already.
_HOOK = f"""\
#!/bin/sh
# Put here by nicpass prepare; nicpass prepare --remove takes it away.
case $1 in prereqs) exit 0 ;; esac
. /usr/share/initramfs-tools/hook-functions
[ -r {SCRIPT} ] || exit 0
manual_add_modules vfio-pci vfio_iommu_type1
copy_exec /usr/bin/od
copy_exec /bin/dd
copy_exec /bin/mkdir
mkdir -p "$DESTDIR/etc/nicpass/boot.d"
cp {SCRIPT} "$DESTDIR/etc/nicpass/"
for file in /etc/nicpass/boot.d/*.conf; do
    [ -f "$file" ] || continue
    cp "$file" "$DESTDIR/etc/nicpass/boot.d/"
    while IFS='=' read -r key value; do
        case $key in driver) manual_add_modules "$value" ;; esac
    done <"$file"
done
exit 0
"""

_INIT_TOP = f"""\
#!/bin/sh
# Put here by nicpass prepare; nicpass prepare --remove takes it away.
case $1 in prereqs) exit 0 ;; esac
[ -r {SCRIPT} ] && /bin/sh {SCRIPT} initramfs
exit 0
"""

FILES: Final[dict[str, FileImage]] = {
    HOOK: RegularFile(_HOOK.encode(), 0o755),
    INIT_TOP: RegularFile(_INIT_TOP.encode(), 0o755),
}


def runs_before_udev(order: str) -> bool:
    """Whether nicpass's script runs first, and before udev, in a built image, by its text of `scripts/init-top/ORDER`.

    A place before `udev` is not enough: another script before nicpass's may load a driver too.
    """
    names = re.findall(r"^/scripts/init-top/([^\s\"]+)", order, re.MULTILINE)
    return names[:1] == [NAME] and "udev" in names
