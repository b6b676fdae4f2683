"""What a party believes of a cancel, and from when to when its statement holds."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.admission import ClientPolicy
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.keys import EpochName
from contracts.primitives import Owner
from contracts.requests import MAX_LIFETIME_MS
from contracts.signing import sign_request
from contracts.statements import Statement
from tests.session.builders import (
    CLIENT,
    CLIENT_ID,
    IDENTITIES,
    LIFETIME_MS,
    NOW,
    TOLERANCE_MS,
    party,
    signing_request,
)
from tests.session.cancels import TARGET, cancel_request, cancelled, statement, told
from workers.session.errors import RefusedError
from workers.session.party import stating
from workers.store.records import IncarnationRecord, PromiseRecord, WordRecord

OPERATOR = Identity.generate()
OTHERS = Owner(client_id="svcB", tenant="bank")
KEPT_MS = 86_400_000
FIRST = IncarnationRecord(
    incarnation=bytes(16), progress=0, begun_at=NOW - 100, reason=IncarnationRecord.FIRST
)
LATER = IncarnationRecord(incarnation=bytes(16), progress=0, begun_at=NOW - 100, reason="restored")


def operator(**changes: Any) -> ClientPolicy:
    given: dict[str, Any] = {
        "identity": OPERATOR.public,
        "client_id": CLIENT_ID,
        "operator": True,
    } | changes
    return ClientPolicy(**given)


###
### Who may cancel what
###


@pytest.mark.parametrize("of", [None, Owner(client_id=CLIENT_ID)])
def test_a_clients_cancel_of_its_own_request_is_believed(of: Owner | None) -> None:
    signed = cancelled(of=of)
    assert stating.accept_cancel(told(signed), party(1), now=NOW) == signed.request


def test_what_nobody_known_has_signed_cancels_nothing() -> None:
    signed = cancelled()
    for spoilt in (
        told(signed, request_signature=CLIENT.sign(b"another tag", signed.body)),
        told(cancelled(by=Identity.generate())),
        told(cancelled(client_id="svcB")),
    ):
        with pytest.raises(RefusedError, match="does not check out here"):
            stating.accept_cancel(spoilt, party(1), now=NOW)


def test_another_request_cancels_nothing() -> None:
    signed = sign_request(signing_request(), CLIENT)
    with pytest.raises(RefusedError, match="operation 'sign' cancels nothing"):
        stating.accept_cancel(told(signed), party(1), now=NOW)


def test_its_session_is_the_one_that_its_bytes_give() -> None:
    with pytest.raises(ContractError, match="session id is not the one"):
        stating.accept_cancel(told(cancelled(), session_id=bytes(32)), party(1), now=NOW)


def test_a_cancel_counts_from_when_it_was_issued_to_its_deadline() -> None:
    signed = cancelled()
    last, first = NOW + LIFETIME_MS + TOLERANCE_MS, NOW - TOLERANCE_MS
    for now in (first, last):
        stating.accept_cancel(told(signed), party(1), now=now)
    with pytest.raises(RefusedError, match="expired"):
        stating.accept_cancel(told(signed), party(1), now=last + 1)
    with pytest.raises(RefusedError, match="in the future"):
        stating.accept_cancel(told(signed), party(1), now=first - 1)


@pytest.mark.parametrize("of", [OTHERS, Owner(client_id=CLIENT_ID, tenant="bank")])
def test_only_an_operator_of_this_partys_list_cancels_what_others_asked_for(of: Owner) -> None:
    signed = cancelled(by=OPERATOR, of=of)
    us = party(1, clients=(operator(),))
    assert stating.accept_cancel(told(signed), us, now=NOW).target_owner == of
    for policies in (
        (operator(operator=False),),
        (operator(operator=False), operator(client_id="svcB")),
        (operator(operator=False), operator(operations=frozenset({"sign"}))),
        (operator(operator=False), operator(identity=Identity.generate().public)),
    ):
        with pytest.raises(RefusedError, match="only operators"):
            stating.accept_cancel(told(signed), party(1, clients=policies), now=NOW)


###
### What is remembered
###


def test_what_was_issued_while_answers_are_kept_is_remembered() -> None:
    since = stating.remembered_from(FIRST, party(1), now=NOW, kept_ms=KEPT_MS)
    assert since == NOW - KEPT_MS + TOLERANCE_MS + 1
    assert stating.remembered_from(FIRST, party(1), now=5, kept_ms=KEPT_MS) == 0


def test_after_a_loss_only_what_was_issued_since_is_remembered() -> None:
    """By a clock that may be off: an answer of before the loss is none of a later request."""
    since = stating.remembered_from(LATER, party(1), now=NOW, kept_ms=KEPT_MS)
    assert since == LATER.begun_at + TOLERANCE_MS + 1
    long_after = LATER.begun_at + 2 * KEPT_MS
    since = stating.remembered_from(LATER, party(1), now=long_after, kept_ms=KEPT_MS)
    assert since == long_after - KEPT_MS + TOLERANCE_MS + 1


@pytest.mark.parametrize("memory", [FIRST, LATER])
def test_a_request_of_before_may_be_forgotten(memory: IncarnationRecord) -> None:
    since = NOW - 50
    for at, forgotten in ((since - 1, True), (since, False), (NOW, False)):
        request = cancel_request(target_issued_at=at)
        assert stating.forgotten(request, memory, since) is forgotten


def test_of_when_an_unknown_request_was_issued_a_party_that_lost_nothing_need_not_know() -> None:
    assert not stating.forgotten(cancel_request(), FIRST, NOW)
    assert stating.forgotten(cancel_request(), LATER, 0)


###
### Statements
###


def test_a_statement_is_about_the_requests_owner_and_lasts_until_the_cancel() -> None:
    request = cancel_request(of=OTHERS, issued_at=NOW + 5)
    made = stating.state(request, party(1), since=7)
    made.verify(OTHERS, TARGET, IDENTITIES["party-1"].public)
    assert (made.party_id, made.issued_from, made.issued_until) == ("party-1", 7, NOW + 5)


def test_of_a_key_it_says_which_epochs_may_sign_and_is_no_answer_to_who_asks_of_another() -> None:
    request = cancel_request(key_session=bytes([3]) * 32)
    words = (WordRecord(5, bytes([6]) * 32), WordRecord(2, bytes([7]) * 32))
    promise = PromiseRecord(key_session=bytes([3]) * 32, epochs=words)
    made = stating.state(request, party(1), 7, promise)
    made.verify(request.target_owner, TARGET, IDENTITIES["party-1"].public)
    named = [EpochName(epoch=n, session_id=bytes([by]) * 32) for n, by in ((2, 7), (5, 6))]
    assert (made.key_session, made.epochs) == (promise.key_session, named)
    assert stating.covers(made, request, promise.key_session)
    assert not stating.covers(made, request)
    assert not stating.covers(made, request, bytes(32))
    kept = stating.cancellation(request, party(1), LATER, made, limit=9, promise=promise)
    assert kept.promise == promise
    nothing = stating.cancellation(request, party(1), LATER, None, limit=9, promise=promise)
    assert nothing.promise is None


@pytest.mark.parametrize(
    ("target_issued_at", "issued_at", "covered"),
    [
        (None, NOW, True),
        (None, NOW + 1, False),
        (NOW - 10, NOW, True),
        (NOW - 11, NOW, False),
        (NOW, NOW + 1, False),
    ],
)
def test_an_earlier_statement_is_given_again_if_it_says_all_that_is_asked_for(
    target_issued_at: int | None, issued_at: int, covered: bool
) -> None:
    kept = statement(1, issued_from=NOW - 10, issued_until=NOW)
    asked = cancel_request(target_issued_at=target_issued_at, issued_at=issued_at)
    assert stating.covers(kept, asked) is covered


@pytest.mark.parametrize("stated", [True, False])
def test_what_is_forbidden_stays_so_for_longer_than_any_request_lives(stated: bool) -> None:
    request = cancel_request(of=OTHERS)
    made = statement(1, request) if stated else None
    kept = stating.cancellation(request, party(1), LATER, made, limit=9)
    assert (kept.owner, kept.request_id) == ("svcB/bank", TARGET)
    assert kept.issued_until == NOW
    assert kept.forbidden_until == NOW + MAX_LIFETIME_MS + 2 * TOLERANCE_MS
    assert (kept.limit, kept.incarnation) == (9, LATER.incarnation)
    found = None if kept.statement is None else Statement.model_validate_json(kept.statement)
    assert found == made
