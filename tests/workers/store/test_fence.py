"""Round state, nonces and presignatures are there as long as database and witness agree."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.store.interface import PartyStore, StoreUnavailableError, WitnessError
from workers.store.opening import open_party_store
from workers.store.records import Outcome
from workers.store.rows.party import NoIncarnationError

from .conftest import SEALER, RawDatabase
from .examples import key_share, nonce, parked, party_change, presignature, session_id
from .fencing import (
    BEGINS,
    answer,
    assert_as_prepared,
    assert_emptied,
    opened,
    opens,
    prepare,
)

pytestmark = pytest.mark.long

ROLE = "party"


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return tmp_path / "party-1.incarnation"


@pytest.fixture
async def incarnation(url: str, witness: Path) -> bytes:
    """Of a database that was prepared, and left."""
    async with opened(url, witness) as store:
        await prepare(store)
        found = await store.incarnation()
    assert found is not None
    return found.incarnation


async def incarnation_of(store: PartyStore) -> bytes:
    found = await store.incarnation()
    assert found is not None
    return found.incarnation


###
### What keeps
###


async def test_all_is_there_when_the_store_is_opened_again(
    url: str, witness: Path, incarnation: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    for _ in range(3):
        async with opened(url, witness) as store:
            await assert_as_prepared(store)
            await store.attest()
            assert await incarnation_of(store) == incarnation
    assert BEGINS not in caplog.text


async def test_all_is_there_for_a_second_process(
    url: str, witness: Path, incarnation: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    async with opened(url, witness) as one, opened(url, witness) as two:
        for number in range(5):
            for store, name in [(one, "one"), (two, "two")]:
                change = party_change(f"{name} {number}", nonces=(nonce(f"{name} {number}"),))
                assert await store.commit(change) is Outcome.COMMITTED
                await store.attest()
        assert await answer(one, "digest", "two 4") is Outcome.COMMITTED
        assert await answer(two, "digest again", "two 4") is None
        await assert_as_prepared(two)
    assert BEGINS not in caplog.text


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.workers.store.fencing import answer, opened
from tests.workers.store.examples import nonce, party_change

async def main():
    async with opened(sys.argv[1], Path(sys.argv[2])) as store:
        await store.attest()
        if sys.argv[3] == "under way":
            for number in range(10_000):
                await store.commit(party_change(f"n {number}", nonces=(nonce(f"n {number}"),)))
                if number == 20:
                    print("begun", flush=True)
        await answer(store, "killed")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def worker(url: str, witness: Path, what: str) -> subprocess.Popen[bytes]:
    """A process that is killed, by itself when it has answered or by us."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(witness), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("when", ["answered", "under way"])
