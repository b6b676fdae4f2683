"""A key gets other shares: asked for, made, gone over to, and what comes in between."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.admission import ClientPolicy, open_request
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import UnauthenticatedError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import QuerySessionRequest, ReshareRequest
from contracts.results import (
    QuerySessionResult,
    ReshareResult,
    Status,
)
from contracts.signing import sign_request
from contracts.verification import check_key
from tests.workers.ecdsa import AHEAD, forged, look, only_result, pools_of, sender, sent
from tests.workers.reshares import (
    MESSAGE,
    NEW,
    OLD,
    ask,
    bundle_of,
    epoch_of,
    failed,
    make,
    pass_,
    reshared,
    shares,
    sign,
    signed,
)
from tests.workers.simulate import CLIENT, World, world
from tests.workers.tries import everyone_is_alive, session_of
from workers.coordinator.requests import RequestConsumer
from workers.session.coordinator import resharing
from workers.session.epochs import ENDS_S, SIGNS_ON_S, SWITCH_S, check_bundle
from workers.session.protocols import RESHARE
from workers.store.records import Outgoing

pytestmark = pytest.mark.long

SCHEMES = {"ed25519": ["ed25519"], "secp256k1": ["bip340", "ecdsa"]}


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made
        assert made.dead == []


###
### The way
###


@pytest.mark.parametrize("curve", SCHEMES)
async def test_a_key_is_refreshed_and_signs_all_the_time(shire: World, curve: str) -> None:
    key = await make(shire, curve)
    bundle = await reshared(shire, key)
    pinned = {name: each.public for name, each in shire.identities.items()}
    check_bundle(bundle, key.facts, pinned=pinned, owners=[shire.client.public])
    assert bundle.key.facts.public_key == key.facts.public_key
    assert bundle.key.facts.epoch == 1
    assert await shares(shire, key) == {name: {0: True, 1: True} for name in OLD}
    for seconds, epoch in ((0, 0), (SWITCH_S - 1, 0), (1, 1), (SIGNS_ON_S - SWITCH_S, 1)):
        await pass_(shire, seconds)
        for scheme in SCHEMES[curve]:
            assert epoch_of(shire, await sign(shire, key, scheme)) == epoch
    assert await shares(shire, key) == {name: {0: False, 1: True} for name in OLD}
    await pass_(shire, ENDS_S)
    assert await shares(shire, key) == {name: {1: True} for name in OLD}
    for scheme in SCHEMES[curve]:
        assert epoch_of(shire, await sign(shire, key, scheme)) == 1


async def test_others_take_over_and_sign_with_another_threshold(shire: World) -> None:
    key = await make(shire)
    bundle = await reshared(shire, key, parties=NEW, threshold=3)
    assert [holder.party_id for holder in bundle.key.facts.holders] == NEW
    for seconds in (SWITCH_S, SIGNS_ON_S - SWITCH_S, ENDS_S):
        await pass_(shire, seconds)
        for scheme in SCHEMES["secp256k1"]:
            result = await sign(shire, key, scheme)
            assert len(result.signers) == 3
            assert set(result.signers) <= set(NEW)
    assert await shares(shire, key) == {name: {1: True} for name in NEW}


async def test_one_reshare_follows_another_at_once(shire: World) -> None:
    key = await make(shire)
    first = await reshared(shire, key, parties=NEW, threshold=3)
    second = await reshared(shire, first.key, parties=OLD, threshold=2)
    assert second.key.facts.epoch == 2
    for seconds in (0, SWITCH_S, SIGNS_ON_S, ENDS_S, SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
        await sign(shire, key, "bip340")
    assert await shares(shire, key) == {name: {2: True} for name in OLD}


async def test_a_share_that_is_lost_is_made_again(shire: World) -> None:
    """By those who have theirs: who has lost it stands among the receivers only."""
    key = await make(shire)
    store: Any = shire.party_stores["party-2"]
    await store._database.execute("DELETE FROM key_shares")
    bundle = await reshared(shire, key, dealers=["party-1", "party-3"])
    assert await shares(shire, key) == {
        "party-1": {0: True, 1: True},
        "party-2": {1: True},
        "party-3": {0: True, 1: True},
    }
    await pass_(shire, SWITCH_S)
    request = shire.sign_request(
        key_id=key.facts.key_id, scheme="bip340", message=MESSAGE, signers=["party-1", "party-2"]
    )
    await shire.ask(request)
    await shire.run()
    assert signed(shire, request).signers == ["party-1", "party-2"]
    assert bundle.key.facts.epoch == 1


async def test_the_same_request_again_is_answered_with_the_same_result(shire: World) -> None:
    key = await make(shire)
    await everyone_is_alive(shire)
    asked = await shire.ask(shire.reshare_request(key.facts))
    await shire.submit(asked)
    await shire.run()
    await shire.submit(asked)
    await shire.run()
    assert isinstance(asked.request, ReshareRequest)
    assert bundle_of(shire, asked.request).key.facts.epoch == 1  # `only_result` compares the bytes
    begun = await shire.coordinator_store.key_epochs(key.facts.session_id)
    assert [each.epoch for each in begun] == [1]


async def test_its_owner_can_look_at_thesession_of(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, parties=NEW, threshold=3)
    await shire.run()
    fields = {"target": request.request_id}
    query: Any = shire._request("query_session", {"operation": "query_session"} | fields)
    del query["key_id"]
    looked = QuerySessionRequest.model_validate(query, strict=False)
    await shire.ask(looked)
    found = only_result(shire, looked)
    assert isinstance(found, QuerySessionResult)
    assert found.session is not None
    assert (found.session.operation, found.session.status) == ("reshare", Status.COMPLETED)
    assert (found.session.threshold, found.session.party_count) == (3, 4)
    assert isinstance(found.outcome, ReshareResult)
    assert found.outcome.bundle == bundle_of(shire, request)
    events = [event.event for event in found.session.events]
    assert events[0] == "session_created"
    assert events[-1] == "completed"


###
### Who is behind
###


async def test_a_party_that_was_not_told_is_told_when_it_is_asked(shire: World) -> None:
    key = await make(shire, "ed25519")

    def to_one(message: Outgoing) -> bool:
        return message.kind == "epoch_proven" and message.routing_key == "party-2"

    request = await ask(shire, key)
    await shire.run(dropped=to_one)
    bundle_of(shire, request)
    assert (await shares(shire, key))["party-2"] == {0: True, 1: False}
    await pass_(shire, SWITCH_S)
    asked = shire.sign_request(
        key_id=key.facts.key_id, message=MESSAGE, signers=["party-1", "party-2"]
    )
    await shire.ask(asked)
    await shire.run()
    assert epoch_of(shire, signed(shire, asked)) == 1
    assert (await shares(shire, key))["party-2"] == {0: True, 1: True}
    events = await shire.coordinator_store.events(await session_of(shire, asked))
    assert '"try": 2' in events[0].details


async def test_a_party_that_missed_several_epochs_is_shown_them_when_it_shall_come_back(
    shire: World,
) -> None:
    """By then it is no holder, so nobody asks it to sign. The newest epoch comes from one of which
    it knows nothing."""
    key = await make(shire, "ed25519")
    away, others = OLD[2], OLD[:2]
    for _ in range(3):
        request = await ask(shire, key, parties=others, dealers=others)
        await shire.run(dropped=lambda message: message.routing_key == away)
        key = bundle_of(shire, request).key
    assert (await shares(shire, key))[away] == {0: True}
    await reshared(shire, key, parties=OLD, dealers=others, tries=2)
    assert (await shares(shire, key))[away] == {0: True, 5: True}
    await pass_(shire, SWITCH_S)
    asked = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[1:])
    await shire.ask(asked)
    await shire.run()
    assert epoch_of(shire, signed(shire, asked)) == 5


@pytest.mark.parametrize("tables", [["key_shares"], ["key_shares", "epochs", "certified_names"]])
async def test_a_party_that_has_lost_its_share_is_not_behind(
    shire: World, tables: list[str]
) -> None:
    """Nothing that it could be shown would help, and what it cannot check it was not shown."""
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    for seconds in (SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
    store: Any = shire.party_stores["party-2"]
    for table in tables:
        await store._database.execute(f"DELETE FROM {table}")
    before = len(sent(shire, "epoch_proven"))
    await everyone_is_alive(shire)
    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[:2])
    await shire.ask(request)
    await shire.run()
    code, text = failed(shire, request)
    assert code is FailureCode.PARTY_REFUSED
    assert "we hold no usable share of the key" in text
    assert len(sent(shire, "epoch_proven")) == before
    assert epoch_of(shire, await sign(shire, key, "ed25519")) == 1


async def test_a_coordinator_that_is_behind_asks_again_by_the_newest_epoch(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = functools.partial(resharing.epoch_certified, switch_ms=1_000_000)
    monkeypatch.setattr(resharing, "epoch_certified", lambda *a, switch_ms, **k: late(*a, **k))
    key = await make(shire, "ed25519")
    await reshared(shire, key)
    await pass_(shire, SIGNS_ON_S)
    assert await shares(shire, key) == {name: {0: False, 1: True} for name in OLD}
    assert epoch_of(shire, await sign(shire, key, "ed25519")) == 1


def switches_late(shire: World) -> None:
    conducted: Any = shire.reports._kinds
    conducted._kinds[RESHARE.name]._switch_ms = 1_000_000


async def test_a_request_that_names_who_has_left_ends_all_the_same(shire: World) -> None:
    """It was begun by the epoch before, whose holders have gone on meanwhile."""
    switches_late(shire)
    key = await make(shire, "ed25519")
    await reshared(shire, key, parties=NEW)
    for seconds in (SIGNS_ON_S, ENDS_S):
        await pass_(shire, seconds)
    await everyone_is_alive(shire)
    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE, signers=OLD[:2])
    await shire.ask(request)
    await shire.run()
    assert failed(shire, request)[0] is FailureCode.STALE_EPOCH


async def test_an_accounts_signers_of_whom_too_few_are_left_keep_nobody_from_signing(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches_late(shire)
    key = await make(shire, "ed25519")
    await reshared(shire, key, parties=NEW)
    await pass_(shire, SIGNS_ON_S)

    async def preferred(*_: object) -> tuple[str, ...]:
        return "party-1", "party-2"

    monkeypatch.setattr(RequestConsumer, "_configured", preferred)
    made = await sign(shire, key, "ed25519")
    assert epoch_of(shire, made) == 1
    assert len(set(made.signers) & set(NEW)) == 2


async def test_a_party_that_says_so_without_reason_keeps_nobody_from_signing(shire: World) -> None:
    """Of a key that has had no other shares, too."""
    key = await make(shire, "ed25519")
    await sign(shire, key, "ed25519")
    await everyone_is_alive(shire)
    request = shire.sign_request(key_id=key.facts.key_id, message=MESSAGE)
    liars: set[str] = set()

    def lie(message: Outgoing) -> bool:
        if message.kind != "share_signed" or (liars and sender(message) not in liars):
            return False
        liars.add(sender(message))
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        failure = Failure.of(FailureCode.STALE_EPOCH, "another epoch signs here")
        payload = sessions.SessionFailed(failure=failure).model_dump_json().encode()
        shire.network.waiting.append(
            forged(shire, message, payload=payload, kind="session_failed", epoch=claimed.epoch)
        )
        return True

    await shire.ask(request)
    await shire.run(dropped=lie)
    made = signed(shire, request)
    assert len(liars) == 1
    assert liars.isdisjoint(made.signers)


###
### What is refused
###


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"key_id": "another"}, FailureCode.UNKNOWN_KEY, "you have no key 'another'"),
        ({"public_key": bytes(33)}, FailureCode.INVALID_REQUEST, "another public key"),
        ({"from_epoch": 1, "first_epoch": 2}, FailureCode.INVALID_REQUEST, "epoch 0 of key"),
        ({"parties": [*OLD, "party-9"]}, FailureCode.UNKNOWN_PARTY, "there is no party party-9"),
        ({"dealers": OLD}, FailureCode.INVALID_REQUEST, "dealers names 3 parties; exactly 2"),
        (
            {"dealers": ["party-1", "party-4"]},
            FailureCode.UNKNOWN_PARTY,
            "party-4 holds no share of key",
        ),
    ],
)
async def test_what_is_not_for_the_key_as_it_is_begins_nothing(
    shire: World, changes: dict[str, Any], code: FailureCode, reason: str
) -> None:
    key = await make(shire)
    request = await ask(shire, key, **changes)
    await shire.run()
    found, text = failed(shire, request)
    assert found is code
    assert reason in text
    assert await shire.coordinator_store.key_epochs(key.facts.session_id) == []
    assert sent(shire, "reshare_created") == []
    assert await shares(shire, key) == {name: {0: True} for name in OLD}


async def test_who_was_not_given_the_right_is_nobody(shire: World) -> None:
    """A client whose configuration names no operations may ask for all others."""
    key = await make(shire)
    asked = sign_request(shire.reshare_request(key.facts), shire.client)
    for operations, allowed in ((None, False), ({"sign"}, False), ({"reshare"}, True)):
        policy = ClientPolicy(
            identity=shire.client.public,
            client_id=CLIENT,
            operations=None if operations is None else frozenset(operations),
        )
        if allowed:
            open_request(asked.body, asked.signature, [policy])
            continue
        with pytest.raises(UnauthenticatedError, match="not authorised"):
            open_request(asked.body, asked.signature, [policy])


###
### What follows
###


async def test_presignatures_are_there_before_they_are_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path, party_count=5, pool_limits=AHEAD) as shire:
        key = await make(shire)
        await sign(shire, key, "ecdsa")
        await look(shire)
        await look(shire)  # what the first had made
        await reshared(shire, key, parties=NEW, threshold=3)
        await pass_(shire, resharing.PREPARES_S)
        await look(shire)
        stocks = {pool.name.epoch: pool.stock for pool in await pools_of(shire, key)}
        assert stocks == {0: AHEAD.high, 1: AHEAD.high}
        await pass_(shire, SWITCH_S - resharing.PREPARES_S)
        before = len(sent(shire, "presign_batch"))
        assert epoch_of(shire, await sign(shire, key, "ecdsa")) == 1
        assert len(sent(shire, "presign_batch")) == before, "it has waited for none"
        await pass_(shire, SIGNS_ON_S + ENDS_S)
        await pass_(shire, ENDS_S)
        assert {pool.name.epoch for pool in await pools_of(shire, key)} == {1}
        assert shire.dead == []


async def test_what_is_certified_is_what_a_client_can_check(shire: World) -> None:
    key = await make(shire)
    bundle = await reshared(shire, key)
    pinned = {name: each.public for name, each in shire.identities.items()}
    check_key(bundle.key, pinned=pinned, client_id=CLIENT, tenant=None)
    record = await shire.coordinator_store.key(CLIENT, key.facts.key_id)
    assert record is not None
    assert CertifiedKey.model_validate_json(record.certified) == bundle.key
