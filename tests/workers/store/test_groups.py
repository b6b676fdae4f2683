"""What is committed in one moment: alike for both roles, and as if one came after the other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from workers.store.gathering import MOST
from workers.store.interface import CoordinatorStore, PartyStore, StoreUnavailableError
from workers.store.records import Outcome

from .conftest import RawDatabase, Role
from .examples import (
    KEY,
    commitment,
    coordinator_change,
    key_share,
    nonce,
    outgoing,
    party_change,
    place,
    pooled,
    presignature,
    received,
    request,
    session_id,
)
from .grouped import Groups, at_once, watched

ROLE = "party"

both_roles = pytest.mark.parametrize("role_name", ["party", "coordinator"])
as_coordinator = pytest.mark.parametrize("role_name", ["coordinator"])


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    return watched(monkeypatch)


@pytest.fixture
def role_name() -> str:
    return ROLE


###
### Changes
###


@both_roles
@pytest.mark.parametrize(
    ("waiting", "sizes"), [(1, []), (2, [2]), (MOST, [MOST]), (MOST + 1, [MOST])]
)
async def test_changes_of_one_moment_are_all_made(
    groups: Groups, role: Role, waiting: int, sizes: list[int]
) -> None:
    names = [f"session {number}" for number in range(1 + waiting)]
    changes = [
        role.change(each, received=(received(),), outgoing=(outgoing(each),)) for each in names
    ]
    assert await at_once(*map(role.store.commit, changes)) == [Outcome.COMMITTED] * len(names)
    assert groups.sizes == sizes
    assert not groups.apart
    for each in names:
        session = await role.twin.session(session_id(each))
        assert (session.version, session.received) == (1, (received(),))
        assert await role.twin.outgoing(session_id(each), "created") == (outgoing(each),)


@both_roles
async def test_who_loses_a_race_in_a_group_loses_alone(groups: Groups, role: Role) -> None:
    await role.store.commit(role.change("old"))
    outcomes = await at_once(
        role.store.commit(role.change("first")),
        role.store.commit(role.change("a")),
        role.store.commit(role.change("old", outgoing=(outgoing(),))),
        role.store.commit(role.change("none", expected_version=1)),
        role.store.commit(role.change("b")),
        role.store.commit(role.change("old", expected_version=1, cause="next")),
    )
    made, lost = Outcome.COMMITTED, Outcome.LOST_RACE
    assert outcomes == [made, made, lost, lost, made, made]
    assert groups.sizes == [5]
    assert await role.twin.session(session_id("none")) is None
    assert (await role.twin.session(session_id("old"))).version == 2
    assert await role.twin.outgoing(session_id("old"), "created") == ()


@both_roles
async def test_of_a_session_s_racers_in_one_group_one_wins(groups: Groups, role: Role) -> None:
    await role.store.commit(role.change())
    racers = [role.change(expected_version=1, cause=f"racer {n}") for n in range(MOST + 1)]
    outcomes = await at_once(*map(role.store.commit, racers))
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == MOST
    assert groups.sizes == [MOST]
    assert (await role.twin.session(session_id())).version == 2


@both_roles
async def test_a_message_that_came_before_loses_alone(groups: Groups, role: Role) -> None:
    await role.store.commit(role.change("twice", received=(received(),)))
    again = role.change("twice", expected_version=1, cause="again", received=(received(),))
    outcomes = await at_once(
        *map(role.store.commit, [role.change("first"), role.change("a"), again, role.change("b")])
    )
    made = Outcome.COMMITTED
    assert outcomes == [made, made, Outcome.LOST_RACE, made]
    assert groups.sizes == [3]
    assert (await role.twin.session(session_id("twice"))).version == 1


async def test_who_is_refused_at_a_party_is_refused_alone(
    groups: Groups, party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(
        party_change("prepared", nonces=(nonce("a"),), presignatures=(presignature(0),))
    )
    changes = [
        party_change("first"),
        party_change("none", take_nonce=session_id("none"), outgoing=(outgoing(),)),
        party_change("a", take_nonce=session_id("a")),
        party_change("a again", take_nonce=session_id("a")),
        party_change("other"),
    ]
    outcomes = await at_once(*map(party.commit, changes))
    gone = Outcome.NONCE_GONE
    assert outcomes[:2] == [Outcome.COMMITTED, gone]
    assert sorted(each.name for each in outcomes[2:4]) == ["COMMITTED", "NONCE_GONE"]
    assert outcomes[4] is Outcome.COMMITTED
    assert groups.sizes == [4]
    assert await raw.query("SELECT * FROM nonces") == []
    assert await party.session(session_id("none")) is None
    taking = [party_change(f"taker {n}", take_presignatures=(place(0),)) for n in range(5)]
    outcomes = await at_once(*map(party.commit, taking))
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.PRESIGNATURE_GONE) == 4


@as_coordinator
async def test_who_is_refused_at_the_coordinator_is_refused_alone(
    groups: Groups, coordinator: CoordinatorStore
) -> None:
    def asking(name: str, wish: str, **other: Any) -> Any:
        asked = request(wish, session_id=session_id(name))
        return coordinator_change(name, request=asked, **other)

    changes = [
        asking("first", "taken", reserve_key=("svcA", "key")),
        asking("a", "own"),
        asking("b", "taken"),
        asking("c", "another", reserve_key=("svcA", "key")),
        coordinator_change("d"),
    ]
    outcomes = await at_once(*map(coordinator.commit, changes))
    made = Outcome.COMMITTED
    assert outcomes == [made, made, Outcome.DUPLICATE_REQUEST, Outcome.KEY_EXISTS, made]
    assert groups.sizes == [4]
    record = await coordinator.request("svcA", "taken")
    assert record is not None
    assert record.session_id == session_id("first")
    assert await coordinator.request("svcA", "another") is None
    assert await coordinator.session(session_id("b")) is None


@both_roles
async def test_who_raises_in_a_group_raises_alone(groups: Groups, role: Role) -> None:
    changes = [
        role.change("first"),
        role.change("a"),
        role.change("wrong", protocol=object()),
        role.change("b"),
    ]
    first, a, wrong, b = await at_once(*map(role.store.commit, changes))
    assert [first, a, b] == [Outcome.COMMITTED] * 3
    assert isinstance(wrong, Exception)
    assert groups.sizes == [3]
    assert groups.apart
    assert await role.twin.session(session_id("wrong")) is None
    for each in ("first", "a", "b"):
        assert (await role.twin.session(session_id(each))).version == 1


@both_roles
async def test_who_is_cancelled_while_it_waits_changes_nothing_and_others_do(
    groups: Groups, role: Role
) -> None:
    names = ["first", "a", "cancelled", "b"]
    tasks = [asyncio.create_task(role.store.commit(role.change(each))) for each in names]
    await asyncio.sleep(0)
    assert len(waiting(role.store)) == 3
    tasks[2].cancel()
    first, a, _, b = await asyncio.gather(*tasks, return_exceptions=True)
    assert [first, a, b] == [Outcome.COMMITTED] * 3
    assert tasks[2].cancelled()
    assert groups.sizes == [2]
    assert await role.twin.session(session_id("cancelled")) is None


def waiting(store: Any) -> Sequence[Any]:
    """Who waits to change something."""
    database = store._database
    gatherings = [database._writes] if hasattr(database, "_writes") else database._groups._calls
    if isinstance(gatherings, dict):
        gatherings = list(gatherings.values())
    return [each for gathering in gatherings for each in gathering._line]


###
### Questions
###


@as_coordinator
async def test_claims_of_one_moment_are_of_different_presignatures(
    groups: Groups, coordinator: CoordinatorStore
) -> None:
    await coordinator.commit(coordinator_change(presignatures=pooled(2 * MOST)))
    known = request("known", session_id=session_id("known"))
    await coordinator.commit(coordinator_change("known", request=known))

    async def admit(name: str, count: int = 2, signers: str = "1,2") -> Any:
        return await coordinator.admit(
            "svcA",
            name,
            request(name).digest,
            key_session=KEY,
            pools=[signers],
            presignatures=count,
        )

    found = await at_once(
        *(admit(f"request {n}") for n in range(MOST - 2)),
        admit("known"),
        admit("elsewhere", signers="2,3"),
        admit("last", count=1),
    )
    claimed = [each for admission in found for each in admission.presignatures]
    assert [len(each.presignatures) for each in found] == [2] * (MOST - 2) + [0, 0, 1]
    assert len({each.position for each in claimed}) == len(claimed) == 2 * MOST - 3
    assert found[MOST - 2].request == known
    assert groups.sizes == [MOST]
    assert await coordinator.stock() == {KEY: 3}


@as_coordinator
async def test_claims_of_one_moment_are_of_different_commitments(
    groups: Groups, coordinator: CoordinatorStore
) -> None:
    made = [
        commitment(f"{party} {n}", party_id=party)
        for party, count in (("party-1", 4), ("party-2", 2))
        for n in range(count)
    ]
    await coordinator.commit(coordinator_change(commitments=tuple(made)))
    found = await at_once(
        *(
            coordinator.admit(
                "svcA",
                f"request {n}",
                request().digest,
                key_session=KEY,
                scheme="ed25519",
                parties=["party-1", "party-2", "party-3"],
            )
            for n in range(6)
        )
    )
    claimed = [each for admission in found for each in admission.claimed.values()]
    assert groups.sizes == [5]
    assert sorted(each.nonce_id for each in claimed) == sorted(each.nonce_id for each in made)
    for admission in found:
        assert all(party == each.party_id for party, each in admission.claimed.items())


async def test_material_of_one_moment_is_each_one_s_own(groups: Groups, party: PartyStore) -> None:
    await party.commit(
        party_change(
            "prepared",
            key_share=key_share(),
            nonces=tuple(nonce(str(n)) for n in range(4)),
            presignatures=tuple(presignature(n) for n in range(4)),
            received=(received(),),
        )
    )
    whole = await party.session(session_id("prepared"))
    found = await at_once(
        *(
            party.signing_material(
                session_id("prepared" if n % 2 else "none"),
                key_session=KEY,
                epoch=0,
                presignatures=[place(n), place(7)],
            )
            for n in range(4)
        ),
        *(
            party.signing_material(
                session_id("none"), key_session=KEY, epoch=n % 2, nonce_id=session_id(str(n))
            )
            for n in range(5)
        ),
    )
    for n, material in enumerate(found[:4]):
        assert material.session == (whole if n % 2 else None)
        assert material.key_share == key_share()
        assert material.presignatures == (presignature(n), None)
    for n, material in enumerate(found[4:]):
        assert material.nonce == (nonce(str(n)) if n < 4 else None)
        assert material.key_share == (None if n % 2 else key_share())
    assert sum(groups.sizes) in {7, 8}  # of two kinds, where they are two statements


###
### What is not known
###


@as_coordinator
async def test_claims_of_which_nobody_knows_are_not_made_again(
    groups: Groups, coordinator: CoordinatorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are lost, as one would be; another presignature each would be lost with a second try."""
    await coordinator.commit(coordinator_change(presignatures=pooled(2 * MOST)))
    lose_answers(coordinator, monkeypatch)
    found = await at_once(
        *(
            coordinator.admit(
                "svcA",
                f"request {n}",
                request().digest,
                key_session=KEY,
                pools=["1,2"],
                presignatures=1,
            )
            for n in range(5)
        )
    )
    assert len(found[0].presignatures) == 1
    assert [type(each) for each in found[1:]] == [StoreUnavailableError] * 4
    assert await coordinator.stock() == {KEY: 2 * MOST - 5}
    assert groups.sizes == []  # nobody was told anything


