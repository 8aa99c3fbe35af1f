# SPDX-License-Identifier: Apache-2.0
"""The step that changes how the host boots: files of ours first, then the distribution's own programs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.boot.file_changes import apply_changes, verify_changes
from nicpass.engine.handler import Handler, Handlers
from nicpass.engine.lock import let_hooks_through
from nicpass.model.errors import StepError
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot
from nicpass.model.text import shell_line

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.boot import Generator

_SECONDS = 1800.0
"""Seconds that a program has: an initramfs for each kernel takes minutes on a slow machine; half of one is none."""
_TAIL = 300
"""How many characters of a failed program's last output an error repeats."""


def boot_handlers(files: Files, processes: Processes) -> Handlers:
    """The handler of this file's step."""
    steps = BootSteps(files, processes)
    return {ChangeBoot: Handler(steps.apply, steps.verify)}


def with_digests(step: ChangeBoot, files: Files) -> ChangeBoot:
    """The step with digests of the files that its programs replace: they show when nothing is to be made anew."""
    generators = tuple(
        msgspec.structs.replace(
            generator,
            makes=tuple(msgspec.structs.replace(made, before=digest(files, made.path)) for made in generator.makes),
        )
        for generator in step.change.generators
    )
    return msgspec.structs.replace(step, change=msgspec.structs.replace(step.change, generators=generators))


def digest(files: Files, path: str) -> str | None:
    """SHA-256 of the file at `path`, in hex; None where no file can be read."""
    import hashlib  # late: OpenSSL takes milliseconds to load, and only a boot's change asks for it

    content = files.read_bytes(path)
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else None


class BootSteps:
    """The apply and verify of ChangeBoot, with their doors to files and processes."""

    def __init__(self, files: Files, processes: Processes) -> None:
        self.files = files
        self.processes = processes

    def apply(self, step: ChangeBoot) -> None:
        apply_changes(self.files, step.change.files)
        for generator in step.change.generators:
            # On a full disk nothing can be made; a file that was not replaced yet need not be made.
            if not self._is_made(generator):
                self._run(generator)
        if step.change.generators:
            # An EFI system partition has no journal: a power cut would leave half an initramfs on it.
            self.files.sync()

    def verify(self, step: ChangeBoot) -> None:
        """Pass if every file stands there as it was written, and every file is there that a program had to make."""
        verify_changes(self.files, step.change.files)
        for generator in step.change.generators:
            for made in generator.makes:
                if not self.files.exists(made.path):
                    raise StepError(
                        _("{command} did not make {path}.").format(command=shell_line(generator.argv), path=made.path)
                    )

    def _is_made(self, generator: Generator) -> bool:
        expected = [made.after for made in generator.makes]
        return bool(expected) and all(
            made.after is not None and made.after == digest(self.files, made.path) for made in generator.makes
        )

    def _run(self, generator: Generator) -> None:
        with let_hooks_through():  # it takes minutes, and VMs that stop meanwhile want their NICs restored
            done = self.processes.run(list(generator.argv), timeout=_SECONDS)
        if done.exit_code != 0:
            words = " ".join((done.error or done.output)[-_TAIL:].split()).rstrip(".")
            raise StepError(
                _("{command} failed: {error}.").format(
                    command=shell_line(generator.argv), error=words or done.exit_code
                )
            )
