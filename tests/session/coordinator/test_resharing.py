"""The coordinator's side of a reshare: who deals and receives, and what proves the epoch."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.results import ReshareResult, Status
from contracts.sessions import EpochCertified, EpochProven, ReshareCreated
from contracts.terms import ReshareTerms
from tests.protocols.simulate import coins
from tests.session.builders import facts, report_envelope
from tests.session.conducts import keygen_conduct
from tests.session.epoch_bundles import (
    NEW_PARTIES,
    OLD_PARTIES,
    PINNED,
    TO_EPOCH,
    old_facts,
    request,
)
from tests.session.party.reshares import CONFIGURED, PEERS, sitting, told
from tests.session.party.test_resharing import reports
from workers.session.coordinator import resharing
from workers.session.coordinator.choice import ChoiceError, home_set
from workers.session.coordinator.conduct import Conduct
from workers.session.coordinator.reports import check_report, expired, silent_parties
from workers.session.coordinator.views import session_view
from workers.session.errors import NoShareError, StaleEpochError
from workers.session.party.acceptance import usable
from workers.store.records import KeyEpoch, Received, RequestRecord, Session

KNOWN = old_facts(Curve.SECP256K1)
EVERYBODY = frozenset(CONFIGURED)
NOW, SWITCH_MS = 1_000, 30_000


@cache
def run() -> tuple[ReshareCreated, EpochCertified]:
    """An honest one, and what each of its members reports."""
    begun = told()
    first, *_ = reports(sitting(begun).play())
    return begun, first


def conduct(**changes: Any) -> Conduct:
    begun, _ = run()
    given: dict[str, Any] = {
        "request": ReshareRequest.model_validate_json(begun.request),
        "terms": begun.terms,
        "join_secret": coins("join secret"),
        "deadline": NOW + 60_000,
        "facts": KNOWN,
        "predecessor": begun.predecessor,
        "try_ms": 15_000,
    }
    return Conduct(**(given | changes))


def record() -> RequestRecord:
    begun, _ = run()
    return RequestRecord(
        owner="svcA",
        request_id="reshare-1",
        operation="reshare",
        digest=begun.terms.request_digest,
        body=begun.request,
        signature=begun.request_signature,
        session_id=begun.session_id,
    )


def reported(
    report: EpochCertified | None = None, sender: str = "p4", *before: str, **changes: Any
) -> Any:
    """Arguments: before: Who reported something that proves nothing."""
    _, honest = run()
    received = [
        Received(slot="epoch_certified", sender=name, digest=bytes(32), body=b"") for name in before
    ]
    return resharing.epoch_certified(
        conduct(**changes),
        sender,
        report or honest,
        [Received(slot="party_joined", sender=sender, digest=bytes(32), body=b""), *received],
        record=record(),
        pinned=PINNED,
        switch_ms=SWITCH_MS,
        now=NOW,
    )


###
### For which key
###


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        (
            {"public_key": bytes(33)},
            FailureCode.INVALID_REQUEST,
            "key treasury has another public key than the request's",
        ),
        # Another reshare came first: with the epoch that signs now the same may be wished for.
        (
            {"from_epoch": 2, "first_epoch": 3},
            FailureCode.STALE_EPOCH,
            "epoch 3 of key treasury signs, and not 2",
        ),
        (
            {"from_epoch": 4, "first_epoch": 5},
            FailureCode.INVALID_REQUEST,
            "epoch 3 of key treasury signs, and not 4",
        ),
    ],
)
def test_a_request_is_for_the_key_as_it_is(
    changes: dict[str, Any], code: FailureCode, reason: str
) -> None:
    assert resharing.unfit(request(KNOWN), KNOWN) is None
    unfit = resharing.unfit(request(KNOWN, **changes), KNOWN)
    assert unfit is not None
    assert (unfit.code, unfit.message) == (code, reason)


def test_each_try_has_the_next_number_that_was_asked_for() -> None:
    asked = request(KNOWN, first_epoch=5, tries=3)
    assert resharing.next_epoch(asked, []) == 5
    assert resharing.next_epoch(asked, [1, 4]) == 5
    assert resharing.next_epoch(asked, [5]) == 6
    assert resharing.next_epoch(asked, [2, 6]) == 7
    with pytest.raises(ChoiceError, match="begun up to 7: first_epoch must be later"):
        resharing.next_epoch(asked, [7])


###
### Who deals, and who receives
###


def test_members_have_their_places_in_the_configured_order() -> None:
    asked = request(KNOWN, dealers=["p3", "p2"])
    made = resharing.members(asked, KNOWN, PEERS, EVERYBODY, Random(0))
    assert [each.party_id for each in made] == ["p4", "p5", "p2", "p6", "p3"]
    assert [each.index for each in made] == [1, 2, 3, 4, 5]
    assert {each.party_id: each.deals_as for each in made if each.deals_as} == {"p2": 2, "p3": 3}
    receives = {each.party_id: each.receives_as for each in made if each.receives_as}
    assert receives == {"p4": 1, "p5": 2, "p2": 3, "p6": 4}


@pytest.mark.parametrize("seed", range(8))
def test_those_deal_that_are_alive_and_did_not_fail_before(seed: int) -> None:
    def dealing(alive: frozenset[str], *avoided: str) -> set[str]:
        made = resharing.members(request(KNOWN), KNOWN, PEERS, alive, Random(seed), avoided)
        return {each.party_id for each in made if each.deals_as is not None}

    assert len(dealing(EVERYBODY)) == KNOWN.threshold
    assert dealing(EVERYBODY - {"p1"}) == {"p2", "p3"}
    assert dealing(EVERYBODY, "p2") == {"p1", "p3"}
    assert len(dealing(frozenset())) == KNOWN.threshold


@pytest.mark.parametrize(
    ("changes", "peers", "code", "reason"),
    [
        (
            {"parties": ["p2", "p9"], "threshold": 2},
            PEERS,
            FailureCode.UNKNOWN_PARTY,
            "no party p9",
        ),
        ({"dealers": ["p1", "p4"]}, PEERS, FailureCode.UNKNOWN_PARTY, "p4 holds no share"),
        (
            {"dealers": ["p1", "p2", "p3"]},
            PEERS,
            FailureCode.INVALID_REQUEST,
            "dealers names 3 parties; exactly 2 deal the shares of key treasury",
        ),
        (
            {"dealers": ["p1", "p2"]},
            {name: peer for name, peer in PEERS.items() if name != "p1"},
            FailureCode.UNKNOWN_PARTY,
            "p1 would have to deal, and is not among the parties here",
        ),
    ],
)
def test_who_does_not_fit_is_told(
    changes: dict[str, Any], peers: Any, code: FailureCode, reason: str
) -> None:
    with pytest.raises(ChoiceError, match=reason) as caught:
        resharing.members(request(KNOWN, **changes), KNOWN, peers, EVERYBODY, Random(0))
    assert caught.value.failure.code is code


def test_each_member_is_told_the_same() -> None:
    begun, _ = run()
    sent = resharing.invitations(
        conduct(), request=begun.request, signature=begun.request_signature, time_left_ms=0, now=NOW
    )
    assert [each.routing_key for each in sent] == [each.party_id for each in begun.terms.members]
    (body,) = {each.body for each in sent}
    created = ReshareCreated.model_validate_json(body)
    assert created == begun.model_copy(update={"time_left_ms": 1, "issued_at": NOW})
    assert {each.exchange for each in sent} == {"warren.keygen"}


###
### What proves it
###


def test_the_first_report_that_proves_the_epoch_is_enough() -> None:
    begun, honest = run()
    progress = reported()
    assert progress.status is Status.COMPLETED
    assert isinstance(progress.result, ReshareResult)
    bundle = progress.result.bundle
    assert bundle is not None
    assert bundle.key == honest.key
    assert progress.result.signs_from == NOW + SWITCH_MS
    assert CertifiedKey.model_validate_json(progress.made) == honest.key
    epoch = progress.epoch
    assert (epoch.key_session, epoch.epoch) == (KNOWN.session_id, TO_EPOCH)
    assert epoch.session_id == begun.session_id
    assert epoch.signs_from == progress.result.signs_from
    assert NOW < epoch.due_at < epoch.signs_from
    told_to = [each.routing_key for each in progress.outgoing]
    assert sorted(told_to) == sorted({*OLD_PARTIES, *NEW_PARTIES})
    for each in progress.outgoing:
        assert EpochProven.model_validate_json(each.body).bundle == bundle
        assert each.exchange == "warren.sessions"


def test_what_proves_nothing_ends_nothing_while_others_may_tell_the_truth() -> None:
    _, honest = run()
    lie = honest.model_copy(update={"dealt": {}})
    progress = reported(lie)
    assert (progress.status, progress.failure, progress.outgoing) == (Status.IN_PROGRESS, None, ())
    begun, _ = run()
    *others, last = [each.party_id for each in begun.terms.members]
    progress = reported(lie, last, *others)
    assert progress.status is Status.FAILED
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == sorted([*others, last])
    assert "2 dealers have to deal" in progress.failure.message


def test_an_epoch_of_another_session_is_not_this_one_s() -> None:
    begun, _ = run()
    other = begun.terms.model_copy(update={"salt": coins("other salt")})
    progress = reported(terms=other)
    assert progress.status is Status.IN_PROGRESS


###
### The session
###


def test_a_reshare_is_stored_and_read_back() -> None:
    made = conduct(avoided=["p1"], tries=2)
    assert Conduct.model_validate_json(made.model_dump_json()) == made
    assert isinstance(made.terms, ReshareTerms)
    assert "predecessor" not in keygen_conduct().model_dump_json()


def test_what_others_ask_of_any_session() -> None:
    made = conduct()
    assert made.session_id == made.public_id == made.first.session_id
    assert made.first.terms == made.terms
    assert not made.announces
    assert made.curve is Curve.SECP256K1
    assert made.party_count == len(NEW_PARTIES)
    assert made.lacking() == []
    assert not made.presigned


@pytest.mark.parametrize(
    ("code", "changes", "goes_on"),
    [
        (FailureCode.EXPIRED, {}, True),
        (FailureCode.EXPIRED, {"tries": 4}, False),
        (FailureCode.EXPIRED, {"try_ms": None}, False),
        (FailureCode.STALE_EPOCH, {"try_ms": None}, True),
        (FailureCode.CANCELLED, {}, False),
    ],
)
def test_as_many_tries_as_the_request_allows(
    code: FailureCode, changes: dict[str, Any], goes_on: bool
) -> None:
    made = conduct(**changes)
    assert made.may_go_on(Failure.of(code, "why"), NOW) is goes_on
    assert not made.may_go_on(Failure.of(code, "why"), made.deadline)


def test_who_has_not_come_to_the_end_is_silent() -> None:
    begun, _ = run()
    names = [each.party_id for each in begun.terms.members]
    heard = [
        Received(slot=slot, sender=name, digest=bytes(32), body=b"")
        for slot, senders in (("party_joined", names), ("epoch_certified", names[1:]))
        for name in senders
    ]
    assert silent_parties(conduct(), heard) == [names[0]]
    assert expired(conduct(), heard).status is Status.EXPIRED


def test_its_view_has_the_new_holders_and_no_tokens() -> None:
    made = conduct()
    session = Session(
        session_id=made.session_id,
        version=1,
        protocol="reshare",
        key_session=KNOWN.session_id,
        status="in_progress",
        deadline=7,
        state=b"",
        received=(),
    )
    view = session_view(record(), session, made, [], session_id=made.session_id, with_tokens=True)
    assert (view.operation, view.threshold, view.party_count) == ("reshare", 3, len(NEW_PARTIES))
    assert (view.join_tokens, view.session_token, view.deadline) == ({}, None, 7)


def test_a_report_of_a_reshare_belongs_to_one() -> None:
    _, honest = run()
    other = keygen_conduct()
    sender = other.terms.members[0].party_id
    envelope = report_envelope(sender, honest, session_id=other.session_id)
    with pytest.raises(ContractError, match="epoch_certified in a session to keygen"):
        check_report(other, envelope, honest)


###
### Elsewhere
###


def test_a_home_set_is_the_same_everywhere_and_avoids_the_silent() -> None:
    key = facts("secp256k1")
    holders = [holder.party_id for holder in key.holders]
    home = home_set(key, holders, frozenset())
    assert home == home_set(key, holders[::-1], frozenset())
    absent = home[0].party_id
    others = home_set(key, [name for name in holders if name != absent], frozenset())
    assert absent not in [each.party_id for each in others]
    pair = frozenset(each.party_id for each in home)
    assert home_set(key, holders, frozenset({pair})) != home


def test_who_has_no_share_or_another_says_so() -> None:
    with pytest.raises(NoShareError) as caught:
        usable(None)
    assert caught.value.failure.code is FailureCode.PARTY_REFUSED
    stale = StaleEpochError(1, 3).failure
    assert (stale.code, stale.retryable, stale.culprits) == (FailureCode.STALE_EPOCH, True, [])
    assert stale.message == "the session is of epoch 1 of the key, and epoch 3 signs here"


def test_who_does_not_tell_is_asked_ever_more_seldom_and_for_ever() -> None:
    pauses = [resharing.pause_ms(shown) for shown in range(6)]
    assert pauses == [10_000, 60_000, 600_000, 3_600_000, 3_600_000, 3_600_000]


@pytest.mark.parametrize(("signs_from", "made"), [(90_000, 60_000), (None, None)])
def test_an_epoch_was_made_before_its_holders_are_asked(
    signs_from: int | None, made: int | None
) -> None:
    epoch = KeyEpoch(key_session=bytes(32), epoch=1, session_id=bytes(32), signs_from=signs_from)
    assert resharing.made_at(epoch, 30_000) == made


def test_a_key_of_which_another_reshare_is_under_way_is_busy() -> None:
    failure = resharing.busy(old_facts(Curve.ED25519))
    assert failure.code is FailureCode.KEY_BUSY
    assert "another reshare of key treasury is under way" in failure.message
