"""What PostgreSQL may do to a group: let one wait, give one up, die."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from workers.store.interface import CoordinatorStore, PartyStore, StoreUnavailableError
from workers.store.postgres import database
from workers.store.postgres.coordinator import _order
from workers.store.postgres.groups import _has_undone
from workers.store.records import CoordinatorChange, Outcome

from .conftest import RawDatabase, Role
from .examples import (
    KEY,
    commitment,
    coordinator_change,
    party_change,
    pooled,
    request,
    session_id,
)
from .grouped import Groups, watched

ROLE = "party"

pytestmark = [pytest.mark.system]

as_coordinator = pytest.mark.parametrize("role_name", ["coordinator"])


@pytest.fixture(params=["postgres"])
def backend() -> str:
    return "postgres"


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    return watched(monkeypatch)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements wait for ever, but for what a group says itself."""
    settings = f"{database.SETTINGS} SET statement_timeout = 0;"
    monkeypatch.setattr(database, "SETTINGS", settings)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Groups wait for locks as long as a statement may."""
    monkeypatch.setattr(database, "IMPATIENT", "true")
    database._calling_in_incarnation.cache_clear()
    yield
    database._calling_in_incarnation.cache_clear()


@asynccontextmanager
async def held(url: str, *statements: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Somebody else's transaction, with what these lock. Yields what ends it."""
    holder = await asyncpg.connect(url)
    try:
        transaction = holder.transaction()
        await transaction.start()
        for statement in statements:
            await holder.execute(statement)
        yield transaction.commit
    finally:
        await holder.close()


def locking(name: str, raw: RawDatabase) -> str:
    return f"SELECT * FROM sessions WHERE session_id = {raw.literal(session_id(name))} FOR UPDATE"


