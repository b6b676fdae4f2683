"""A reshare is rehearsed: every party says whether it would take part, and nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.client.rehearsals import Rehearsal
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import RehearseRequest
from contracts.results import RehearseResult
from contracts.signing import REQUEST_TAG, SignedRequest, sign_request
from tests.workers.callers import wish
from tests.workers.ecdsa import only_result, sent
from tests.workers.reshares import NEW, OLD, ask, failed, make, pass_, requests_expire, reshared
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive
from workers.session.coordinator.rehearsing import PATIENCE_MS
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.session.sending import instruction
from workers.store.records import BanRecord, KeyEpoch, Outgoing, PartyChange

CURVE = "ed25519"


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


def a_request(shire: World, key: CertifiedKey, **changes: Any) -> RehearseRequest:
    asked = shire.reshare_request(key.facts, **changes)
    fields = {name: getattr(asked, name) for name in RehearseRequest.model_fields}
    given = shire._request("rehearse", {**fields, "operation": "rehearse"})
    given["reply_to"] = given["reply_to"].replace("mpc_reshare_result", "mpc_query_result")
    return RehearseRequest.model_validate(given, strict=False)


async def submitted(shire: World, key: CertifiedKey, **changes: Any) -> RehearseRequest:
    await everyone_is_alive(shire)
    request = a_request(shire, key, **changes)
    await shire.ask(request)
    return request


async def rehearsed(shire: World, key: CertifiedKey, **changes: Any) -> Rehearsal:
    request = await submitted(shire, key, **changes)
    await shire.run()
    return read(shire, key, request)


def read(shire: World, key: CertifiedKey, request: RehearseRequest) -> Rehearsal:
    """As the client library does."""
    result = only_result(shire, request)
    assert isinstance(result, RehearseResult)
    assert result.failure is None, result.failure
    pinned = {name: each.public for name, each in shire.identities.items()}
    return Rehearsal.of(request, request.model_dump_json().encode(), key.facts, result, pinned)


async def remembered(shire: World, key: CertifiedKey) -> dict[str, Any]:
    """All that parties and coordinator know of the key's epochs."""
    session = key.facts.session_id
    return {
        "coordinator": await shire.coordinator_store.key_epochs(session),
        **{
            name: (await store.epochs(session), await store.signing_epochs(session))
            for name, store in shire.party_stores.items()
        },
    }


###
### Ready
###


async def test_all_are_ready_and_nothing_is_changed_by_saying_so(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, CURVE)
    before = await remembered(shire, key)
    committed: list[PartyChange] = []
    for store in shire.party_stores.values():
        monkeypatch.setattr(store, "commit", committed.append)
    found = await rehearsed(shire, key, parties=NEW, threshold=3)
    monkeypatch.undo()
    assert found.ready
    assert found.dealers == OLD
    assert found.receivers == NEW
    assert committed == []
    assert await remembered(shire, key) == before
    # No number is used up: what was rehearsed is asked for, and made.
    bundle = await reshared(shire, key, parties=NEW, threshold=3)
    assert bundle.key.facts.epoch == 1


async def test_each_answer_is_the_partys_own(shire: World) -> None:
    key = await make(shire, CURVE)
    found = await rehearsed(shire, key)
    for name, answer in found.answers.items():
        digest = sign_request(found.request, shire.client).digest
        answer.verify(shire.identities[name].public, request_digest=digest)
        assert [(each.deals, each.receives) for each in answer.roles] == [
            (True, True),
            (False, True),
        ]


async def test_the_same_bytes_again_bring_the_same_answer(shire: World) -> None:
    key = await make(shire, CURVE)
    request = await submitted(shire, key)
    signed = sign_request(request, shire.client)
    await shire.submit(signed)  # before anybody has answered
    await shire.run(doubled=0.3)
    await shire.submit(signed)
    told = [each for each in shire.results() if each.request_id == request.request_id]
    assert len(told) >= 2
    assert all(each == told[0] for each in told)
    other = sign_request(request.model_copy(update={"salt": "other"}), shire.client)
    await shire.submit(other)
    last = shire.results()[-1]
    assert last.failure is not None
    assert last.failure.code is FailureCode.CONFLICT


###
### Not ready
###


async def test_who_is_away_is_silent_and_the_others_are_heard(shire: World) -> None:
    """Whatever the presence list says: it was alive a moment ago."""
    key = await make(shire, CURVE)
    request = await submitted(shire, key, parties=NEW, threshold=3)
    await shire.run(dropped=lambda message: message.routing_key == "party-4")
    assert [each for each in shire.results() if each.request_id == request.request_id] == []
    (session_id,) = {bytes.fromhex(each.headers["session_id"]) for each in asked(shire)}
    session = await shire.coordinator_store.session(session_id)
    assert session is not None
    assert session.deadline <= shire.clock() + PATIENCE_MS
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    found = read(shire, key, request)
    assert found.silent == ["party-4"]
    assert found.lacking == "party-4 would not take a share"
    assert found.dealers == OLD