async def test_all_is_there_after_a_worker_was_killed(
    url: str, witness: Path, incarnation: bytes, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    process = worker(url, witness, when)
    assert process.stdout is not None
    try:
        if when == "under way":
            assert await asyncio.to_thread(process.stdout.readline) == b"begun\n"
    finally:
        if when == "under way":
            process.kill()
        await asyncio.to_thread(process.wait)
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
    async with opened(url, witness) as store:
        await assert_as_prepared(store)
        if when == "answered":
            assert len(await store.outgoing(session_id("killed"), "answer")) == 1
    assert BEGINS not in caplog.text


###
### What begins a new incarnation
###


def forget(witness: Path) -> None:
    witness.unlink()


def spoil(witness: Path) -> None:
    line = witness.read_bytes()
    witness.write_bytes(line[:-1])


def lengthen(witness: Path) -> None:
    witness.write_bytes(witness.read_bytes() + b"and more")


def know_another(witness: Path) -> None:
    line = witness.read_text()
    other = "0" * 32
    assert other not in line
    witness.write_text(re.sub("[0-9a-f]{32}", other, line))


def know_more(witness: Path) -> None:
    line = witness.read_text()
    number = re.search(r"\d{19}", line)
    assert number is not None
    # A database that it was in order to find is raised by at most one on the way out.
    witness.write_text(line.replace(number[0], f"{int(number[0]) + 2:019d}"))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (forget, "the witness file is new or damaged"),
        (spoil, "the witness file is new or damaged"),
        (lengthen, "the witness file is new or damaged"),
        (know_another, "the witness knows another incarnation"),
        (know_more, "the database has gone back from"),
    ],
)
async def test_a_witness_that_does_not_agree_empties_what_is_used_once(
    url: str,
    witness: Path,
    incarnation: bytes,
    harm: Callable[[Path], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.clear()
    harm(witness)
    async with opened(url, witness) as store:
        await assert_emptied(store)
        found = await store.incarnation()
    assert found is not None
    assert found.incarnation != incarnation
    assert found.reason.startswith(reason)
    (event,) = [record for record in caplog.records if BEGINS in record.getMessage()]
    assert event.levelname == "WARNING"
    assert vars(event)["reason"] == found.reason
    caplog.clear()
    async with opened(url, witness) as store:
        assert await incarnation_of(store) == found.incarnation
    assert BEGINS not in caplog.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("DELETE FROM incarnation", "the database is in none"),
        ("UPDATE incarnation SET origin = 'elsewhere'", "the database was copied or restored"),
    ],
)
async def test_a_database_that_does_not_know_itself_is_emptied(
    url: str, raw: RawDatabase, witness: Path, incarnation: bytes, change: str, reason: str
) -> None:
    await raw.query(f"{change} RETURNING 1")
    async with opened(url, witness) as store:
        await assert_emptied(store)
        found = await store.incarnation()
    assert found is not None
    assert found.reason.startswith(reason)


async def test_a_second_row_vouches_for_nothing(
    url: str, raw: RawDatabase, witness: Path, incarnation: bytes
) -> None:
    other = raw.literal(bytes(16))
    await raw.query(
        f"INSERT INTO incarnation SELECT {other}, progress, origin, relations, begun_at, reason"
        " FROM incarnation RETURNING 1"
    )
    async with opened(url, witness) as store:
        await assert_emptied(store)
    assert len(await raw.query("SELECT * FROM incarnation")) == 1


async def test_a_running_process_sees_that_the_database_has_gone_back(
    url: str, raw: RawDatabase, witness: Path, incarnation: bytes
) -> None:
    async with opened(url, witness) as store:
        await raw.query("UPDATE incarnation SET progress = 0 RETURNING 1")
        await store.attest()
        await assert_emptied(store)


