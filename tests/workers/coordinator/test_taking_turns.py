"""A coordinator's requests that wait for their turn: repeated, cancelled, and left by another."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from contracts.failures import FailureCode
from contracts.requests import KeygenRequest
from contracts.results import Status
from contracts.signing import SignedRequest, sign_request
from tests.patience import until
from workers.coordinator import departures, entrance
from workers.coordinator.departures import Departures
from workers.coordinator.gates import Wish
from workers.coordinator.requests import RequestConsumer
from workers.settings import CoordinatorLimits

from ..callers import wish as signed
from ..crew import coordinator_worker
from ..simulate import CLIENT, World, world
from ..tries import cancel, cancelled

pytestmark = pytest.mark.long

ONE_AT_A_TIME = CoordinatorLimits(
    nonce_batch=2, keys_at_once=1, keys_at_once_alone=1, waiting_per_owner=2
)


@pytest.fixture(autouse=True)
def _endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn ends with its session, or not at all."""
    monkeypatch.setattr(entrance, "KEYGEN_PATIENCE_S", 3600)


def patient(shire: World) -> RequestConsumer:
    """The world's coordinator makes one key after the other."""
    shire.requests, shire.reports = coordinator_worker(shire, limits=ONE_AT_A_TIME)
    return shire.requests


def wish(shire: World, **changes: object) -> SignedRequest:
    return sign_request(shire.keygen_request(**changes), shire.client)


async def under_way_and_waiting(
    shire: World, requests: RequestConsumer
) -> tuple[SignedRequest, asyncio.Task[None]]:
    """One key is being made; of another one, which waits, the request and its handler."""
    await shire.submit(wish(shire))
    second = wish(shire)
    waiting = asyncio.create_task(shire.submit(second))
    await until(lambda: requests._entrance.keys.waiting == 1)
    return second, waiting


async def test_what_waits_begins_when_what_was_before_it_is_over(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        second, waiting = await under_way_and_waiting(shire, requests)
        assert await shire.coordinator_store.request(CLIENT, second.request.request_id) is None
        await shire.run()
        await waiting
        await shire.run()
        assert [each.status for each in shire.results()] == [Status.COMPLETED] * 2
        assert requests._entrance.keys.units == 0


async def test_the_same_bytes_again_have_no_other_turn_and_no_other_session(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        second, waiting = await under_way_and_waiting(shire, requests)
        again = [asyncio.create_task(shire.submit(second)) for _ in range(5)]
        await asyncio.sleep(0)
        assert requests._entrance.keys.waiting == 1
        await shire.run()
        await asyncio.gather(waiting, *again)
        await shire.run()
        assert len(await shire.coordinator_store.keys(CLIENT)) == 2
        mine = [each for each in shire.results() if each.request_id == second.request.request_id]
        assert {each.status for each in mine} == {Status.COMPLETED}


async def test_what_is_cancelled_while_it_waits_never_begins(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        second, waiting = await under_way_and_waiting(shire, requests)
        assert isinstance(second.request, KeygenRequest)
        await shire.submit(cancel(shire, second.request))
        await shire.run()
        await waiting
        mine = [each for each in shire.results() if each.request_id == second.request.request_id]
        assert [each.status for each in mine] == [Status.CANCELLED]
        assert len(await shire.coordinator_store.keys(CLIENT)) == 1


async def test_what_waits_is_cancelled_though_its_cancel_waits_too(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        second, waiting = await under_way_and_waiting(shire, requests)
        assert isinstance(second.request, KeygenRequest)
        cancels = requests._entrance.cancels
        async with contextlib.AsyncExitStack() as others:
            for _ in range(cancels.at_once):
                await others.enter_async_context(cancels.turn(Wish(owner=CLIENT, kind="cancel")))
            cancelling = asyncio.create_task(shire.submit(cancel(shire, second.request)))
            await waiting
            assert [each.status for each in shire.results()] == [Status.CANCELLED]
            assert cancels.waiting == 1
        await cancelling
        await shire.run()
        assert cancelled(shire, cancel(shire, second.request)).target_status is Status.CANCELLED


async def test_another_owners_cancel_withdraws_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        second, waiting = await under_way_and_waiting(shire, requests)
        await shire.submit(signed(shire, "cancel", target=second.request.request_id, tenant="t"))
        assert requests._entrance.keys.waiting == 1
        await shire.run()
        await waiting
        await shire.run()
        assert len(await shire.coordinator_store.keys(CLIENT)) == 2


async def test_what_is_too_much_is_refused_for_good_and_leaves_no_turn(tmp_path: Path) -> None:
    async with world(tmp_path) as shire:
        requests = patient(shire)
        _, waiting = await under_way_and_waiting(shire, requests)
        third = asyncio.create_task(shire.submit(wish(shire)))
        await until(lambda: requests._entrance.keys.waiting == 2)
        excess = wish(shire)
        for _ in range(2):
            await shire.submit(excess)
        told = [each.failure for each in shire.results()]
        assert [each.code for each in told if each] == [FailureCode.OVERLOADED] * 2
        assert all(each.retry_after_ms for each in told if each)
        other = asyncio.create_task(shire.submit(wish(shire, tenant="another")))
        await other  # it has nothing under way, so it need not wait
        for _ in range(3):
            await shire.run()
            await asyncio.sleep(0.05)
        await asyncio.gather(waiting, third)
        await shire.run()
        assert len(await shire.coordinator_store.keys(CLIENT)) == 3
        assert len(await shire.coordinator_store.keys(f"{CLIENT}/another")) == 1


async def test_what_another_process_ends_makes_room_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "OLD_S", -1.0)
    async with world(tmp_path) as shire:
        requests = patient(shire)
        _, waiting = await under_way_and_waiting(shire, requests)
        _, shire.reports = coordinator_worker(shire)
        await shire.run()
        assert not waiting.done()
        assert requests._entrance.filling
        await requests._entrance.departures.look(shire.coordinator_store)
        await waiting
        await shire.run()
        assert len(await shire.coordinator_store.keys(CLIENT)) == 2


def test_an_end_is_told_once_and_only_to_who_waits_for_it() -> None:
    told: list[str] = []
    ends = Departures(monotonic=lambda: 0.0)
    ends.expect(b"a", lambda _: told.append("a"))
    ends.expect(b"b", lambda _: told.append("b"))
    ends.dismiss(b"b")
    for name in (b"a", b"a", b"b", b"c"):
        ends.over(name)
    assert told == ["a"]
    assert len(ends) == 0
