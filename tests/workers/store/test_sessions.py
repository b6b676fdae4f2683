"""What a store promises about sessions, in both roles."""

from __future__ import annotations

import asyncio

import pytest

from workers.store.records import Outcome

from .conftest import RawDatabase, Role
from .examples import FAR_FUTURE, outgoing, received, session_id

FINAL = ["completed", "failed", "expired", "cancelled"]


@pytest.fixture(params=["party", "coordinator"])
def role_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_a_session_that_nobody_made_is_not_there(role: Role) -> None:
    assert await role.store.session(session_id()) is None


async def test_a_session_comes_back_as_it_was_stored(role: Role) -> None:
    rows = (received("round-1", "party-3"), received("round-1", "party-2", b""))
    change = role.change(key_session=b"key", received=rows)

    assert await role.store.commit(change) is Outcome.COMMITTED

    session = await role.twin.session(session_id())
    assert session.version == 1
    assert session.protocol == "keygen"
    assert session.key_session == b"key"
    assert session.status == "in_progress"
    assert session.deadline == 1_000
    assert session.state == b"the state"
    assert session.received == (rows[1], rows[0])


async def test_a_session_is_made_once(role: Role) -> None:
    await role.store.commit(role.change())
    assert await role.twin.commit(role.change(state=b"another")) is Outcome.LOST_RACE
    assert (await role.store.session(session_id())).state == b"the state"


async def test_a_change_raises_the_version_and_keeps_the_inbox(role: Role) -> None:
    await role.store.commit(role.change(received=(received(),)))
    later = role.change(
        expected_version=1,
        protocol="sign",
        key_session=b"key",
        status="waiting",
        deadline=2_000,
        state=b"",
        cause="round-2",
        received=(received("round-2"),),
    )

    assert await role.store.commit(later) is Outcome.COMMITTED

    session = await role.store.session(session_id())
    assert (session.version, session.protocol, session.key_session) == (2, "sign", b"key")
    assert (session.status, session.deadline, session.state) == ("waiting", 2_000, b"")
    assert [row.slot for row in session.received] == ["round-1", "round-2"]


async def test_a_session_that_is_not_there_cannot_be_moved_on(role: Role) -> None:
    assert await role.store.commit(role.change(expected_version=1)) is Outcome.LOST_RACE
    assert await role.store.session(session_id()) is None


async def test_of_many_racers_on_one_version_exactly_one_wins(role: Role, raw: RawDatabase) -> None:
    await role.store.commit(role.change())
    changes = [
        role.change(
            expected_version=1,
            state=f"state {racer}".encode(),
            cause=f"cause {racer}",
            received=(received("round-1", f"party-{racer}"),),
            outgoing=(outgoing(f"by {racer}"),),
        )
        for racer in range(12)
    ]

    outcomes = await asyncio.gather(
        *(
            (role.store if racer % 2 else role.twin).commit(change)
            for racer, change in enumerate(changes)
        )
    )

    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == 11
    winner = outcomes.index(Outcome.COMMITTED)
    session = await role.store.session(session_id())
    assert session.version == 2
    assert session.state == f"state {winner}".encode()
    assert [row.sender for row in session.received] == [f"party-{winner}"]
    assert len(await raw.query("SELECT * FROM outbox")) == 1


async def test_of_many_who_make_one_session_exactly_one_wins(role: Role) -> None:
    outcomes = await asyncio.gather(
        *(
            (role.store if racer % 2 else role.twin).commit(role.change(cause=str(racer)))
            for racer in range(12)
        )
    )
    assert outcomes.count(Outcome.COMMITTED) == 1
    assert outcomes.count(Outcome.LOST_RACE) == 11


@pytest.mark.parametrize("body", [b"body", b"a lie"])
async def test_a_second_row_of_one_sender_and_slot_leaves_nothing_of_its_change(
    role: Role, raw: RawDatabase, body: bytes
) -> None:
    await role.store.commit(role.change(received=(received(),)))
    before = await raw.everything()

    again = role.change(
        expected_version=1,
        state=b"another",
        cause="again",
        received=(received("round-2"), received(body=body)),
        outgoing=(outgoing(),),
    )

    assert await role.store.commit(again) is Outcome.LOST_RACE
    assert await raw.everything() == before


