# SPDX-License-Identifier: Apache-2.0
"""mkinitcpio, which Arch and its kin use: mkinitcpio(8), mkinitcpio.conf(5).

A hook has two parts: one that fills the image, and one that runs in it. Hooks that run early do so in the order of
HOOKS, and `udev` starts its daemon early; so nicpass's hook stands before it. Drop-ins are appended to the
configuration in the order of their names and read by bash, so nicpass's comes last and puts the hook where it belongs,
whatever HOOKS is. With the hook `systemd` nothing of a hook runs in the image, and a unit runs the script.

A preset that names a configuration of its own (`ALL_config=`) reads no drop-ins: there only the host's unit binds.
A new kernel needs nothing: pacman's hook runs mkinitcpio, and nicpass's files stand in /etc.
"""

from __future__ import annotations

from typing import Final

from nicpass.boot.initramfs.bind_script import SCRIPT
from nicpass.model.file_image import FileImage, Folder, RegularFile

ARGV: Final = ("mkinitcpio", "-P")
INSTALL: Final = "/etc/initcpio/install/nicpass"
HOOK: Final = "/etc/initcpio/hooks/nicpass"
DROP_IN: Final = "/etc/mkinitcpio.conf.d/zz-nicpass.conf"

_INSTALL = f"""\
#!/bin/bash
# Put here by nicpass prepare; nicpass prepare --remove takes it away.

build() {{
    local file key value
    local system=/etc/systemd/system
    [[ -r {SCRIPT} ]] || return 0
    add_module 'vfio-pci?'
    add_module 'vfio_iommu_type1?'
    add_file {SCRIPT}
    for file in /etc/nicpass/boot.d/*.conf; do
        [[ -f $file ]] || continue
        add_file "$file"
        while IFS='=' read -r key value; do
            [[ $key == driver ]] && add_module "$value?"
        done < "$file"
    done
    if [[ " ${{HOOKS[*]}} " != *" systemd "* ]]; then
        add_runscript
        return 0
    fi
    # This image may have no shell and no busybox.
    add_binary bash
    add_binary mkdir
    add_binary dd
    add_binary od
    add_dir "$system/sysinit.target.wants"
    cat > "$BUILDROOT$system/nicpass-bind.service" <<'UNIT'
[Unit]
Description=Give NICs to vfio-pci before any other driver sees them
DefaultDependencies=no
Before=systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/bash --posix {SCRIPT} initramfs
UNIT
    add_symlink "$system/sysinit.target.wants/nicpass-bind.service" "$system/nicpass-bind.service"
}}

help() {{
    echo 'Gives NICs to vfio-pci before their own driver sees them (nicpass prepare).'
}}
"""

_HOOK = f"""\
#!/usr/bin/ash
# Put here by nicpass prepare; nicpass prepare --remove takes it away.

run_earlyhook() {{
    [ -r {SCRIPT} ] && /bin/sh {SCRIPT} initramfs
    :
}}
"""

# Puts the hook before the first of the two hooks that start udev. HOOKS may be a string in old configurations.
_DROP_IN = """\
# Put here by nicpass prepare; nicpass prepare --remove takes it away.
_nicpass_hooks=()
for _nicpass_hook in ${HOOKS[@]}; do
    case $_nicpass_hook in
        nicpass) continue ;;
        udev|systemd) [[ " ${_nicpass_hooks[*]} " == *' nicpass '* ]] || _nicpass_hooks+=(nicpass) ;;
    esac
    _nicpass_hooks+=("$_nicpass_hook")
done
HOOKS=("${_nicpass_hooks[@]}")
unset _nicpass_hook _nicpass_hooks
"""

FILES: Final[dict[str, FileImage]] = {
    INSTALL: RegularFile(_INSTALL.encode(), 0o755),
    HOOK: RegularFile(_HOOK.encode(), 0o755),
    "/etc/mkinitcpio.conf.d": Folder(0o755),
    DROP_IN: RegularFile(_DROP_IN.encode()),
}
