# SPDX-License-Identifier: Apache-2.0
"""All that can be done is done, and what was refused is told once, whole."""

from __future__ import annotations

import errno

import pytest

from nicpass.engine.attempts import Attempts
from nicpass.model.errors import NotSupportedError, StepError


def test_what_is_refused_does_not_stop_the_rest() -> None:
    attempts, done = Attempts(), []
    for number in range(3):
        with attempts:
            if number == 1:
                raise StepError("The second is refused.")
            done.append(number)
    with attempts:
        raise OSError(errno.EINVAL, "Invalid argument", "/proc/sys/net/x")
    with attempts:
        raise StepError("The second is refused.")
    assert done == [0, 2]
    with pytest.raises(StepError) as caught:
        attempts.raise_refusals()
    assert caught.value.sentence == "The second is refused. /proc/sys/net/x: Invalid argument."


@pytest.mark.parametrize(("error", "text"), [(OSError("Lost"), "Lost."), (OSError(5, "Input/output error"), None)])
def test_an_error_without_a_file_is_told_by_what_it_says(error: OSError, text: str | None) -> None:
    attempts = Attempts()
    with attempts:
        raise error
    with pytest.raises(StepError) as caught:
        attempts.raise_refusals()
    assert caught.value.sentence == (text or "Input/output error.")


def test_what_drivers_do_not_know_is_told_together() -> None:
    attempts = Attempts()
    for error in (StepError("Busy."), NotSupportedError("No trust.", settings=("trust",)), NotSupportedError("No.")):
        with attempts:
            raise error
    with pytest.raises(NotSupportedError, match=r"Busy\. No trust\. No\.") as caught:
        attempts.raise_refusals()
    assert caught.value.settings == ("trust",)


def test_without_a_refusal_there_is_nothing_to_raise() -> None:
    Attempts().raise_refusals()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a mistake")])
def test_a_mistake_and_an_end_are_no_refusals(error: BaseException) -> None:
    attempts = Attempts()
    with pytest.raises(type(error)), attempts:
        raise error
    assert attempts.refusals == []
