"""Answered or cancelled: of an owner's request a party's store lets only one of them be."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from contracts.requests import MAX_TRIES
from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.records import (
    AnswerRecord,
    CancellationRecord,
    IncarnationRecord,
    Outcome,
    PartyChange,
)

from .conftest import RawDatabase
from .examples import FAR_FUTURE, key_share, nonce, outgoing, party_change, received, session_id

ROLE = "party"
OWNER, REQUEST = "svcA/alice", "request-1"


def answers(**other: Any) -> AnswerRecord:
    values: dict[str, Any] = {
        "owner": OWNER,
        "request_id": REQUEST,
        "digest": session_id("the request's body"),
        "commits": True,
        "counts_until": FAR_FUTURE,
    }
    return AnswerRecord(**(values | other))


def answering(name: str, expected_version: int = 0, **other: Any) -> PartyChange:
    """A change by which a session answers the request."""
    return party_change(
        name,
        expected_version=expected_version,
        cause=f"version {expected_version}",
        status="completed",
        answers=answers(**other),
        at=100,
        outgoing=(outgoing(name),),
    )


async def forbidding(store: PartyStore, name: str = "cancel", **other: Any) -> PartyChange:
    """A change by which a cancel's session forbids the request."""
    values: dict[str, Any] = {
        "owner": OWNER,
        "request_id": REQUEST,
        "issued_until": 50,
        "forbidden_until": 1_000,
        "statement": "a statement",
        "limit": 2,
        "incarnation": (await store.memory()).incarnation,
    }
    forbids = CancellationRecord(**(values | other))
    return party_change(name, status="completed", forbids=forbids, at=100)


async def forbid(store: PartyStore, name: str = "cancel", **other: Any) -> Outcome:
    return await store.commit(await forbidding(store, name, **other))


async def written(raw: RawDatabase) -> list[tuple[str, str]]:
    return await raw.everything()


###
### Answers
###


async def test_what_is_answered_is_remembered_by_session(party: PartyStore) -> None:
    names = ["one", "two", "three"]
    for name in names:
        assert await party.commit(answering(name)) is Outcome.COMMITTED
    assert await party.sessions_of(OWNER, REQUEST) == sorted(map(session_id, names))
    assert await party.sessions_of("svcA", REQUEST) == []
    assert await party.sessions_of(OWNER, "request-2") == []