async def test_the_outbox_gives_back_the_same_bytes_by_cause_in_order(role: Role) -> None:
    first = (outgoing("b"), outgoing("a"), outgoing("c", headers={}, body=b""))
    second = (outgoing("d"),)
    await role.store.commit(role.change(outgoing=first))
    await role.store.commit(role.change(expected_version=1, cause="round-2", outgoing=second))
    await role.store.commit(role.change("other", outgoing=second))

    assert await role.twin.outgoing(session_id(), "created") == first
    assert await role.twin.outgoing(session_id(), "round-2") == second
    assert await role.twin.outgoing(session_id(), "nothing") == ()
    assert await role.twin.outgoing(session_id("none"), "created") == ()


async def test_one_cause_sends_once(role: Role, raw: RawDatabase) -> None:
    await role.store.commit(role.change(outgoing=(outgoing("a"),)))
    before = await raw.everything()
    again = role.change(expected_version=1, outgoing=(outgoing("b"),))
    assert await role.store.commit(again) is Outcome.LOST_RACE
    assert await raw.everything() == before


@pytest.mark.parametrize("status", FINAL)
async def test_a_session_that_is_over_changes_no_more(
    role: Role, raw: RawDatabase, status: str
) -> None:
    await role.store.commit(role.change())
    over = role.change(expected_version=1, cause="end", status=status, outgoing=(outgoing(),))
    assert await role.store.commit(over) is Outcome.COMMITTED
    before = await raw.everything()

    revived = role.change(expected_version=2, cause="late", outgoing=(outgoing("late"),))

    assert await role.store.commit(revived) is Outcome.LOST_RACE
    assert await raw.everything() == before
    # A last message that comes again must still find what it was answered.
    assert await role.store.outgoing(session_id(), "end") == (outgoing(),)


async def test_a_status_that_does_not_exist_is_refused(role: Role) -> None:
    with pytest.raises(ValueError, match="no-such-status"):
        await role.store.commit(role.change(status="no-such-status"))
    assert await role.store.session(session_id()) is None


async def test_late_unfinished_sessions_are_overdue_oldest_first(role: Role) -> None:
    for name, status, deadline in [
        ("a", "in_progress", 300),
        ("b", "waiting", 100),
        ("c", "completed", 50),
        ("d", "in_progress", 200),
        ("e", "in_progress", 1_000),
    ]:
        await role.store.commit(role.change(name, status=status, deadline=deadline))

    assert await role.store.overdue(1_000, 10) == [session_id(name) for name in "bda"]
    assert await role.store.overdue(1_000, 1) == [session_id("b")]
    assert await role.store.overdue(100, 10) == []


async def test_the_store_s_clock_is_the_one_that_sessions_end_by(
    role: Role, raw: RawDatabase
) -> None:
    before = await role.store.now()
    await role.store.commit(role.change("over", status="failed"))
    after = await role.store.now()
    (ended,) = [at for (at,) in await raw.query("SELECT ended_at FROM sessions")]
    assert before <= ended <= after
    assert await role.store.purge(ended_before=before) == 0


async def test_purge_forgets_all_of_the_sessions_that_ended_long_ago(
    role: Role, raw: RawDatabase
) -> None:
    empty = await raw.everything()
    for name in ["over", "under way"]:
        await role.store.commit(role.change(name, received=(received(),), outgoing=(outgoing(),)))
    await role.store.commit(role.change("over", expected_version=1, cause="2", status="failed"))

    assert await role.store.purge(ended_before=1_000) == 0
    assert await role.store.purge(ended_before=FAR_FUTURE) == 1
    assert await role.store.session(session_id("over")) is None
    assert await role.store.session(session_id("under way")) is not None

    cause = role.change("under way", expected_version=1, cause="2", status="completed")
    await role.store.commit(cause)
    assert await role.store.purge(ended_before=FAR_FUTURE) == 1
    assert await raw.everything() == empty


async def test_a_cancelled_commit_is_whole_or_nothing_and_the_store_goes_on(role: Role) -> None:
    for attempt in range(20):
        name = f"cancelled {attempt}"
        change = role.change(name, received=(received(),), outgoing=(outgoing(),))
        task = asyncio.create_task(role.store.commit(change))
        # Let it come a little further each time.
        for _ in range(attempt):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await role.store.commit(role.change()) is Outcome.COMMITTED
    for attempt in range(20):
        name = f"cancelled {attempt}"
        session = await role.store.session(session_id(name))
        sent = await role.store.outgoing(session_id(name), "created")
        assert len(sent) == (0 if session is None else len(session.received))
