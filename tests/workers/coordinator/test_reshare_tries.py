"""Tries of a reshare: other dealers, numbers that are used up, and reports that lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import ReshareRequest
from contracts.signing import sign_request
from tests.workers.ecdsa import forged, only_result, sender, sent
from tests.workers.reshares import (
    OLD,
    ask,
    bundle_of,
    epoch_of,
    failed,
    make,
    of_round,
    pass_,
    requests_expire,
    shares,
    sign,
)
from tests.workers.simulate import World, world
from tests.workers.tries import conduct_of, everyone_is_alive, history, session_of
from workers.coordinator.reshares import SHORTEST_TRY_MS
from workers.session.epochs import SWITCH_S
from workers.store.records import Outgoing
from workers.store.shared import key_epochs

pytestmark = pytest.mark.long


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made
        assert made.dead == []


###
### Tries
###


async def test_numbers_that_were_used_are_passed_over(shire: World) -> None:
    key = await make(shire)
    first = await ask(shire, key)
    (session,) = {each.headers["session_id"] for each in sent(shire, "reshare_created")}
    await shire.run(dropped=lambda message: message.routing_key == "party-1")
    await _try_is_over(shire, bytes.fromhex(session))
    await shire.run()
    assert failed(shire, first)[0] is FailureCode.EXPIRED
    second = await ask(shire, key)
    await shire.run()
    assert failed(shire, second) == (
        FailureCode.INVALID_REQUEST,
        f"epochs of key {key.facts.key_id} were begun up to 1: first_epoch must be later",
    )
    third = await ask(shire, key, tries=3)
    await shire.run()
    assert bundle_of(shire, third).key.facts.epoch == 2
    await pass_(shire, SWITCH_S)
    assert epoch_of(shire, await sign(shire, key, "bip340")) == 2


@pytest.mark.parametrize("changes", [{}, {"first_epoch": 5}, {"parties": OLD[:2]}])
async def test_of_two_requests_from_one_epoch_the_second_is_told_to_wait(
    shire: World, changes: dict[str, Any]
) -> None:
    """Of both epochs could be made, each by its own dealers, and one of them would be in vain."""
    key = await make(shire)
    first = await ask(shire, key)
    second = await ask(shire, key, **changes)
    result = only_result(shire, second)
    assert result.failure is not None
    assert (result.failure.code, result.failure.retryable) == (FailureCode.KEY_BUSY, True)
    assert "is under way: ask again when it is over" in result.failure.message
    await shire.run()
    bundle = bundle_of(shire, first)
    assert [
        each.epoch for each in await shire.coordinator_store.key_epochs(bundle.key.facts.session_id)
    ] == [1]
    # Afterwards it is one from an epoch that signs no more, and then one like any other.
    late = await ask(shire, key, **changes)
    assert failed(shire, late)[0] is FailureCode.STALE_EPOCH
    again = await ask(shire, bundle.key, parties=OLD[:2])
    await shire.run()
    assert bundle_of(shire, again).key.facts.epoch == 2


async def coordinated_by_another(
    shire: World, monkeypatch: pytest.MonkeyPatch, key: CertifiedKey, **changes: Any
) -> ReshareRequest:
    """A coordinator that begins what it is asked for, whatever is under way."""

    async def nothing(*_: object) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(type(shire.coordinator_store), "reshare_under_way", nothing)
        begin = key_epochs.BEGIN.replace("OR NOT EXISTS", "OR true OR NOT EXISTS")
        assert begin != key_epochs.BEGIN
        patch.setattr(key_epochs, "BEGIN", begin)
        return await ask(shire, key, **changes)


@pytest.mark.parametrize("word", [False, True])
async def test_parties_deal_for_no_second_request_while_the_first_may_still_be_done(
    shire: World, monkeypatch: pytest.MonkeyPatch, word: bool
) -> None:
    """Whatever a coordinator has begun. Who has given its word holds to it until nobody can give
    one for it any more, though the session has failed."""
    key = await make(shire)
    first = await ask(shire, key, dealers=OLD[:2])
    if word:
        await shire.run(dropped=of_round(5))
    else:
        await shire.run(dropped=of_round(2))
    second = await coordinated_by_another(
        shire, monkeypatch, key, dealers=OLD[:2], first_epoch=4, parties=["party-4", "party-5"]
    )
    await shire.run()
    code, text = failed(shire, second)
    assert code is FailureCode.KEY_BUSY
    assert "may still be done: ask again when it is over" in text
    assert (await shares(shire, key)).keys() == {*OLD}
    await _try_is_over(shire, await session_of(shire, first))
    await shire.run()
    third = await ask(shire, key, dealers=OLD[:2], first_epoch=5, parties=["party-4", "party-5"])
    await shire.run()
    if word:
        assert failed(shire, third)[0] is FailureCode.KEY_BUSY
        await requests_expire(shire)
        third = await ask(shire, key, first_epoch=6, parties=["party-4", "party-5"])
        await shire.run()
    assert [each.party_id for each in bundle_of(shire, third).key.facts.holders] == third.parties


async def test_a_dealer_that_is_silent_is_left_out_of_the_next_try(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, tries=3, parties=["party-3", "party-4"])
    (first,) = {each.headers["session_id"] for each in sent(shire, "reshare_created")}
    conduct = await conduct_of(shire, bytes.fromhex(first))
    silent = next(
        each.party_id
        for each in conduct.terms.members
        if each.party_id in OLD and each.party_id != "party-3"
    )
    await shire.run(dropped=lambda message: message.routing_key == silent)
    await _try_is_over(shire, bytes.fromhex(first))
    await shire.run()
    bundle = bundle_of(shire, request)
    assert bundle.key.facts.epoch == 2
    assert bundle.key.facts.reshared is not None
    assert silent not in bundle.key.facts.reshared.dealers
    (_, about), *_ = await history(shire, bundle.key.facts.reshared.session_id)
    assert about["try"] == 2
    assert f"nothing was heard of {silent}" in about["after"]


async def test_no_more_tries_than_were_asked_for(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, tries=2)
    for number in (1, 2):
        (last, *_) = reversed(
            [each.headers["session_id"] for each in sent(shire, "reshare_created")]
        )
        await shire.run(dropped=lambda message: message.routing_key == "party-1")
        assert len(await shire.coordinator_store.key_epochs(key.facts.session_id)) == number
        await _try_is_over(shire, bytes.fromhex(last))
    assert failed(shire, request)[0] is FailureCode.EXPIRED
    await shire.run()
    assert await shares(shire, key) == {name: {0: True} for name in OLD}
    await sign(shire, key, "bip340")


async def test_where_others_took_the_numbers_the_request_ends(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one coordinator could, that began both before they were asked for one at a time."""
    key = await make(shire)
    request = await ask(shire, key, tries=2)
    (first,) = {each.headers["session_id"] for each in sent(shire, "reshare_created")}
    await shire.run(dropped=lambda message: message.routing_key == "party-1")
    await coordinated_by_another(shire, monkeypatch, key, first_epoch=2)
    await shire.run(dropped=lambda message: message.routing_key == "party-1")
    await _try_is_over(shire, bytes.fromhex(first))
    await shire.run()
    code, text = failed(shire, request)
    assert code is FailureCode.PARTY_REFUSED
    assert "epoch 3 is none that was asked for" in text


