"""What workers do unasked: sweeps that one bad session cannot stop, and what a sweep owes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import migrations
from workers import chores
from workers.delivery.publisher import PublishError
from workers.settings import PartyLimits
from workers.store.interface import CoordinatorStore, PartyStore, StoreUnavailableError
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.records import CoordinatorChange, PartyChange
from workers.store.sealing import MasterKeys, Sealer

IDS = [bytes([i]) * 32 for i in range(4)]


async def test_a_session_that_cannot_be_ended_does_not_keep_the_others_from_it() -> None:
    ended = []

    async def end(session_id: bytes) -> None:
        if session_id == IDS[1]:
            raise ValueError("unreadable")
        ended.append(session_id)

    await chores.for_each(end, IDS)
    assert ended == [IDS[0], IDS[2], IDS[3]]


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), PublishError("away")])
async def test_a_sweep_stops_where_store_or_broker_are_away(error: Exception) -> None:
    tried = []

    async def end(session_id: bytes) -> None:
        tried.append(session_id)
        raise error

    with pytest.raises(type(error)):
        await chores.for_each(end, IDS)
    assert tried == IDS[:1]


async def test_everything_old_is_purged_however_much_there_is() -> None:
    left = [5_000, 5_000, 17, 0]

    class Store:
        async def now(self) -> int:
            """The database's: this process's clock may be a day ahead."""
            return 10_007

        async def purge(self, *, ended_before: int) -> int:
            assert ended_before == 7
            return left.pop(0)

    store: Any = Store()
    await chores.forget(store, 10)
    assert left == []


async def test_requests_are_forgotten_by_the_stores_clock_too() -> None:
    """Answers later than statements look back, cancellations when they forbid nothing more."""
    left = [5_000, 17, 0]
    forgotten = []

    class Store:
        async def now(self) -> int:
            return 2_000_000_000

        async def purge_answers(self, *, before: int) -> int:
            assert before == 2_000_000_000 - 86_400_000 - 15_000
            return left.pop(0)

        async def purge_cancellations(self, *, before: int) -> int:
            forgotten.append(before)
            return 3

    store: Any = Store()
    await chores.forget_requests(store, PartyLimits())
    assert (left, forgotten) == ([], [2_000_000_000])


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("away"), PublishError("away"), ValueError("bug")]
)
async def test_a_chore_that_fails_is_repeated_ever_more_slowly_and_then_as_before(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pauses: list[float] = []
    outcomes = [error] * 8 + [None] * 2

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not outcomes:
            raise asyncio.CancelledError

    async def chore() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(chores, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await chores.every(0.25, chore)
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10, 0.25, 0.25]


###
### What is owed, on both databases
###


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture(params=["party", "coordinator"])
async def store(
    request: pytest.FixtureRequest, url: str, tmp_path: Path
) -> AsyncIterator[PartyStore | CoordinatorStore]:
    await migrations.upgrade(request.param, url)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "party":
            sealer = Sealer(MasterKeys.from_hex("11" * 32))
            yield await stack.enter_async_context(
                open_party_store(
                    url, party_id="party-1", sealer=sealer, witness=tmp_path / "incarnation"
                )
            )
        else:
            yield await stack.enter_async_context(open_coordinator_store(url))


async def commit(store: Any, session_id: bytes, version: int, status: str) -> None:
    change = PartyChange if hasattr(store, "park") else CoordinatorChange
    await store.commit(
        change(
            session_id=session_id,
            expected_version=version,
            protocol="keygen",
            key_session=None,
            status=status,
            deadline=1_000,
            state=b"",
            cause=str(version),
        )
    )


async def test_a_session_is_owed_from_its_end_until_it_is_paid(store: Any) -> None:
    for at, session_id in [(30, IDS[0]), (10, IDS[1]), (20, IDS[2])]:
        await commit(store, session_id, 0, "in_progress")
        await store.owe(session_id, at)
        await store.owe(session_id, at + 1_000)  # by another worker, later
    await commit(store, IDS[3], 0, "expired")
    assert await store.owing(10_000, 10) == []

    for session_id in IDS[:3]:
        await commit(store, session_id, 1, "expired")
    assert await store.owing(10_000, 10) == [IDS[1], IDS[2], IDS[0]]
    assert await store.owing(10_000, 1) == [IDS[1]]
    assert await store.owing(20, 10) == [IDS[1]]

    await store.paid(IDS[1])
    assert await store.owing(10_000, 10) == [IDS[2], IDS[0]]


async def test_the_mark_lets_the_session_go_on(store: Any) -> None:
    await commit(store, IDS[0], 0, "in_progress")
    await store.owe(IDS[0], 10)
    await commit(store, IDS[0], 1, "in_progress")
    session = await store.session(IDS[0])
    assert session.version == 2
    assert await store.overdue(2_000, 10) == [IDS[0]]


async def test_a_session_that_is_not_there_owes_nothing(store: Any) -> None:
    await store.owe(IDS[0], 10)
    await store.paid(IDS[0])
    assert await store.owing(10_000, 10) == []
