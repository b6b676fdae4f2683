"""A party's handler for cancels: what it states, and what ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.sessions import (
    CancelAnswered,
    CancelRefusal,
)
from tests.workers.crew import party_worker
from tests.workers.doubles import FakePublisher
from tests.workers.ecdsa import ecdsa_request, make_key
from tests.workers.party.test_party_handler import (
    ME,
    another_session,
    failures,
    session_of,
)
from tests.workers.simulate import World
from tests.workers.tries import everyone_is_alive
from workers.delivery.publisher import PublishError
from workers.store.interface import StoreUnavailableError

from .cancels import (
    OWNER,
    cancel_of,
    cancelled,
    held_signing,
    lose_memory,
    replayed,
    request_of,
    said,
    signing,
    stated,
    told_of,
    told_to,
)

###
### Cancelled first
###


async def test_what_is_cancelled_before_it_arrives_is_signed_in_no_session(shire: World) -> None:
    request, created = await held_signing(shire)
    stated(shire, await cancelled(shire, cancel_of(shire, request.request_id)), request)
    before = len(shire.network.sent)
    for each in (created, another_session(created)):
        await shire.deliver(each)
    assert failures(shire.network.sent[before:]) == ["the request was cancelled"] * 2
    assert await shire.party_stores[ME].sessions_of(OWNER.name, request.request_id) == []


async def test_a_presigned_signature_is_refused_alike(shire: World) -> None:
    key = await make_key(shire)
    await everyone_is_alive(shire)
    request = ecdsa_request(shire, key, signers=[ME, "party-2"])
    stated(shire, await cancelled(shire, cancel_of(shire, request.request_id)), request)
    await shire.ask(request)
    await shire.run()
    assert "the request was cancelled" in str(shire.results()[-1].failure)


async def test_a_key_whose_request_is_cancelled_under_way_is_certified_by_nobody_here(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "keygen/3")
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    stated(shire, answered, request)
    (session_id,) = await shire.party_stores[ME].sessions_of(OWNER.name, request.request_id)
    session = await shire.party_stores[ME].session(session_id)
    assert session is not None
    assert session.status == "cancelled"
    before = len(shire.network.sent)
    shire.network.waiting += [
        each for each in shire.network.sent if (each.kind, each.routing_key) == ("keygen/3", ME)
    ]
    await shire.run()
    assert [each.kind for each in shire.network.sent[before:]] == []
    assert await shire.party_stores[ME].key_shares() == []


async def test_a_handler_at_work_for_the_request_is_stopped(shire: World) -> None:
    await shire.ask(shire.keygen_request())
    (created,) = [
        each
        for each in shire.network.waiting
        if (each.kind, each.routing_key) == ("session_created", ME)
    ]
    await shire.deliver(created)
    party, session_id = shire.parties[ME], session_of(created)
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            with party.scopes.enter(session_id):
                await asyncio.sleep(3600)
        finally:
            stopped.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancelled(shire, cancel_of(shire, request_of(created).request_id))
    await asyncio.wait_for(stopped.wait(), 5)
    await asyncio.gather(task, return_exceptions=True)


###
### Signed first
###


async def test_what_was_signed_is_said_to_be_and_is_not_signed_again(shire: World) -> None:
    signed = await signing(shire)
    first, second = [await replayed(shire, signed, salt) for salt in range(2)]
    await shire.deliver(first)
    answered = await cancelled(shire, cancel_of(shire, signed.request.request_id))
    assert answered == CancelAnswered(refused=CancelRefusal.ALREADY_SIGNED)
    before = len(shire.network.sent)
    await shire.deliver(first)
    await shire.deliver(second)
    again, refused = shire.network.sent[before:]
    assert again.kind == "share_signed"
    assert failures([refused]) == ["the request was cancelled"]


async def test_a_share_that_was_committed_and_not_sent_counts(shire: World) -> None:
    request, created = await held_signing(shire)
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    with pytest.raises(PublishError):
        await told_to(party_worker(shire, ME, network=away), shire, created)
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    assert answered.refused is CancelRefusal.ALREADY_SIGNED


async def test_a_certificate_counts(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda each: (each.kind, each.routing_key) == ("keygen/4", ME))
    answered = await cancelled(shire, cancel_of(shire, request.request_id))
    assert answered.refused is CancelRefusal.ALREADY_SIGNED


async def test_a_refused_session_does_not_count(shire: World) -> None:
    request, created = await held_signing(shire)
    shire.clock.offset_ms = 300_000
    await shire.deliver(created)
    assert failures(shire.network.sent[-1:]) == ["the request expired; is a clock wrong?"]
    answered = await cancelled(
        shire, cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    )
    stated(shire, answered, request)


###
### The same again
###


async def test_a_cancel_come_again_sends_the_same_bytes(shire: World) -> None:
    told = told_of(shire, cancel_of(shire, "request-x"))
    before = len(shire.network.sent)
    for _ in range(2):
        await shire.deliver(told)
    await asyncio.gather(*(told_to(party_worker(shire, ME), shire, told) for _ in range(3)))
    answers = shire.network.sent[before:]
    assert len(answers) == 5
    assert len({each.body for each in answers}) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_cancel_that_was_cut_off_is_answered_when_it_comes_again(
    shire: World, when: str
) -> None:
    """Before its commit or after, or between that and its answer."""
    told, store = told_of(shire, cancel_of(shire, "request-x")), shire.party_stores[ME]

    class CutOff:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def commit(self, change: Any) -> Any:
            if when == "after":
                await store.commit(change)
            raise StoreUnavailableError("cut off")

    with pytest.raises(StoreUnavailableError):
        await told_to(party_worker(shire, ME, store=CutOff()), shire, told)
    away: Any = FakePublisher(trouble=[PublishError("broker away")])
    with pytest.raises(PublishError):
        await told_to(party_worker(shire, ME, network=away), shire, told)
    before = len(shire.network.sent)
    await shire.deliver(told)
    (answer,) = shire.network.sent[before:]
    assert said(answer).statement is not None


async def test_a_statement_made_before_memory_was_lost_is_given_again(shire: World) -> None:
    request = shire.keygen_request()
    signed = cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    first = stated(shire, await cancelled(shire, signed), request)
    await lose_memory(shire)
    assert stated(shire, await cancelled(shire, signed), request) == first
    # A later cancel asks for more than it says.
    later = cancel_of(shire, request.request_id, target_issued_at=request.issued_at)
    assert (await cancelled(shire, later)).refused is CancelRefusal.FORGOTTEN
