"""What is left of second tries, of batches made ahead, and of handlers whose session ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts import sessions
from contracts.results import Status
from tests.workers.crew import coordinator_worker, party_worker
from tests.workers.doubles import eventually
from tests.workers.ecdsa import AHEAD, ecdsa_request, make_key, only_result, sender, sent
from tests.workers.leftovers import (
    NO_WORK,
    Work,
    all_time_passes,
    audited,
    number,
)
from tests.workers.simulate import World
from tests.workers.store.conftest import RawDatabase
from tests.workers.tries import (
    FROST,
    begun,
    cancel,
    deaf,
    everyone_is_alive,
    flipped_bits,
    session_of,
    try_time_is_over,
    wrong_share,
)
from workers.coordinator import departures
from workers.delivery.scopes import SessionOverError
from workers.session.party.engine import Engine
from workers.session.sending import cancellation

# Each has a loop of its own, in which nobody else has left anything.
pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="function")]

TROUBLE = "party-2"
SIGNERS = ["party-1", TROUBLE]


###
### Second tries
###


@pytest.mark.parametrize("trouble", ["is silent", "lies"])
@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_of_two_tries_nothing_is_left(
    tmp_path: Path, places: Mapping[str, RawDatabase], scheme: str, trouble: str
) -> None:
    async with audited(tmp_path, places) as audit:
        shire = audit.world
        key = await make_key(shire)
        before = Work.now()
        request, first, failing = await begun(shire, key, scheme=scheme)
        if trouble == "lies":
            await shire.run(dropped=wrong_share(shire, failing))
        else:
            await shire.run(dropped=deaf(failing))
            await batches_expire(shire)
            if await session_of(shire, request) == first:
                await try_time_is_over(shire, first)
            await shire.run(dropped=deaf(failing))
        assert only_result(shire, request).status is Status.COMPLETED
        assert await session_of(shire, request) != first
        for message in sent(shire, "session_cancelled"):
            await shire.deliver(message)  # to whoever was away, and to the others once more
        await shire.run()
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK
        await audit.purge()
        assert await audit.remembered() == {}


async def batches_expire(shire: World) -> None:
    for message in sent(shire, "presign_batch"):
        batch = bytes.fromhex(message.headers["session_id"])
        session = await shire.coordinator_store.session(batch)
        assert session is not None
        if session.status == Status.IN_PROGRESS:
            await shire.outlive(batch)
            await everyone_is_alive(shire)
            for party in shire.parties.values():
                await party.expire(batch)
            await shire.run()
            await shire.reports.expire(batch)


###
### Batches made ahead
###


async def completed(shire: World) -> None:
    await shire.run()


async def lied_to(shire: World) -> None:
    await shire.run(dropped=flipped_bits(shire, "presign/2", TROUBLE))


async def silent(shire: World) -> None:
    await shire.run(dropped=deaf(TROUBLE))


async def half_announced(shire: World) -> None:
    await shire.run(dropped=lambda m: m.kind == "presign_batch" and m.routing_key == TROUBLE)


async def not_reported(shire: World) -> None:
    """It is made, and the coordinator never hears so from one of its signers."""
    await shire.run(dropped=lambda m: m.kind == "presignatures_made" and sender(m) == TROUBLE)


@pytest.mark.parametrize(
    "end", [completed, lied_to, silent, half_announced, not_reported], ids=lambda end: end.__name__
)
async def test_of_a_batch_that_is_over_nothing_is_left_but_its_presignatures(
    tmp_path: Path,
    places: Mapping[str, RawDatabase],
    end: Callable[[World], Awaitable[None]],
) -> None:
    async with audited(tmp_path, places, pool_limits=AHEAD) as audit:
        shire = audit.world
        key = await make_key(shire)
        await shire.ask(ecdsa_request(shire, key, signers=SIGNERS))
        await shire.run()
        before = Work.now()
        await everyone_is_alive(shire)
        shire.network.sent.clear()
        await shire.pools.tend()
        assert len(sent(shire, "presign_batch")) == len(SIGNERS)
        await end(shire)
        await all_time_passes(shire)
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK
        # What one signer has and another has not is of no use: nobody keeps any.
        assert set((await audit.once_usable()).values()) == {(0, 0)}
        made = await number(places[TROUBLE], "SELECT count(*) FROM presignatures")
        assert made == (AHEAD.high if end is completed else 0)
        await audit.purge()
        assert await audit.remembered() == {}


###
### Handlers that are at work when their session ends
###


class Stuck:
    """A store that does not answer a question, until it is mended; whoever has asked by then waits
    for ever, and may be cancelled."""

    def __init__(self, store: Any, question: str) -> None:
        self.asked = asyncio.Event()
        self.mended = False
        self._store = store
        self._question = question

    def __getattr__(self, name: str) -> Any:
        stuck = name == self._question and not self.mended
        return self._wait if stuck else getattr(self._store, name)

    async def _wait(self, *_: Any, **__: Any) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def ends_of(tasks: list[asyncio.Task[None]]) -> set[type]:
    ends = {type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)}
    await asyncio.sleep(0)  # until then the loop keeps what it woke us with
    return ends


async def test_a_partys_handlers_end_with_their_session(
    tmp_path: Path, places: Mapping[str, RawDatabase]
) -> None:
    async with audited(tmp_path, places) as audit:
        shire = audit.world
        before = Work.now()
        request = shire.keygen_request()
        await shire.ask(request)
        (begins,) = [m for m in shire.network.waiting if m.routing_key == TROUBLE]
        shire.network.waiting.remove(begins)
        store = Stuck(shire.party_stores[TROUBLE], "session")
        party = shire.parties[TROUBLE] = party_worker(shire, TROUBLE, store=store)
        # One at work, two that wait for its lock.
        at_work = [
            asyncio.create_task(party.instruction(shire.signature.under(begins).body, begins.kind))
            for _ in range(3)
        ]
        await store.asked.wait()
        alive = await audit.alive()
        assert alive[f"{TROUBLE}: handlers' scopes"] == alive[f"{TROUBLE}: locks"] == 1
        assert Work.now().more_since(before) != NO_WORK
        await shire.submit(cancel(shire, request))
        store.mended = True
        await shire.run(late=lambda message: message.exchange != "warren.cancel")
        assert await ends_of(at_work) == {SessionOverError}
        at_work.clear()
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK


async def test_the_coordinators_handlers_end_with_their_session(
    tmp_path: Path, places: Mapping[str, RawDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with audited(tmp_path, places) as audit:
        shire = audit.world
        key = await make_key(shire)
        before = Work.now()
        request = ecdsa_request(shire, key, scheme=FROST, signers=SIGNERS)
        await shire.ask(request)
        held: list[Any] = []
        await shire.run(dropped=lambda m: m.exchange == "warren.reports" and keep(held, m))
        store = Stuck(shire.coordinator_store, "session")
        ordinary = shire.reports
        _, shire.reports = coordinator_worker(shire, store=store)
        at_work = [asyncio.create_task(shire.deliver(message)) for message in held]
        await store.asked.wait()
        alive = await audit.alive()
        assert alive["coordinator: handlers' scopes"] == alive["coordinator: locks"] == 1
        store.mended = True
        await shire.submit(cancel(shire, request))
        assert only_result(shire, request).status is Status.CANCELLED
        await shire.run()
        assert await ends_of(at_work) == {type(None)}  # the delivery's end, and no error
        at_work.clear()
        shire.reports = ordinary
        # Another one has ended the cancel, as it does where there are several.
        monkeypatch.setattr(departures, "OLD_S", -1.0)
        await shire.requests._entrance.departures.look(shire.coordinator_store)
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK


def keep(held: list[Any], message: Any) -> bool:
    held.append(message)
    return True


async def test_a_computation_ends_with_its_batch(
    tmp_path: Path, places: Mapping[str, RawDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be interrupted, but nobody waits for it, and nothing comes of it."""
    computing, go_on = threading.Event(), threading.Event()
    begin = Engine.begin

    def slow(*arguments: Any, **named: Any) -> Any:
        computing.set()
        assert go_on.wait(60)
        return begin(*arguments, **named)

    async with audited(tmp_path, places) as audit:
        shire = audit.world
        key = await make_key(shire)
        before = Work.now()
        request = ecdsa_request(shire, key, signers=SIGNERS)
        await shire.ask(request)
        (begins,) = [
            message
            for message in shire.network.waiting
            if message.kind == "presign_batch" and message.routing_key == TROUBLE
        ]
        shire.network.waiting.clear()
        party = shire.parties[TROUBLE]
        over = sessions.SessionCancelled(
            session_id=bytes.fromhex(begins.headers["session_id"]), issued_at=shire.clock()
        )
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "begin", slow)
            at_work = asyncio.create_task(
                party.instruction(shire.signature.under(begins).body, begins.kind)
            )
            await asyncio.to_thread(computing.wait, 60)
            party.broadcast(shire.signature.under(cancellation(over)).body)
            with pytest.raises(SessionOverError):
                await at_work
            go_on.set()
        await party.session_cancelled(over)
        await shire.submit(cancel(shire, request))
        await all_time_passes(shire)
        async with eventually(), party._machine._one_at_a_time:
            pass  # the thread is done
        assert sent(shire, "presign/1") == []
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK
