"""A coordinator that gets several epochs out of one request, by telling nobody of the first.

The further tries of a request are not in each other's way, or whoever is silent in the last round
would keep its key from new shares. So there can be as many epochs of it as it has tries. All have
the same holders and threshold, for these are the request's, and the highest wins: what an owner
counts by one of them holds for the others, too (decision 66).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import epochs, sessions
from contracts.client.histories import successions
from contracts.keys import CertifiedKey, EpochBundle
from contracts.requests import ReshareRequest
from contracts.results import Status
from contracts.retirements import Retirement
from contracts.signing import sign_request
from contracts.views import EpochView
from tests.workers.ecdsa import only_result, sent
from tests.workers.reshares import (
    MESSAGE,
    ask,
    asked_by,
    bundle_of,
    make,
    pass_,
    requests_expire,
    shares,
)
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive, session_of
from workers.session.coordinator import resharing
from workers.session.epochs import ENDS_S, SIGNS_ON_S, SWITCH_S
from workers.store.records import Outgoing

from .test_reshare_attacks import payload

pytestmark = pytest.mark.long

HOLDERS = ["party-1", "party-2", "party-3", "party-4"]
ONES, OTHERS = HOLDERS[:2], HOLDERS[2:]
"""Whom the one epoch is shown, and the other: each enough to sign."""


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=4) as made:
        yield made


def kept_from_others(message: Outgoing) -> bool:
    return message.kind == "epoch_certified"


async def both(shire: World, key: CertifiedKey) -> tuple[EpochBundle, EpochBundle]:
    """One request's, proven to nobody yet."""
    request = await ask(shire, key, tries=2, parties=HOLDERS)
    for _ in range(2):
        await shire.run(dropped=kept_from_others)
        session_id = await session_of(shire, request)
        await shire.outlive(session_id)
        await everyone_is_alive(shire)
        await shire.reports.expire(session_id)
    told = {
        report.key.facts.epoch: report
        for report in (
            sessions.EpochCertified.model_validate_json(payload(each))
            for each in sent(shire, "epoch_certified")
        )
    }
    assert sorted(told) == [1, 2]
    return bundled(shire, request, key, told[1]), bundled(shire, request, key, told[2])


def bundled(
    shire: World, request: ReshareRequest, key: CertifiedKey, told: sessions.EpochCertified
) -> EpochBundle:
    asked = sign_request(request, shire.client)
    return EpochBundle(
        request=asked.body,
        request_signature=asked.signature,
        predecessor=key,
        key=told.key,
        possessions=told.possessions,
        dealt=told.dealt,
    )


async def show(shire: World, bundle: EpochBundle, *parties: str) -> None:
    for message in resharing.proof(bundle, parties, now=shire.clock()):
        await shire.deliver(message)
    await shire.run(dropped=lambda each: each.kind == "epoch_proven")


async def over(shire: World) -> None:
    for seconds in (SWITCH_S, SIGNS_ON_S - SWITCH_S, ENDS_S):
        await pass_(shire, seconds)


async def words(shire: World, key: CertifiedKey) -> list[Retirement]:
    """What each party says of lower epochs, if it does."""
    kept = [await store.retirement(key.facts.session_id) for store in shire.party_stores.values()]
    return [Retirement.model_validate_json(each) for each in kept if each is not None]


async def test_they_are_the_same_holders_with_the_same_threshold_and_the_highest_wins(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(shire, "ed25519", HOLDERS)
    first, second = await both(shire, key)
    pinned = {name: each.public for name, each in shire.identities.items()}
    for bundle in (first, second):
        epochs.check(bundle, key.facts, pinned=pinned, owners=[shire.client.public])
        assert [each.party_id for each in bundle.key.facts.holders] == HOLDERS
        assert bundle.key.facts.threshold == key.facts.threshold == 2
    await show(shire, first, *ONES)
    await show(shire, second, *OTHERS)
    await over(shire)
    # Who follows the first has its share of the second, too.
    assert await shares(shire, key) == {
        **{name: {1: True, 2: False} for name in ONES},
        **{name: {2: True} for name in OTHERS},
    }
    # Nothing is signed with shares of both.
    mixed = [ONES[0], OTHERS[0]]
    with monkeypatch.context() as patched:
        assert not await signs(shire, patched, first, mixed)
    # Once both have seen both, there is one.
    await show(shire, first, *OTHERS)
    await show(shire, second, *ONES)
    await over(shire)
    assert await shares(shire, key) == {name: {2: True} for name in HOLDERS}
    with monkeypatch.context() as patched:
        assert await signs(shire, patched, second, mixed)


async def test_an_owner_that_knows_one_counts_for_both(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the shares made anew from the first, for those who were shown that. The others still
    sign by the second, and the owner sees that they have not deleted what they have."""
    key = await make(shire, "ed25519", HOLDERS)
    first, second = await both(shire, key)
    await show(shire, first, *ONES)
    await show(shire, second, *OTHERS)
    await over(shire)
    before = await words(shire, key)
    for store in shire.party_stores.values():
        named = {each.epoch for each in await store.signing_epochs(key.facts.session_id)}
        # So no cancel is final for a client that does not know both.
        assert named == {1, 2}
    third = await from_the_first(shire, first)
    await show(shire, third, *ONES)
    await over(shire)
    # Of the second, too, nothing is left where it was said of all below the third.
    assert await shares(shire, key) == {
        **{name: {3: True} for name in ONES},
        **{name: {2: True} for name in OTHERS},
    }
    with monkeypatch.context() as patched:
        assert await signs(shire, patched, second, OTHERS)

    async def told() -> tuple[list[str], list[str]]:
        views = [
            EpochView(facts=third.key.facts, retirements=await words(shire, key)),
            EpochView(facts=first.key.facts, retirements=before),
            EpochView(facts=key.facts),
        ]
        pinned = {name: each.public for name, each in shire.identities.items()}
        newest, older = successions(views, pinned)
        assert (newest.deleters, len(before)) == (3, 4)
        return newest.still_to_delete, older.still_to_delete

    assert await told() == (OTHERS, [])
    await show(shire, third, *OTHERS)
    await over(shire)
    assert await shares(shire, key) == {name: {3: True} for name in ONES}
    assert await told() == ([], [])
    with monkeypatch.context() as patched:
        assert not await signs(shire, patched, second, OTHERS)


async def from_the_first(shire: World, first: EpochBundle) -> EpochBundle:
    """Later, by a coordinator that knows of no second one, for half of the holders."""
    await requests_expire(shire)
    store: Any = shire.coordinator_store
    await store._database.execute(
        "UPDATE keys SET epoch = 1, certified = $1 WHERE key_session = $2",
        first.key.model_dump_json(),
        first.key.facts.session_id,
    )
    request = await ask(shire, first.key, parties=ONES, dealers=ONES, first_epoch=3)
    await shire.run(dropped=lambda each: each.kind == "epoch_proven")
    return bundle_of(shire, request)


async def signs(
    shire: World, patched: pytest.MonkeyPatch, bundle: EpochBundle, signers: list[str]
) -> bool:
    asked_by(patched, bundle.key.facts)
    key_id = bundle.key.facts.key_id
    request = shire.sign_request(key_id=key_id, message=MESSAGE, signers=signers)
    await shire.ask(request)
    await shire.run()
    return only_result(shire, request).status is Status.COMPLETED
