"""What people see of a migration while it goes on, and how a signal ends it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from topology.migration.command import Display
from topology.migration.conduct import News
from topology.migration.interruption import InterruptedMigrationError, interruptible
from topology.migration.parts import Parts
from topology.migration.steps import EMPTY, JOIN, POUR, Step, steps

STEPS = tuple(steps(Parts("jobs", "jobs"), pause=True))
TEXTS = {step.name: step.text for step in STEPS}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def shown(*told: News, ahead: tuple[Step, ...] = STEPS, silent: bool = False) -> str:
    """On a terminal, frame by frame."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    display = Display(console, silent=silent)
    with display.over(ahead):
        for news in told:
            display.hear(news)
    return screen.getvalue()


def test_each_step_is_announced_by_what_it_does() -> None:
    said = shown(*(News(kind, step) for step in (POUR, JOIN) for kind in ("begun", "done")))
    assert said.index(f"~ {TEXTS[POUR]}") < said.index(f"~ {TEXTS[JOIN]}")


def test_a_step_that_nobody_knows_a_text_of_is_announced_by_its_name() -> None:
    assert "~ pour\n" in shown(News("begun", POUR), ahead=()).replace("\r", "")


def test_messages_that_were_moved_are_counted_over_all_pieces_of_news() -> None:
    said = shown(News("begun", POUR), News("moved", POUR, moved=3), News("moved", POUR, moved=4))
    assert "moved" in said
    assert "7/?" in said


def test_what_consumers_have_left_counts_down_from_the_most_that_it_was() -> None:
    lefts = (4, 10, 3)
    said = shown(News("begun", EMPTY), *(News("waiting", EMPTY, left=left) for left in lefts))
    assert "left to its consumers" in said
    assert "7/10" in said


def test_a_bar_goes_on_as_one_of_what_is_moved_where_consumers_have_left() -> None:
    said = shown(
        News("begun", EMPTY), News("waiting", EMPTY, left=5), News("moved", EMPTY, moved=5)
    )
    assert "moved" in said
    assert "5/5" in said


def test_each_step_has_a_bar_of_its_own() -> None:
    said = shown(
        News("begun", POUR),
        News("moved", POUR, moved=7),
        News("done", POUR),
        News("begun", JOIN),
        News("moved", JOIN, moved=2),
        News("refusing", JOIN),
        News("turned", JOIN),
    )
    assert "2/?" in said
    assert "9/?" not in said


def test_what_lasts_no_time_shows_no_bar() -> None:
    screen = io.StringIO()
    display = Display(Console(file=screen, width=200), silent=False)
    display.hear(News("begun", JOIN))
    before = screen.getvalue()
    for kind in ("refusing", "turned", "done"):
        display.hear(News(kind, JOIN))
    assert screen.getvalue() == before == "~ join\n"


def test_for_programs_nothing_is_shown() -> None:
    told = (News("begun", POUR), News("moved", POUR, moved=1), News("done", POUR))
    assert shown(*told, silent=True) == ""


@pytest.fixture
def signals() -> Iterator[None]:
    """What pytest has made of them is there again afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Work:
    """Ends by a signal only. Attributes: said: How far it came."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.said: list[str] = []
        self._numbers = list(numbers)

    async def wait(self, what: str) -> None:
        """For ever; the next signal comes meanwhile."""
        try:
            os.kill(os.getpid(), self._numbers.pop(0))
            await asyncio.Event().wait()
        finally:
            self.said.append(f"{what} ended")

    async def run(self) -> None:
        with interruptible():
            try:
                await self.wait("work")
            finally:
                if self._numbers:
                    await self.wait("tidying up")
                self.said.append("closed")


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_is_within_and_whoever_sent_it_is_told(number: signal.Signals) -> None:
    work = Work(number)
    with pytest.raises(
        InterruptedMigrationError, match=rf"ended by {number.name}\. Nothing is"
    ) as e:
        asyncio.run(work.run())
    assert e.value.exit_code == 128 + number
    assert work.said == ["work ended", "closed"]


@pytest.mark.usefixtures("signals")
def test_a_second_signal_ends_what_tidies_up_and_the_first_one_is_told() -> None:
    work = Work(signal.SIGTERM, signal.SIGINT)
    with pytest.raises(InterruptedMigrationError, match="ended by SIGTERM"):
        asyncio.run(work.run())
    assert work.said == ["work ended", "tidying up ended"]


@pytest.mark.usefixtures("signals")
def test_whoever_cancels_it_otherwise_is_not_told_of_a_signal() -> None:
    async def cancelled() -> None:
        with interruptible():
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


@pytest.mark.usefixtures("signals")
def test_signals_are_somebody_elses_again_when_it_is_over() -> None:
    async def over() -> list[bool]:
        with interruptible():
            pass
        loop = asyncio.get_running_loop()
        return [loop.remove_signal_handler(number) for number in SIGNALS]

    assert asyncio.run(over()) == [False, False, False]


def test_outside_of_the_main_thread_signals_stay_whose_they_are() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    during: list[object] = []

    async def look() -> None:
        with interruptible():
            during.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=lambda: asyncio.run(look()))
    thread.start()
    thread.join()
    assert during == before
