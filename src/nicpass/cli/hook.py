# SPDX-License-Identifier: Apache-2.0
"""`python -m nicpass.cli.hook VM OPERATION SUBOPERATION EXTRA`: libvirt's hook; people have no use for it.

An exit code other than 0 before a start vetoes it, and libvirt shows what stands on standard error
(https://libvirt.org/hooks.html, "Return codes and logging"). After a stop the exit code changes nothing. The script
that calls this passes on 0 and 3 to 7; for any other it decides itself, for then nicpass is broken.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import syslog
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from nicpass import __version__
from nicpass.model.errors import ExitCode, NicpassError, StepError
from nicpass.model.language import _
from nicpass.model.text import printable

if TYPE_CHECKING:
    from nicpass.host.doors.processes import Processes
    from nicpass.model.plan import NicState

_LIMITS = {"prepare": 60.0, "release": 120.0}
"""Seconds after which the hook gives up, by operation: libvirt waits, and lets nobody else at the VM meanwhile.

A network manager that is asked to configure an interface again has 60 of these seconds.
"""
_AGAIN = 1.0
"""Seconds after which the limit is told again, as often as it takes: some code swallows every exception."""
_UNABLE = 1
"""What Python too exits with when it finds no nicpass: the script then decides by what it can see itself."""
_MARGIN = 15.0
"""Seconds more to give up in order; then the process is killed: one that hangs in the kernel hears nothing."""


def main(argv: list[str], definition: bytes) -> int:
    """Answer one call of libvirt's hook in time: the exit code. Messages go to standard error and into the journal."""
    operation = argv[1] if len(argv) > 1 else ""
    if operation == "self-test":
        return _test_itself()
    if operation not in _LIMITS:
        return ExitCode.DONE
    from nicpass.host.doors.apart import run_apart

    # Standard error is written by the line (Python's sys, "stdin, stdout, stderr"), so nothing waits in the child.
    code = run_apart(lambda: work(argv, definition), _LIMITS[operation] + _MARGIN)
    if code is not None:
        return code
    return _end_late(argv, definition, _("It hung in the kernel and was abandoned, for libvirt waits for it."))


def work(argv: list[str], definition: bytes) -> int:
    """Answer a start or a stop, within its limit unless something hangs in the kernel: the exit code."""
    name, operation = argv[0], argv[1]
    _open_log()
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _LIMITS[operation], _AGAIN)
    from nicpass.hypervisor.libvirt.hook import OutOfTimeError

    try:
        return _call(operation, definition.decode("utf-8", "backslashreplace"), name)
    except OutOfTimeError as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return _end_late(argv, definition, str(error))
    except NicpassError as error:
        code = _tell(error)
    except Exception as error:
        _tell(_mistake(name, operation, error))
        code = ExitCode.NEEDS_PERSON if operation == "release" else _UNABLE
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if operation == "release":
        _retry_later(name)
    return code


def _end_late(argv: list[str], definition: bytes, reason: str) -> int:
    """A start is vetoed; what a stop did not come to is owed to the host, and made up for."""
    _open_log()
    if argv[1] == "prepare":
        veto = StepError(_("{name} is not started: {reason}").format(name=argv[0], reason=reason))
        _note_veto(definition, veto)
        return _tell(veto)
    _tell(StepError(reason))
    _retry_later(argv[0])
    return ExitCode.NEEDS_PERSON


def _note_veto(definition: bytes, veto: NicpassError) -> None:
    """Put a veto down where `list`, `check` and `history` find it, as the guard does with its own."""
    from nicpass.host.doors.files import Files
    from nicpass.hypervisor.libvirt.hook import Hook

    Hook(Files(), _open_processes, _restore).note_veto(definition.decode("utf-8", "backslashreplace"), veto)


def _mistake(name: str, operation: str, error: Exception) -> NicpassError:
    """What nicpass could not do by no fault of the VM's or the NIC's: that alone vetoes no start, but it is told."""
    if isinstance(error, OSError):  # a full disk, one that became read-only
        from nicpass.engine.attempts import sentence_of

        reason, hint = sentence_of(error), ""
    else:
        kind = type(error).__name__
        reason = _("A mistake of nicpass itself: {kind}: {error}.").format(kind=kind, error=error)
        hint = _("Please report it.")
    if operation == "prepare":
        return NicpassError(_("The NICs of {name} were not looked at. {reason}").format(name=name, reason=reason), hint)
    return NicpassError(_("The NICs of {name} were not restored. {reason}").format(name=name, reason=reason), hint)


def _test_itself() -> int:
    """Print the version if all modules can be loaded that a start and a stop will need, months from now."""
    import nicpass.hypervisor.libvirt.hook  # noqa: F401

    if find_spec("pyroute2") is None:  # loading it takes longer than all else
        sys.stderr.write("no module named pyroute2\n")
        return ExitCode.IMPOSSIBLE
    sys.stdout.write(f"nicpass {__version__}\n")
    return ExitCode.DONE


def _call(operation: str, definition: str, name: str) -> int:
    from nicpass.host.doors.files import Files
    from nicpass.hypervisor.libvirt.hook import Hook

    hook = Hook(Files(), _open_processes, _restore)
    if operation == "prepare":
        for note in hook.prepare(definition):
            _log(syslog.LOG_WARNING, note)
        return ExitCode.DONE
    failures = hook.release(definition)
    if not failures:
        return ExitCode.DONE
    signal.setitimer(signal.ITIMER_REAL, 0)  # what is left to be done is short, and has limits of its own
    for failure in failures:
        _tell(failure)
    _log(syslog.LOG_WARNING, _("{name} has stopped; not all of it could be restored.").format(name=name))
    _retry_later(name)
    return ExitCode.NEEDS_PERSON


def _retry_later(name: str) -> None:
    """What was missed is made up for by itself; where it cannot be, that is said. Nothing is raised."""
    from nicpass.engine.retry import AFTER_SECONDS, arrange_retry
    from nicpass.host.doors.files import Files

    try:
        unit = arrange_retry(Files(), _open_processes())
    except (NicpassError, OSError) as error:
        hint = _("The NICs of {name} are not what they were: nicpass recover").format(name=name)
        _tell(StepError(error.sentence if isinstance(error, NicpassError) else f"{error.strerror or error}.", hint))
        return
    text = _("nicpass recover is run in {seconds} s for the NICs of {name}: journalctl -u {unit}")
    _log(syslog.LOG_WARNING, text.format(seconds=AFTER_SECONDS, name=name, unit=unit))


def _log(priority: int, text: str) -> None:
    """Tell the system's journal; what a VM is called writes no line of its own there."""
    syslog.syslog(priority, printable(text))


def _open_log() -> None:
    syslog.openlog("nicpass", syslog.LOG_PID, syslog.LOG_DAEMON)


def _tell(error: NicpassError) -> int:
    text = printable(f"{error.sentence} {error.hint}".strip())
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"nicpass: {text}\n")
    _log(syslog.LOG_ERR, text)
    return ExitCode.REFUSED if error.exit_code == _UNABLE else error.exit_code


def _restore(state: NicState) -> None:
    from nicpass.engine.host_steps import HostSteps
    from nicpass.host.doors.files import Files

    HostSteps(Files(), _open_processes()).restore(state)


def _open_processes() -> Processes:
    """The door to processes, loaded late: few starts need it."""
    from nicpass.host.doors.processes import Processes

    return Processes()


def _give_up(_signal: int, _frame: object) -> NoReturn:
    from nicpass.hypervisor.libvirt.hook import OutOfTimeError

    raise OutOfTimeError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer.read()))
