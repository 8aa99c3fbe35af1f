# SPDX-License-Identifier: Apache-2.0
"""Sees that libvirt runs the guard, without starting anybody's VM.

libvirt is asked to start a VM of a name that the hook never lets through, transient, paused and with nothing in it.
The hook puts down that VM's UUID, which nobody knew before, and vetoes the start: so it was called, for this very
start, and no process came to be. A hook that is not called lets the VM start; it is destroyed at once, and at the
latest when our connection ends. Of either nothing is left.
Source: https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainCreateXML; qemuProcessInit() in libvirt's
src/qemu/qemu_process.c calls `prepare begin` before it allots anything to the VM.
"""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from nicpass.engine.bounded import ask
from nicpass.engine.handler import wait_until
from nicpass.hypervisor.libvirt.domains import connect, load_binding
from nicpass.hypervisor.libvirt.guard_files import PROOF, PROOF_NAME
from nicpass.hypervisor.libvirt.xml_values import parse_xml
from nicpass.model.errors import NicpassError, StepError
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

LOG = f"/var/log/libvirt/qemu/{PROOF_NAME}.log"
"""What libvirt writes of the VM's end, also of one that never began."""
_SECONDS = 60.0
"""For libvirt's answer to all of it."""
_RELOAD_SECONDS = 10.0
"""A daemon that was told to reload looks for hooks a moment later, and does not say when."""


def prove_hook(files: Files) -> str | None:
    """None where libvirt was seen to run the hook; else why that could not be seen.

    Raises:
        StepError: libvirt was seen not to run it.
    """
    from uuid import uuid4  # late: it loads much

    uuid = str(uuid4())
    seen: list[str] = []

    def is_settled() -> bool:
        outcome = _try(files, uuid)
        seen.append(outcome or "")
        return outcome is not None

    try:
        settled = wait_until(is_settled, _RELOAD_SECONDS, interval=0.2)
    except NicpassError as error:
        return error.sentence
    except OSError as error:
        return f"{error.strerror or error}: {error.filename}."
    finally:
        for path in (PROOF, LOG):
            with contextlib.suppress(OSError):
                files.remove(path)
    if not settled:
        raise StepError(
            _("libvirt starts a VM without asking the guard: later starts would not be looked at."),
            _("Restart libvirt's daemon, which looks for hooks then: systemctl restart libvirtd; VMs go on."),
        )
    return seen[-1] or None


def _try(files: Files, uuid: str) -> str | None:
    """Nothing (an empty text) where the hook was asked, None where the VM was started without it; else what hinders."""
    files.write_atomic(PROOF, b"")
    refusal = ask(
        lambda: _start(uuid), _SECONDS, _("libvirt, about {name}: {call}").format(name=PROOF_NAME, call="create")
    )
    if files.read_text(PROOF) == uuid:
        return ""
    return "libvirt gives no reason" if refusal == "" else refusal


def _start(uuid: str) -> str | None:
    """Libvirt's reason for not starting the VM; None where it did, and the VM is gone again."""
    connection, binding = connect(writing=True), load_binding()
    try:
        flags = binding.VIR_DOMAIN_START_PAUSED | binding.VIR_DOMAIN_START_AUTODESTROY
        domain = connection.createXML(_define(connection.getDomainCapabilities(), uuid), flags)
        with contextlib.suppress(binding.libvirtError):  # our connection's end destroys it too
            domain.destroy()
    except binding.libvirtError as error:
        return str(error.get_error_message())
    else:
        return None
    finally:
        connection.close()


def _define(capabilities: str, uuid: str) -> str:
    """A VM of the host's own kind, as libvirt proposes it, with 4 MiB and without devices (formatdomain.html)."""
    proposed = parse_xml(capabilities)
    domain = ET.Element("domain", type=_text(proposed, "domain"))
    ET.SubElement(domain, "name").text = PROOF_NAME
    ET.SubElement(domain, "uuid").text = uuid
    ET.SubElement(domain, "memory", unit="MiB").text = "4"
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch=_text(proposed, "arch"), machine=_text(proposed, "machine")).text = "hvm"
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "emulator").text = _text(proposed, "path")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return ET.tostring(domain, encoding="unicode")


def _text(element: Any, name: str) -> str:
    return element.findtext(name) or ""
