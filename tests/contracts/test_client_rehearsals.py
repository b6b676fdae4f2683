"""What a client makes of the answers to a rehearsal: those count that their parties have signed,
and from them it follows whether a reshare would find what it takes."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.client.rehearsals import Rehearsal
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.primitives import Curve, Status
from contracts.readiness import Readiness, RoleAnswer
from contracts.requests import RehearseRequest
from contracts.results import RehearseResult
from tests.session.epoch_bundles import IDENTITIES, OLD_PARTIES, PINNED, old_facts

from .samples import STRANGER, digest_of, fields

KNOWN = old_facts(Curve.ED25519)
"""2 of p1, p2, p3."""
NO: dict[str, Any] = {"refused": FailureCode.PARTY_REFUSED, "message": "we hold no usable share"}


def request(**changes: Any) -> RehearseRequest:
    given = {
        "public_key": KNOWN.public_key,
        "from_epoch": KNOWN.epoch,
        "first_epoch": KNOWN.epoch + 1,
        "parties": list(OLD_PARTIES),
    }
    return RehearseRequest(**fields("rehearse", **{**given, **changes}))


def said(
    asked: RehearseRequest, name: str, *roles: RoleAnswer, by: Identity | None = None
) -> Readiness:
    return Readiness.signed(
        IDENTITIES[name] if by is None else by,
        name,
        request_digest=digest_of(asked),
        roles=roles or (RoleAnswer(deals=True, receives=True),),
        at=1,
    )


def rehearsed(asked: RehearseRequest, *answers: Readiness) -> Rehearsal:
    result = RehearseResult(
        request_id=asked.request_id,
        client_id="svcA",
        session_id=None,
        request_digest=digest_of(asked),
        status=Status.COMPLETED,
        finished_at=1,
        key_id=asked.key_id,
        answers=list(answers),
    )
    return Rehearsal.of(asked, asked.model_dump_json().encode(), KNOWN, result, PINNED)


def test_all_are_ready() -> None:
    asked = request()
    found = rehearsed(asked, *(said(asked, name) for name in OLD_PARTIES))
    assert found.ready
    assert found.lacking is None
    assert found.dealers == found.receivers == found.asked == list(OLD_PARTIES)
    assert found.silent == []
    assert found.refusals == {}


def test_who_lost_its_share_is_no_obstacle_as_long_as_it_receives() -> None:
    asked = request()
    lost = said(
        asked,
        "p3",
        RoleAnswer(deals=True, receives=True, **NO),
        RoleAnswer(deals=False, receives=True),
    )
    found = rehearsed(asked, said(asked, "p1"), said(asked, "p2"), lost)
    assert found.ready
    assert found.dealers == ["p1", "p2"]
    assert found.receivers == list(OLD_PARTIES)
    assert found.refusals == {"p3": ("party_refused", "we hold no usable share")}


def test_every_new_holder_is_needed() -> None:
    asked = request(parties=["p1", "p2", "p4"])
    answers = [said(asked, name) for name in OLD_PARTIES]
    found = rehearsed(asked, *answers)
    assert found.asked == ["p1", "p2", "p3", "p4"]
    assert (found.silent, found.ready) == (["p4"], False)
    assert found.lacking == "p4 would not take a share"
    only = RoleAnswer(deals=False, receives=True)
    assert rehearsed(asked, *answers, said(asked, "p4", only)).ready


def test_as_many_have_to_deal_as_sign_now() -> None:
    asked = request(parties=["p4", "p5"])
    receive = [said(asked, n, RoleAnswer(deals=False, receives=True)) for n in ("p4", "p5")]
    deal = RoleAnswer(deals=True, receives=False)
    one = rehearsed(asked, *receive, said(asked, "p2", deal))
    assert one.lacking == "1 would deal, and it takes 2"
    assert one.receivers == ["p4", "p5"]
    assert rehearsed(asked, *receive, said(asked, "p2", deal), said(asked, "p1", deal)).ready


def test_only_those_deal_that_the_owner_names() -> None:
    asked = request(dealers=["p1", "p2"])
    found = rehearsed(asked, said(asked, "p1"), said(asked, "p3"))
    assert found.could_deal == ["p1", "p2"]
    assert found.dealers == ["p1"]
    assert found.lacking == "p2 would not take a share; 1 would deal, and it takes 2"


@pytest.mark.parametrize("how", ["another signs it", "to another request", "of nobody we know"])
def test_what_does_not_verify_is_no_answer(how: str) -> None:
    asked = request()
    others = [said(asked, name) for name in ("p1", "p2")]
    wrong = {
        "another signs it": said(asked, "p3", by=STRANGER),
        "to another request": said(request(request_id="r2"), "p3"),
        "of nobody we know": said(asked, "p3").model_copy(update={"party_id": "p9"}),
    }[how]
    found = rehearsed(asked, *others, wrong)
    assert [*found.answers] == ["p1", "p2"]
    assert found.silent == ["p3"]
    assert not found.ready
