# SPDX-License-Identifier: Apache-2.0
"""A try of its own for what the guard could not bring back in time: nobody is there who would type it.

It is a unit of systemd's own, for the hook that asks for it ends. As at a boot it waits for other runs; where one keeps
the lock for longer, it comes again. What fails otherwise is for a person, whom `nicpass list` tells.
Source: systemd-run(1), systemd.timer(5), systemd.service(5).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nicpass.engine.installation import PYTHON
from nicpass.model.errors import ExitCode, StepError
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes

AFTER_SECONDS = 15
"""By then libvirt has let go of the VM, and a run that was about to end has ended."""
_SECONDS = 5.0
"""For systemd's answer; libvirt waits."""
_SYSTEMD = "/run/systemd/system"
"""Is there where systemd is what booted the host: sd_booted(3)."""
_FINAL = " ".join(f"{code:d}" for code in ExitCode if code != ExitCode.BUSY)
"""Exit codes after which it does not come again: a run that had the lock has done what it could."""


def arrange_retry(files: Files, processes: Processes) -> str:
    """Have `nicpass recover` run in a moment; the name of its unit, which no other retry has.

    Raises:
        StepError: nobody will try it again by itself.
    """
    if not files.exists(_SYSTEMD):
        raise StepError(_("Without systemd nothing tries it again by itself."), "nicpass recover")
    unit = f"nicpass-restore-{os.getpid()}"
    argv = ["systemd-run", f"--unit={unit}", f"--on-active={AFTER_SECONDS}s", "--timer-property=AccuracySec=1s"]
    argv += ["--property=Restart=on-failure", "--property=RestartSec=20"]
    argv += [f"--property=RestartPreventExitStatus={_FINAL}"]
    argv += ["--collect", "--quiet", "--", PYTHON, "-I", "-m", "nicpass", "recover", "--boot"]
    done = processes.run(argv, timeout=_SECONDS)
    if done.exit_code != 0:
        raise StepError(
            _("systemd does not try it again by itself: {error}.").format(error=done.error or done.output),
            "nicpass recover",
        )
    return unit
