# SPDX-License-Identifier: Apache-2.0
"""Asks /dev/kvm whether it really makes a VM. Source: Documentation/virt/kvm/api.rst, 4.1 and 4.2."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Fact, Unknown

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

DEVICE = "/dev/kvm"
API_VERSION = 12
"""The only version that there has been since Linux 2.6.22; the document tells applications to refuse any other."""
_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01


class KvmAnswer(msgspec.Struct, frozen=True):
    """Whether KVM works; if not, why not."""

    works: Fact[bool]
    error: str | None = None


def read_kvm_device(files: Files) -> Fact[bool]:
    """Whether /dev/kvm is there. A capture has no /dev, so there it is unknown."""
    names = files.list_directory("/dev")
    if isinstance(names, tuple):
        return "kvm" in names
    return names or Unknown(f"not captured: {DEVICE}")


def try_kvm(files: Files) -> KvmAnswer:
    """Make a VM without processors or memory and let it go at once: nothing of it stays."""
    if not files.is_live:
        return KvmAnswer(Unknown("only the running machine can be asked: /dev/kvm"))
    try:
        descriptor = os.open(files.path(DEVICE), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return KvmAnswer(None)
    except PermissionError:
        return KvmAnswer(Unknown(f"permission denied: {DEVICE}"))
    except OSError as error:
        return KvmAnswer(works=False, error=_words(error))
    try:
        return _ask(descriptor)
    except OSError as error:
        return KvmAnswer(works=False, error=_words(error))
    finally:
        os.close(descriptor)


def _ask(descriptor: int) -> KvmAnswer:
    version = fcntl.ioctl(descriptor, _GET_API_VERSION, 0)
    if version != API_VERSION:
        return KvmAnswer(works=False, error=f"API version {version}, not {API_VERSION}")
    os.close(fcntl.ioctl(descriptor, _CREATE_VM, 0))
    return KvmAnswer(works=True)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
