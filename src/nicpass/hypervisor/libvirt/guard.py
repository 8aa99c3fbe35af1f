# SPDX-License-Identifier: Apache-2.0
"""The guard: libvirt's hook that makes every start of a VM as safe as the first, and systemd's unit for recovery.

With `managed='yes'` libvirt takes the NIC at every start, perhaps months after it was given, and brings it back at
every stop without its addresses. So the hook looks at the host again before a start, and restores after a stop.

libvirt runs the scripts in qemu.d since 6.5.0 (https://libvirt.org/hooks.html), and learns that there are any when
it starts or is told to reload (virHookInitialize in src/util/virhook.c): so it is told to when the hook is new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import msgspec

from nicpass import __version__
from nicpass.engine.boot.file_changes import apply_changes, image_at, verify_changes
from nicpass.engine.bounded import ask
from nicpass.engine.handler import Handler, Handlers
from nicpass.engine.installation import PACKAGE, PYTHON
from nicpass.engine.nic.store import NICS, STATE, list_kept_nics
from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.domains import connect
from nicpass.hypervisor.libvirt.guard_files import hook_script, recover_unit
from nicpass.hypervisor.libvirt.guard_pools import interfaces_of_pools
from nicpass.model.errors import StepError
from nicpass.model.fact import known
from nicpass.model.file_image import FileChange, FileImage, Folder, RegularFile, SymbolicLink
from nicpass.model.guard import HOOK
from nicpass.model.language import _
from nicpass.model.plan import InstallGuard, RemoveGuard

if TYPE_CHECKING:
    from nicpass.host.doors.processes import Processes
    from nicpass.model.address import Address

RECORD = f"{STATE}/guard.json"
"""What stood at the guard's places before it was installed, as FileChanges."""
UNTRIED = f"{STATE}/guard-untried"
"""Is there from before the guard's files are written until it was seen to run: files alone do not show that."""
UNIT = "/etc/systemd/system/nicpass-recover.service"
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_SYSTEMD = "/run/systemd/system"
"""A folder that is there if systemd has booted the host: sd_booted(3)."""
_SELINUX = "/sys/fs/selinux/enforce"
"""Is there where the kernel has SELinux on."""
_OLDEST = 6_005_000
"""virConnectGetLibVersion() of 6.5.0, the first that looks into qemu.d."""
_DAEMONS = ("libvirtd", "virtqemud")
"""libvirt's daemons: the one for everything, or the one for QEMU alone (https://libvirt.org/daemons.html)."""
_SECONDS = 60.0


def desired_guard(*, systemd: bool) -> dict[str, FileImage]:
    """The guard of this installation of nicpass: path to what shall stand there, in the order of writing."""
    hook = hook_script(PYTHON, PACKAGE, NICS)
    desired: dict[str, FileImage] = {
        "/etc/libvirt/hooks": Folder(0o755),
        "/etc/libvirt/hooks/qemu.d": Folder(0o755),
        HOOK: RegularFile(hook.encode(), 0o755),
    }
    if systemd:
        unit = recover_unit(PYTHON, STATE)
        desired |= {
            UNIT: RegularFile(unit.encode(), 0o644),
            _WANTS: Folder(0o755),
            f"{_WANTS}/nicpass-recover.service": SymbolicLink(UNIT),
        }
    return desired


def plan_guard(files: Files) -> tuple[FileChange, ...]:
    """The changes from what is there to this installation's guard; none if it is there, and was seen to run."""
    desired = desired_guard(systemd=files.exists(_SYSTEMD))
    now = {path: image_at(files, path) for path in desired}
    if all(_matches(now[path], image) for path, image in desired.items()) and not files.exists(UNTRIED):
        return ()
    kept = _read_record(files)
    original = {path: kept[path] if path in kept else now[path] for path in desired}
    gone = tuple(
        FileChange(path=path, before=image_at(files, path), after=image)
        for path, image in reversed(kept.items())
        if path not in desired
    )
    written = tuple(
        FileChange(path=path, before=now[path], after=now[path] if _matches(now[path], image) else image)
        for path, image in desired.items()
    )
    return (*_change_record(files, original), *gone, *written)


def plan_guard_removal(
    files: Files, *leaving: Address, interfaces: Collection[tuple[str, str]] = ()
) -> tuple[FileChange, ...]:
    """The changes to a host without the guard, once those `leaving` are back; none while it guards another NIC.

    `interfaces` are those of pools that leave: each one's VM by its UUID, and its MAC.
    """
    kept = list_kept_nics(files)
    others = set(kept) - set(leaving) if known(kept) else set()
    draws = set(interfaces_of_pools(files)) - set(interfaces)
    record = _read_record(files)
    if others or draws or not record or (kept is not None and not known(kept)):
        return ()
    back = tuple(
        FileChange(path=path, before=image_at(files, path), after=image) for path, image in reversed(record.items())
    )
    return (*back, FileChange(path=RECORD, before=image_at(files, RECORD), after=None))


def _prove_hook(files: Files) -> str | None:
    from nicpass.hypervisor.libvirt.guard_proof import prove_hook  # late: only the first attach installs a guard

    return prove_hook(files)


class Hands(msgspec.Struct, frozen=True):
    """What the guard's steps ask of others: libvirt, and whoever reads."""

    ask_version: Callable[[], int]
    """libvirt's version, as its daemon has it."""
    prove: Callable[[Files], str | None] = _prove_hook
    tell: Callable[[str], object] = str
    """Says to people what they should know, and what is no error."""


