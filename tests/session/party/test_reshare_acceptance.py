"""Which reshares a party takes part in: one thing is wrong each time, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.sessions import ReshareCreated
from contracts.terms import ReshareMember
from tests.protocols.simulate import coins
from tests.session.builders import TOLERANCE_MS
from tests.session.epoch_bundles import (
    FROM_EPOCH,
    IDENTITIES,
    TO_EPOCH,
    certified,
    old_facts,
    request,
)
from tests.session.party.reshares import PEERS, created, members, party, share_of
from workers.session.errors import RefusedError
from workers.session.party.reshare_acceptance import Held, accept_reshare
from workers.session.peers import Peer
from workers.store.records import KeyShareRecord

KNOWN = old_facts(Curve.SECP256K1)
ASKED = request(KNOWN)
DEALER, HOLDER, NEWCOMER = "p3", "p2", "p4"


def held(name: str, known: KeyFacts = KNOWN, **changes: Any) -> Held:
    given: dict[str, Any] = {
        "active": share_of(name, known),
        "begun": TO_EPOCH - 1,
        "proven": known.epoch,
    }
    return Held(**given | changes)


def accept(
    told: ReshareCreated | None = None,
    asked: ReshareRequest = ASKED,
    name: str = DEALER,
    own: Held | None = None,
    *,
    now: int = ASKED.issued_at,
    peers: Mapping[str, Peer] = PEERS,
) -> None:
    accept_reshare(
        told or created(asked, KNOWN),
        asked,
        replace(party(name), peers=peers),
        own or held(name),
        now=now,
    )


def asking(**changes: Any) -> ReshareRequest:
    return ASKED.model_copy(update=changes)


def with_member(name: str, **changes: Any) -> list[ReshareMember]:
    return [
        each.model_copy(update=changes) if each.party_id == name else each for each in members()
    ]


@pytest.mark.parametrize("name", [DEALER, HOLDER, NEWCOMER])
def test_dealers_leavers_and_newcomers_take_part(name: str) -> None:
    accept(name=name)


def test_who_holds_a_share_and_does_not_deal_takes_part() -> None:
    receivers = ("p4", "p2", "p1")
    asked = asking(parties=sorted(receivers), threshold=2)
    told = created(asked, KNOWN, terms={"members": members(receivers=receivers)})
    accept(told, asked, name="p1")


def test_the_client_may_say_who_deals() -> None:
    accept(asked=asking(dealers=["p3", "p2"]))


def refused(
    reason: str,
    told: ReshareCreated | None = None,
    asked: ReshareRequest = ASKED,
    name: str = DEALER,
    own: Held | None = None,
    **others: Any,
) -> RefusedError:
    with pytest.raises(RefusedError, match=reason) as caught:
        accept(told, asked, name, own, **others)
    return caught.value


def test_an_id_that_the_terms_do_not_give() -> None:
    refused("session id", created(ASKED, KNOWN, session_id=coins("another")))


def test_another_request_than_the_one_that_the_terms_name() -> None:
    refused("another request", created(ASKED, KNOWN, terms={"request_digest": coins("another")}))


def test_a_request_of_another_time() -> None:
    refused("expired", now=ASKED.expires_at + TOLERANCE_MS + 1)
    refused("in the future", now=ASKED.issued_at - TOLERANCE_MS - 1)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (members(receivers=("p4", "p5", "p2")), "not those that the client named"),
        (members(receivers=("p4", "p5", "p2", "p1")), "not those that the client named"),
        (members(receivers=("p5", "p4", "p2", "p6")), "not in the configured order"),
        (members(("p1", "p2", "p3")), "3 dealers; this key takes exactly 2"),
        (with_member("p4", index=9), "ascending order"),
        ([*members()[:-1], members()[-1].model_copy(update={"index": 6})], "places are not 1 to"),
        (with_member("p4", identity=b"another"), "another identity"),
        (with_member("p4", party_id="p9"), "not in our configuration"),
        (with_member("p4", party_id="p5", identity=IDENTITIES["p5"].public.der), "stands twice"),
        (with_member("p2", deals_as=1), "not holder 1 of the key"),
        (with_member("p2", deals_as=4), "not holder 4 of the key"),
        (with_member("p4", receives_as=5), "indices are not 1 to n"),
        (with_member("p4", receives_as=None), "neither deals nor receives"),
    ],
)
def test_a_committee_that_does_not_fit(wrong: Sequence[ReshareMember], reason: str) -> None:
    refused(reason, created(ASKED, KNOWN, terms={"members": list(wrong)}))


def test_a_party_that_takes_no_part() -> None:
    refused("not among the session's parties", name="p1", own=held("p1"))


@pytest.mark.parametrize(
    "terms", [{"predecessor": coins("another")}, {"key_session": coins("another")}]
)
def test_terms_that_name_another_epoch_than_the_one_sent_along(terms: dict[str, Any]) -> None:
    refused("another key or epoch", created(ASKED, KNOWN, terms=terms))


@pytest.mark.parametrize("name", [DEALER, NEWCOMER])
def test_an_epoch_that_its_holders_have_not_certified(name: str) -> None:
    good = certified(KNOWN)
    for certificates in (
        {**good.certificates, "p1": b"forged"},
        {name: good.certificates[name] for name in ("p2", "p3")},
    ):
        forged = CertifiedKey(facts=KNOWN, certificates=certificates)
        refused("does not check out", created(ASKED, KNOWN, predecessor=forged), name=name)


def test_an_epoch_of_parties_that_we_do_not_know_as_such() -> None:
    peers = {**PEERS, "p1": PEERS["p6"]}
    refused("p1 has another identity", peers=peers)


@pytest.mark.parametrize("name", [DEALER, HOLDER])
def test_an_epoch_that_is_not_the_one_that_signs_here(name: str) -> None:
    later = old_facts(Curve.SECP256K1, epoch=FROM_EPOCH + 1)
    refused(f"which is epoch {FROM_EPOCH + 1}", name=name, own=held(name, later))


@pytest.mark.parametrize("name", [DEALER, HOLDER])
def test_who_has_missed_an_epoch_says_so_and_is_shown_it(name: str) -> None:
    missed = old_facts(Curve.SECP256K1, epoch=FROM_EPOCH - 1)
    text = f"of epoch {FROM_EPOCH} of the key, and epoch {FROM_EPOCH - 1} signs here"
    error = refused(text, name=name, own=held(name, missed))
    assert error.failure.code is FailureCode.STALE_EPOCH


def test_a_dealer_without_a_share() -> None:
    refused("hold no usable share", own=held(NEWCOMER))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "svcB"}, "another owner"),
        ({"tenant": "bob"}, "another owner"),
        ({"key_id": "another"}, "session's key is not"),
        ({"public_key": b"another"}, "session's public key is not"),
        ({"from_epoch": FROM_EPOCH - 1}, "session's epoch to deal from is not"),
        ({"dealers": ["p1", "p2"]}, "dealers are not those"),
        ({"first_epoch": TO_EPOCH + 1}, "none that was asked for"),
        ({"tries": 1}, "none that was asked for"),
        ({"parties": ["p1", "p2", "p4", "p5"]}, "not those that the client named"),
    ],
)
def test_what_its_owner_did_not_ask_for(changes: dict[str, Any], reason: str) -> None:
    refused(reason, asked=asking(**changes))


def test_another_threshold_than_was_asked_for() -> None:
    refused("session's threshold is not", created(ASKED, KNOWN, terms={"threshold": 2}))


def test_an_epoch_that_another_one_has_followed_already() -> None:
    """Whoever has left the key, or is to come back to it, has no share by which it would know."""
    for name in (DEALER, NEWCOMER):
        own = replace(held(name), active=None, proven=FROM_EPOCH + 1)
        refused(f"epoch {FROM_EPOCH + 1} of key treasury was made already", name=name, own=own)
    accept(own=held(DEALER, proven=FROM_EPOCH))


@pytest.mark.parametrize("begun", [TO_EPOCH, TO_EPOCH + 7])
def test_an_epoch_that_may_have_been_begun_before(begun: int) -> None:
    refused(f"not above {begun}", own=held(DEALER, begun=begun))


def test_a_party_that_is_banned_gets_no_share_and_is_named() -> None:
    error = refused("warren party bans", own=held(DEALER, banned={"p5", "p1"}))
    assert error.failure.culprits == ["p5"]


###
### Keys of before tenants were certified
###


def of_before() -> KeyFacts:
    given = {name: getattr(KNOWN, name) for name in KeyFacts.model_fields}
    without = ("tenant", "request_digest", "schemes", "origin", "reshared")
    return KeyFacts(**given | dict.fromkeys(without) | {"version": 1})


def owned(known: KeyFacts, owner: str) -> KeyShareRecord:
    share = share_of(DEALER, known)
    assert share is not None
    return replace(share, owner=owner)


def test_a_holder_goes_by_the_operators_list_and_a_newcomer_by_the_client() -> None:
    known = of_before()
    told = created(ASKED, known)
    accept(told, name=NEWCOMER)
    accept(told, own=Held(owned(known, ASKED.owner), 0, 0))
    refused("another owner", told, own=Held(owned(known, known.owner), 0, 0))


def test_a_newcomer_takes_no_key_of_another_client() -> None:
    asked = asking(client_id="svcB")
    refused("another owner", created(asked, of_before()), asked, name=NEWCOMER)
