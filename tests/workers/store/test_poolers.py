"""PgBouncer before the database, in each of its modes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

import migrations
from migrations import connections
from ops.stack.services import Services
from tests.bouncer import Bouncer, running_bouncer
from tests.patience import until
from workers.store.interface import PoolerError, SchemaError, StoreUnavailableError
from workers.store.opening import open_coordinator_store
from workers.store.postgres import database as postgres
from workers.store.records import Outcome

from .conftest import RawDatabase, open_party
from .examples import coordinator_change, party_change

pytestmark = pytest.mark.long

ROLE: migrations.Role = "party"
SHARING = ["transaction", "statement"]


@pytest.fixture
def backend() -> str:
    return "postgres"


@pytest.fixture
def bouncer(services: Services, request: pytest.FixtureRequest) -> Iterator[Bouncer]:
    settings: dict[str, str] = getattr(request, "param", {})
    with running_bouncer(services.database_url, **settings) as running:
        yield running


def session(**settings: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "bouncer", [{"pool_mode": "session"} | settings], indirect=True, ids=["session"]
    )


@session()
async def test_a_party_s_store_works_where_sessions_are_kept(url: str, bouncer: Bouncer) -> None:
    async with open_party(bouncer.url(url)) as store:
        assert await store.commit(party_change()) is Outcome.COMMITTED
        await store.require_able()
        await store.attest()
    async with open_party(bouncer.url(url)) as store:
        change = party_change(expected_version=1, cause="2")
        assert await store.commit(change) is Outcome.COMMITTED


@session()
async def test_our_settings_hold_behind_it_though_it_knows_no_start_up_parameter(
    url: str, bouncer: Bouncer
) -> None:
    database = postgres.PostgresDatabase(bouncer.url(url), max_connections=1)
    for name, value in [("statement_timeout", "10s"), ("jit", "off"), ("enable_seqscan", "off")]:
        (row,) = await database.fetch(f"SELECT current_setting('{name}') AS found")
        assert row["found"] == value
    await database.close()


@pytest.mark.parametrize(
    "bouncer",
    [
        {"pool_mode": mode, "ignore_startup_parameters": ignored, **more}
        for mode in SHARING
        for ignored in ("extra_float_digits", "statement_timeout")
        for more in ({}, {"server_round_robin": "1"})
    ],
    indirect=True,
)
async def test_one_that_shares_sessions_is_refused_with_what_to_do(
    url: str, bouncer: Bouncer
) -> None:
    for opening in (open_party, open_coordinator_store):
        with pytest.raises(SchemaError, match=r"set pool_mode = session .*pgbouncer\.md") as told:
            async with opening(bouncer.url(url)):
                pass
        assert told.value.__cause__ is None
    with pytest.raises(migrations.PoolerError, match="pool_mode = session"):
        await migrations.upgrade(ROLE, bouncer.url(url))


@pytest.mark.parametrize("bouncer", [{"pool_mode": "transaction"}], indirect=True)
async def test_it_is_told_from_one_whose_sessions_are_many_and_taken_in_turn(
    url: str, bouncer: Bouncer
) -> None:
    """Others' transactions have left sessions behind, and others are at work."""
    others = [await asyncpg.connect(bouncer.url(url), statement_cache_size=0) for _ in range(5)]
    for other in others:
        await other.execute("BEGIN")
    for other in others[:3]:
        await other.execute("COMMIT")
    for _ in range(5):
        with pytest.raises(migrations.PoolerError):
            await connections.connect(bouncer.url(url))
    for other in others:
        await other.close()


@session()
async def test_the_server_itself_is_nobody_s_pooler(url: str, bouncer: Bouncer) -> None:
    direct = await connections.connect(url)
    through = await connections.connect(bouncer.url(url))
    assert (direct.pooled, through.pooled) == (False, True)
    await connections.require_own(through)
    assert direct.session.partition("@")[2] == through.session.partition("@")[2]
    await direct.close()
    await through.close()


