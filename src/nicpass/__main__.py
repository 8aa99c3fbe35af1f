# SPDX-License-Identifier: Apache-2.0
"""`python -m nicpass`, for units and timers that have no PATH to find the command on."""

from __future__ import annotations

from nicpass.cli.main import main

raise SystemExit(main())