def guard_handlers(files: Files, processes: Processes, hands: Hands | None = None) -> Handlers:
    """The handlers of the guard's steps."""
    steps = GuardSteps(files, processes, hands or Hands(ask_version))
    return {
        InstallGuard: Handler(steps.apply_install, steps.verify_install),
        RemoveGuard: Handler(steps.apply_remove, steps.verify_remove),
    }


class GuardSteps:
    """The apply and verify of the guard's steps, with their doors to files and processes."""

    def __init__(self, files: Files, processes: Processes, hands: Hands) -> None:
        self.files = files
        self.processes = processes
        self.hands = hands

    def apply_install(self, step: InstallGuard) -> None:
        """Write the files, tell who has to know, see that libvirt asks the hook. Raises StepError if it does not."""
        if _has_hook(step.files):  # whoever is cut off from here on has not told libvirt
            self.files.write_atomic(UNTRIED, b"")
        apply_changes(self.files, step.files)
        self._label(step.files)
        self._tell_systemd()
        self._tell_libvirt()
        if not _has_hook(step.files):
            return
        unproved = self.hands.prove(self.files)
        if unproved is not None:
            text = _(
                "Whether libvirt runs the guard could not be seen: {reason} A start of the VM by nicpass would show it."
            )
            self.hands.tell(text.format(reason=f"{unproved.rstrip('.。')}."))

    def verify_install(self, step: InstallGuard) -> None:
        """Pass if the guard's files stand there, libvirt is of a version that calls the hook, and the hook runs."""
        verify_changes(self.files, step.files)
        if not _has_hook(step.files):
            return
        version = self.hands.ask_version()
        if version < _OLDEST:
            told = f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
            raise StepError(
                _("libvirt {version} does not call the hooks in {folder}: later starts would not be guarded.").format(
                    version=told, folder="/etc/libvirt/hooks/qemu.d"
                ),
                _("libvirt 6.5.0 is the first that does."),
            )
        done = self.processes.run([self.files.path(HOOK), "-", "self-test", "-", "-"], timeout=_SECONDS)
        if done.exit_code != 0 or done.output.strip() != f"nicpass {__version__}":
            raise StepError(
                _("The guard does not run: {error}.").format(error=done.error or done.output.strip() or done.exit_code),
                _("Try it: {hook} - self-test - -").format(hook=HOOK),
            )
        self.files.remove(UNTRIED)

    def apply_remove(self, step: RemoveGuard) -> None:
        if not _has_hook(step.files):
            self.files.remove(UNTRIED)
        apply_changes(self.files, step.files)
        self._tell_systemd()

    def verify_remove(self, step: RemoveGuard) -> None:
        verify_changes(self.files, step.files)

    def _label(self, changes: tuple[FileChange, ...]) -> None:
        """Have SELinux' own tool give the files the labels that the policy has for their places: restorecon(8)."""
        written = [change.path for change in changes if change.after is not None]
        if not written or not self.files.exists(_SELINUX):
            return
        done = self.processes.run(["restorecon", *written], timeout=_SECONDS)
        if done.exit_code != 0:
            reason = done.error or done.output.strip() or str(done.exit_code)
            self.hands.tell(_("SELinux' labels of the guard's files could not be set: {reason}").format(reason=reason))

    def _tell_systemd(self) -> None:
        if self.files.exists(_SYSTEMD):
            self._run(["systemctl", "daemon-reload"])

    def _tell_libvirt(self) -> None:
        """Have each daemon that runs look for hooks; one that does not run looks for them when it starts."""
        for daemon in _DAEMONS:
            if self.processes.run(["systemctl", "is-active", "--quiet", daemon], timeout=_SECONDS).exit_code == 0:
                self._run(["systemctl", "reload", daemon])

    def _run(self, argv: list[str]) -> None:
        done = self.processes.run(argv, timeout=_SECONDS)
        if done.exit_code != 0:
            raise StepError(_("{command} failed: {error}.").format(command=" ".join(argv), error=done.error))


def ask_version() -> int:
    """Raises NoAnswerError where the daemon hangs."""
    return ask(_read_version, _SECONDS, "libvirt")


def _read_version() -> int:
    connection = connect(writing=False)
    try:
        return int(connection.getLibVersion())
    finally:
        connection.close()


def _has_hook(changes: tuple[FileChange, ...]) -> bool:
    """Whether libvirt's hook stands there after the changes."""
    return any(change.path == HOOK and change.after is not None for change in changes)


def _matches(now: FileImage | None, image: FileImage) -> bool:
    return isinstance(now, Folder) if isinstance(image, Folder) else now == image


def _read_record(files: Files) -> dict[str, FileImage | None]:
    content = files.read_bytes(RECORD)
    if not isinstance(content, bytes):
        return {}
    try:
        changes = msgspec.json.decode(content, type=tuple[FileChange, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {change.path: change.before for change in changes}


def _change_record(files: Files, original: dict[str, FileImage | None]) -> tuple[FileChange, FileChange]:
    changes = [FileChange(path=path, before=image) for path, image in original.items()]
    content = RegularFile(msgspec.json.encode(changes) + b"\n", 0o600)
    folder = FileChange(path=STATE, before=image_at(files, STATE), after=Folder(0o700))
    return folder, FileChange(path=RECORD, before=image_at(files, RECORD), after=content)