@session()
async def test_one_that_is_changed_while_we_run_is_noticed_and_nothing_is_committed(
    url: str, raw: RawDatabase, bouncer: Bouncer
) -> None:
    async with open_party(bouncer.url(url)) as store, open_party(bouncer.url(url)) as twin:
        bouncer.change(pool_mode="transaction")
        committed = 0

        async def refused() -> bool:
            nonlocal committed
            for each in (store, twin):
                try:
                    await each.require_able()
                    change = party_change(session_id=committed.to_bytes(32))
                    committed += await each.commit(change) is Outcome.COMMITTED
                except PoolerError:
                    return True
            return False

        await until(refused)
        before = await raw.everything()
        for each in (store, twin):
            with pytest.raises(PoolerError, match="pool_mode = session"):
                await each.require_able()
            with pytest.raises(PoolerError):
                await each.commit(party_change(session_id=b"\xff" * 32))
        assert await raw.everything() == before
        bouncer.change(pool_mode="session")

        async def able() -> bool:
            with contextlib.suppress(PoolerError):
                await store.require_able()
                return True
            return False

        await until(able)
        change = party_change(session_id=b"\xff" * 32)
        assert await store.commit(change) is Outcome.COMMITTED


@session()
async def test_a_commit_in_a_session_that_was_not_admitted_does_nothing(
    url: str, raw: RawDatabase, bouncer: Bouncer
) -> None:
    """A pooler that prepares our statements in every session would let it through."""
    async with open_party(bouncer.url(url)) as store:
        # The store as others know it has none.
        database = store._database  # type: ignore[attr-defined]
        before = await raw.everything()
        async with database._pool.connection() as connection:
            own, connection.session = connection.session, "1@1"
        with pytest.raises(PoolerError):
            await store.commit(party_change())
        assert await raw.everything() == before
        assert own != "1@1"
        assert await store.commit(party_change()) is Outcome.COMMITTED


@session()
async def test_a_pooler_that_is_started_anew_is_found_again(url: str, bouncer: Bouncer) -> None:
    async with open_party(bouncer.url(url)) as store:
        await store.commit(party_change())
        bouncer.stop()
        with pytest.raises(StoreUnavailableError):
            await store.require_able()
        bouncer.start()
        await store.require_able()
        change = party_change(expected_version=1, cause="2")
        assert await store.commit(change) is Outcome.COMMITTED


@session(default_pool_size="2")
async def test_a_pooler_without_a_session_left_is_unavailable_and_not_refused(
    url: str, bouncer: Bouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FIRST_ANSWER_S", 0.5)
    async with open_party(bouncer.url(url)), open_party(bouncer.url(url)):
        with pytest.raises(StoreUnavailableError, match=r"no session left .*pgbouncer\.md"):
            async with open_party(bouncer.url(url)):
                pass
    async with open_party(bouncer.url(url)) as store:
        await store.require_able()


@session(max_client_conn="1")
async def test_a_pooler_that_takes_one_connection_serves_one(url: str, bouncer: Bouncer) -> None:
    async with open_party(bouncer.url(url)) as store:
        await store.require_able()
        with pytest.raises(StoreUnavailableError, match="max_client_conn"):
            async with open_party(bouncer.url(url)):
                pass


@session()
async def test_what_it_does_not_let_in_is_told_as_it_says(url: str, bouncer: Bouncer) -> None:
    for wrong, words in [("?geqo=off", "startup parameter: geqo"), ("", "authentication failed")]:
        address = bouncer.url(url) + wrong
        if not wrong:
            password = urlsplit(url).password
            address = address.replace(str(password), "Sup3rSecr3t")
        with pytest.raises(StoreUnavailableError, match=words) as told:
            async with open_party(address):
                pass
        assert "Sup3r" not in str(told.value)
        with pytest.raises(migrations.UnavailableError, match=words):
            await migrations.upgrade(ROLE, address)


@session(server_login_retry="1")
async def test_a_pooler_whose_database_is_away_gives_no_session(
    url: str, bouncer: Bouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CONNECT_TIMEOUT_S", 1)
    bouncer.server_port = 1
    bouncer.stop()
    bouncer.start()
    with pytest.raises(StoreUnavailableError, match=r"no session within 1 s: .*pgbouncer\.md"):
        async with open_party(bouncer.url(url)):
            pass


async def test_processes_prepare_statements_under_names_of_their_own(url: str) -> None:
    """Whoever got another's session would otherwise run another's statement."""
    names: set[str] = set()
    for _ in range(2):
        connection = await connections.connect(url)
        rows = await connection.fetch("SELECT name FROM pg_prepared_statements")
        assert rows
        assert all(row["name"].startswith("__warren_") for row in rows)
        names |= {row["name"] for row in rows}
        await connection.close()
    assert len(names) >= 4


@session()
async def test_migrations_pass_through_it_one_at_a_time(database: str, bouncer: Bouncer) -> None:
    url = bouncer.url(database)
    await asyncio.gather(*(migrations.upgrade("coordinator", url) for _ in range(3)))
    async with open_coordinator_store(url) as store:
        assert await store.commit(coordinator_change()) is Outcome.COMMITTED