def asked(shire: World) -> list[Outgoing]:
    return sent(shire, "rehearsal_asked")


async def test_who_lost_its_share_says_so_and_would_receive_one(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, CURVE)

    async def lost(*_: object) -> None:
        return None

    monkeypatch.setattr(shire.party_stores["party-2"], "key_share", lost)
    found = await rehearsed(shire, key)
    assert found.ready
    assert found.dealers == ["party-1", "party-3"]
    assert found.receivers == OLD
    (name, (code, why)), *others = found.refusals.items()
    assert (name, code, others) == ("party-2", "party_refused", [])
    assert "we hold no usable share" in why


async def test_a_party_that_promised_to_deal_nothing_says_for_how_long(shire: World) -> None:
    key = await make(shire, CURVE)
    signing = shire.sign_request(key_id=key.facts.key_id)
    cancel = wish(
        shire,
        "cancel",
        target=signing.request_id,
        target_issued_at=signing.issued_at,
        key_session=key.facts.session_id,
    )
    await shire.submit(cancel)
    await shire.run()
    found = await rehearsed(shire, key)
    assert found.dealers == []
    assert {code for code, _ in found.refusals.values()} == {"party_refused"}
    assert all("ask again in eleven minutes" in why for _, why in found.refusals.values())
    request = await ask(shire, key)
    await shire.run()
    assert "ask again in eleven minutes" in failed(shire, request)[1]


