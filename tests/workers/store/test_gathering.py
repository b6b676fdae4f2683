"""Who goes with whom, and who goes past whom, whatever it is that they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from workers.store.gathering import ALONE, MOST, Failed, Gathering


class Asked:
    """What is under way ends when the test says so."""

    def __init__(self, **settings: Any) -> None:
        self.alone: list[str] = []
        self.groups: list[list[str]] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.answers: dict[str, Any] = {}
        self._ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.gathering: Gathering[str, str] = Gathering(
            self._alone, self._together, **({"width": 2, "patience_s": 3600} | settings)
        )

    def end(self, error: BaseException | None = None) -> None:
        self._ends.put_nowait(error)

    async def _end(self) -> None:
        error = await self._ends.get()
        if error is not None:
            raise error

    async def _alone(self, call: str) -> str:
        self.alone.append(call)
        self.tasks.append(asyncio.current_task())
        await self._end()
        return f"{call} alone"

    async def _together(self, calls: Sequence[str]) -> Sequence[Any]:
        self.groups.append(list(calls))
        await self._end()
        return [self.answers.get(call, f"{call} together") for call in calls]

    def ask(self, *calls: str) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.gathering.ask(call), name=call) for call in calls]


async def turns(count: int = 5) -> None:
    """Of the loop: all that can go on has gone on."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def asked() -> Asked:
    return Asked()


def names(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_a_call_that_finds_none_under_way_takes_no_turn_of_the_loop() -> None:
    async def at_once(call: str) -> str:
        return call

    async def never(_: Sequence[str]) -> Sequence[str]:
        raise AssertionError

    gathering = Gathering(at_once, never, width=2)
    before = asyncio.all_tasks()
    for _ in range(3):
        going = gathering.ask("one")
        with pytest.raises(StopIteration) as ended:
            going.send(None)
        assert ended.value.value == "one"
    assert asyncio.all_tasks() == before


async def test_a_call_that_finds_none_under_way_goes_in_its_own_task(asked: Asked) -> None:
    (task,) = asked.ask("one")
    await turns()
    asked.end()
    assert await task == "one alone"
    assert asked.tasks == [task]


async def test_what_comes_while_one_is_under_way_goes_together_after_it(asked: Asked) -> None:
    tasks = asked.ask(*names(0, 3))
    await turns()
    assert (asked.alone, asked.groups) == (["0"], [])
    asked.end()
    await turns()
    assert asked.groups == [["1", "2", "3"]]
    asked.end()
    answers = ["0 alone", "1 together", "2 together", "3 together"]
    assert await asyncio.gather(*tasks) == answers
    (late,) = asked.ask("late")
    asked.end()
    assert await late == "late alone"


async def test_who_waits_with_nobody_else_goes_alone_and_in_its_own_task(asked: Asked) -> None:
    tasks = asked.ask("0", "1")
    await turns()
    asked.end()
    await turns()
    assert asked.alone == ["0", "1"]
    assert asked.tasks == tasks
    asked.end()
    assert await asyncio.gather(*tasks) == ["0 alone", "1 alone"]


@pytest.mark.parametrize(
    ("waiting", "sizes"), [(2, [2]), (MOST, [MOST]), (MOST + 2, [MOST, 2]), (2 * MOST, [MOST] * 2)]
)
async def test_a_group_has_its_most(asked: Asked, waiting: int, sizes: list[int]) -> None:
    tasks = asked.ask(*names(0, waiting))
    for _ in range(1 + len(sizes)):
        await turns()
        asked.end()
    await asyncio.gather(*tasks)
    assert [len(group) for group in asked.groups] == sizes


async def test_one_of_a_group_fails_or_goes_by_itself_without_the_others(asked: Asked) -> None:
    asked.answers = {"1": Failed(ValueError("only mine")), "3": ALONE}
    tasks = asked.ask(*names(0, 4))
    await turns()
    for _ in range(3):
        asked.end()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answer) for answer in answers] == [
        "0 alone",
        "only mine",
        "2 together",
        "3 alone",
        "4 together",
    ]
    assert asked.alone == ["0", "3"]


