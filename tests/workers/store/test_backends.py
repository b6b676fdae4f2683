"""What only one of the backends can get wrong."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

import migrations
from workers.store.interface import CoordinatorStore, PartyStore, StoreUnavailableError
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.postgres import database as postgres
from workers.store.records import Outcome
from workers.store.sqlite import database as sqlite

from .conftest import SEALER, RawDatabase, open_party
from .examples import (
    KEY,
    batch,
    claim,
    commitment,
    coordinator_change,
    outgoing,
    parked,
    party_change,
    place,
    pool,
    pooled,
    presignature,
    received,
    session_id,
)

ROLE = "party"

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])
on_postgres = pytest.mark.parametrize(
    "backend", [pytest.param("postgres", marks=pytest.mark.system)]
)


@pytest.mark.parametrize(
    "url", ["mysql://host/name", "sqlite://", "sqlite:///", "sqlite://relative", "store.db", ""]
)
def test_a_url_of_neither_backend_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        open_party_store(url, party_id="party-1", sealer=SEALER)


def test_a_refused_url_is_not_shown() -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        open_party_store("mysql://user:hunter2@host", party_id="party-1", sealer=SEALER)
    assert "hunter2" not in str(caught.value)


###
### SQLite
###


@on_sqlite
async def test_a_relative_path_is_relative(
    raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw.path.parent)
    async with open_party("sqlite:///store.db") as store:
        await store.commit(party_change())
    assert len(await raw.query("SELECT * FROM sessions")) == 1


async def test_a_new_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await migrations.upgrade("party", f"sqlite:///{path}")
    async with open_party(f"sqlite:///{path}") as store:
        await store.commit(party_change())
        assert modes(tmp_path) == {0o600}


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("store.db*")}


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"store\.db"):
        async with open_party(f"sqlite:///{tmp_path / 'none' / 'store.db'}"):
            pass


@on_sqlite
async def test_a_file_that_another_process_holds_is_unavailable_for_a_while(
    raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = tuple(
        "PRAGMA busy_timeout = 1" if "busy_timeout" in pragma else pragma
        for pragma in sqlite.PRAGMAS
    )
    monkeypatch.setattr(sqlite, "PRAGMAS", impatient)
    async with open_party(raw.url) as store:
        with closing(sqlite3.connect(raw.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked"):
                await store.commit(party_change())
        assert await store.commit(party_change()) is Outcome.COMMITTED


@on_sqlite
async def test_a_full_disk_is_unavailable_and_leaves_nothing(raw: RawDatabase) -> None:
    async with open_party(raw.url) as store:
        await store.commit(party_change("before"))
        before = await raw.everything()

        await limit_pages(store, 1)
        big = party_change(outgoing=(outgoing(body=bytes(10_000_000)),))
        with pytest.raises(StoreUnavailableError, match="full"):
            await store.commit(big)
        assert await raw.everything() == before

        await limit_pages(store, 1_000_000)
        assert await store.commit(big) is Outcome.COMMITTED


async def limit_pages(store: PartyStore, count: int) -> None:
    """SQLite never sets the limit below the size that the file has."""
    await store._database.read(  # type: ignore[attr-defined]
        lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").fetchall()
    )


@on_sqlite
async def test_what_was_committed_is_on_the_disk_before_the_store_is_closed(
    raw: RawDatabase, tmp_path: Path
) -> None:
    async with open_party(raw.url) as store:
        await store.commit(party_change(received=(received(),)))
        for file in raw.path.parent.glob("store.db*"):
            (tmp_path / f"copy-{file.name}").write_bytes(file.read_bytes())
    with closing(sqlite3.connect(tmp_path / "copy-store.db")) as copy:
        assert copy.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


###
### PostgreSQL
###


def counting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Returns a function that gives the statements sent since it was called last."""
    sent: list[str] = []
    connect = asyncpg.connect

    async def connect_and_log(*arguments: object, **options: object) -> object:
        connection = await connect(*arguments, **options)  # type: ignore[call-overload]
        connection.add_query_logger(lambda record: sent.append(record.query))
        return connection

    monkeypatch.setattr(asyncpg, "connect", connect_and_log)

    def take() -> list[str]:
        taken = list(sent)
        sent.clear()
        return taken

    return take