async def test_a_process_that_looks_while_another_begins_waits_and_believes_it(
    url: str, witness: Path, incarnation: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        forget(witness)
        caplog.clear()
        stores = [opened(url, witness) for _ in range(3)]
        await asyncio.gather(*(store.__aenter__() for store in stores))
        begun = [await incarnation_of(store) for store in stores]
        try:
            assert len(set(begun)) == 1
            assert caplog.text.count(BEGINS) == 1
            for number, store in enumerate(stores):
                await store.commit(party_change(str(number), nonces=(nonce(str(number)),)))
                assert await opens(stores[0], str(number))
        finally:
            for store in stores:
                await store.__aexit__(None, None, None)


async def test_two_processes_that_start_at_once_begin_once(
    url: str, witness: Path, incarnation: bytes
) -> None:
    forget(witness)
    processes = [worker(url, witness, "answered") for _ in range(3)]
    said = [(await asyncio.to_thread(process.communicate))[1] for process in processes]
    assert b"".join(said).count(BEGINS.encode()) == 1


async def test_a_running_process_goes_on_in_the_incarnation_that_another_began(
    url: str, witness: Path, incarnation: bytes
) -> None:
    async with opened(url, witness) as one:
        async with opened(url, witness) as two:
            await two.begin_incarnation("a test")
            await two.commit(party_change("two", nonces=(nonce("b"),)))
        try:
            await one.commit(party_change("one"))
        except StoreUnavailableError:
            assert await one.commit(party_change("one")) is Outcome.COMMITTED
        await one.attest()
        assert await opens(one, "b")
        assert await incarnation_of(one) != incarnation


async def test_rows_of_another_incarnation_do_not_open(
    url: str, raw: RawDatabase, witness: Path, incarnation: bytes
) -> None:
    """Somebody puts them back by hand, and the witness cannot know."""
    rows = {
        table: await raw.query(f"SELECT * FROM {table}")
        for table in ["nonces", "presignatures", "sessions", "inbox"]
    }
    async with opened(url, witness) as store:
        assert await opens(store)
        await store.begin_incarnation("a test")
        for table, kept in rows.items():
            for row in kept:
                values = ", ".join(map(literal(raw), row))
                await raw.query(f"INSERT INTO {table} VALUES ({values}) RETURNING 1")
        assert not await opens(store)
        with pytest.raises(Exception, match=r"round state .* does not open"):
            await store.session(session_id("prepared"))
        await raw.query("UPDATE sessions SET state = '' RETURNING 1")
        with pytest.raises(Exception, match=r"inbox .* does not open"):
            await store.session(session_id("prepared"))
        with pytest.raises(Exception, match=r"presignature .* does not open"):
            await store.signing_material(
                session_id("none"),
                key_session=key_share().key_session,
                epoch=0,
                presignatures=[(presignature().batch, 0)],
            )


def literal(raw: RawDatabase) -> Callable[[object], str]:
    def text(value: object) -> str:
        if value is None:
            return "NULL"
        return raw.literal(value) if isinstance(value, bytes) else f"'{value}'"

    return text


###
### The witness, and going without
###


def test_the_witness_is_its_owner_s_alone_and_says_nothing_secret(
    witness: Path, incarnation: bytes
) -> None:
    assert stat.S_IMODE(witness.stat().st_mode) == 0o600
    assert re.fullmatch(f"warren-witness-1 {incarnation.hex()} [0-9]{{19}}\n", witness.read_text())


async def test_a_witness_that_cannot_be_kept_stops_the_worker(url: str, tmp_path: Path) -> None:
    with pytest.raises(WitnessError, match=r"No such file.*incarnation_file under \[party\]"):
        async with opened(url, tmp_path / "none" / "witness"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="root may write anything; a folder it may not")
async def test_a_folder_in_the_witness_s_place_stops_the_worker(url: str, tmp_path: Path) -> None:
    with pytest.raises(WitnessError, match="Is a directory"):
        async with opened(url, tmp_path):
            pass


async def test_a_process_that_never_lets_the_witness_go_is_unavailable(
    url: str, witness: Path, incarnation: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.store.witness.PATIENCE_S", 0.05)
    monkeypatch.setattr("workers.store.postgres.fence.PATIENCE_S", 0.05)
    from workers.store.witness import Witness

    holder = Witness(witness)
    assert holder.try_hold()
    try:
        with pytest.raises(StoreUnavailableError, match="another process keeps the witness"):
            async with opened(url, witness):
                pass
    finally:
        holder.close()
    async with opened(url, witness) as store:
        await assert_as_prepared(store)


async def test_a_store_without_a_witness_is_for_key_shares_and_bans_only(
    url: str, incarnation: bytes
) -> None:
    async with open_party_store(url, party_id="party-1", sealer=SEALER) as store:
        assert len(await store.key_shares()) == 1
        assert len(await store.bans()) == 1
        assert await store.lift_ban("party-2")
        await store.attest()
        assert await incarnation_of(store) == incarnation
        for work in [
            store.session(session_id("prepared")),
            store.commit(party_change("new")),
            store.commit(party_change("new", status="completed", state=b"")),
            store.begin_incarnation("a test"),
            store.park(parked("early"), max_count=9, max_bytes=999, now=1),
        ]:
            with pytest.raises(NoIncarnationError):
                await work


async def test_a_new_incarnation_is_another_one_each_time(
    url: str, witness: Path, incarnation: bytes
) -> None:
    async with opened(url, witness) as store:
        seen = {incarnation}
        for _ in range(3):
            await store.begin_incarnation("a test")
            await assert_emptied(store)
            seen.add(await incarnation_of(store))
            await store.attest()
    assert len(seen) == 4