async def test_a_number_that_was_begun_is_refused_by_those_who_began_it(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator has forgotten it; the parties have not."""
    key = await make(shire, CURVE)
    await ask(shire, key)
    await shire.run(dropped=lambda message: message.kind == "reshare/3")

    async def nothing(_: bytes) -> list[KeyEpoch]:
        return []

    monkeypatch.setattr(shire.coordinator_store, "key_epochs", nothing)
    monkeypatch.setattr(shire.coordinator_store, "reshare_under_way", nothing)
    await requests_expire(shire)
    found = await rehearsed(shire, key)
    refused = [why for _, why in found.refusals.values()]
    assert refused
    assert all("is not above 1, the highest" in why for why in refused)
    assert not found.ready
    assert (await rehearsed(shire, key, first_epoch=2)).ready


async def test_a_party_that_is_banned_is_given_nothing(shire: World) -> None:
    key = await make(shire, CURVE)
    ban = BanRecord(party_id="party-5", session_id=bytes(32), check="mac", at=1)
    await bans(shire, "party-1", ban)
    found = await rehearsed(shire, key, parties=["party-2", "party-3", "party-5"])
    assert "party-1" not in found.dealers
    assert "party-5, which failed a check" in found.refusals["party-1"][1]
    assert found.ready  # the others deal


async def bans(shire: World, name: str, ban: BanRecord) -> None:
    change = PartyChange(
        session_id=bytes([7]) * 32,
        expected_version=0,
        protocol="presign",
        key_session=None,
        status="failed",
        deadline=1,
        state=b"",
        cause="x",
        bans=(ban,),
        at=1,
    )
    await shire.party_stores[name].commit(change)


async def test_whom_the_partys_own_policy_does_not_let_is_refused_there(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, CURVE)
    party = shire.parties["party-3"]
    nobody: tuple[Any, ...] = ()
    monkeypatch.setattr(party.epochs, "_owners", lambda _: nobody)
    found = await rehearsed(shire, key)
    assert found.receivers == ["party-1", "party-2"]
    assert "somebody else than the key's owner" in found.refusals["party-3"][1]


async def test_a_party_that_another_one_does_not_know_is_refused_by_that_one(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, CURVE)
    party = shire.parties["party-1"]
    peers = {name: each for name, each in party._party.peers.items() if name != "party-4"}
    for own in (party._party, party.epochs._party):
        object.__setattr__(own, "peers", peers)
    found = await rehearsed(shire, key, parties=NEW)
    assert "party party-4 is not in our configuration" in found.refusals["party-1"][1]


async def test_of_a_key_that_has_gone_on_nobody_is_asked(shire: World) -> None:
    key = await make(shire, CURVE)
    strange = await submitted(shire, key, parties=["party-1", "party-9"])
    assert "there is no party party-9" in failed(shire, strange)[1]
    await reshared(shire, key)
    for seconds in (SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
    request = await submitted(shire, key)
    await shire.run()
    code, message = failed(shire, request)
    assert code is FailureCode.STALE_EPOCH
    assert "epoch 1 of key" in message
    assert asked(shire) == []
    unknown = await submitted(shire, key, key_id="nothing")
    assert failed(shire, unknown)[0] is FailureCode.UNKNOWN_KEY


async def test_while_another_request_has_new_shares_made_a_reshare_would_have_to_wait(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, CURVE)
    before = await submitted(shire, key)
    await ask(shire, key, dealers=OLD[:2])
    during = await submitted(shire, key)
    code, message = failed(shire, during)
    assert code is FailureCode.KEY_BUSY
    assert "is under way: ask again when it is over" in message
    assert len({each.headers["session_id"] for each in asked(shire)}) == 1
    await shire.run(dropped=lambda each: each.kind == "reshare/5")
    # What it was asked before is not answered by what came meanwhile.
    assert read(shire, key, before).request == before

    async def forgotten(_: bytes) -> bool:
        return False

    # The parties know by themselves. Of a number that nobody has begun, they say why.
    monkeypatch.setattr(shire.coordinator_store, "reshare_under_way", forgotten)
    found = await rehearsed(shire, key, first_epoch=2)
    assert {code for code, _ in found.refusals.values()} == {"key_busy"}
    assert [*found.refusals] == OLD
    assert not found.ready
    await requests_expire(shire)
    assert (await rehearsed(shire, key, first_epoch=2)).ready


###
### A coordinator that is not to be believed
###


async def test_nobody_can_make_a_reshare_of_a_rehearsal(shire: World) -> None:
    """The owner has signed the wish, but not that it be done."""
    key = await make(shire, CURVE)
    request = await submitted(shire, key)
    for message in asked(shire):
        told = sessions.RehearsalAsked.model_validate_json(message.body)
        created = sessions.ReshareCreated(
            session_id=told.terms[0].session_id(),
            issued_at=told.issued_at,
            terms=told.terms[0],
            predecessor=told.predecessor,
            request=told.request,
            request_signature=told.request_signature,
            time_left_ms=10_000,
        )
        shire.network.waiting.append(instruction(created, message.routing_key, created.session_id))
    await shire.run()
    joined = {each.headers["session_id"] for each in sent(shire, "party_joined")}
    assert joined == {key.facts.session_id.hex()}
    for store in shire.party_stores.values():
        assert await store.epochs(key.facts.session_id) == []
    assert request.operation == "rehearse"


async def test_nobody_can_make_a_rehearsal_of_a_reshare(shire: World) -> None:
    key = await make(shire, CURVE)
    await submitted(shire, key)
    (message, *_) = asked(shire)
    shire.network.waiting = []
    told = sessions.RehearsalAsked.model_validate_json(message.body)
    body = shire.reshare_request(key.facts).model_dump_json().encode()
    signed = SignedRequest(
        request=shire.reshare_request(key.facts),
        body=body,
        signature=shire.client.sign(REQUEST_TAG, body),
    )
    digest = signed.digest
    terms = [each.model_copy(update={"request_digest": digest}) for each in told.terms]
    asking = told.model_copy(
        update={
            "session_id": sessions.rehearsal_session_id(digest),
            "terms": terms,
            "request": body,
            "request_signature": signed.signature,
        }
    )
    before = len(sent(shire, "rehearsal_answered"))
    await shire.deliver(instruction(asking, message.routing_key, asking.session_id))
    (answer,) = sent(shire, "rehearsal_answered")[before:]
    assert b"not a reshare request" in answer.body


async def test_an_answer_to_a_session_of_another_name_is_not_given(shire: World) -> None:
    key = await make(shire, CURVE)
    await submitted(shire, key)
    (message, *_) = asked(shire)
    shire.network.waiting = []
    told = sessions.RehearsalAsked.model_validate_json(message.body)
    other = told.model_copy(update={"session_id": bytes(32)})
    await shire.deliver(instruction(other, message.routing_key, other.session_id))
    for wrong in (
        [each.model_copy(update={"request_digest": bytes(32)}) for each in told.terms],
        [each.model_copy(update={"members": each.members[1:]}) for each in told.terms],
    ):
        changed = told.model_copy(update={"terms": wrong})
        await shire.deliver(instruction(changed, message.routing_key, told.session_id))
    foreign = next(each for each in shire.identities if each not in OLD)
    await shire.deliver(instruction(told, foreign, told.session_id))
    reasons = [reason for _, reason in shire.dead]
    assert reasons == [
        "the session id is not the one that the rehearsal gives",
        "the terms name another request than the one sent along",
        "we would have no part in it: nothing is to be answered",
        "we would have no part in it: nothing is to be answered",
    ]
    assert sent(shire, "rehearsal_answered") == []
