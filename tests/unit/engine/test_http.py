"""How often and how long something that fails is tried."""

from __future__ import annotations

import pytest

from engine.errors import InputError, TemporaryError, TradingStopped
from engine.http import RequestFailed, Tries, is_loopback


class Failing:
    """Fails with the errors given, one after the other, and then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


def test_what_fails_for_now_is_tried_again_and_waited_for_longer_each_time() -> None:
    slept: list[float] = []
    call = Failing(*(TemporaryError("x") for _ in range(4)))
    assert Tries(sleep=slept.append)(call) == 7
    for wait, least in zip(slept, (0.5, 1.0, 2.0, 4.0), strict=True):
        assert least <= wait <= least + 0.5


def test_the_last_error_is_raised_as_it_is() -> None:
    errors = [TemporaryError(str(k)) for k in range(9)]
    call = Failing(*errors)
    with pytest.raises(TemporaryError) as caught:
        Tries(attempts=3, sleep=lambda _: None)(call)
    assert caught.value is errors[2]
    assert call.calls == 3


@pytest.mark.parametrize("error", [InputError("x"), TradingStopped("x"), ZeroDivisionError()])
def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    call = Failing(error)
    with pytest.raises(type(error)):
        Tries(sleep=lambda _: None)(call)
    assert call.calls == 1


@pytest.mark.parametrize(
    ("status", "passes"),
    [(None, True), (408, True), (425, True), (429, True), (500, True), (503, True), (504, True),
     (302, False), (400, False), (401, False), (403, False), (404, False), (422, False)],
)  # fmt: skip
def test_answers_that_will_stand_are_told_from_those_that_pass(status: int | None, passes: bool) -> None:
    call = Failing(RequestFailed("x", status))
    if passes:
        assert Tries(sleep=lambda _: None)(call) == 7
    else:
        with pytest.raises(RequestFailed):
            Tries(sleep=lambda _: None)(call)


def test_no_try_begins_after_the_time_is_over() -> None:
    slept: list[float] = []
    with pytest.raises(TemporaryError):
        Tries(seconds=10.0, sleep=slept.append)(Failing(RequestFailed("x", 429, retry_after=11.0)))
    assert slept == []
    assert Tries(seconds=10.0, sleep=slept.append)(Failing(RequestFailed("x", 429, retry_after=9.0))) == 7
    assert slept == [9.0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.255.0.9", True), ("localhost", True), ("::1", True), ("::2", False),
     ("128.0.0.1", False), ("127.1", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_loopback_addresses_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
