"""A request that expired at the coordinator's clock and not at ours."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.answers import failed_result
from contracts.client import ClockError, RequestFailedError
from contracts.client.caller import refusal
from contracts.failures import Failure, FailureCode
from contracts.results import Result, Status
from tests.contracts import samples

REQUEST = samples.sign_request()


def answer(code: FailureCode, session_id: bytes | None = None) -> Result:
    return failed_result(
        "sign",
        Failure.of(code, "the request came 25 s after its expires_at"),
        request_id=REQUEST.request_id,
        client_id=REQUEST.client_id,
        request_digest=bytes(32),
        key_id=REQUEST.key_id,
        session_id=session_id,
        status=Status.EXPIRED if code is FailureCode.EXPIRED else Status.FAILED,
        finished_at=REQUEST.expires_at,
    )


def made_of(result: Result, *, left_ms: int) -> RequestFailedError:
    assert result.failure is not None
    return refusal(result.failure, result, REQUEST, REQUEST.expires_at - left_ms)


def test_it_is_a_matter_of_clocks_and_not_to_be_tried_again() -> None:
    error = made_of(answer(FailureCode.EXPIRED), left_ms=15_000)
    assert isinstance(error, ClockError)
    assert error.behind_s == 15
    assert not error.failure.retryable
    assert error.failure.code is FailureCode.EXPIRED
    assert "clock is behind the coordinator's by 15.0 s or more" in str(error)
    assert "25 s after" in str(error)


@pytest.mark.parametrize(
    ("result", "left_ms"),
    [
        (answer(FailureCode.EXPIRED), 0),  # it had, here as well
        (answer(FailureCode.EXPIRED), -1),
        (answer(FailureCode.EXPIRED, bytes(32)), 15_000),  # its session took too long
        (answer(FailureCode.OVERLOADED), 15_000),
    ],
)
def test_what_may_have_other_reasons_is_a_failure_as_ever(result: Any, left_ms: int) -> None:
    error = made_of(result, left_ms=left_ms)
    assert type(error) is RequestFailedError
    assert error.failure.retryable
