# SPDX-License-Identifier: Apache-2.0
"""Where this very installation of nicpass is, for what calls nicpass later: units, timers and hooks name it."""

from __future__ import annotations

import os.path
import sys
from typing import Final

import nicpass

PYTHON: Final = sys.executable
PACKAGE: Final = os.path.realpath(os.path.dirname(nicpass.__file__))
"""The folder of the package, by which a shell script sees that nicpass is still there."""
