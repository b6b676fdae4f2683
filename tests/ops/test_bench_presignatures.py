"""Pools as a measurement wants them, and what is counted of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

import migrations
from contracts.client import Client
from contracts.primitives import Curve, Scheme
from ops.bench.batches import Batches
from ops.bench.filling import POLL_S, FillError, fill, prime, refilling
from ops.bench.load import Load, Outcome
from ops.bench.stock import EndedBatch, Level, Stock
from ops.bench.supply import REFILLED, Supply, supply_for
from ops.bench.tally import Presignatures, Tally
from ops.bench.work import Pool, Work
from tests.ops.bench_samples import BATCHES, LISTS, WORK
from workers.pool_limits import PoolLimits
from workers.settings import PartyLimits

OURS, THEIRS = b"k" * 32, b"o" * 32
LOAD = Load(count=100, concurrency=3, warmup=20, timeout_s=9)


class Shelf:
    """A stock whose every look is told; the last one stays."""

    def __init__(self, *levels: tuple[int, int]) -> None:
        self.levels = [Level(stock=stock, making=making) for stock, making in levels]
        self.batches: list[EndedBatch] = []
        self.emptied: list[bytes] = []

    async def empty(self, key_session: bytes) -> None:
        self.emptied.append(key_session)

    async def level(self, _: bytes) -> Level:
        return self.levels.pop(0) if len(self.levels) > 1 else self.levels[0]

    async def ended(self, _: bytes, since_ms: int = 0) -> list[EndedBatch]:
        return [batch for batch in self.batches if batch.ended_at >= since_ms]

    def end(self, name: int, *, at: int, failure: str | None = None) -> None:
        session_id = name.to_bytes(32)
        batch = EndedBatch(
            session_id=session_id, count=4, ended_at=at, failure=failure, took_s=name / 10
        )
        self.batches.append(batch)


class Broken(Shelf):
    async def empty(self, _: bytes) -> None:
        raise ConnectionError("the database is gone")


class Signer:
    """A client as far as one key goes."""

    def __init__(self) -> None:
        self.signed: list[str] = []

    async def create_key(self, key_id: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(facts=SimpleNamespace(key_id=key_id, session_id=THEIRS))

    async def sign(self, key_id: str, **_: Any) -> None:
        self.signed.append(key_id)


def as_client(signer: Signer) -> Client:
    return cast("Client", signer)


def as_stock(shelf: Shelf) -> Stock:
    return cast("Stock", shelf)


###
### The stack's settings
###


def settings(supply: Supply) -> tuple[PoolLimits, PartyLimits]:
    """As the workers will read them: a wrong name or number is refused."""
    return PoolLimits(**supply.pools), PartyLimits(**supply.limits.get("party", {}))


def test_a_warm_pool_is_filled_with_all_that_will_be_taken_and_one_that_never_is() -> None:
    supply = supply_for(replace(LISTS, pool=Pool.WARM, refill=False), LOAD)
    pools, party = settings(supply)
    assert supply.stock == 8 * (100 + 20) + 1
    assert pools.high == supply.stock + 8  # the request that it is filled for may take of it
    assert pools.low == 1
    # They begin at once: with one in the making the pool is not empty any more.
    assert pools.batches_per_pool * pools.batch >= pools.high
    assert pools.batches >= pools.batches_per_pool
    assert min(pools.per_key, pools.in_all, party.presignatures_per_key) >= pools.high


def test_a_warm_pool_of_any_size_fits_where_it_is_kept() -> None:
    supply = supply_for(replace(LISTS, batch=256, pool=Pool.WARM), replace(LOAD, count=1000))
    pools, party = settings(supply)
    assert pools.high > 256_000
    assert pools.per_key >= pools.high
    assert party.presignatures_per_key >= pools.high
    # Of the other key there may be as many.
    assert min(pools.in_all, party.presignatures) >= 2 * pools.high


def test_a_cold_pool_gets_nothing_ahead() -> None:
    supply = supply_for(replace(LISTS, pool=Pool.COLD, refill=False), LOAD)
    pools, _ = settings(supply)
    assert (pools.low, pools.high, supply.stock) == (0, 0, 0)


@pytest.mark.parametrize("refill", [False, True])
def test_sustained_is_what_a_stack_does_by_default(refill: bool) -> None:
    supply = supply_for(replace(LISTS, pool=Pool.SUSTAINED, refill=refill), LOAD)
    assert settings(supply) == (PoolLimits(), PartyLimits())
    assert supply.stock == PoolLimits().low


def test_what_needs_no_presignatures_changes_nothing() -> None:
    keygen = Work(operation="keygen", curve=Curve.ED25519, scheme=None, threshold=2, party_count=3)
    assert supply_for(keygen, LOAD) == supply_for(WORK, LOAD) == Supply()


@pytest.mark.parametrize("work", [WORK, replace(LISTS, batch=1, pool=Pool.WARM)])
def test_the_other_keys_pool_is_never_small(work: Work) -> None:
    supply = supply_for(replace(work, refill=True), replace(LOAD, count=1, warmup=0))
    pools, _ = settings(supply)
    assert pools.high == REFILLED
    assert supply.stock == (0 if work is WORK else 2)


def test_a_pool_to_presign_for_is_never_full() -> None:
    supply = supply_for(replace(BATCHES, batch=16), LOAD)
    pools, party = settings(supply)
    assert (pools.batch, pools.batches_per_pool, pools.batches) == (16, 3, 3)
    assert pools.batch_seconds == 9
    assert pools.low > 1_000_000
    assert min(pools.per_key, pools.in_all) > 1_000_000
    assert party.presignatures_per_key >= 16 * (100 + 20)
    assert supply.stock == 0


###
### Filling
###


async def test_a_pool_is_full_when_enough_are_there_and_no_more_are_coming() -> None:
    seen: list[int] = []
    shelf = Shelf((0, 0), (0, 128), (64, 64), (64, 0))
    await fill(as_stock(shelf), OURS, 64, filled=seen.append)
    assert seen == [0, 0, 64, 64]


async def test_a_pool_that_nobody_fills_is_an_error_that_says_how_far_it_came() -> None:
    with pytest.raises(FillError, match="64 presignatures of 65"):
        await fill(as_stock(Shelf((64, 1), (64, 0))), OURS, 65, idle_s=0)


async def test_a_first_request_that_fails_is_told_by_its_code() -> None:
    async def operate() -> str | None:
        return "party_banned"

    with pytest.raises(FillError, match="party_banned"):
        await prime(operate)


async def test_another_keys_pool_is_used_once_and_emptied_all_the_while() -> None:
    shelf, signer = Shelf((0, 0), (0, 64)), Signer()
    async with refilling(as_client(signer), as_stock(shelf), WORK) as key_session:
        assert key_session == THEIRS
        before = len(shelf.emptied)
        while len(shelf.emptied) < before + 2:  # noqa: ASYNC110 - a bench has no event to wait for
            await asyncio.sleep(0.01)
    assert len(signer.signed) == 1
    assert set(shelf.emptied) == {THEIRS}
    emptied = len(shelf.emptied)
    await asyncio.sleep(2 * POLL_S)
    assert len(shelf.emptied) == emptied


async def test_another_key_that_gets_no_presignatures_ends_it() -> None:
    with pytest.raises(FillError, match="other key"):
        async with refilling(as_client(Signer()), as_stock(Shelf((0, 0))), WORK, idle_s=0):
            pytest.fail("nothing is in the making")


async def test_a_pool_that_was_not_emptied_is_no_measurement() -> None:
    with pytest.raises(ConnectionError, match="gone"):
        async with refilling(as_client(Signer()), as_stock(Broken((0, 64))), WORK):
            await asyncio.sleep(0.01)


###
### Batches as operations
###


async def test_only_batches_that_end_from_now_on_are_counted_each_once() -> None:
    shelf = Shelf((0, 8))
    shelf.end(1, at=5_000)
    batches = Batches(as_stock(shelf), OURS)
    await batches.skip_ended()
    stop = asyncio.Event()

    shelf.end(2, at=9_000)
    shelf.end(3, at=9_100, failure="expired")
    outcome = await batches.drive(count=1, stop=stop)
    assert (outcome.latencies_s, outcome.failures) == ([0.2], {"expired": 1})
    assert outcome.elapsed_s > 0

    shelf.end(4, at=9_050)  # begun earlier than one that is counted, committed later
    outcome = await batches.drive(count=1, stop=stop)
    assert (outcome.latencies_s, outcome.failures) == ([0.4], {})


async def test_batches_are_waited_for_until_there_are_enough() -> None:
    shelf = Shelf((0, 8))
    seen: list[int] = []

    def advanced(outcome: Outcome) -> None:
        seen.append(outcome.finished)
        shelf.end(2 + len(seen), at=1_000)

    shelf.end(1, at=1_000)
    shelf.end(2, at=1_000)
    outcome = await Batches(as_stock(shelf), OURS).drive(
        count=4, stop=asyncio.Event(), advanced=advanced
    )
    assert seen == [2, 3, 4]
    assert outcome.finished == 4


async def test_batches_are_not_waited_for_after_a_stop() -> None:
    stop = asyncio.Event()
    stop.set()
    outcome = await Batches(as_stock(Shelf((0, 8))), OURS).drive(count=4, stop=stop)
    assert outcome.finished == 0
    assert outcome.elapsed_s > 0


async def test_batches_that_nobody_makes_are_not_waited_for() -> None:
    batches = Batches(as_stock(Shelf((0, 0))), OURS, idle_s=0)
    with pytest.raises(FillError, match="No more presignatures"):
        await batches.drive(count=1, stop=asyncio.Event())


###
### The database
###


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    await migrations.upgrade("coordinator", database)
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def stock(
    connection: asyncpg.Connection[asyncpg.Record], database: str
) -> AsyncIterator[Stock]:
    async with Stock.connect(database) as stock:
        yield stock


async def add_batch(
    connection: asyncpg.Connection[asyncpg.Record],
    name: int,
    key_session: bytes,
    *,
    status: str = "completed",
    count: int = 64,
    protocol: str = "presign",
    ended_at: int | None = 5_300,
) -> None:
    await connection.execute(
        """
        INSERT INTO sessions
            (session_id, protocol, key_session, status, state, ended_at,
            version, deadline, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 1, 0, 5000)
        """,
        name.to_bytes(32),
        protocol,
        key_session,
        status,
        b'{"terms": {"count": %d}}' % count,
        ended_at,
    )


async def add_presignature(
    connection: asyncpg.Connection[asyncpg.Record], key_session: bytes, position: int
) -> None:
    await connection.execute(
        """
        INSERT INTO presignatures
            (batch, position, key_session, epoch, signers, point, made_at)
        VALUES ($1, $2, $3, 0, '1,2', 'point', 0)
        """,
        key_session,
        position,
        key_session,
    )


async def test_batches_are_those_of_one_key_that_ended(
    connection: asyncpg.Connection[asyncpg.Record], stock: Stock
) -> None:
    await add_batch(connection, 1, OURS, count=16, ended_at=5_400)
    await add_batch(connection, 2, OURS, status="expired")
    await add_batch(connection, 3, OURS, status="in_progress", ended_at=None)
    await add_batch(connection, 4, OURS, protocol="sign")
    await add_batch(connection, 5, THEIRS)
    expired, made = await stock.ended(OURS)
    assert (expired.session_id, expired.failure) == ((2).to_bytes(32), "expired")
    assert (made.session_id, made.failure, made.count) == ((1).to_bytes(32), None, 16)
    assert (made.ended_at, made.took_s) == (5_400, 0.4)
    assert await stock.ended(OURS, 5_301) == [made]


async def test_what_was_made_and_what_is_there_is_told_apart_by_key(
    connection: asyncpg.Connection[asyncpg.Record], stock: Stock
) -> None:
    for position in range(3):
        await add_presignature(connection, OURS, position)
    await add_presignature(connection, THEIRS, 0)
    await connection.execute(
        "INSERT INTO presign_batches (session_id, key_session, epoch, signers, count) "
        "VALUES ('a', $1, 0, '1,2', 16), ('b', $1, 0, '1,3', 4), ('c', $2, 0, '1,2', 64)",
        OURS,
        THEIRS,
    )
    assert await stock.level(OURS) == Level(stock=3, making=20)
    assert await stock.level(b"nobody's") == Level(stock=0, making=0)
    await stock.empty(OURS)
    assert (await stock.level(OURS)).stock == 0
    assert (await stock.level(THEIRS)).stock == 1


@pytest.mark.parametrize("elsewhere", [THEIRS, None])
async def test_what_came_meanwhile_is_the_difference(
    connection: asyncpg.Connection[asyncpg.Record], stock: Stock, elsewhere: bytes | None
) -> None:
    await add_batch(connection, 1, OURS)
    await add_batch(connection, 2, THEIRS)
    await add_presignature(connection, OURS, 0)
    tally = Tally(stock=stock, key_session=OURS, elsewhere=elsewhere)
    before = await tally.count()
    await add_batch(connection, 3, OURS, count=2)
    await add_batch(connection, 4, OURS, count=32, status="failed")
    await add_batch(connection, 5, THEIRS, count=8)
    await add_presignature(connection, OURS, 1)
    await add_presignature(connection, OURS, 2)
    assert await tally.since(before) == Presignatures(
        before=1, after=3, made=2, made_elsewhere=None if elsewhere is None else 8
    )


def test_schemes_without_presignatures_have_no_pool() -> None:
    assert not WORK.presigns
    assert replace(WORK, refill=True).presigns
    assert BATCHES.presigns
    assert replace(LISTS, refill=False).presigns
    assert LISTS.scheme is Scheme.ECDSA
