"""What a party says when it does not take part."""

from __future__ import annotations

import pytest

from contracts.failures import FailureCode
from workers.session.errors import (
    KeyBusyError,
    NameTakenError,
    NoShareError,
    RefusedError,
    StaleEpochError,
    SuspendedError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("why" * 1000), FailureCode.PARTY_REFUSED),
        (NameTakenError("key-1"), FailureCode.KEY_EXISTS),
        (NoShareError(), FailureCode.PARTY_REFUSED),
        (SuspendedError(), FailureCode.PARTY_REFUSED),
        (StaleEpochError(1, 2), FailureCode.STALE_EPOCH),
        (KeyBusyError(), FailureCode.KEY_BUSY),
    ],
)
def test_a_refusal_says_why_and_in_no_more_than_a_failure_holds(
    error: RefusedError, code: FailureCode
) -> None:
    assert error.failure.code is code
    assert str(error).startswith(error.failure.message)
    assert len(error.failure.message) <= 2000