async def test_another_request_of_the_same_id_is_refused_and_leaves_nothing(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(answering("one"))
    before = await written(raw)
    other = answering("two", digest=session_id("another body"))
    assert await party.commit(other) is Outcome.OTHER_REQUEST
    assert await written(raw) == before
    # Another owner's, or another id, is something else.
    others: list[dict[str, Any]] = [{"owner": "svcA"}, {"request_id": "request-2"}]
    for request in others:
        change = answering(str(request), digest=session_id("another body"), **request)
        assert await party.commit(change) is Outcome.COMMITTED


async def test_a_request_that_counts_no_more_is_refused_by_the_stores_own_clock(
    party: PartyStore, raw: RawDatabase
) -> None:
    """Whoever looked whether it had expired, and was held up until its cancellation was purged."""
    before, now = await written(raw), await party.now()
    for commits in (True, False):
        late = answering("late", counts_until=now - 1, commits=commits)
        assert await party.commit(late) is Outcome.EXPIRED
    assert await written(raw) == before
    assert await party.commit(answering("early", counts_until=now + 600_000)) is Outcome.COMMITTED
    await forbid(party, "cancel", statement=None)
    assert await party.commit(answering("late", counts_until=now - 1)) is Outcome.CANCELLED


async def test_a_request_is_answered_in_so_many_sessions_and_no_more(
    party: PartyStore, raw: RawDatabase
) -> None:
    for number in range(MAX_TRIES):
        assert await party.commit(answering(f"session {number}")) is Outcome.COMMITTED
    before = await written(raw)
    assert await party.commit(answering("one more")) is Outcome.TOO_MANY_TRIES
    assert await party.commit(answering("one more", commits=False)) is Outcome.TOO_MANY_TRIES
    assert await written(raw) == before


async def test_a_session_that_only_began_is_no_try(party: PartyStore) -> None:
    for number in range(2 * MAX_TRIES):
        begun = answering(f"session {number}", commits=False)
        assert await party.commit(begun) is Outcome.COMMITTED


async def test_the_same_session_again_is_no_other_try(party: PartyStore) -> None:
    def change(number: int, version: int) -> PartyChange:
        return replace(answering(f"session {number}", version), status="in_progress")

    for version in range(2):
        for number in range(MAX_TRIES):
            assert await party.commit(change(number, version)) is Outcome.COMMITTED
    assert await party.commit(change(MAX_TRIES, 0)) is Outcome.TOO_MANY_TRIES


async def test_what_was_answered_with_a_share_stays_so(party: PartyStore) -> None:
    for version, commits in enumerate((False, True, False)):
        change = replace(answering("one", version, commits=commits), status="in_progress")
        assert await party.commit(change) is Outcome.COMMITTED
    assert await forbid(party) is Outcome.ALREADY_SIGNED


async def test_the_loser_of_a_race_hears_of_that_and_not_of_the_cancellation(
    party: PartyStore,
) -> None:
    await party.commit(answering("one"))
    await forbid(party, statement=None)
    assert await party.commit(answering("one")) is Outcome.LOST_RACE


async def test_of_many_sessions_at_once_so_many_answer(
    party: PartyStore, party_twin: PartyStore
) -> None:
    outcomes = await asyncio.gather(
        *([party, party_twin][number % 2].commit(answering(f"{number}")) for number in range(12))
    )
    assert outcomes.count(Outcome.COMMITTED) == MAX_TRIES
    assert outcomes.count(Outcome.TOO_MANY_TRIES) == 12 - MAX_TRIES


async def test_answers_are_forgotten_after_their_time(party: PartyStore) -> None:
    await party.commit(answering("one"))
    assert await party.purge_answers(before=100) == 0
    assert await party.purge_answers(before=101) == 1
    assert await party.sessions_of(OWNER, REQUEST) == []


###
### Cancellations
###


async def test_what_is_cancelled_is_not_answered_any_more(
    party: PartyStore, raw: RawDatabase
) -> None:
    assert await forbid(party) is Outcome.COMMITTED
    assert await party.statement(OWNER, REQUEST) == "a statement"
    await party.commit(party_change("before", nonces=(nonce(),)))
    before = await written(raw)
    for commits in (True, False):
        change = party_change(
            "signing",
            take_nonce=session_id("nonce"),
            nonces=(nonce("fresh"),),
            key_share=key_share(),
            outgoing=(outgoing(),),
            answers=answers(commits=commits),
        )
        assert await party.commit(change) is Outcome.CANCELLED
    assert await party.commit(answering("other bytes", digest=session_id("x"))) is Outcome.CANCELLED
    assert await written(raw) == before
    assert await party.commit(answering("theirs", owner="svcA")) is Outcome.COMMITTED
    assert await party.statement("svcA", REQUEST) is None


async def test_what_was_answered_is_not_stated_never_to_be(
    party: PartyStore, raw: RawDatabase
) -> None:
    await party.commit(answering("one"))
    before = await written(raw)
    assert await forbid(party) is Outcome.ALREADY_SIGNED
    assert await written(raw) == before
    # It is refused from now on all the same.
    assert await forbid(party, statement=None) is Outcome.COMMITTED
    assert await party.statement(OWNER, REQUEST) is None
    assert await party.commit(answering("two")) is Outcome.CANCELLED
    assert await forbid(party, "another cancel") is Outcome.ALREADY_SIGNED


async def test_what_only_began_here_is_over_with_the_cancellation(party: PartyStore) -> None:
    begun = party_change(received=(received(),), answers=answers(commits=False), at=100)
    await party.commit(begun)
    await party.commit(party_change("another request's"))
    assert await forbid(party) is Outcome.COMMITTED
    ended = await party.session(session_id())
    other = await party.session(session_id("another request's"))
    assert ended is not None
    assert other is not None
    assert (ended.status, ended.state, ended.received) == ("cancelled", b"", ())
    assert other.status == "in_progress"
    certified = party_change(expected_version=1, cause="round 4", answers=answers(), at=100)
    assert await party.commit(certified) is Outcome.LOST_RACE


async def test_of_two_cancels_the_later_counts(party: PartyStore, raw: RawDatabase) -> None:
    for name, until in (("first", 50), ("later", 70), ("earlier", 60)):
        outcome = await forbid(
            party, name, issued_until=until, forbidden_until=until + 950, statement=name
        )
        assert outcome is Outcome.COMMITTED
    assert await party.statement(OWNER, REQUEST) == "later"
    ((until, forbidden),) = await raw.query(
        "SELECT issued_until, forbidden_until FROM cancellations"
    )
    assert (until, forbidden) == (70, 1020)
    await forbid(party, "nothing to say", issued_until=80, statement=None)
    assert await party.statement(OWNER, REQUEST) == "later"


async def test_an_owner_has_so_many_cancellations_and_none_of_them_goes(
    party: PartyStore, raw: RawDatabase
) -> None:
    for number in range(2):
        assert await forbid(party, f"{number}", request_id=f"r{number}") is Outcome.COMMITTED
    before = await written(raw)
    assert await forbid(party, "r2", request_id="r2") is Outcome.OVERLOADED
    assert await written(raw) == before
    assert await forbid(party, "again", request_id="r0") is Outcome.COMMITTED
    assert await forbid(party, "theirs", request_id="r2", owner="svcA") is Outcome.COMMITTED


async def test_what_is_too_old_to_be_answered_takes_no_place(party: PartyStore) -> None:
    for number in range(3):
        outcome = await forbid(party, f"{number}", request_id=f"r{number}", forbidden_until=99)
        assert outcome is Outcome.COMMITTED
    # It is refused as long as it is here.
    assert await party.commit(answering("one", request_id="r0")) is Outcome.CANCELLED
    assert await party.purge_cancellations(before=99) == 0
    assert await party.purge_cancellations(before=100) == 3
    assert await party.commit(answering("one", request_id="r0")) is Outcome.COMMITTED


@pytest.mark.parametrize("turns", range(3))
async def test_answered_or_stated_and_never_both(
    party: PartyStore, party_twin: PartyStore, turns: int
) -> None:
    """Two workers at the same time, in either order."""
    seen: set[tuple[Outcome, Outcome]] = set()
    for number in range(30):
        request: dict[str, Any] = {"request_id": f"{turns} {number}"}
        change = answering(f"signing {turns} {number}", **request)
        cancel = await forbidding(party_twin, f"cancel {turns} {number}", limit=999, **request)
        both = [party.commit(change), party_twin.commit(cancel)]
        if number % 2:
            second, first = await asyncio.gather(*reversed(both))
        else:
            first, second = await asyncio.gather(*both)
        seen.add((first, second))
    assert seen <= {
        (Outcome.COMMITTED, Outcome.ALREADY_SIGNED),
        (Outcome.CANCELLED, Outcome.COMMITTED),
    }


###
### What outlives a loss of memory
###


async def test_cancellations_outlive_a_loss_of_memory_and_answers_do_not(
    party: PartyStore,
) -> None:
    await party.commit(answering("one", request_id="answered"))
    await forbid(party)
    first = await party.memory()
    await party.begin_incarnation("a test")
    second = await party.memory()
    assert second.incarnation != first.incarnation
    assert not second.is_first
    assert await party.sessions_of(OWNER, "answered") == []
    assert await party.statement(OWNER, REQUEST) == "a statement"
    assert await party.commit(answering("two")) is Outcome.CANCELLED


async def test_a_statement_holds_in_the_incarnation_that_it_was_made_in(
    party: PartyStore,
) -> None:
    stale = await forbidding(party)
    await party.begin_incarnation("a test")
    with pytest.raises(StoreUnavailableError, match="another incarnation"):
        await party.commit(stale)
    assert await party.statement(OWNER, REQUEST) is None
    assert await forbid(party, "again") is Outcome.COMMITTED


async def test_a_loss_of_memory_that_another_worker_noticed_is_noticed_here(
    party: PartyStore, party_twin: PartyStore
) -> None:
    before = await party.memory()
    await party_twin.begin_incarnation("a test")
    await party.attest()
    after = await party.memory()
    assert after == await party_twin.memory()
    assert after.incarnation != before.incarnation


async def test_what_is_remembered_is_later_than_a_loss_by_more_than_clocks_differ(
    party: PartyStore,
) -> None:
    found = replace(await party.memory(), begun_at=100)
    for reason, since in ((IncarnationRecord.FIRST, 0), ("crashed", 116)):
        memory = replace(found, reason=reason)
        for at in (0, 100, 115, 116):
            assert memory.remembers(at, tolerance_ms=15) is (at >= since)
