# SPDX-License-Identifier: Apache-2.0
"""`python -m nicpass.cli.hook VM OPERATION SUBOPERATION EXTRA`: libvirt's hook; people have no use for it.

An exit code other than 0 before a start vetoes it, and libvirt shows what stands on standard error
(https://libvirt.org/hooks.html, "Return codes and logging"). After a stop the exit code changes nothing.
"""

from __future__ import annotations

import signal
import sys
import syslog
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from nicpass import __version__
from nicpass.model.errors import ExitCode, NicpassError
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.host.doors.processes import Processes
    from nicpass.model.plan import NicState

_LIMITS = {"prepare": 60, "release": 120}
"""Seconds after which the hook gives up, by operation: libvirt waits, and lets nobody else at the VM meanwhile.

A network manager that is asked to configure an interface again has 60 of these seconds.
"""


def main(argv: list[str], definition: bytes) -> int:
    """Answer one call of libvirt's hook: the exit code. Messages go to standard error and into the system's journal."""
    operation = argv[1] if len(argv) > 1 else ""
    if operation == "self-test":
        return _test_itself()
    if operation not in _LIMITS:
        return ExitCode.DONE
    syslog.openlog("nicpass", syslog.LOG_PID, syslog.LOG_DAEMON)
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_LIMITS[operation])
    try:
        return _call(operation, definition.decode("utf-8", "replace"), argv[0])
    except NicpassError as error:
        return _tell(error)
    except Exception as error:
        # Whoever vetoes a start by mistake must at least say so; a start let through by mistake may cost the host.
        return _tell(
            NicpassError(
                _("{name} is not started: a mistake of nicpass itself: {kind}: {error}.").format(
                    name=argv[0], kind=type(error).__name__, error=error
                ),
                _("Please report it. To start without the guard: remove /etc/libvirt/hooks/qemu.d/nicpass"),
            )
        )
    finally:
        signal.alarm(0)


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
        hook.prepare(definition)
        return ExitCode.DONE
    failures = hook.release(definition)
    for failure in failures:
        _tell(failure)
    if failures:
        syslog.syslog(syslog.LOG_WARNING, _("{name} has stopped; not all of it could be restored.").format(name=name))
    return ExitCode.NEEDS_PERSON if failures else ExitCode.DONE


def _tell(error: NicpassError) -> int:
    text = f"{error.sentence} {error.hint}".strip()
    sys.stderr.write(f"nicpass: {text}\n")
    syslog.syslog(syslog.LOG_ERR, text)
    # 1 is what Python itself exits with when it finds no nicpass; the script tells the two apart.
    return ExitCode.REFUSED if error.exit_code == ExitCode.ROLLED_BACK else error.exit_code


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

    raise OutOfTimeError(_("It took too long, and libvirt waits for it."))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer.read()))