async def test_what_is_not_known_of_a_group_is_known_of_nobody_and_never_tried_again(
    asked: Asked,
) -> None:
    tasks = asked.ask(*names(0, 3))
    await turns()
    asked.end()
    await turns()
    asked.end(ConnectionResetError("lost"))
    _, *answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionResetError] * 3
    assert (asked.alone, len(asked.groups)) == (["0"], 1)


async def test_a_failure_of_one_alone_lets_the_next_go(asked: Asked) -> None:
    first, *others = asked.ask(*names(0, 2))
    await turns()
    asked.end(ValueError("mine"))
    asked.end()
    with pytest.raises(ValueError, match="mine"):
        await first
    assert await asyncio.gather(*others) == ["1 together", "2 together"]


###
### Who is cancelled
###


async def test_who_is_cancelled_while_it_waits_has_done_nothing(asked: Asked) -> None:
    tasks = asked.ask(*names(0, 3))
    await turns()
    tasks[2].cancel()
    asked.end()
    asked.end()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], asyncio.CancelledError)
    assert asked.groups == [["1", "3"]]
    assert answers[1::2] == ["1 together", "3 together"]


async def test_who_is_cancelled_with_its_group_under_way_takes_nobody_along(asked: Asked) -> None:
    tasks = asked.ask(*names(0, 3))
    await turns()
    asked.end()
    await turns()
    for each in tasks[1:3]:
        each.cancel()
    await turns()
    asked.end()
    assert await tasks[3] == "3 together"
    assert all(each.cancelled() for each in tasks[1:3])


async def test_who_is_cancelled_alone_lets_the_next_go(asked: Asked) -> None:
    tasks = asked.ask(*names(0, 2))
    await turns()
    tasks[0].cancel()
    await turns()
    asked.end()
    assert await asyncio.gather(*tasks[1:]) == ["1 together", "2 together"]


async def test_a_turn_that_comes_with_a_cancellation_is_the_next_one_s(asked: Asked) -> None:
    first, second = asked.ask("0", "1")
    await turns()
    asked.end()
    asyncio.get_running_loop().call_soon(second.cancel)  # after it is told, before it hears
    await turns()
    assert first.done()
    assert second.cancelled()
    assert asked.alone == ["0"]
    (third,) = asked.ask("2")
    asked.end()
    assert await third == "2 alone"


async def test_nobody_waits_for_ever_when_a_loop_ends_in_the_middle_of_a_group(
    asked: Asked,
) -> None:
    tasks = asked.ask(*names(0, 2))
    await turns()
    asked.end()
    await turns()
    (group,) = (each for each in asyncio.all_tasks() if each.get_name() == "group")
    group.cancel()
    answers = await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2


###
### What is stuck
###


async def test_others_go_past_what_is_stuck_as_many_at_once_as_may() -> None:
    asked = Asked(patience_s=0, width=3)
    tasks = asked.ask("stuck")
    await turns()
    tasks += asked.ask("1", "2")
    await turns()
    assert asked.groups == [["1", "2"]]
    tasks += asked.ask("3")
    await turns()
    assert asked.alone == ["stuck", "3"]
    tasks += asked.ask("4", "5")
    await turns()
    assert len(asked.groups) == 1  # all three are stuck
    for _ in range(4):
        asked.end()
    await asyncio.gather(*tasks)
    assert asked.groups == [["1", "2"], ["4", "5"]]


async def test_nobody_goes_past_where_only_one_may_be_under_way() -> None:
    asked = Asked(patience_s=0, width=1)
    tasks = asked.ask("stuck", "1", "2")
    await turns(20)
    assert (asked.alone, asked.groups) == (["stuck"], [])
    asked.end()
    asked.end()
    await asyncio.gather(*tasks)
