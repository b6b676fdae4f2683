"""Work that gives way to other work: one at a time beside it, and a rest after each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.patience import settle
from workers.coordinator.departures import Departures
from workers.coordinator.gates import LATELY_S, LONGEST_REST_S, Company, Gate, Turn, Wish

from .test_gates import GREEDY, MODEST, Watch, entered


def giving_way(watch: Watch, *, rest: float = 2.0) -> tuple[Gate, Gate]:
    """The gate that others give way to, and theirs."""
    company, departures = Company(watch.monotonic), Departures(monotonic=watch.monotonic)

    def of(name: str, *, gives_way_to: Gate | None = None, rest: float = 0.0) -> Gate:
        return Gate(
            name,
            at_once=2,
            alone=3,
            per_owner=128,
            patience_s=3600,
            departures=departures,
            company=company,
            gives_way_to=gives_way_to,
            rest=rest,
            clock=watch.ms,
            monotonic=watch.monotonic,
        )

    signatures = of("signatures")
    return signatures, of("reshares", gives_way_to=signatures, rest=rest)


async def asked_for(at: Gate, owners: Sequence[str]) -> list[asyncio.Task[Turn]]:
    asked = [
        asyncio.create_task(entered(at, Wish(owner=owner, kind="reshare"), number))
        for number, owner in enumerate(owners)
    ]
    await settle()
    return asked


async def given_up(asked: list[asyncio.Task[Turn]]) -> None:
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("owners", [(GREEDY, GREEDY), (GREEDY, MODEST)])
async def test_beside_other_work_one_is_under_way_whoever_asks(owners: tuple[str, str]) -> None:
    watch = Watch()
    signatures, reshares = giving_way(watch)
    async with signatures.turn(Wish(owner=GREEDY, kind="sign")):
        asked = await asked_for(reshares, owners)
    assert (reshares.units, reshares.waiting) == (1, 1)
    watch.now_s += LATELY_S / 2
    assert not (await asked_for(reshares, [MODEST]))[0].done(), "one was there a moment ago"
    watch.now_s += LATELY_S
    late = await asked_for(reshares, [MODEST])
    await given_up(asked + late)


async def test_alone_as_many_are_under_way_as_ever_and_none_rests() -> None:
    watch = Watch()
    _, reshares = giving_way(watch)
    asked = await asked_for(reshares, [GREEDY] * 4)
    assert (reshares.units, reshares.waiting) == (3, 1)
    watch.now_s += 0.5
    asked[0].result().leave()
    await settle()
    assert asked[3].done()


async def test_after_a_turn_beside_other_work_is_a_rest() -> None:
    watch = Watch()
    signatures, reshares = giving_way(watch)
    async with signatures.turn(Wish(owner=GREEDY, kind="sign")):
        asked = await asked_for(reshares, [GREEDY, GREEDY])
        watch.now_s += 0.05
        asked[0].result().leave()
        asked[0].result().leave()
        await settle()
        assert (reshares.units, asked[1].done()) == (1, False)
        async with asyncio.timeout(5):
            await asked[1]
    assert reshares.units == 1


async def test_nobody_rests_for_long_nor_after_what_was_refused() -> None:
    watch = Watch()
    signatures, reshares = giving_way(watch, rest=10)
    async with signatures.turn(Wish(owner=GREEDY, kind="sign")):
        async with reshares.turn(Wish(owner=GREEDY, kind="reshare")):
            watch.now_s += 60
        assert reshares.units == 0
        asked = await asked_for(reshares, [GREEDY, GREEDY])
        watch.now_s += 60
        asked[0].result().leave()
        async with asyncio.timeout(LONGEST_REST_S + 5):
            await asked[1]
