"""Work that many ask for at the same time."""

from __future__ import annotations

import asyncio

import pytest

from tests.patience import settle
from workers.coordinator.turns import Turns


class Work:
    """Goes on when it is let, and notes when it began and ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.may_go_on = asyncio.Event()
        self.failures: list[BaseException] = []

    async def __call__(self, name: str) -> None:
        self.begun.append(name)
        await self.may_go_on.wait()
        if self.failures:
            raise self.failures.pop()
        self.done.append(name)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def turns(work: Work) -> Turns[str]:
    return Turns(work)


async def test_whoever_asks_while_it_is_done_has_it_done_once_more_for_all(
    work: Work, turns: Turns[str]
) -> None:
    first = asyncio.create_task(turns.take("pool"))
    await settle()
    others = [asyncio.create_task(turns.take("pool")) for _ in range(5)]
    await settle()
    assert work.begun == ["pool"]
    assert not any(other.done() for other in others)
    work.may_go_on.set()
    await asyncio.gather(first, *others)
    assert work.done == ["pool"] * 2


async def test_other_names_do_not_wait(work: Work, turns: Turns[str]) -> None:
    tasks = [asyncio.create_task(turns.take(name)) for name in ("one", "other")]
    await settle()
    assert work.begun == ["one", "other"]
    work.may_go_on.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("failure", [ValueError("away"), asyncio.CancelledError()])
async def test_where_it_fails_the_next_who_is_there_tries(
    work: Work, turns: Turns[str], failure: BaseException
) -> None:
    work.failures = [failure]
    tasks = [asyncio.create_task(turns.take("pool")) for _ in range(3)]
    await settle()
    work.may_go_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(failure), type(None), type(None)]
    assert work.done == ["pool"]


async def test_whoever_waits_and_is_cancelled_takes_nothing_from_the_others(
    work: Work, turns: Turns[str]
) -> None:
    first, impatient, patient = [asyncio.create_task(turns.take("pool")) for _ in range(3)]
    await settle()
    impatient.cancel()
    await settle()
    work.may_go_on.set()
    await asyncio.gather(first, patient)
    assert impatient.cancelled()
    assert work.done == ["pool"] * 2


async def test_nothing_is_kept_when_nobody_is_there(work: Work, turns: Turns[str]) -> None:
    work.may_go_on.set()
    work.failures = [ValueError("away")]
    with pytest.raises(ValueError, match="away"):
        await turns.take("pool")
    await turns.take("other")
    assert len(turns) == 0
    assert turns._asked == set()
