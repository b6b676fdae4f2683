"""What parties say of a key's earlier epochs, as a coordinator keeps it, and who has not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workers.store.interface import CoordinatorStore
from workers.store.records import Outcome, RetirementRecord

from .examples import KEY, session_id
from .test_key_epochs import begin, make, with_key

ROLE = "coordinator"
OTHER = session_id("another key")


def expected(party_id: str, epoch: int = 3, **other: Any) -> RetirementRecord:
    record = RetirementRecord(key_session=KEY, epoch=epoch, party_id=party_id, due_at=100)
    return replace(record, **other)


async def with_expected(store: CoordinatorStore, *records: RetirementRecord) -> None:
    await with_key(store)
    assert await store.commit(begin(3)) is Outcome.COMMITTED
    assert await store.commit(make(3, retirements=records)) is Outcome.COMMITTED


async def test_who_is_concerned_is_expected_to_say_so_since_the_epoch_is_made(
    coordinator: CoordinatorStore,
) -> None:
    one, two = expected("party-1"), expected("party-2", due_at=90)
    await with_expected(coordinator, one, two)
    assert await coordinator.retirements(KEY) == [one, two]
    assert await coordinator.retirements(OTHER) == []
    assert await coordinator.retirements_due(89, 10) == []
    assert await coordinator.retirements_due(100, 10) == [two, one]
    assert await coordinator.retirements_due(100, 1) == [two]


async def test_nobody_is_expected_for_an_epoch_that_another_has_made(
    coordinator: CoordinatorStore,
) -> None:
    await with_expected(coordinator, expected("party-1"))
    again = make(3, expected_version=2, cause="again", retirements=(expected("party-2"),))
    assert await coordinator.commit(again) is Outcome.LOST_RACE
    assert await coordinator.retirements(KEY) == [expected("party-1")]


async def test_of_two_processes_one_shows_it(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1"))
    (due,) = await coordinator.retirements_due(100, 10)
    assert await coordinator.put_off_retirement(due, 200)
    assert not await coordinator.put_off_retirement(due, 300)
    assert await coordinator.retirements(KEY) == [expected("party-1", shown=1, due_at=200)]


async def test_what_is_kept_is_due_no_more(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1"), expected("party-2"))
    (due, _) = await coordinator.retirements(KEY)
    assert await coordinator.keep_retirement(KEY, "party-1", 3, "said")
    assert not await coordinator.put_off_retirement(due, 300)
    assert await coordinator.hasten_retirements("party-1", 50) == 0
    assert await coordinator.retirements(KEY) == [
        expected("party-1", due_at=None, retirement="said"),
        expected("party-2"),
    ]
    assert await coordinator.keep_retirement(KEY, "party-1", 3, "said again")
    assert (await coordinator.retirements(KEY))[0].retirement == "said"


async def test_it_is_kept_for_all_epochs_up_to_its_own(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1"))
    await coordinator.commit(begin(5, "second"))
    await coordinator.commit(make(5, "second", retirements=(expected("party-1", epoch=5),)))
    assert await coordinator.keep_retirement(KEY, "party-1", 4, "below 4")
    assert [each.retirement for each in await coordinator.retirements(KEY)] == ["below 4", None]
    assert await coordinator.keep_retirement(KEY, "party-1", 5, "below 5")
    kept = [each.retirement for each in await coordinator.retirements(KEY)]
    assert kept == ["below 4", "below 5"]


async def test_of_whom_nothing_is_expected_nothing_is_kept(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1"))
    assert not await coordinator.keep_retirement(KEY, "party-2", 3, "said")
    assert not await coordinator.keep_retirement(OTHER, "party-1", 3, "said")
    assert await coordinator.retirements(KEY) == [expected("party-1")]


async def test_who_is_there_again_is_shown_it_at_once(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1"), expected("party-2"))
    assert await coordinator.hasten_retirements("party-1", 40) == 1
    assert await coordinator.retirements_due(40, 10) == [expected("party-1", due_at=40)]
    assert await coordinator.hasten_retirements("party-1", 60) == 0, "it is due already"


async def test_of_a_partys_epochs_the_lower_is_shown_first(coordinator: CoordinatorStore) -> None:
    await with_expected(coordinator, expected("party-1", due_at=100))
    await coordinator.commit(begin(5, "second"))
    above = expected("party-1", epoch=5, due_at=90)
    await coordinator.commit(make(5, "second", retirements=(above,)))
    await coordinator.hasten_retirements("party-1", 40)
    due = await coordinator.retirements_due(40, 10)
    assert [each.epoch for each in due] == [3, 5]
