# SPDX-License-Identifier: Apache-2.0
"""Prepares a host once, before a stage of it is kept. This file's code is part of every stage's recipe."""

from __future__ import annotations

from pathlib import Path

from lab.image import DOMAINS
from lab.machine import Machine


def define_domains(machine: Machine) -> None:
    """Define the domains, stopped, and let libvirt ask QEMU what it can do, which it remembers."""
    for name in DOMAINS:
        machine.succeed(["virsh", "define", f"/var/lib/lab/{name}.xml"])
    machine.succeed(["virsh", "domcapabilities"], 120)


def install_wheel(machine: Machine, wheel: Path) -> None:
    """Install nicpass as an administrator would, from the image's own wheelhouse: the host is offline."""
    target = f"/root/{wheel.name}"
    machine.put_file(target, wheel.read_bytes())
    # Compiling all of the libraries takes longer here than everything else; the first run compiles what it uses.
    pip_arguments = "--pip-args=--no-index --find-links /opt/wheelhouse --no-compile"
    # pipx would look for a newer pip every thirty days, and the host is offline.
    offline = ["env", "PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE=1"]
    machine.succeed([*offline, "pipx", "install", "--system-site-packages", pip_arguments, target], 300)
    # A session by ssh that runs one command does not look into ~/.local/bin.
    machine.succeed(["ln", "-sf", "/root/.local/bin/nicpass", "/usr/local/bin/nicpass"])
    machine.succeed(["nicpass", "list", "--json"], 120)
    # libvirt's hook loads pyroute2 while libvirt waits; here it would be compiled then, which takes half a minute.
    machine.succeed(["/root/.local/share/pipx/venvs/nicpass/bin/python", "-c", "import pyroute2"], 300)
