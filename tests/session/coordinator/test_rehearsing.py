"""Whom a rehearsal asks in which roles, whose answers are heard, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.primitives import Curve
from contracts.readiness import Readiness, RoleAnswer
from contracts.requests import RehearseRequest
from contracts.sessions import PartyJoined, RehearsalAnswered
from contracts.terms import ReshareTerms
from tests.contracts.samples import fields
from tests.session.builders import IDENTITIES, received_report, report_envelope
from tests.session.epoch_bundles import OLD_PARTIES, certified, old_facts
from tests.session.party.reshares import PEERS
from workers.session.coordinator import rehearsing
from workers.session.coordinator.choice import ChoiceError
from workers.session.coordinator.rehearsing import Rehearsing
from workers.session.peers import Peer

KNOWN = old_facts(Curve.ED25519)
"""2 of p1, p2, p3."""
DIGEST = bytes([1]) * 32


def request(**changes: Any) -> RehearseRequest:
    given = {
        "public_key": KNOWN.public_key,
        "from_epoch": KNOWN.epoch,
        "first_epoch": KNOWN.epoch + 1,
        "parties": list(OLD_PARTIES),
    }
    return RehearseRequest(**fields("rehearse", **{**given, **changes}))


def terms_of(
    asked: RehearseRequest,
    alive: Sequence[str] = (),
    begun: Sequence[int] = (),
    peers: dict[str, Peer] | None = None,
) -> dict[str, list[ReshareTerms]]:
    parties = PEERS if peers is None else peers
    found = rehearsing.terms_of(
        asked, DIGEST, certified(KNOWN), parties, alive, begun, Random(1), bytes(32)
    )
    return dict(found)


def roles(terms: dict[str, list[ReshareTerms]]) -> dict[str, list[tuple[bool, bool]]]:
    """Party -> of each of its terms, whether it deals and whether it receives."""
    found = {}
    for name, several in terms.items():
        own = [next(each for each in one.members if each.party_id == name) for one in several]
        found[name] = [(each.deals_as is not None, each.receives_as is not None) for each in own]
    return found


###
### Whom to ask
###


def test_a_holder_that_stays_is_asked_in_both_roles() -> None:
    both = [(True, True), (False, True)]
    assert roles(terms_of(request())) == dict.fromkeys(OLD_PARTIES, both)


def test_leavers_only_deal_and_newcomers_only_receive() -> None:
    found = roles(terms_of(request(parties=["p2", "p4"])))
    assert found == {
        "p1": [(True, False)],
        "p2": [(True, True), (False, True)],
        "p3": [(True, False)],
        "p4": [(False, True)],
    }


def test_where_the_owner_names_the_dealers_nobody_else_is_asked_to_deal() -> None:
    found = roles(terms_of(request(dealers=["p1", "p2"], parties=["p2", "p3"])))
    assert found == {"p1": [(True, False)], "p2": [(True, True)], "p3": [(False, True)]}


def test_all_terms_are_of_a_first_try_that_could_be() -> None:
    for several in terms_of(
        request(threshold=3, tries=2), alive=["p3"], begun=[KNOWN.epoch + 1]
    ).values():
        for one in several:
            assert (one.epoch, one.threshold) == (KNOWN.epoch + 2, 3)
            assert (one.request_digest, one.predecessor) == (DIGEST, KNOWN.digest())
            dealing = [each for each in one.members if each.deals_as is not None]
            assert len(dealing) == KNOWN.threshold


@pytest.mark.parametrize(
    ("asked", "begun", "code", "reason"),
    [
        (request(parties=["p1", "p9"]), [], FailureCode.UNKNOWN_PARTY, "no party p9"),
        (request(dealers=["p1", "p4"]), [], FailureCode.UNKNOWN_PARTY, "p4 holds no share"),
        (request(dealers=["p1", "p2", "p3"]), [], FailureCode.INVALID_REQUEST, "exactly 2 deal"),
        (
            request(),
            [KNOWN.epoch + 1],
            FailureCode.INVALID_REQUEST,
            "first_epoch must be later",
        ),
    ],
)
def test_what_a_reshare_would_be_refused_for_at_once_is_refused(
    asked: RehearseRequest, begun: list[int], code: FailureCode, reason: str
) -> None:
    with pytest.raises(ChoiceError, match=reason) as caught:
        terms_of(asked, begun=begun)
    assert caught.value.failure.code is code


def test_holders_that_are_not_here_cannot_be_asked() -> None:
    here = {name: peer for name, peer in PEERS.items() if name != "p3"}
    assert [*terms_of(request(parties=["p1", "p2"]), peers=here)] == ["p1", "p2"]
    only = {name: peer for name, peer in here.items() if name != "p2"}
    with pytest.raises(ChoiceError, match="1 of the key's holders"):
        terms_of(request(parties=["p1", "p4"]), peers=only)


###
### Whose answers are heard, and what they come to
###

STATE = Rehearsing(request=request(), request_digest=DIGEST, asked=["party-1", "party-2"])


def answered(
    name: str = "party-1", by: str = "party-1", digest: bytes = DIGEST
) -> RehearsalAnswered:
    roles = [RoleAnswer(deals=True, receives=True)]
    return RehearsalAnswered(
        readiness=Readiness.signed(IDENTITIES[by], name, request_digest=digest, roles=roles, at=1)
    )


def hear(name: str, report: sessions.Report) -> RehearsalAnswered:
    envelope: Envelope = report_envelope(name, report)
    return rehearsing.check_report(STATE, envelope, report, IDENTITIES[name].public)


def test_an_answer_of_a_party_that_was_asked_is_heard() -> None:
    said = answered()
    assert hear("party-1", said) == said


@pytest.mark.parametrize(
    ("name", "report", "reason"),
    [
        ("party-3", answered("party-3", "party-3"), "party-3 was not asked"),
        ("party-1", PartyJoined(), "party_joined in a session to rehearse"),
        ("party-1", answered("party-2", "party-2"), "party-1 brings an answer of party-2"),
        ("party-1", answered("party-1", "party-2"), "wrong signature"),
        ("party-1", answered(digest=bytes(32)), "to another request"),
    ],
)
def test_no_other_is(name: str, report: sessions.Report, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        hear(name, report)


def test_the_result_has_what_came_and_who_is_silent() -> None:
    rows = [received_report(2, answered("party-2", "party-2"))]
    assert not rehearsing.all_answered(STATE, rows)
    told = rehearsing.answer(STATE, rows, now=7)
    assert [each.party_id for each in told.answers] == ["party-2"]
    assert (told.silent, told.finished_at, told.session_id) == (["party-1"], 7, None)
    rows.append(received_report(1, answered()))
    assert rehearsing.all_answered(STATE, rows)
    told = rehearsing.answer(STATE, rows, now=7)
    assert [each.party_id for each in told.answers] == ["party-1", "party-2"]
    assert told.silent == []


def test_each_party_is_sent_its_own_terms_with_what_proves_them() -> None:
    asked, predecessor = terms_of(request(), alive=["p1"]), certified(KNOWN)
    sent = rehearsing.questions(
        DIGEST, asked, predecessor, request=b"body", signature=b"signed", now=7
    )
    for message, (name, terms) in zip(sent, asked.items(), strict=True):
        assert message.routing_key.endswith(name)
        said = sessions.RehearsalAsked.model_validate_json(message.body)
        assert said.terms == terms
        assert (said.request, said.request_signature) == (b"body", b"signed")
        assert said.predecessor == predecessor
