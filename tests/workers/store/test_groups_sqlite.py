"""What a file may do to a group: be full, be looked at by the fence."""

from __future__ import annotations

from typing import Any

import pytest

from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.records import Outcome
from workers.store.sqlite.party import SqlitePartyStore

from .conftest import RawDatabase, witness_of
from .examples import nonce, outgoing, party_change, session_id
from .grouped import Groups, at_once, watched

ROLE = "party"


@pytest.fixture(params=["sqlite"])
def backend() -> str:
    return "sqlite"


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    return watched(monkeypatch)


async def limit_pages(store: PartyStore, count: int) -> None:
    assert isinstance(store, SqlitePartyStore)
    await store._database.read(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").fetchall()
    )


async def test_who_does_not_fit_on_the_disk_is_left_out_alone(
    groups: Groups, party: PartyStore
) -> None:
    await party.commit(party_change("before", outgoing=(outgoing(body=bytes(100_000)),)))
    await party.commit(party_change("before", expected_version=1, cause="2", forget_sent=True))
    await limit_pages(party, 1)  # what there is, and no more
    big = party_change("big", outgoing=(outgoing(body=bytes(10_000_000)),))
    others = [party_change(each) for each in ("first", "a", "b")]
    outcomes = await at_once(*map(party.commit, [*others, big]))
    assert outcomes[:3] == [Outcome.COMMITTED] * 3
    assert isinstance(outcomes[3], StoreUnavailableError)
    assert groups.sizes == [3]
    assert groups.apart == 3
    await limit_pages(party, 1_000_000)
    assert await party.commit(big) is Outcome.COMMITTED


async def test_a_group_raises_the_witness_once_and_before_anybody_hears_of_it(
    groups: Groups, party: PartyStore, raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = party
    reached: list[int] = []
    pass_out = store._fence.pass_out

    def noting(sighting: Any, expected: Any) -> None:
        pass_out(sighting, expected)
        reached.append(store._fence.witness.read().progress)

    monkeypatch.setattr(store._fence, "pass_out", noting)
    outcomes = await at_once(*(party.commit(party_change(str(n))) for n in range(5)))
    assert outcomes == [Outcome.COMMITTED] * 5
    assert groups.sizes == [4]
    ((progress,),) = await raw.query("SELECT progress FROM incarnation")
    assert reached == [progress - 1, progress]


async def test_where_the_witness_cannot_be_raised_nobody_of_the_group_is_told(
    party: PartyStore, raw: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be committed; nobody tries again, and nothing leaves."""
    await party.commit(party_change("prepared", nonces=(nonce("a"), nonce("b"))))
    store: Any = party
    pass_out, passed = store._fence.pass_out, []

    def failing(sighting: Any, expected: Any) -> None:
        passed.append(sighting)
        if len(passed) == 2:  # the first goes alone
            raise OSError(28, "No space left on device")
        pass_out(sighting, expected)

    monkeypatch.setattr(store._fence, "pass_out", failing)
    taking = [party_change(each, take_nonce=session_id(each)) for each in ("a", "b")]
    first, *told = await at_once(*map(party.commit, [party_change("first"), *taking]))
    assert first is Outcome.COMMITTED
    assert [type(each) for each in told] == [StoreUnavailableError] * 2
    assert len(passed) == 2
    assert await raw.query("SELECT * FROM nonces") == []


async def test_a_group_looks_again_at_a_file_that_somebody_else_has_begun_anew(
    groups: Groups, party: PartyStore, party_twin: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(party_change("prepared", nonces=(nonce("a"),)))
    await party_twin.begin_incarnation("by another")
    change = party_change("taker", take_nonce=session_id("a"))
    outcomes = await at_once(
        *(party.commit(each) for each in (party_change("first"), change, party_change("b")))
    )
    assert outcomes == [Outcome.COMMITTED, Outcome.NONCE_GONE, Outcome.COMMITTED]
    assert groups.sizes == [2]
    assert witness_of(raw.url).exists()
    found = await party.session(session_id("b"))
    assert found is not None
    assert found.state == b"the state"
