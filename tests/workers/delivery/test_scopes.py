"""Who may stop a handler, and when."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from workers.delivery.scopes import (
    SessionLateError,
    SessionOverError,
    SessionScopes,
    uninterrupted,
)

ONE, OTHER = b"1" * 32, b"2" * 32


async def working(
    scopes: SessionScopes, session_id: bytes, *, seconds_left: float | None = None
) -> asyncio.Task[None]:
    """A handler at work, as far as its first wait."""
    started = asyncio.Event()

    async def work() -> None:
        with scopes.enter(session_id, seconds_left=seconds_left):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    return task


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_reaches_all_handlers_of_its_session_and_no_other() -> None:
    scopes = SessionScopes()
    mine = [await working(scopes, ONE) for _ in range(3)]
    other = await working(scopes, OTHER)
    assert len(scopes) == 2
    assert scopes.cancel(ONE) == 3
    outcomes = await asyncio.gather(*mine, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [SessionOverError] * 3
    assert not other.done()
    assert len(scopes) == 1
    await stopped(other)
    assert len(scopes) == 0


async def test_cancelling_a_session_without_handlers_leaves_nothing_behind() -> None:
    scopes = SessionScopes()
    assert scopes.cancel(ONE) == 0
    scopes.tighten(ONE, 1.0)
    assert len(scopes) == 0


async def test_the_deadline_ends_a_handler() -> None:
    scopes = SessionScopes()
    task = await working(scopes, ONE, seconds_left=0.01)
    with pytest.raises(SessionLateError):
        await task
    assert len(scopes) == 0


async def test_a_deadline_in_the_past_ends_a_handler_at_its_first_wait() -> None:
    scopes = SessionScopes()
    with pytest.raises(SessionLateError), scopes.enter(ONE, seconds_left=-5):
        await asyncio.Event().wait()
    assert len(scopes) == 0


async def test_a_deadline_is_brought_forward_and_never_put_off() -> None:
    scopes = SessionScopes()
    task = await working(scopes, ONE, seconds_left=1_000)
    scopes.tighten(ONE, 0.01)
    scopes.tighten(ONE, 1_000)
    with pytest.raises(SessionLateError):
        await task


async def test_a_handler_that_ends_by_itself_is_forgotten() -> None:
    scopes = SessionScopes()
    with scopes.enter(ONE, seconds_left=1_000):
        assert len(scopes) == 1
    assert len(scopes) == 0
    with pytest.raises(LookupError), scopes.enter(ONE):
        raise LookupError
    assert len(scopes) == 0


async def test_a_cancellation_from_outside_passes_as_such() -> None:
    scopes = SessionScopes()
    await stopped(await working(scopes, ONE))
    assert len(scopes) == 0


async def test_a_cancellation_from_outside_wins_when_both_come_at_once() -> None:
    scopes = SessionScopes()
    task = await working(scopes, ONE)
    scopes.cancel(ONE)
    await stopped(task)
    assert len(scopes) == 0


async def committing(
    scopes: SessionScopes, done: list[str]
) -> tuple[asyncio.Task[None], anyio.Event]:
    started, go_on = asyncio.Event(), anyio.Event()

    async def work() -> None:
        with scopes.enter(ONE):
            with uninterrupted():
                started.set()
                await go_on.wait()
                done.append("published")
            await asyncio.sleep(0)
            done.append("went on")

    task = asyncio.create_task(work())
    await started.wait()
    return task, go_on


async def test_commit_and_publish_are_finished_before_a_session_ends() -> None:
    scopes, done = SessionScopes(), list[str]()
    task, go_on = await committing(scopes, done)
    scopes.cancel(ONE)
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(SessionOverError):
        await task
    assert done == ["published"]


async def test_commit_and_publish_do_not_hold_up_a_worker_that_stops() -> None:
    scopes, done = SessionScopes(), list[str]()
    task, _ = await committing(scopes, done)
    scopes.cancel(ONE)
    await stopped(task)
    assert done == []
    assert len(scopes) == 0
