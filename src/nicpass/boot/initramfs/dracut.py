# SPDX-License-Identifier: Apache-2.0
"""dracut, which Fedora, RHEL, SUSE and others use, and Debian has: dracut(8), dracut.modules(7), dracut.bootup(7).

Modules of dracut are looked for in /usr/lib/dracut/modules.d alone, so ours stands there. Its hook `pre-udev` runs
before udev does, in the initramfs of systemd (dracut-pre-udev.service) as in that without; the hooks of one kind run in
the order of their names. /run is mounted by then, and goes on into the host.

A new kernel needs nothing: its package calls dracut, which takes in the modules that are there. On Debian,
`dracut --regenerate-all` writes the same /boot/initrd.img-VERSION as the kernel's packages do.
"""

from __future__ import annotations

from typing import Final

from nicpass.boot.initramfs.bind_script import SCRIPT
from nicpass.model.file_image import FileImage, Folder, RegularFile

ARGV: Final = ("dracut", "--regenerate-all", "--force")
MODULE: Final = "/usr/lib/dracut/modules.d/90nicpass"
HOOK: Final = f"{MODULE}/nicpass-bind.sh"

# `hostonly=` for the modules: in a host-only image only those in use now would be taken. They may be built in (-o).
_SETUP = f"""\
#!/bin/bash
# Put here by nicpass prepare; nicpass prepare --remove takes it away.

check() {{
    [[ -r {SCRIPT} ]]
}}

depends() {{
    return 0
}}

installkernel() {{
    local file key value
    hostonly='' instmods vfio-pci vfio_iommu_type1
    for file in /etc/nicpass/boot.d/*.conf; do
        [[ -f $file ]] || continue
        while IFS='=' read -r key value; do
            [[ $key == driver ]] && hostonly='' instmods "$value"
        done < "$file"
    done
    return 0
}}

install() {{
    local file
    inst_multiple mkdir dd od modprobe
    inst_simple {SCRIPT}
    for file in /etc/nicpass/boot.d/*.conf; do
        [[ -f $file ]] && inst_simple "$file"
    done
    inst_hook pre-udev 00 "$moddir/nicpass-bind.sh"
}}
"""

# dracut reads hooks into its own shell, so the hook must neither end that shell nor change it.
_HOOK = f"""\
#!/bin/sh
# Put here by nicpass prepare; nicpass prepare --remove takes it away.
[ -r {SCRIPT} ] && /bin/sh {SCRIPT} initramfs
:
"""

FILES: Final[dict[str, FileImage]] = {
    MODULE: Folder(0o755),
    f"{MODULE}/module-setup.sh": RegularFile(_SETUP.encode(), 0o755),
    HOOK: RegularFile(_HOOK.encode(), 0o755),
}