async def _try_is_over(shire: World, session_id: bytes) -> None:
    await shire.outlive(session_id)
    await everyone_is_alive(shire)
    await shire.reports.expire(session_id)


async def test_each_try_has_time_to_be_made(shire: World) -> None:
    """However many are asked for, and the last at the cost of those that do not come to it."""
    key = await make(shire)
    for lifetime_ms, try_ms in ((60_000, 12_000), (10_000, SHORTEST_TRY_MS)):
        await everyone_is_alive(shire)
        expires_at = shire.clock() + lifetime_ms
        request = await ask(shire, key, tries=5, expires_at=expires_at)
        await shire.run()
        conduct = await conduct_of(shire, await session_of(shire, request))
        assert conduct.try_ms is not None
        assert try_ms - 1_000 <= conduct.try_ms <= try_ms
        key = bundle_of(shire, request).key


###
### Lies
###


async def test_a_report_that_proves_nothing_ends_nothing(shire: World) -> None:
    key = await make(shire)
    other = await make(shire)
    request = await ask(shire, key)
    spoilt: list[str] = []

    def lie(message: Outgoing) -> bool:
        if message.kind != "epoch_certified" or spoilt:
            return False
        spoilt.append(sender(message))
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        report = sessions.EpochCertified.model_validate_json(claimed.payload)
        wrong = report.model_copy(update={"key": other})
        payload = wrong.model_dump_json().encode()
        shire.network.waiting.insert(0, forged(shire, message, payload=payload))
        return True

    await shire.run(dropped=lie)
    assert spoilt
    assert bundle_of(shire, request).key.facts.epoch == 1


async def test_where_all_reports_prove_nothing_it_fails_and_the_key_signs(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, dealers=OLD[:2])

    def lie(message: Outgoing) -> bool:
        if message.kind != "epoch_certified" or message.message_id == "forged":
            return False
        claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
        report = sessions.EpochCertified.model_validate_json(claimed.payload)
        payload = report.model_copy(update={"dealt": {}}).model_dump_json().encode()
        shire.network.waiting.append(forged(shire, message, payload=payload))
        return True

    await shire.run(dropped=lie)
    code, text = failed(shire, request)
    assert code is FailureCode.PARTY_FAULT
    assert "2 dealers have to deal, and each to sign" in text
    assert {0: True}.items() <= (await shares(shire, key))["party-1"].items()
    await sign(shire, key, "bip340")


async def test_nobody_moves_on_for_a_bundle_that_its_owner_did_not_ask_for(shire: World) -> None:
    """The coordinator's word makes nothing true."""
    key = await make(shire)
    request = await ask(shire, key)
    await shire.run(dropped=lambda message: message.kind == "epoch_proven")
    bundle, before = bundle_of(shire, request), await shares(shire, key)
    forged_request = shire.reshare_request(key.facts, signer=shire.coordinator.public.der)
    asked = sign_request(forged_request, shire.coordinator)
    spoilt = bundle.model_copy(update={"request": asked.body, "request_signature": asked.signature})
    for name in OLD:
        with pytest.raises(ContractError, match="somebody else than the key's owner"):
            await shire.parties[name].epochs.proven(spoilt)
    assert await shares(shire, key) == before == {name: {0: True, 1: False} for name in OLD}
    for name in OLD:
        assert await shire.parties[name].epochs.proven(bundle)
