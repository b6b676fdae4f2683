"""Whom a cancel asks, whose answers are heard, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import sessions
from contracts.coordinators import MAX_RESULT_BYTES
from contracts.errors import ContractError
from contracts.primitives import Curve, Owner, Status
from contracts.sessions import CancelAnswered, CancelRefusal
from tests.session.builders import (
    IDENTITIES,
    NOW,
    received_report,
    report_envelope,
    signing_session,
)
from tests.session.cancels import TARGET, cancel_request, cancelled, statement, told
from tests.session.conducts import keygen_conduct
from tests.session.epoch_bundles import old_facts
from workers.session.coordinator import cancellation
from workers.session.coordinator.cancellation import Cancellation

PARTIES = sorted(IDENTITIES)
KNOWN = old_facts(Curve.SECP256K1)
SESSION = bytes([8]) * 32
ASKED = Cancellation(
    request=cancel_request(),
    request_digest=bytes([1]) * 32,
    by_operator=False,
    asked=["party-1", "party-2", "party-3"],
)
STATED = CancelAnswered(statement=statement(1))


def refused(why: CancelRefusal) -> CancelAnswered:
    return CancelAnswered(refused=why)


def hear(i: int, report: sessions.Report, asked: Cancellation = ASKED) -> CancelAnswered:
    sender = f"party-{i}"
    envelope = report_envelope(sender, report)
    return cancellation.check_report(asked, envelope, report, IDENTITIES[sender].public)


###
### Whom to ask
###


def test_those_are_asked_who_could_answer_the_request() -> None:
    signing, named = signing_session().conduct(), keygen_conduct(parties=PARTIES[1:])
    assert cancellation.whom_to_ask(signing, PARTIES) == ["party-1", "party-2", "party-3"]
    assert cancellation.whom_to_ask(named, PARTIES) == PARTIES[1:]


def test_all_are_asked_where_nobody_knows_who_could() -> None:
    for target in (None, keygen_conduct()):
        assert cancellation.whom_to_ask(target, PARTIES) == PARTIES


def test_all_are_asked_where_as_many_others_could_hold_a_key_of_the_same_name() -> None:
    many = [f"party-{number}" for number in range(1, 7)]
    assert cancellation.whom_to_ask(signing_session().conduct(), many) == many


def test_all_are_asked_of_a_key_whose_shares_were_made_anew() -> None:
    """Holders of any epoch may sign, as long as they have not heard of the next."""
    signing = signing_session().conduct()
    assert cancellation.whom_to_ask(signing, PARTIES, moved=True) == PARTIES


def test_each_is_told_the_cancels_own_bytes() -> None:
    signed = cancelled()
    content = told(signed)
    made = cancellation.questions(
        content.session_id, PARTIES, request=signed.body, signature=signed.signature, now=NOW
    )
    assert [message.routing_key for message in made] == PARTIES
    for message in made:
        assert sessions.INSTRUCTION.validate_json(message.body) == content


###
### Whose answers are heard
###


def test_an_answer_of_a_party_that_was_asked_is_heard() -> None:
    assert hear(1, STATED) == STATED
    why = refused(CancelRefusal.FORGOTTEN)
    assert hear(2, why) == why


def test_a_statement_is_about_the_owner_that_the_cancel_names() -> None:
    request = cancel_request(of=Owner(client_id="svcB"))
    of_another = ASKED.model_copy(update={"request": request})
    stated = CancelAnswered(statement=statement(1, request))
    assert hear(1, stated, of_another) == stated
    with pytest.raises(ContractError, match="wrong signature"):
        hear(1, STATED, of_another)


@pytest.mark.parametrize(
    ("i", "report", "reason"),
    [
        (1, sessions.PartyJoined(), "party_joined in a session to cancel"),
        (4, refused(CancelRefusal.FORGOTTEN), "party-4 was not asked"),
        (2, STATED, "party-2 brings a statement of party-1"),
        (1, CancelAnswered(statement=statement(1, by=2)), "wrong signature"),
        (1, CancelAnswered(statement=statement(1, cancel_request(target="r2"))), "wrong signature"),
    ],
)
def test_what_is_not_heard(i: int, report: Any, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        hear(i, report)


###
### What the answers come to
###


def test_a_cancel_is_over_when_everybody_has_answered() -> None:
    rows = [received_report(i, refused(CancelRefusal.OVERLOADED)) for i in (1, 2, 3)]
    assert not cancellation.all_answered(ASKED, rows[:2])
    assert cancellation.all_answered(ASKED, rows)


@pytest.mark.parametrize("status", [None, Status.CANCELLED])
def test_the_result_has_every_answer_in_its_place(status: Status | None) -> None:
    asked = ASKED.model_copy(update={"asked": PARTIES})
    second = statement(2)
    rows = [
        received_report(2, CancelAnswered(statement=second)),
        received_report(1, STATED),
        received_report(3, refused(CancelRefusal.ALREADY_SIGNED)),
    ]
    made = cancellation.answer(asked, rows, target_status=status, named=SESSION, now=NOW)
    assert (made.target, made.target_status, made.status) == (TARGET, status, Status.COMPLETED)
    assert (made.request_id, made.client_id) == ("cancel-1", "svcA")
    assert (made.session_id, made.request_digest) == (SESSION, asked.request_digest)
    assert made.statements == [STATED.statement, second]
    assert (made.already_signed, made.silent) == (["party-3"], ["party-4"])


@pytest.mark.parametrize(("count", "more", "shown"), [(1000, 0, 1000), (1001, 0, 0), (900, 4, 0)])
def test_epochs_that_do_not_fit_into_a_result_are_left_out_and_spoil_nothing_else(
    count: int, more: int, shown: int
) -> None:
    """A key that was refreshed for years. Its cancels are not final, and its requests are cancelled
    all the same."""
    holders = KNOWN.holders * (1 + more)
    facts = KNOWN.model_copy(update={"holders": holders})
    rows = [received_report(1, STATED)]
    made = cancellation.answer(
        ASKED, rows, target_status=None, named=None, epochs=[facts] * count, now=NOW
    )
    assert len(made.epochs) == shown
    assert made.statements == [STATED.statement]
    assert len(made.model_dump_json()) < MAX_RESULT_BYTES


def test_a_party_that_forgot_neither_states_anything_nor_is_silent() -> None:
    rows = [received_report(i, refused(CancelRefusal.FORGOTTEN)) for i in (1, 2, 3)]
    made = cancellation.answer(ASKED, rows, target_status=None, named=None, now=NOW)
    assert (made.statements, made.already_signed, made.silent) == ([], [], [])
