"""Sessions that wait for their callers, and begin without them when they take too long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts import addresses
from contracts.requests import KeygenRequest
from contracts.results import (
    CancelResult,
    JoinSessionResult,
    KeygenResult,
    SessionAnnounced,
    SignResult,
    Status,
)
from contracts.sessions import SessionCreated
from tests.workers.callers import (
    PARTIES,
    announced,
    announcements,
    answer,
    ask,
    instructions,
    join,
    joining,
    making,
    view,
)
from tests.workers.crew import Faults, FaultyNetwork, FaultyStore, coordinator_worker, redelivered
from tests.workers.ecdsa import AHEAD, check_success, ecdsa_request, look, make_key, stocked
from tests.workers.simulate import LIMITS, World, world
from tests.workers.tries import FROST, conduct_of, deaf, everyone_is_alive, try_time_is_over
from workers.delivery.publisher import PublishError
from workers.store.interface import StoreUnavailableError
from workers.store.records import CoordinatorChange, Outcome, Outgoing

WINDOW_MS = 1_000
GRACE_MS = int(LIMITS.grace_seconds * 1000)


async def waiting(world: World, **fields: Any) -> tuple[KeygenRequest, SessionAnnounced]:
    """A session that waits for its callers."""
    return await making(world, join_window_ms=WINDOW_MS, **fields)


async def sweep(world: World) -> list[bytes]:
    """As each coordinator process does every quarter of a second."""
    late = await world.coordinator_store.overdue(world.clock() - GRACE_MS, 10)
    for session_id in late:
        await world.reports.expire(session_id)
    return late


def window_is_over(world: World) -> None:
    world.clock.offset_ms += WINDOW_MS + 1


###
### Keys
###


async def test_nothing_goes_to_the_parties_before_all_were_joined(shire: World) -> None:
    request, told = await waiting(shire)
    for party_id in PARTIES:
        assert instructions(shire, told.session_id) == []
        assert (await view(shire, target=request.request_id)).status is Status.WAITING
        await join(shire, told, party_id)
    assert len(instructions(shire, told.session_id, "session_created")) == 3
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    assert not shire.dead


async def test_a_session_begins_without_its_callers_when_they_take_too_long(shire: World) -> None:
    request, told = await waiting(shire)
    await join(shire, told, "party-1")
    assert await sweep(shire) == []
    shire.clock.offset_ms += WINDOW_MS - 100
    assert await sweep(shire) == []
    shire.clock.offset_ms += 101
    assert await sweep(shire) == [told.session_id]
    assert len(instructions(shire, told.session_id, "session_created")) == 3
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    assert [event.event for event in (await view(shire, target=request.request_id)).events][:3] == [
        "session_created",
        "caller_joined",
        "begun",
    ]


async def test_parties_may_be_joined_after_the_session_has_begun(shire: World) -> None:
    _, told = await waiting(shire)
    window_is_over(shire)
    await sweep(shire)
    await join(shire, told, "party-1")
    assert (await view(shire, session_id=told.session_id)).joined == ["party-1"]
    assert len(instructions(shire, told.session_id, "session_created")) == 3


async def test_parties_have_no_more_time_than_is_left_after_the_window(shire: World) -> None:
    request, told = await waiting(shire)
    begins_at = (await conduct_of(shire, told.session_id)).begins_at
    assert begins_at is not None
    window_is_over(shire)
    await sweep(shire)
    for message in instructions(shire, told.session_id, "session_created"):
        created = SessionCreated.model_validate_json(message.body)
        assert created.time_left_ms == request.expires_at - begins_at


async def test_the_window_is_not_longer_than_the_request_lives(shire: World) -> None:
    now = shire.clock()
    request = shire.keygen_request(
        announce=True, join_window_ms=10_000, issued_at=now, expires_at=now + 2_000
    )
    await shire.ask(request)
    told = announced(shire, request)
    shire.clock.offset_ms += 2_000 + GRACE_MS + 1
    assert await sweep(shire) == [told.session_id]
    result = answer(shire, request, KeygenResult)
    assert result.status is Status.EXPIRED
    assert result.failure is not None
    assert result.failure.silent == []
    assert instructions(shire, told.session_id, "session_created") == []


async def test_a_session_that_is_cancelled_while_it_waits_begins_never(shire: World) -> None:
    request, told = await waiting(shire)
    await ask(shire, CancelResult, "cancel", target=request.request_id)
    window_is_over(shire)
    assert await sweep(shire) == []
    late = await join(shire, told, "party-1")
    assert late.session is not None
    assert (late.session.status, late.session.joined) == (Status.CANCELLED, [])
    assert instructions(shire, told.session_id, "session_created") == []
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.CANCELLED


async def test_a_request_that_comes_again_does_not_begin_what_waits_for_callers(
    shire: World,
) -> None:
    request, told = await waiting(shire)
    await shire.ask(request)
    assert len(announcements(shire, request)) == 2
    assert instructions(shire, told.session_id) == []
    window_is_over(shire)
    await sweep(shire)
    before = len(shire.network.sent)
    await shire.ask(request)
    again = shire.network.sent[before:]
    assert [each.exchange for each in again] == [addresses.RESULTS, *[addresses.KEYGEN] * 3]
    assert again[1:] == instructions(shire, told.session_id)[:3]


###
### Signatures
###


@pytest.mark.parametrize("by", ["joins", "sweep"])
@pytest.mark.parametrize("scheme", ["ecdsa", FROST])
async def test_a_signature_without_stock_waits_for_callers_first(
    shire: World, scheme: str, by: str
) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, scheme=scheme, announce=True, join_window_ms=WINDOW_MS)
    await shire.ask(request)
    told = announced(shire, request)
    await shire.run()
    assert instructions(shire, told.session_id) == []
    assert [m for m in shire.network.sent if m.exchange == addresses.PRESIGNING] == []
    if by == "joins":
        for party_id in told.parties:
            await join(shire, told, party_id)
    else:
        window_is_over(shire)
        await sweep(shire)
    await shire.run()
    check_success(shire, request, key)
    assert not shire.dead


async def test_a_signature_with_stock_waits_for_callers_too(tmp_path: Path) -> None:
    async with world(tmp_path, pool_limits=AHEAD) as shire:
        key = await stocked(shire)
        request = ecdsa_request(shire, key, announce=True, join_window_ms=WINDOW_MS)
        await shire.ask(request)
        told = announced(shire, request)
        await look(shire)
        assert instructions(shire, told.session_id) == []
        window_is_over(shire)
        assert await sweep(shire) == [told.session_id]
        await shire.run()
        check_success(shire, request, key)


async def test_signers_get_their_whole_time_from_the_window_on(shire: World) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, scheme=FROST, announce=True, join_window_ms=WINDOW_MS)
    await shire.ask(request)
    told = announced(shire, request)
    window_is_over(shire)
    await sweep(shire)
    session = await shire.coordinator_store.session(told.session_id)
    assert session is not None
    assert session.deadline >= shire.clock() + LIMITS.try_seconds * 1000 - 100
    silent = told.parties[-1]
    await shire.run(dropped=deaf(silent))
    await try_time_is_over(shire, told.session_id)
    await shire.run()
    assert answer(shire, request, SignResult).status is Status.COMPLETED


###
### Whatever goes wrong
###


@dataclass
class Dying:
    """Store and broker of a process that is killed at some point of beginning a session."""

    world: World
    point: str
    sent: list[Outgoing] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.coordinator_store, name)

    async def publish(self, message: Outgoing) -> None:
        if self.point == f"after {len(self.sent)} messages":
            raise PublishError("killed")
        self.sent.append(message)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            await self.publish(message)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        if self.point == "before commit":
            raise StoreUnavailableError("killed")
        await self.world.coordinator_store.commit(change)
        raise StoreUnavailableError("killed")


@pytest.mark.parametrize(
    "point", ["after 0 messages", "after 2 messages", "before commit", "after commit"]
)
async def test_whoever_dies_while_it_begins_a_session_has_it_begun_by_the_next(
    shire: World, point: str
) -> None:
    """The same bytes again, as if nothing had been sent."""
    request, told = await waiting(shire)
    window_is_over(shire)
    dying = Dying(shire, point)
    _, reports = coordinator_worker(shire, store=dying, network=dying)
    with pytest.raises((PublishError, StoreUnavailableError)):
        await reports.expire(told.session_id)
    assert await sweep(shire) == ([] if point == "after commit" else [told.session_id])
    assert await sweep(shire) == []
    sent = [*dying.sent, *instructions(shire, told.session_id, "session_created")]
    assert len({(message.routing_key, message.body) for message in sent}) == 3
    for message in dying.sent:
        await shire.deliver(message)
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    assert not shire.dead


async def test_the_last_join_and_the_sweep_at_once_begin_one_session(shire: World) -> None:
    request, told = await waiting(shire)
    for party_id in PARTIES[:2]:
        await join(shire, told, party_id)
    window_is_over(shire)
    workers = [coordinator_worker(shire) for _ in range(2)]
    last = World(**{**vars(shire), "requests": workers[0][0]})
    await asyncio.gather(
        last.submit(joining(shire, told, "party-3")),
        workers[1][1].expire(told.session_id),
        shire.reports.expire(told.session_id),
    )
    told_of = {(each.routing_key, each.body) for each in instructions(shire, told.session_id)}
    assert len(told_of) == 3
    assert (await view(shire, session_id=told.session_id)).joined == PARTIES
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    assert not shire.dead


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_goes_wrong_between_joins_the_session_begins(
    shire: World, seed: int
) -> None:
    faults = Faults(Random(seed))
    requests, reports = coordinator_worker(
        shire,
        store=FaultyStore(shire.coordinator_store, faults),
        network=FaultyNetwork(shire.network, faults),
    )
    faulty = World(**{**vars(shire), "requests": requests, "reports": reports})
    request = shire.keygen_request(announce=True, join_window_ms=WINDOW_MS)
    await redelivered(lambda: faulty.ask(request))
    told = announced(shire, request)
    for party_id in PARTIES:
        wanted = joining(shire, told, party_id)
        await redelivered(partial(faulty.submit, wanted))
        assert answer(shire, wanted.request, JoinSessionResult).failure is None
    await shire.run()
    assert answer(shire, request, KeygenResult).status is Status.COMPLETED
    assert (await view(shire, session_id=told.session_id)).joined == PARTIES
