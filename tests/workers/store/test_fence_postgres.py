"""The attacks on a PostgreSQL party: what was dumped, copied or promoted answers nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

import migrations
from ops.stack import children, databases, discovery
from ops.stack.services import Services
from ops.stack.workspace import workspace
from tests.conftest import STACK
from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.records import Outcome

from .examples import KEY, nonce, party_change, session_id
from .fencing import BEGINS, answer, assert_as_prepared, assert_emptied, opened, prepare
from .servers import Server, run

pytestmark = pytest.mark.system


@pytest.fixture
def programs() -> Path:
    found = discovery.postgres_programs(os.environ)
    if found is None or not (found / "pg_dump").exists():
        pytest.skip("no pg_dump here")
    return found


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return tmp_path / "party-1.incarnation"


@pytest.fixture
async def url(database: str) -> str:
    await migrations.upgrade("party", database)
    return database


async def elsewhere(url: str, name: str) -> str:
    return await databases.create(_admin(url), name)


def _admin(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/postgres"))


@contextlib.asynccontextmanager
async def _dropped(url: str, name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await databases.drop(_admin(url), name)


###
### Dumps
###


@pytest.mark.parametrize("options", [[], ["--no-unlogged-table-data"]])
async def test_a_dump_in_a_new_database_answers_nothing(
    url: str, witness: Path, programs: Path, tmp_path: Path, options: list[str]
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        run(programs / "pg_dump", url, "-Fc", "-f", str(tmp_path / "dump"), *options)
        assert await answer(store, "digest") is Outcome.COMMITTED
    name = f"test_{secrets.token_hex(6)}"
    async with _dropped(url, name):
        restored = await elsewhere(url, name)
        run(programs / "pg_restore", restored, "-d", name, str(tmp_path / "dump"))
        assert bool(await count(restored, "nonces")) is not bool(options)
        async with opened(restored, witness) as store:
            assert await answer(store, "another digest") is None
            await assert_emptied(store)


async def test_a_dump_that_is_made_and_restored_between_two_looks_answers_nothing(
    url: str, witness: Path, programs: Path, tmp_path: Path
) -> None:
    """So the witness is no further than the dump; but its tables are other ones."""
    async with opened(url, witness) as store:
        await prepare(store)
        assert await answer(store, "digest", "b") is Outcome.COMMITTED
    before = look(witness)
    run(programs / "pg_dump", url, "-Fc", "-f", str(tmp_path / "dump"))
    name = f"test_{secrets.token_hex(6)}"
    async with _dropped(url, name):
        restored = await elsewhere(url, name)
        run(programs / "pg_restore", restored, "-d", name, str(tmp_path / "dump"))
        assert look(witness) == before
        async with opened(restored, witness) as store:
            assert await answer(store, "another digest") is None


async def count(url: str, table: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return found
    finally:
        await connection.close()


def look(witness: Path) -> bytes:
    return witness.read_bytes()


async def test_a_dump_that_is_restored_in_place_answers_nothing_at_once(
    url: str, witness: Path, programs: Path, tmp_path: Path
) -> None:
    """Under connections that stay open, and before anybody looks."""
    async with opened(url, witness) as store:
        await prepare(store)
        run(programs / "pg_dump", url, "-Fc", "-f", str(tmp_path / "dump"))
        assert await answer(store, "digest") is Outcome.COMMITTED
        database = urlsplit(url).path[1:]
        restore = ["--clean", "--if-exists", "-d", database, str(tmp_path / "dump")]
        run(programs / "pg_restore", url, *restore)

        # The nonce is there again, so it is tried.
        with pytest.raises(StoreUnavailableError, match="another incarnation"):
            await answer(store, "another digest")
        assert await answer(store, "another digest") is None
        await assert_emptied(store)


async def test_single_tables_that_are_restored_in_place_answer_nothing(
    url: str, witness: Path, programs: Path, tmp_path: Path
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        run(programs / "pg_dump", url, "-Fc", "-f", str(tmp_path / "dump"))
        assert await answer(store, "digest") is Outcome.COMMITTED
        database = urlsplit(url).path[1:]
        restore = ["--clean", "-t", "nonces", "-d", database, str(tmp_path / "dump")]
        run(programs / "pg_restore", url, *restore)
        with pytest.raises(StoreUnavailableError, match="another incarnation"):
            await answer(store, "another digest")
        assert await answer(store, "another digest") is None


async def test_data_that_are_restored_into_truncated_tables_answer_nothing(
    url: str, witness: Path, programs: Path, tmp_path: Path
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        run(programs / "pg_dump", url, "-Fc", "-t", "nonces", "-f", str(tmp_path / "dump"))
        assert await answer(store, "digest") is Outcome.COMMITTED
    await execute(url, "TRUNCATE nonces")
    database = urlsplit(url).path[1:]
    run(programs / "pg_restore", url, "--data-only", "-d", database, str(tmp_path / "dump"))
    async with opened(url, witness) as store:
        assert await answer(store, "another digest") is None
        await assert_emptied(store)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("further", [True, False])
async def test_a_copy_of_the_database_on_the_same_server_answers_nothing(
    url: str, witness: Path, further: bool
) -> None:
    """Such a copy has the same tables in the same files, with the UNLOGGED ones in it."""
    async with opened(url, witness) as store:
        await prepare(store)
    name, database = f"test_{secrets.token_hex(6)}", urlsplit(url).path[1:]
    await execute(_admin(url), f'CREATE DATABASE "{name}" TEMPLATE "{database}"')
    async with _dropped(url, f"{name}_away"):
        if further:
            async with opened(url, witness) as store:
                assert await answer(store, "digest") is Outcome.COMMITTED
        await execute(
            _admin(url),
            f'ALTER DATABASE "{database}" RENAME TO "{name}_away"',
            f'ALTER DATABASE "{name}" RENAME TO "{database}"',
        )
        async with opened(url, witness) as store:
            assert await answer(store, "another digest") is None


async def test_a_connection_that_is_made_anew_looks_before_it_answers(
    url: str, witness: Path
) -> None:
    """The server was stopped and came back otherwise, and the worker did not notice."""
    async with opened(url, witness) as store:
        await prepare(store)
        await execute(
            url,
            "UPDATE incarnation SET progress = -1",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with contextlib.suppress(StoreUnavailableError):
            await store.bans()
        await assert_emptied(store)


async def test_each_connection_brings_the_witness_further(url: str, witness: Path) -> None:
    """So that what is answered after a server's start is answered further than any copy of it."""
    async with opened(url, witness) as store:
        await prepare(store)
    seen = {look(witness)}
    for _ in range(3):
        async with opened(url, witness) as store:
            seen.add(look(witness))
            await store.attest()
            seen.add(look(witness))
    assert len(seen) == 7


