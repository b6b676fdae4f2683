"""A key's epochs at the coordinator: no number comes twice, and what proves one is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from workers.store.interface import CoordinatorStore
from workers.store.records import CoordinatorChange, KeyEpoch, Outcome, PoolName

from .examples import KEY, commitment, coordinator_change, key, outgoing, request, session_id

ROLE = "coordinator"
BUNDLE = '{"proves": "it"}'
CERTIFIED = '{"the key": "anew"}'


def begin(epoch: int, name: str = "reshare", **other: Any) -> CoordinatorChange:
    row = KeyEpoch(key_session=KEY, epoch=epoch, session_id=session_id(name))
    return coordinator_change(name, protocol="reshare", epoch=row, **other)


def make(epoch: int, name: str = "reshare", **other: Any) -> CoordinatorChange:
    values: dict[str, Any] = {"expected_version": 1, "cause": "certified", "status": "completed"}
    return coordinator_change(name, epoch=made(epoch, name), made=CERTIFIED, **(values | other))


def made(epoch: int, name: str = "reshare", **other: Any) -> KeyEpoch:
    values: dict[str, Any] = {"bundle": BUNDLE, "signs_from": 50, "due_at": 20 + epoch}
    return KeyEpoch(key_session=KEY, epoch=epoch, session_id=session_id(name), **(values | other))


async def with_key(store: CoordinatorStore) -> None:
    assert await store.commit(coordinator_change("keygen", key=key())) is Outcome.COMMITTED


async def test_an_epoch_is_begun_and_made_and_the_key_moves_on(
    coordinator: CoordinatorStore,
) -> None:
    await with_key(coordinator)
    assert await coordinator.commit(begin(3, request=request())) is Outcome.COMMITTED
    begun = KeyEpoch(key_session=KEY, epoch=3, session_id=session_id("reshare"))
    assert await coordinator.key_epochs(KEY) == [begun]
    assert await coordinator.key(key().owner, key().key_id) == key()

    assert await coordinator.commit(make(3)) is Outcome.COMMITTED
    assert await coordinator.key_epochs(KEY) == [made(3)]
    found = await coordinator.key(key().owner, key().key_id)
    assert found is not None
    assert (found.epoch, found.certified) == (3, CERTIFIED)
    assert await coordinator.key_of(KEY) == found


@pytest.mark.parametrize("second", [2, 3])
async def test_none_is_begun_that_is_not_above_all_others(
    coordinator: CoordinatorStore, second: int
) -> None:
    assert await coordinator.commit(begin(3)) is Outcome.COMMITTED
    refused = begin(second, "other", request=request())
    assert await coordinator.commit(refused) is Outcome.EPOCH_TAKEN
    assert await coordinator.session(session_id("other")) is None
    assert await coordinator.request("svcA", "request") is None
    assert await coordinator.commit(begin(4, "other")) is Outcome.COMMITTED


async def test_of_two_at_once_one_begins_it(coordinator: CoordinatorStore) -> None:
    names = [f"reshare {number}" for number in range(6)]
    outcomes = await asyncio.gather(*(coordinator.commit(begin(1, name)) for name in names))
    assert sorted(each.name for each in outcomes) == ["COMMITTED", *["EPOCH_TAKEN"] * 5]
    assert len(await coordinator.key_epochs(KEY)) == 1


async def test_only_the_session_that_began_it_makes_it_and_once(
    coordinator: CoordinatorStore,
) -> None:
    await with_key(coordinator)
    assert await coordinator.commit(begin(3)) is Outcome.COMMITTED
    assert await coordinator.commit(coordinator_change("other")) is Outcome.COMMITTED
    assert await coordinator.commit(make(3, "other")) is Outcome.LOST_RACE
    assert await coordinator.commit(make(4)) is Outcome.LOST_RACE
    assert await coordinator.commit(make(3, status="in_progress")) is Outcome.COMMITTED
    again = make(3, expected_version=2, cause="once more")
    assert await coordinator.commit(again) is Outcome.LOST_RACE
    assert await coordinator.key_epochs(KEY) == [made(3)]


async def test_an_earlier_epoch_that_is_made_late_does_not_bring_the_key_back(
    coordinator: CoordinatorStore,
) -> None:
    await with_key(coordinator)
    for epoch, name in ((1, "first"), (2, "second")):
        assert await coordinator.commit(begin(epoch, name)) is Outcome.COMMITTED
    assert await coordinator.commit(make(2, "second")) is Outcome.COMMITTED
    assert await coordinator.commit(make(1, "first")) is Outcome.COMMITTED
    found = await coordinator.key_of(KEY)
    assert found is not None
    assert found.epoch == 2


async def test_a_request_that_takes_a_refused_one_s_place_begins_its_epoch(
    coordinator: CoordinatorStore,
) -> None:
    refused = request(digest=b"other bytes", session_id=session_id("refused"))
    change = coordinator_change(
        "refused",
        protocol="refused",
        cause="refused",
        status="failed",
        request=refused,
        result=outgoing("result"),
    )
    assert await coordinator.commit(change) is Outcome.COMMITTED
    asked = request(session_id=session_id("reshare"))
    assert await coordinator.commit(begin(1, request=asked)) is Outcome.COMMITTED
    assert await coordinator.request("svcA", "request") == asked
    assert [each.epoch for each in await coordinator.key_epochs(KEY)] == [1]


async def test_a_try_that_follows_another_takes_its_request_over(
    coordinator: CoordinatorStore,
) -> None:
    asked = request(session_id=session_id("first"))
    assert await coordinator.commit(begin(1, "first", request=asked)) is Outcome.COMMITTED
    second = begin(2, "second", succeeds=session_id("first"))
    assert await coordinator.commit(second) is Outcome.COMMITTED
    found = await coordinator.request("svcA", "request")
    assert found is not None
    assert found.session_id == session_id("second")
    third = begin(3, "third", succeeds=session_id("first"))
    assert await coordinator.commit(third) is Outcome.LOST_RACE
    assert [each.epoch for each in await coordinator.key_epochs(KEY)] == [1, 2]


async def test_none_begins_while_another_requests_may_still_be_made(
    coordinator: CoordinatorStore,
) -> None:
    """Of two from one epoch both could be, and the parties would have to tell which one counts."""
    assert not await coordinator.reshare_under_way(KEY)
    asked = request(session_id=session_id("first"))
    assert await coordinator.commit(begin(1, "first", request=asked)) is Outcome.COMMITTED
    other = request(request_id="other", session_id=session_id("other"))
    ended = coordinator_change("first", expected_version=1, cause="ended", status="failed")
    # While it has no result it may have another try.
    for change in (ended, begin(2, "second", succeeds=session_id("first"))):
        assert await coordinator.reshare_under_way(KEY)
        refused = begin(9, "other", request=other)
        assert await coordinator.commit(refused) is Outcome.EPOCH_TAKEN
        assert await coordinator.request("svcA", "other") is None
        assert await coordinator.commit(change) is Outcome.COMMITTED
    over = coordinator_change(
        "second", expected_version=1, cause="over", status="failed", result=outgoing()
    )
    assert await coordinator.reshare_under_way(KEY)
    assert await coordinator.commit(over) is Outcome.COMMITTED
    assert not await coordinator.reshare_under_way(KEY)
    assert await coordinator.commit(begin(9, "other", request=other)) is Outcome.COMMITTED


async def test_of_two_requests_in_one_moment_one_begins(
    coordinator: CoordinatorStore, coordinator_twin: CoordinatorStore
) -> None:
    """Whatever numbers they ask for."""
    for round_ in range(10):
        key = (round_ + 1).to_bytes(32)
        changes = []
        for number in (1, 2):
            name = f"{round_} {number}"
            row = KeyEpoch(key_session=key, epoch=number, session_id=session_id(name))
            asked = request(request_id=name, session_id=session_id(name))
            changes.append(coordinator_change(name, protocol="reshare", epoch=row, request=asked))
        both = [coordinator.commit(changes[0]), coordinator_twin.commit(changes[1])]
        outcomes = await asyncio.gather(*(reversed(both) if round_ % 2 else both))
        assert {*outcomes} == {Outcome.COMMITTED, Outcome.EPOCH_TAKEN}


async def test_what_is_due_is_found_and_put_off(coordinator: CoordinatorStore) -> None:
    await with_key(coordinator)
    for epoch, name in ((1, "first"), (2, "second")):
        assert await coordinator.commit(begin(epoch, name)) is Outcome.COMMITTED
        assert await coordinator.commit(make(epoch, name)) is Outcome.COMMITTED
    assert await coordinator.key_epochs_due(20, 10) == []
    assert [each.epoch for each in await coordinator.key_epochs_due(22, 10)] == [1, 2]
    assert [each.epoch for each in await coordinator.key_epochs_due(22, 1)] == [1]
    await coordinator.put_off_key_epoch(KEY, 1, 90)
    assert [each.epoch for each in await coordinator.key_epochs_due(22, 10)] == [2]
    await coordinator.put_off_key_epoch(KEY, 2, None)
    assert await coordinator.key_epochs_due(89, 10) == []
    assert [each.epoch for each in await coordinator.key_epochs_due(90, 10)] == [1]


async def test_what_was_made_ahead_for_lower_epochs_is_forgotten_and_nothing_else(
    coordinator: CoordinatorStore,
) -> None:
    other = session_id("another key")
    kept = [commitment("new", epoch=1), commitment("other", key_session=other)]
    change = coordinator_change(commitments=(commitment("old"), *kept))
    assert await coordinator.commit(change) is Outcome.COMMITTED
    for key_session, epoch in ((KEY, 0), (KEY, 1), (other, 0)):
        pool = PoolName(key_session=key_session, epoch=epoch, signers="1,2")
        await coordinator.use_pool(pool, "svcA", "treasury", 5)
    await coordinator.forget_epochs_below(KEY, 1)
    claimed = {}
    for key_session, epoch in ((KEY, 0), (KEY, 1), (other, 0)):
        admission = await coordinator.admit(
            "svcA",
            "r",
            b"",
            key_session=key_session,
            epoch=epoch,
            scheme="ed25519",
            parties=["party-1"],
        )
        claimed[key_session, epoch] = set(admission.claimed)
    assert claimed == {(KEY, 0): set(), (KEY, 1): {"party-1"}, (other, 0): {"party-1"}}
