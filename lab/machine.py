# SPDX-License-Identifier: Apache-2.0
"""A running host, as a test holds it in its hands. The verbs are those of the NixOS test driver."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.agent import Agent, Result
from lab.console import Console, GuestConsole
from lab.errors import LabError, LabTimeoutError
from lab.monitor import Monitor
from lab.qemu import QEMU_LOG
from lab.shape import Shape
from lab.state import HostState, read_state

Command = str | Sequence[str]
# On a busy machine, an emulated processor's timer now and then never starts in a boot. Another boot mends it.
_STALL = "kthread timer wakeup didn't happen"
_BOOTS = 3
BOOT_LIMIT = 600  # seconds; a boot that takes 40 on an idle machine took 260 on one with three emulated hosts
_IS_UP = """
systemctl is-system-running --wait && exit
for unit in $(systemctl --failed --plain --no-legend | cut -d' ' -f1); do
    [ "$unit" = '{may_fail}' ] || {{ echo "$unit failed"; journalctl --boot --quiet --lines=20 --unit "$unit"; no=1; }}
done
[ -z "${{no-}}" ]"""
"""A script that succeeds if every unit has started but perhaps `may_fail`, and else prints why another did not."""


@dataclass(frozen=True)
class Parts:
    """The parts that a running QEMU is held by: its process, agent, monitor and consoles."""

    process: subprocess.Popen[bytes]
    agent: Agent
    monitor: Monitor
    console: Console
    guests: dict[str, GuestConsole]


class Machine:
    """A host that is up. It is made, and ended, by the context managers in `stages.py`.

    A command is either an argument list, run as it is, or a string, run by `bash -eo pipefail`. It runs as root and
    comes by the guest agent: no change to the host's network can cut it off. Times are in seconds.
    """

    def __init__(
        self,
        shape: Shape,
        folder: Path,
        parts: Parts,
        ssh: Sequence[str],
        ssh_over_nic: Sequence[str],
        *,
        restart: Callable[[Shape], Parts],
    ) -> None:
        self.shape = shape
        self.folder = folder
        self.ssh = tuple(ssh)
        self.ssh_over_nic = tuple(ssh_over_nic)  # by the test NIC with `ssh`, once the host has 10.0.2.15 on it
        self._parts = parts
        self._restart = restart

    @property
    def monitor(self) -> Monitor:
        """QMP, for what only hardware does: pull a NIC out, cut a link (`set_link`)."""
        return self._parts.monitor

    @property
    def console(self) -> Console:
        """The host's own console: its kernel's messages."""
        return self._parts.console

    @property
    def pid(self) -> int:
        return self._parts.process.pid

    def guest(self, name: str) -> GuestConsole:
        """The console of a nested guest, `web01` or `db01`."""
        return self._parts.guests[name]

    def execute(self, command: Command, timeout: float = 60, *, stdin: bytes = b"") -> Result:
        """Run a command to its end, whatever its exit code."""
        try:
            return self._parts.agent.execute(_argv(command), stdin=stdin, timeout=timeout)
        except LabError as error:
            error.consoles.update(self.console_tails())
            raise

    def succeed(self, command: Command, timeout: float = 60) -> str:
        """The standard output of a command that must exit with 0."""
        result = self.execute(command, timeout)
        if result.exit_code != 0:
            raise self._failure("a command failed", command, result)
        return result.stdout

    def fail(self, command: Command, exit_code: int | None = None, timeout: float = 60) -> Result:
        """Run a command that must not exit with 0, and if `exit_code` is given, with just that."""
        result = self.execute(command, timeout)
        if result.exit_code == 0:
            raise self._failure("a command succeeded that should have failed", command, result)
        if exit_code not in (None, result.exit_code):
            raise self._failure(f"a command should have exited with {exit_code}", command, result)
        return result

    def wait_until_succeeds(self, command: Command, timeout: float = 60) -> str:
        """Repeat a command until it exits with 0; the standard output of that try."""
        return self._wait_for_exit(command, timeout, success=True).stdout

    def wait_until_fails(self, command: Command, timeout: float = 60) -> Result:
        """Repeat a command until it does not exit with 0; the result of that try."""
        return self._wait_for_exit(command, timeout, success=False)

    def _wait_for_exit(self, command: Command, timeout: float, *, success: bool) -> Result:
        deadline = time.monotonic() + timeout
        while True:
            result = self.execute(command, max(deadline - time.monotonic(), 1))
            if (result.exit_code == 0) is success:
                return result
            if time.monotonic() > deadline:
                wanted = "succeed" if success else "fail"
                raise self._failure(f"a command did not {wanted} within {timeout:.0f} s", command, result)
            time.sleep(0.25)

    def wait_for_link(self, netdev: str, timeout: float = 60) -> None:
        """Wait until an interface has all that it gets by itself once it is up.

        The kernel sees a carrier up to a second before it tells IPv6 (net/core/link_watch.c), which then asks for a
        second whether anybody has its address already (RFC 4862, section 5.4).
        """
        own = f"ip -6 -o address show dev {netdev} scope link -tentative | grep -q ."
        is_up = f"grep -qx up /sys/class/net/{netdev}/operstate"
        self.wait_until_succeeds(f"{is_up} && {own} && ! ip -6 address show dev {netdev} tentative | grep .", timeout)

    def put_file(self, path: str, content: bytes | str) -> None:
        """Make or replace a file on the host; its folder is made if need be."""
        self.succeed(["mkdir", "-p", str(Path(path).parent)])
        self._parts.agent.write_file(path, content.encode() if isinstance(content, str) else content)

    def get_file(self, path: str) -> bytes:
        """The content of a file on the host."""
        return self._parts.agent.read_file(path)

    def read_state(self) -> HostState:
        """Everything about the host that a test may want to see unchanged, read without nicpass."""
        return read_state(self.execute)

    def reboot(self, timeout: float = BOOT_LIMIT, *, may_fail: str = "") -> None:
        """Restart the host in order, and wait until it is up again; the unit `may_fail` may have failed then."""
        boot = self.succeed(["cat", "/proc/sys/kernel/random/boot_id"])
        self.monitor.command("set-action", {"reboot": "reset"})
        with contextlib.suppress(LabTimeoutError):  # the agent may be gone before it can tell that this has ended
            self.execute("systemctl reboot")
        self._wait_for_boot(boot, time.monotonic() + timeout, may_fail)

    def reset(self, timeout: float = BOOT_LIMIT) -> None:
        """Restart the host as a power cut does: nothing is written that was not yet, nothing is told."""
        boot = self.succeed(["cat", "/proc/sys/kernel/random/boot_id"])
        self._reset_hardware()
        self._wait_for_boot(boot, time.monotonic() + timeout)

    def power_cycle(self, shape: Shape | None = None, timeout: float = BOOT_LIMIT) -> None:
        """Power the host off in order, start it again from its disk, with the hardware of `shape` if given, and wait.

        A host that is off already, by `shutdown` or `quit`, is only started. Its console begins anew.
        """
        if self._parts.process.poll() is None:
            self.shutdown()
        self.shape = shape or self.shape
        self._parts = self._restart(self.shape)
        self.wait_booted(timeout)

    def end_by(
        self, command: Command, timeout: float = BOOT_LIMIT, *, unless: Command = "false", may_fail: str = ""
    ) -> bool:
        """Start a command in the course of which the host restarts by itself, and wait until it is up again.

        The unit `may_fail` may have failed then.
        False, and no restart, if `unless` succeeds first: then the command has come to its end.
        """
        boot = self.succeed(["cat", "/proc/sys/kernel/random/boot_id"])
        self.monitor.command("set-action", {"reboot": "reset"})
        self.execute(command)
        deadline = time.monotonic() + timeout
        while self._boot_id() == boot:
            try:
                if self.execute(unless).exit_code == 0:
                    self.monitor.command("set-action", {"reboot": "shutdown"})
                    return False
            except LabError:
                break
            if time.monotonic() > deadline:
                raise LabTimeoutError("the host did not restart", consoles=self.console_tails())
            time.sleep(0.25)
        self._wait_for_boot(boot, time.monotonic() + BOOT_LIMIT, may_fail)
        return True

    def _wait_for_boot(self, old_boot: str, deadline: float, may_fail: str = "") -> None:
        earlier = len(self.console.text())
        while self._boot_id() in ("", old_boot):
            if _STALL in self.console.text()[earlier:]:
                earlier = len(self.console.text())
                self._reset_hardware()
            if time.monotonic() > deadline:
                raise LabTimeoutError("the host did not come back", consoles=self.console_tails())
        self.wait_booted(max(deadline - time.monotonic(), 1), may_fail=may_fail)

    def _boot_id(self) -> str:
        """The id of the boot that answers now; empty if none does."""
        try:
            self._parts.agent.sync(5)
            return self._parts.agent.execute(["cat", "/proc/sys/kernel/random/boot_id"], timeout=10).stdout
        except LabError:
            if self._parts.process.poll() is not None:
                raise
            return ""

    def wait_booted(self, timeout: float = BOOT_LIMIT, *, may_fail: str = "") -> None:
        """Wait until the host answers and all that it starts at boot is up, libvirt too.

        A failed unit is an error, unless it is the one that `may_fail`.
        """
        for _ in range(_BOOTS):
            if self._answers(time.monotonic() + timeout):
                break
            self._reset_hardware()
        else:
            raise LabTimeoutError(f"the host stalled in each of {_BOOTS} boots", consoles=self.console_tails())
        # Only now may a reboot end QEMU: a reset is carried out some time after it was asked for.
        self.monitor.command("set-action", {"reboot": "shutdown"})
        self.succeed(_IS_UP.format(may_fail=may_fail), timeout)
        self.succeed("virsh list --all && udevadm settle", timeout)

    def _answers(self, deadline: float) -> bool:
        """True when the agent answers, False if the kernel says that this boot has stalled."""
        earlier = len(self.console.text())
        while True:
            try:
                self._parts.agent.sync(5)
            except LabTimeoutError as error:
                if _STALL in self.console.text()[earlier:]:
                    return False
                if time.monotonic() > deadline:
                    error.consoles.update(self.console_tails())
                    raise
            else:
                return True

    def _reset_hardware(self) -> None:
        self.monitor.command("set-action", {"reboot": "reset"})
        self.monitor.command("system_reset")

    def shutdown(self, timeout: float = 120) -> None:
        """Power the host off in order and wait for it to be off."""
        self.monitor.command("system_powerdown")
        try:
            self._parts.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise LabTimeoutError("the host did not power off", consoles=self.console_tails()) from error

    def crash(self) -> None:
        """Pull the plug: kill QEMU at once."""
        self._parts.process.kill()
        self._parts.process.wait()

    def quit(self) -> None:
        """End QEMU, which writes out what it holds of its disk first. The host notices nothing."""
        self.monitor.command("quit")
        self._parts.process.wait(60)

    def console_tails(self) -> dict[str, str]:
        """The ends of all consoles, by name; and how QEMU has ended, if it has."""
        consoles = (self.console, *self._parts.guests.values())
        tails = {f"console {console.name}": console.tail() for console in consoles}
        ended = self._parts.process.poll()
        if ended is not None:
            tails["QEMU"] = f"ended with {ended}\n{(self.folder / QEMU_LOG).read_text(errors='replace')}"
        return tails

    def _failure(self, message: str, command: Command, result: Result) -> LabError:
        return LabError(
            message,
            command=command if isinstance(command, str) else shlex.join(command),
            exit_code=result.exit_code,
            output=result.stdout + result.stderr,
            consoles=self.console_tails(),
        )


def _argv(command: Command) -> list[str]:
    return ["bash", "-eo", "pipefail", "-c", command] if isinstance(command, str) else list(command)
