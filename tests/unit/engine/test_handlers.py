# SPDX-License-Identifier: Apache-2.0
"""Every kind of step has its two hands, also those that are loaded late."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from nicpass.cli.carry_out import handlers_of
from nicpass.host.doors.files import Files
from nicpass.model.plan import Step, StepBase


@pytest.mark.parametrize("kind", get_args(Step))
def test_each_kind_of_step_can_be_done_and_seen(kind: type[StepBase], tmp_path: Path) -> None:
    handlers = handlers_of(Files(str(tmp_path)))
    assert kind in handlers
    assert callable(handlers[kind].apply)
    assert callable(handlers[kind].verify)


def test_there_is_no_handler_of_no_step(tmp_path: Path) -> None:
    assert set(handlers_of(Files(str(tmp_path)))) == set(get_args(Step))
