"""Bundles that come again: what ends one part ends no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.delivery.bundled import Worker, again, bundle
from workers.delivery import deliveries
from workers.delivery.deliveries import GIVEN_ON
from workers.delivery.publisher import FullError, PublishError
from workers.store.interface import StoreUnavailableError


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing waits; how long it would have is kept."""
    kept: list[float] = []

    async def sleep(seconds: float) -> None:
        kept.append(seconds)

    monkeypatch.setattr(deliveries, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(deliveries, "random", SimpleNamespace(uniform=lambda low, high: high))
    return kept


class DeathError(BaseException):
    """Of the process."""


async def handled_before_death(headers: dict[str, Any], poison: str) -> set[str]:
    """What a process handles of a bundle before the part that ends it."""
    worker = Worker()
    worker.trouble[poison] = [DeathError()]
    with pytest.raises(DeathError):
        await worker.take(bundle(*"abcdef"), headers=headers)
    assert worker.handled[-1] == poison
    return set(worker.handled[:-1])


@pytest.mark.parametrize("poison", list("abcdef"))
async def test_a_part_that_ends_its_process_each_time_keeps_no_other_from_its_end(
    poison: str,
) -> None:
    first = await handled_before_death(again(1), poison)
    second = await handled_before_death(again(2), poison)
    assert first | second == set("abcdef") - {poison}


async def test_of_two_that_end_their_process_neither_keeps_others_from_their_ends() -> None:
    handled: set[str] = set()
    for _ in range(100):
        worker = Worker()
        worker.trouble |= {"b": [DeathError()], "e": [DeathError()]}
        with pytest.raises(DeathError):
            await worker.take(bundle(*"abcdef"), headers=again(3))
        handled |= set(worker.handled)
    assert handled == set("abcdef")


async def test_what_comes_again_is_handled_one_part_at_a_time() -> None:
    worker = Worker()
    running = 0

    async def alone(_: str) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1

    worker.meanwhile = alone
    assert await worker.take(bundle("a", "b", "c"), headers=again(1)) == ["ack"]
    assert worker.handled == ["a", "b", "c"]


async def test_while_store_or_broker_are_away_parts_do_not_wait_one_after_another() -> None:
    worker = Worker()
    away = [StoreUnavailableError("away")] * (deliveries.TRIES + 1)
    worker.trouble |= {"a": list(away)}
    together = asyncio.Barrier(2)

    async def meet(name: str) -> None:
        if name != "a":
            await together.wait()

    worker.meanwhile = meet
    assert await worker.take(bundle("a", "b", "c"), headers=again(1)) == ["requeue"]
    assert sorted(set(worker.handled)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("headers", "error", "ending", "letters"),
    [
        (again(GIVEN_ON - 1), KeyError("field"), "failed, requeue", []),
        (again(GIVEN_ON), KeyError("field"), "ack", ["b"]),
        (again(GIVEN_ON), FullError("full"), "ack", ["b"]),
        # From 4.3 on a plain return is not counted towards the limit, and may happen for ever.
        ({**again(GIVEN_ON), "x-acquired-count": 50}, KeyError("field"), "ack", ["b"]),
        ({**again(GIVEN_ON), "x-acquired-count": 50}, FullError("full"), "requeue", []),
        ({**again(3), "x-acquired-count": 50}, KeyError("field"), "failed, requeue", []),
    ],
)
async def test_near_the_delivery_limit_a_part_that_cannot_be_handled_dies_alone(
    headers: dict[str, Any], error: Exception, ending: str, letters: list[str]
) -> None:
    worker = Worker()
    worker.trouble["b"] = [error]
    assert await worker.take(bundle("a", "b", "c"), headers=headers) == [ending]
    assert list(worker.letters()) == letters
    assert sorted(worker.handled) == ["a", "b", "c"]
    if letters:
        assert f"came {GIVEN_ON + 1} times in one bundle" in worker.letters()["b"]


async def test_a_part_whose_dead_letter_cannot_leave_goes_back_with_the_bundle() -> None:
    worker = Worker()
    worker.trouble["b"] = [KeyError("field")]
    worker.publisher.trouble = [PublishError("broker away")]
    assert await worker.take(bundle("a", "b"), headers=again(GIVEN_ON)) == ["requeue"]
