# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel that is installed on the emulated host: what is tested is what a user gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.image import PROJECT

# The time of every file in the wheel, so that the same sources give the same bytes and the same cached stage.
_EPOCH = "1767225600"


def build_wheel() -> Path:
    """The wheel of the checkout as it stands, in `dist/`.

    Raises:
        LabError: it cannot be built.
    """
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(PROJECT / "dist")]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        output = done.stdout + done.stderr
        raise LabError("the wheel cannot be built", command=" ".join(command), exit_code=done.returncode, output=output)
    # hatchling's last line, on either stream as it likes, is the path of the wheel that it built.
    return PROJECT / (done.stdout + done.stderr).strip().splitlines()[-1]
