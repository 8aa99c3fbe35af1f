# SPDX-License-Identifier: Apache-2.0
"""Runs the boot's script on a tree of files, under the shells that an initramfs may have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from nicpass.boot.binding.boot_d import parse_report
from nicpass.boot.initramfs.bind_script import read_script
from nicpass.model.binding import FOLDER, REPORTS, BindingReport

KLIBC = "/usr/lib/klibc/bin/sh"
SHELLS = {
    "dash": ("dash",),
    "busybox": ("busybox", "sh"),
    "klibc": (KLIBC,),
    "bash": ("bash", "--posix"),
}
PRESENT = [name for name, argv in SHELLS.items() if shutil.which(argv[0])]

# Acts as the kernel when a module comes: each device whose driver_override names the driver and that has none gets it.
_MODPROBE = """#!/bin/sh
[ -z "$FAIL" ] || { echo "modprobe: FATAL: Module $1 not found" >&2; echo "a second line" >&2; exit 1; }
echo "$1" >>"$TREE/modprobe.log"
[ -n "$LOADED" ] && exit 0
mkdir -p "$TREE/sys/bus/pci/drivers/$1"
for device in "$TREE"/sys/bus/pci/devices/*; do
    [ -e "$device/driver" ] && continue
    read -r override <"$device/driver_override"
    [ "$override" = "$1" ] && ln -s "$TREE/sys/bus/pci/drivers/$1" "$device/driver"
done
exit 0
"""


def install(root: Path, bindings: dict[str, bytes]) -> None:
    """Write the files of boot.d by their names, and a stand-in for modprobe."""
    folder = root / FOLDER[1:]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in bindings.items():
        (folder / name).write_bytes(content)
    (root / "dev").mkdir(exist_ok=True)
    program = root / "programs" / "modprobe"
    program.parent.mkdir(exist_ok=True)
    program.write_text(_MODPROBE)
    program.chmod(0o755)


def run_script(root: Path, shell: str = "dash", caller: str = "initramfs", **environment: str) -> None:
    """Run one pass of the boot's script, which always ends well and prints nothing."""
    path = environment.pop("PATH", f"{root}/programs:{os.environ['PATH']}")
    script = root / "bind-at-boot"
    script.write_bytes(read_script())
    done = subprocess.run(
        [*(shutil.which(SHELLS[shell][0]) or "", *SHELLS[shell][1:]), str(script), caller, str(root)],
        env={"PATH": path, "TREE": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def reports_of(root: Path) -> dict[str, BindingReport]:
    """The script's report of each binding, by the binding's name."""
    folder = root / REPORTS[1:]
    found = (
        {path.name: parse_report(path.name, path.read_bytes()) for path in folder.iterdir()} if folder.is_dir() else {}
    )
    assert all(isinstance(report, BindingReport) for report in found.values()), found
    return {name: report for name, report in found.items() if isinstance(report, BindingReport)}


def overrides_of(root: Path) -> dict[str, str]:
    """Device to its driver_override, of the devices that have one."""
    found = {
        path.name: (path / "driver_override").read_text().strip() for path in (root / "sys/bus/pci/devices").iterdir()
    }
    return {address: override for address, override in found.items() if override != "(null)"}