async def test_a_role_without_any_privileges_of_its_own_can_keep_the_fence(
    url: str, witness: Path
) -> None:
    role, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(8)
    name = urlsplit(url).path[1:]
    await execute(
        _admin(url),
        f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}'",
    )
    try:
        await execute(_admin(url), f"CREATE DATABASE {name}_own OWNER {role}")
        parts = urlsplit(url)
        address = f"{role}:{password}@{parts.hostname}:{parts.port}"
        own = parts._replace(netloc=address, path=f"/{name}_own").geturl()
        await migrations.upgrade("party", own)
        for _ in range(2):
            async with opened(own, witness) as store:
                await store.attest()
                await store.begin_incarnation("a test")
                await prepare_once(store)
        async with opened(own, witness) as store:
            assert await answer(store, "digest") is Outcome.COMMITTED
    finally:
        await databases.drop(_admin(url), f"{name}_own")
        await execute(_admin(url), f"DROP ROLE {role}")


async def prepare_once(store: PartyStore) -> None:
    await store.commit(party_change("prepared", nonces=(nonce("a"),)))


###
### Workers on several machines, each with a witness of its own
###


async def test_a_worker_on_another_machine_is_believed_as_long_as_the_server_runs(
    url: str, witness: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(url, witness) as store:
        async with opened(url, tmp_path / "machine-2.incarnation") as other:
            await prepare(other)
        caplog.clear()
        await store.attest()
        await assert_as_prepared(store)
        async with opened(url, witness) as another:
            await assert_as_prepared(another)
    assert BEGINS not in caplog.text


async def test_a_commit_from_before_another_machine_s_beginning_is_refused(
    url: str, witness: Path, tmp_path: Path
) -> None:
    async with opened(url, witness) as store:
        await prepare(store)
        async with opened(url, tmp_path / "machine-2.incarnation"):
            with pytest.raises(StoreUnavailableError, match="another incarnation"):
                await store.commit(party_change("late"))
        assert await answer(store, "digest") is None
        assert await store.commit(party_change("late")) is Outcome.COMMITTED


###
### Servers that are stopped, copied, promoted
###


@pytest.fixture
def server(services: Services, programs: Path) -> Iterator[Server]:
    account = children.unprivileged_account()
    with workspace(STACK, keep=False, account=account) as place:
        made = Server(place.run / "postgres", place.cache, programs)
        try:
            yield made
        finally:
            made.stop()


async def set_up(server: Server, witness: Path) -> str:
    url = server.start()
    await databases.create(_admin(url), "party")
    await migrations.upgrade("party", url)
    async with opened(url, witness) as store:
        await prepare(store)
    return url


async def test_a_server_that_was_restarted_keeps_all(
    server: Server, witness: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await set_up(server, witness)
    caplog.clear()
    for _ in range(2):
        server.stop()
        async with opened(server.start(), witness) as store:
            await assert_as_prepared(store)
    assert BEGINS not in caplog.text


async def test_a_server_that_crashed_has_nothing_left(server: Server, witness: Path) -> None:
    await set_up(server, witness)
    server.stop(cleanly=False)
    async with opened(server.start(), witness) as store:
        await assert_emptied_by_crash(store)
        found = await store.incarnation()
        assert found is not None
        assert found.reason.startswith("the database is in none")


async def assert_emptied_by_crash(store: PartyStore) -> None:
    material = await store.signing_material(
        session_id("prepared"), key_session=KEY, epoch=0, nonce_id=session_id("b")
    )
    assert material.session is None
    assert material.nonce is None
    assert material.key_share is not None


async def test_a_volume_that_was_rolled_back_answers_nothing(server: Server, witness: Path) -> None:
    """All files of the server, copied while it was stopped: the UNLOGGED tables are among them."""
    await set_up(server, witness)
    server.stop()
    server.copy("data", "copy")
    async with opened(server.start(), witness) as store:
        assert await answer(store, "digest") is Outcome.COMMITTED
    server.stop()
    server.copy("copy", "data")
    url = server.start()
    assert await count(url, "nonces") == 2
    async with opened(url, witness) as store:
        assert await answer(store, "another digest") is None
        await assert_emptied(store)
        found = await store.incarnation()
        assert found is not None
        assert found.reason.startswith("the database has gone back")


async def test_a_promoted_replica_answers_nothing(server: Server, witness: Path) -> None:
    url = await set_up(server, witness)
    replica = server.follow()
    async with opened(url, witness) as store:
        assert await answer(store, "digest") is Outcome.COMMITTED
    server.stop(cleanly=False)
    try:
        url = replica.start()
        await execute(_admin(url), "SELECT pg_promote()")
        async with opened(url, witness) as store:
            assert await answer(store, "another digest") is None
            await assert_emptied_by_crash(store)
            found = await store.incarnation()
            assert found is not None
            assert found.reason.startswith("the database is in none")
    finally:
        replica.stop()
