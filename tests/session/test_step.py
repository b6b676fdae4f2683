from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.results import Status
from tests.session.builders import member
from workers.protocols.groups import IdentityError
from workers.protocols.rounds import (
    DisputeError,
    EchoMismatchError,
    MisuseError,
    PartyFaultError,
    PartyIndex,
    SpoiltSessionError,
)
from workers.session.coordinator.reported_failures import passed_on
from workers.session.errors import EquivocationError, RefusedError
from workers.session.failures import failure_of
from workers.session.party.step import STEP_ERRORS, Step

MEMBERS = [member(2, index=1), member(3, index=2), member(4, index=3)]
BOTH = frozenset({PartyIndex(2), PartyIndex(1)})


@pytest.mark.parametrize(
    ("error", "code", "round_", "culprits", "words"),
    [
        (RefusedError("because"), FailureCode.PARTY_REFUSED, None, [], "because"),
        (
            PartyFaultError(BOTH, "proof"),
            FailureCode.PARTY_FAULT,
            3,
            ["party-2", "party-3"],
            "party-2, party-3 failed the check 'proof'",
        ),
        (
            EquivocationError("party-4", "keygen/2"),
            FailureCode.PARTY_FAULT,
            3,
            ["party-4"],
            "party party-4 sent two different messages as keygen/2",
        ),
        (
            EchoMismatchError(BOTH),
            FailureCode.SPOILT,
            3,
            [],
            "party-2, party-3 saw other broadcasts than we did",
        ),
        (
            DisputeError(PartyIndex(3), BOTH, "share"),
            FailureCode.SPOILT,
            3,
            [],
            "party-4 cannot use what party-2, party-3 sealed for it",
        ),
        (SpoiltSessionError("bad luck"), FailureCode.SPOILT, 3, [], "bad luck"),
        (IdentityError("identity"), FailureCode.SPOILT, 3, [], "identity"),
        (ContractError("not ours"), FailureCode.SPOILT, 3, [], "not ours"),
        (MisuseError("secret detail"), FailureCode.INTERNAL, 3, [], "failed with MisuseError"),
    ],
)
def test_each_family_of_errors_has_its_failure(
    error: Exception, code: FailureCode, round_: int | None, culprits: list[str], words: str
) -> None:
    assert isinstance(error, STEP_ERRORS)
    failure = failure_of(error, MEMBERS, round_=3)
    assert failure.code is code
    assert failure.round == round_
    assert failure.culprits == culprits
    assert words in failure.message
    assert failure.retryable is code.retryable


def test_our_own_errors_tell_no_details() -> None:
    assert "detail" not in failure_of(MisuseError("secret detail"), MEMBERS, round_=1).message


def test_a_refusal_is_as_long_as_a_failure_may_be() -> None:
    assert len(RefusedError("x" * 10_000).failure.message) == 2000


def test_a_step_hides_its_state_in_its_repr() -> None:
    assert "coefficients" not in repr(Step(status=Status.IN_PROGRESS, state=b"coefficients"))


###
### A party's word
###

THREE = ["party-1", "party-2", "party-3"]


def _word(code: FailureCode, **fields: Any) -> Failure:
    return Failure.of(code, "because", **fields)


@pytest.mark.parametrize("code", list(FailureCode))
def test_a_party_can_only_know_how_its_own_session_went(code: FailureCode) -> None:
    known = {
        FailureCode.PARTY_FAULT,
        FailureCode.PARTY_REFUSED,
        FailureCode.STALE_EPOCH,
        FailureCode.KEY_BUSY,
        FailureCode.SPOILT,
        FailureCode.EXPIRED,
    }
    told = passed_on(_word(code, round=2), "party-1", THREE, "party-1 reports")
    assert told.code is (code if code in known else FailureCode.INTERNAL)
    assert told.retryable
    assert (told.round, told.message) == (2, "party-1 reports: because")


def test_a_party_speaks_of_the_others_in_its_session_and_of_nobody_else() -> None:
    everybody = ["party-1", "party-2", "party-4", "ghost"]
    word = _word(FailureCode.PARTY_FAULT, culprits=everybody, silent=everybody[::-1])
    told = passed_on(word, "party-1", THREE, "party-1 reports")
    assert (told.culprits, told.silent) == (["party-2"], ["party-2"])


def test_the_longest_word_still_fits() -> None:
    word = Failure.of(FailureCode.SPOILT, "x" * 2000)
    assert len(passed_on(word, "party-1", THREE, "party-1 reports").message) == 2000