@on_postgres
async def test_a_delivery_is_two_statements(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take = counting(monkeypatch)
    async with open_party(url) as store:
        await store.commit(party_change())
        take()
        for version in range(1, 4):
            await store.session(session_id())
            change = party_change(
                expected_version=version,
                cause=f"round-{version}",
                received=(received(f"round-{version}"),),
                outgoing=(outgoing("a"), outgoing("b")),
            )
            assert await store.commit(change) is Outcome.COMMITTED
            assert len(take()) == 2


@on_postgres
async def test_a_lost_connection_is_unavailable_once(url: str, raw: RawDatabase) -> None:
    async with open_party(url) as store:
        await raw.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        outcomes: list[Outcome | None] = []
        for _ in range(3):
            try:
                outcomes.append(await store.commit(party_change()))
            except StoreUnavailableError:
                outcomes.append(None)
    assert outcomes.count(None) <= 1
    assert Outcome.COMMITTED in outcomes


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        async with open_party("postgresql://user:hunter2@127.0.0.1:1/none"):
            pass
    assert "hunter2" not in str(caught.value)


@on_postgres
async def test_a_statement_that_takes_too_long_is_given_up_and_leaves_nothing(
    url: str, raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = f"{postgres.SETTINGS} SET statement_timeout = 50;"
    async with open_party(url) as store:
        await store.commit(party_change())
    before = await raw.everything()
    monkeypatch.setattr(postgres, "SETTINGS", impatient)
    async with open_party(url) as store:
        holder = await asyncpg.connect(url)
        try:
            async with holder.transaction():
                await holder.execute("SELECT * FROM sessions FOR UPDATE")
                with pytest.raises(StoreUnavailableError, match="timeout"):
                    await store.commit(party_change(expected_version=1, cause="2"))
        finally:
            await holder.close()
        assert await raw.everything() == before
        change = party_change(expected_version=1, cause="2")
        assert await store.commit(change) is Outcome.COMMITTED


@on_postgres
async def test_commits_that_were_cancelled_while_they_waited_leave_connections_for_others(
    url: str,
) -> None:
    async with open_party(url) as store:
        await store.commit(party_change())
        holder = await asyncpg.connect(url)
        try:
            async with holder.transaction():
                await holder.execute("SELECT * FROM sessions FOR UPDATE")
                stuck = [
                    asyncio.create_task(
                        store.commit(party_change(expected_version=1, cause=str(racer)))
                    )
                    for racer in range(20)
                ]
                await asyncio.wait(stuck, timeout=0.2)
                for task in stuck:
                    task.cancel()
                results = await asyncio.gather(*stuck, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results)
        finally:
            await holder.close()
        others = [store.commit(party_change(f"other {number}")) for number in range(20)]
        assert set(await asyncio.gather(*others)) == {Outcome.COMMITTED}


@on_postgres
async def test_a_value_of_a_wrong_type_is_our_mistake_and_not_the_server_s(url: str) -> None:
    async with open_party(url) as store:
        with pytest.raises(asyncpg.DataError):
            await store.commit(party_change(deadline="tomorrow"))
        assert await store.commit(party_change()) is Outcome.COMMITTED


@on_postgres
async def test_the_bounds_count_what_somebody_else_is_parking(url: str) -> None:
    holder = await asyncpg.connect(url)
    try:
        async with open_party(url) as store:
            async with holder.transaction():
                park = "SELECT park_v1($1, 'round-1', 'party-2', '', 1, 100, 1)"
                assert await holder.fetchval(park, session_id("theirs"))
                second = asyncio.create_task(
                    store.park(parked("ours"), max_count=1, max_bytes=100, now=1)
                )
                await asyncio.wait([second], timeout=0.3)
            assert not await second
    finally:
        await holder.close()


@on_postgres
@pytest.mark.parametrize("role_name", ["coordinator"])
async def test_a_commitment_that_somebody_else_is_taking_is_passed_over(
    coordinator: CoordinatorStore, url: str
) -> None:
    await coordinator.commit(coordinator_change(commitments=(commitment("a"), commitment("b"))))
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            taken = await holder.fetchval(
                "SELECT nonce_id FROM commitments"
                " ORDER BY made_at DESC, nonce_id LIMIT 1 FOR UPDATE"
            )
            claimed = await claim(coordinator, ["party-1"])
    finally:
        await holder.close()
    assert {taken, claimed["party-1"].nonce_id} == {session_id("a"), session_id("b")}


@on_postgres
async def test_signing_with_presignatures_is_two_statements(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = counting(monkeypatch)
    async with open_party(url) as store:
        made = tuple(presignature(position) for position in range(64))
        await store.commit(party_change(presignatures=made))
        take()
        places = tuple(place(position) for position in range(64))
        await store.signing_material(
            session_id("list"), key_session=KEY, epoch=0, presignatures=places
        )
        change = party_change(
            "list", status="completed", take_presignatures=places, outgoing=(outgoing(),)
        )
        assert await store.commit(change) is Outcome.COMMITTED
        assert len(take()) == 2


@on_postgres
async def test_a_presignature_that_an_unfinished_answer_took_is_there_again_if_it_fails(
    url: str,
) -> None:
    """The second session waits for the first one's end, and does not give up before."""
    holder = await asyncpg.connect(url)
    try:
        async with open_party(url) as store:
            await store.commit(party_change("batch", presignatures=(presignature(),)))
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("DELETE FROM presignatures")
            answer = party_change(status="completed", take_presignatures=(place(),))
            second = asyncio.create_task(store.commit(answer))
            await asyncio.wait([second], timeout=0.3)
            assert not second.done()
            await transaction.rollback()
            assert await second is Outcome.COMMITTED
    finally:
        await holder.close()


@on_postgres
async def test_the_end_of_a_batch_waits_for_the_commit_that_adds_to_it(url: str) -> None:
    holder = await asyncpg.connect(url)
    try:
        async with open_party(url) as store:
            await store.commit(party_change("batch"))
            async with holder.transaction():
                await holder.execute("UPDATE sessions SET status = 'completed', ended_at = 1")
                await holder.execute(
                    "INSERT INTO presignatures VALUES ($1, 0, '', 0, '', 1)", session_id("batch")
                )
                end = asyncio.create_task(store.end(session_id("batch"), "failed", 5))
                await asyncio.wait([end], timeout=0.3)
                assert not end.done()
            assert not await end
            assert await holder.fetch("SELECT * FROM presignatures") == []
    finally:
        await holder.close()


@on_postgres
@pytest.mark.parametrize("role_name", ["coordinator"])
async def test_the_limits_count_batches_that_somebody_else_is_beginning(url: str) -> None:
    holder = await asyncpg.connect(url)
    try:
        async with open_coordinator_store(url) as store:
            async with holder.transaction():
                await holder.execute("SELECT pg_advisory_xact_lock(3, 0)")
                theirs = "INSERT INTO presign_batches VALUES ('', $1, 0, '1,2', 16)"
                await holder.execute(theirs, KEY)
                change = coordinator_change(batch=batch(limit_pool=1))
                second = asyncio.create_task(store.commit(change))
                await asyncio.wait([second], timeout=0.3)
            assert await second is Outcome.BATCH_REFUSED
    finally:
        await holder.close()


@on_postgres
@pytest.mark.parametrize("role_name", ["coordinator"])
async def test_presignatures_that_somebody_else_is_forgetting_are_passed_over(
    coordinator: CoordinatorStore, url: str
) -> None:
    await coordinator.commit(coordinator_change(presignatures=pooled(3)))
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("DELETE FROM presignatures WHERE position = 0")
            assert await coordinator.claim_presignatures(pool(), 3) == ()
            claimed = await coordinator.claim_presignatures(pool(), 2)
    finally:
        await holder.close()
    assert {presignature.position for presignature in claimed} == {1, 2}


@on_postgres
@pytest.mark.parametrize("role_name", ["coordinator"])
async def test_a_claim_that_is_given_back_was_not_too_few_for_the_next_one(
    coordinator: CoordinatorStore, url: str
) -> None:
    """It waits for the end of the first, and gets what that one could not use."""
    await coordinator.commit(coordinator_change(presignatures=pooled(4)))
    holder = await asyncpg.connect(url)
    try:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT claim_presignatures_v1($1, 0, '{\"1,2\"}', 3, false)", KEY)
        second = asyncio.create_task(coordinator.claim_presignatures(pool(), 2))
        await asyncio.wait([second], timeout=0.3)
        await transaction.rollback()
        assert len(await second) == 2
    finally:
        await holder.close()


@on_postgres
async def test_whoever_waits_for_a_presignature_holds_none_that_comes_after_it(url: str) -> None:
    """Else two who name the same ones in different order wait for each other."""
    holder = await asyncpg.connect(url)
    try:
        async with open_party(url) as store:
            made = (presignature(0), presignature(1))
            await store.commit(party_change("batch", presignatures=made))
            async with holder.transaction():
                await holder.execute("DELETE FROM presignatures WHERE position = 0")
                answer = party_change(status="completed", take_presignatures=(place(1), place(0)))
                second = asyncio.create_task(store.commit(answer))
                await asyncio.wait([second], timeout=0.3)
                assert not second.done()
                await holder.execute("DELETE FROM presignatures WHERE position = 1")
            assert await second is Outcome.PRESIGNATURE_GONE
    finally:
        await holder.close()
