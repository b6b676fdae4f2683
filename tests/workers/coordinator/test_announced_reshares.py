"""Reshares that are announced: one session for their owner, whatever tries there are; waited for,
joined and cancelled like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts import checks
from contracts.client.settlement import Group, settle
from contracts.failures import FailureCode
from contracts.primitives import Owner
from contracts.results import CancelResult, ReshareResult, SessionAnnounced, Status
from contracts.terms import ReshareTerms
from tests.workers.callers import announced, answer, join, view, wish
from tests.workers.ecdsa import sent
from tests.workers.reshares import NEW, OLD, ask, bundle_of, make, shares, sign
from tests.workers.simulate import CLIENT, World, world
from tests.workers.tries import everyone_is_alive, session_of

pytestmark = pytest.mark.long


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made
        assert made.dead == []


def terms(told: SessionAnnounced) -> ReshareTerms:
    assert isinstance(told.terms, ReshareTerms)
    return told.terms


async def test_all_tries_go_by_the_session_that_was_announced(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, tries=2, parties=["party-3", "party-4"], announce=True)
    told = announced(shire, request)
    assert told.session_id == terms(told).session_id()
    assert set(told.join_tokens) == set(told.parties)
    dealers = [each.party_id for each in terms(told).members if each.deals_as is not None]
    assert (await view(shire, target=request.request_id)).events[0].details == {
        "parties": told.parties,
        "from_epoch": 0,
        "epoch": 1,
        "dealers": dealers,
    }
    dealer, *_ = dealers
    await shire.run(dropped=lambda message: message.routing_key == dealer)
    await shire.outlive(told.session_id)
    await everyone_is_alive(shire)
    await shire.reports.expire(told.session_id)
    seen = await view(shire, session_id=told.session_id)
    assert seen.session_id == told.session_id
    assert not seen.status.final
    assert (seen.party_count, seen.threshold) == (2, 2)
    details = seen.events[0].details
    assert (details["from_epoch"], details["epoch"], details["try"]) == (0, 2, 2)
    assert await session_of(shire, request) != told.session_id
    await shire.run()
    result = answer(shire, request, ReshareResult)
    assert result.session_id == told.session_id
    made = bundle_of(shire, request)
    assert made.key.facts.epoch == 2
    assert made.key.facts.reshared is not None
    assert made.key.facts.reshared.session_id != told.session_id
    checks.made_epoch(request, result)


async def test_it_waits_for_its_callers(shire: World) -> None:
    key = await make(shire)
    request = await ask(shire, key, parties=NEW, announce=True, join_window_ms=1000)
    told = announced(shire, request)
    for party_id in told.parties:
        assert sent(shire, "reshare_created") == []
        await join(shire, told, party_id)
    assert len(sent(shire, "reshare_created")) == len(told.parties)
    await shire.run()
    assert bundle_of(shire, request).key.facts.epoch == 1


@pytest.mark.parametrize("window_ms", [1000, None])
async def test_one_that_is_cancelled_under_way_is_proven_to_come_to_nothing(
    shire: World, window_ms: int | None
) -> None:
    key = await make(shire)
    request = await ask(shire, key, parties=NEW, announce=True, join_window_ms=window_ms)
    told = announced(shire, request)
    cancel = wish(shire, "cancel", target=request.request_id)
    await shire.submit(cancel)
    await shire.run()
    pinned = {name: identity.public for name, identity in shire.identities.items()}
    settlement = settle(
        answer(shire, cancel.request, CancelResult),
        Group.of_new_key(request, pinned),
        Owner(client_id=CLIENT, tenant=None),
        issued_at=request.issued_at,
    )
    assert (settlement.final, settlement.liars_tolerated) == (True, len(NEW) - 1)
    failure = answer(shire, request, ReshareResult).failure
    assert failure is not None
    assert failure.code is FailureCode.CANCELLED
    assert (await view(shire, session_id=told.session_id)).status is Status.CANCELLED
    assert await shares(shire, key) == {name: {0: True} for name in OLD}
    await sign(shire, key, "bip340")