async def until_waiting(raw: RawDatabase, count: int) -> None:
    """So many statements of the database's wait for a lock."""
    while True:
        ((waiting,),) = await raw.query(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting >= count:
            return


def begin(*calls: Awaitable[Any]) -> list[asyncio.Task[Any]]:
    async def run(call: Awaitable[Any]) -> Any:
        return await call

    return [asyncio.create_task(run(call)) for call in calls]


def next_of(name: str) -> Any:
    return party_change(name, expected_version=1, cause="next")


@pytest.mark.usefixtures("unhurried")
async def test_who_waits_for_a_lock_in_a_group_lets_the_others_go(
    groups: Groups, raw: RawDatabase, party: PartyStore
) -> None:
    for each in ("locked", "a", "b"):
        await party.commit(party_change(each))
    async with held(raw.url, locking("locked", raw)) as let_go:
        first, *others, stuck = begin(
            party.commit(party_change("first")),
            party.commit(next_of("a")),
            party.commit(next_of("b")),
            party.commit(next_of("locked")),
        )
        done = await asyncio.gather(first, *others)
        assert done == [Outcome.COMMITTED] * 3
        assert not stuck.done()
        assert groups.sizes == [3]
        assert groups.apart == 3
        await let_go()
        assert await stuck is Outcome.COMMITTED


@as_coordinator
@pytest.mark.usefixtures("unhurried")
async def test_who_waits_for_a_key_s_presignatures_lets_those_of_others_go(
    groups: Groups, coordinator: CoordinatorStore, raw: RawDatabase
) -> None:
    other = session_id("other key")
    await coordinator.commit(coordinator_change("a", presignatures=pooled(2)))
    await coordinator.commit(
        coordinator_change("b", presignatures=pooled(4, batch="b", key_session=other))
    )

    async def admit(name: str, key: bytes) -> Any:
        digest = request(name).digest
        return await coordinator.admit(
            "svcA", name, digest, key_session=key, pools=["1,2"], presignatures=1
        )

    lock = f"SELECT pg_advisory_xact_lock(4, hashtext('{KEY.hex()}'))"
    async with held(raw.url, lock) as let_go:
        first, second, third, stuck = begin(
            admit("1", other), admit("2", other), admit("3", other), admit("4", KEY)
        )
        found = await asyncio.gather(first, second, third)
        assert [len(each.presignatures) for each in found] == [1, 1, 1]
        assert not stuck.done()
        await let_go()
        assert len((await stuck).presignatures) == 1
    assert groups.apart == 3
    assert await coordinator.stock() == {KEY: 1, other: 1}


@pytest.mark.usefixtures("patient")
async def test_who_is_cancelled_in_a_group_under_way_takes_nobody_along(
    groups: Groups, party: PartyStore, raw: RawDatabase
) -> None:
    for each in ("locked", "a", "b"):
        await party.commit(party_change(each))
    async with held(raw.url, locking("locked", raw)) as let_go:
        first, *tasks = begin(
            party.commit(party_change("first")),
            *(party.commit(next_of(each)) for each in ("a", "locked", "b")),
        )
        assert await first is Outcome.COMMITTED
        await until_waiting(raw, 1)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        await let_go()
        assert await asyncio.gather(*tasks[1:]) == [Outcome.COMMITTED] * 2
    assert tasks[0].cancelled()
    assert groups.sizes == [3]
    assert not groups.apart
    for each in ("locked", "a", "b"):  # whoever was cancelled only did not hear of it
        session = await party.session(session_id(each))
        assert session is not None
        assert session.version == 2


@pytest.mark.usefixtures("patient")
async def test_a_server_s_process_that_dies_under_a_group_has_changed_nothing_and_all_hear_of_it(
    groups: Groups, party: PartyStore, raw: RawDatabase
) -> None:
    for each in ("locked", "a", "b"):
        await party.commit(party_change(each))
    async with held(raw.url, locking("locked", raw)) as let_go:
        first, *others = begin(
            party.commit(party_change("first")),
            *(party.commit(next_of(each)) for each in ("locked", "a", "b")),
        )
        assert await first is Outcome.COMMITTED
        await until_waiting(raw, 1)
        await raw.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        told = await asyncio.gather(*others, return_exceptions=True)
        assert [type(each) for each in told] == [StoreUnavailableError] * 3
        await let_go()
    assert groups.sizes == []  # nobody was told to go by itself
    for each in ("locked", "a", "b"):
        session = await party.session(session_id(each))
        assert session is not None
        assert session.version == 1
    outcomes = await asyncio.gather(*(party.commit(next_of(n)) for n in ("locked", "a", "b")))
    assert outcomes == [Outcome.COMMITTED] * 3


async def test_who_comes_from_another_incarnation_is_refused_alone(
    groups: Groups, party: PartyStore, raw: RawDatabase
) -> None:
    store: Any = party
    own = store._rows.incarnation
    tasks = begin(party.commit(party_change("first")), party.commit(party_change("a")))
    await asyncio.sleep(0)  # they have sealed what they have
    store._rows.enter(bytes(len(own)))
    tasks += begin(party.commit(party_change("of before")))
    await asyncio.sleep(0)
    store._rows.enter(own)
    tasks += begin(party.commit(party_change("b")))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    made = Outcome.COMMITTED
    assert [outcomes[0], outcomes[1], outcomes[3]] == [made] * 3
    assert isinstance(outcomes[2], StoreUnavailableError)
    assert "another incarnation" in str(outcomes[2])
    assert groups.sizes == [3]
    assert (
        await raw.query(
            f"SELECT 1 FROM sessions WHERE session_id = {raw.literal(session_id('of before'))}"
        )
        == []
    )


async def test_a_group_of_another_incarnation_changes_nothing(
    groups: Groups, party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change("locked"))
    async with held(raw.url, locking("locked", raw)) as let_go:
        tasks = begin(*(party.commit(next_of(n)) for n in ("locked", "x", "y")))
        tasks += begin(*(party.commit(party_change(n)) for n in ("a", "b")))
        await until_waiting(raw, 1)
        changed = await asyncpg.connect(raw.url)
        await changed.execute("UPDATE incarnation SET id = '\\x00', progress = 0")
        await changed.close()
        await let_go()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[0] is Outcome.COMMITTED  # it was there before
    assert [type(each) for each in outcomes[1:]] == [StoreUnavailableError] * 4
    assert await raw.query("SELECT 1 FROM sessions WHERE version = 1") == []


@as_coordinator
async def test_groups_of_two_processes_do_not_stand_in_each_other_s_way(
    groups: Groups, role: Role
) -> None:
    """Whatever the order in which their members came."""
    dice = random.Random(7)
    names = [str(n) for n in range(16)]
    for each in names:
        await role.store.commit(role.change(each))
    for version in range(1, 40):

        def moved(by: str, version: int = version) -> list[CoordinatorChange]:
            cause = f"{by} {version}"
            return [
                coordinator_change(each, expected_version=version, cause=cause)
                for each in dice.sample(names, 16)
            ]

        outcomes = await asyncio.gather(
            *map(role.store.commit, moved("one")), *map(role.twin.commit, moved("two"))
        )
        assert outcomes.count(Outcome.COMMITTED) == 16
        assert outcomes.count(Outcome.LOST_RACE) == 16
    assert len(groups.sizes) > 40
    assert not groups.apart


def test_requests_come_in_one_order_in_all_processes_and_before_sessions() -> None:
    def begun(name: str, owner: str, wish: str) -> CoordinatorChange:
        return coordinator_change(name, request=request(wish, owner=owner))

    changes = [
        coordinator_change("report"),
        begun("a", "svcB", "1"),
        begun("b", "svcA", "2"),
        coordinator_change("c", cancels=("svcA", "1")),
        coordinator_change("another report"),
    ]
    expected = [changes[3], changes[2], changes[1]]
    expected += sorted((changes[0], changes[4]), key=lambda change: change.session_id)
    for order in itertools.permutations(changes):
        assert sorted(order, key=_order) == expected


@as_coordinator
async def test_requests_that_come_to_two_processes_are_begun_once(role: Role) -> None:
    dice = random.Random(7)
    names = [str(n) for n in range(16)]

    def begun(by: str) -> list[CoordinatorChange]:
        return [
            coordinator_change(
                f"{each} by {by}", request=request(each, session_id=session_id(f"{each} by {by}"))
            )
            for each in dice.sample(names, 16)
        ]

    outcomes = await asyncio.gather(
        *map(role.store.commit, begun("one")), *map(role.twin.commit, begun("two"))
    )
    assert outcomes.count(Outcome.COMMITTED) == 16
    assert outcomes.count(Outcome.DUPLICATE_REQUEST) == 16


@as_coordinator
async def test_claims_of_two_processes_are_of_different_commitments(
    groups: Groups, role: Role
) -> None:
    made = tuple(commitment(str(n)) for n in range(40))
    await role.store.commit(coordinator_change(commitments=made))

    async def admit(store: Any, n: int) -> Any:
        return await store.admit(
            *("svcA", f"{n}", request().digest),
            key_session=KEY,
            scheme="ed25519",
            parties=["party-1"],
        )

    stores = (role.store, role.twin)
    found = await asyncio.gather(*(admit(stores[n % 2], n) for n in range(40)))
    claimed = [each.nonce_id for admission in found for each in admission.claimed.values()]
    assert len(set(claimed)) == len(claimed)
    assert groups.sizes


def said(severity: str | None, state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("said")
    vars(error).update(sqlstate=state, severity_en=severity)
    return error


@pytest.mark.parametrize(
    ("severity", "state", "undone"),
    [
        ("ERROR", "WN001", True),
        ("ERROR", "40P01", True),
        ("ERROR", "55P03", True),
        ("ERROR", "57014", True),
        (None, "22000", True),
        ("FATAL", "57P01", False),
        ("FATAL", "XX000", False),
        ("PANIC", "XX000", False),
        ("ERROR", "57P01", False),
        (None, "08003", False),
        (None, "08006", False),
        ("ERROR", "", False),
    ],
)
def test_only_what_is_undone_for_sure_counts_as_undone(
    severity: str | None, state: str, undone: bool
) -> None:
    assert _has_undone(said(severity, state)) is undone