@both_roles
async def test_changes_of_which_nobody_knows_have_been_made_once(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(role.store, monkeypatch)
    changes = [role.change(str(n), outgoing=(outgoing(str(n)),)) for n in range(5)]
    first, *others = await at_once(*map(role.store.commit, changes))
    assert first is Outcome.COMMITTED
    assert [type(each) for each in others] == [StoreUnavailableError] * 4
    monkeypatch.undo()
    outcomes = await at_once(*map(role.store.commit, changes))
    assert outcomes == [Outcome.LOST_RACE] * 5
    for n in range(5):
        assert await role.twin.outgoing(session_id(str(n)), "created") == (outgoing(str(n)),)


def lose_answers(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each group: after its commit."""
    database = store._database
    if hasattr(database, "_run"):
        run, calls = database._run, itertools.count()

        async def lost(work: Any) -> Any:
            answer = await run(work)
            if next(calls) == 1:  # after the first, who goes alone
                raise StoreUnavailableError("lost")
            return answer

        monkeypatch.setattr(database, "_run", lost)
        return
    fetch = asyncpg.Connection.fetchmany

    async def lost_in_commit(self: Any, *given: Any, **more: Any) -> Any:
        await fetch(self, *given, **more)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")

    monkeypatch.setattr(asyncpg.Connection, "fetchmany", lost_in_commit)
