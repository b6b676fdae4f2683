"""Turns before work begins: in a model of a flood, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from contracts.failures import Failure, FailureCode
from tests.patience import settle
from workers.coordinator.departures import Departures
from workers.coordinator.gates import (
    ALONE_AFTER_S,
    Company,
    Gate,
    OverloadedError,
    RequestCancelledError,
    Turn,
    Wish,
    named,
)
from workers.session.coordinator.rates import BUSY

STEP_S = 0.05
GREEDY, MODEST = "gate/greedy", "gate/modest"


@dataclass
class Watch:
    """A clock in seconds, and in milliseconds, that stands still by itself."""

    now_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def ms(self) -> int:
        return 1_000_000 + round(self.now_s * 1000)


@dataclass
class Work:
    owner: str
    deadline: int
    asked_s: float
    begun_s: float
    left: float
    """Of one session's worth of the parties' time."""


@dataclass
class Parties:
    """What works at all that is let in, side by side: so many sessions a second, in all."""

    per_second: float
    at_once: int
    far_s: float = 0.0
    """What each session takes at least, however little there is to do."""
    watch: Watch = field(default_factory=Watch)
    working: dict[bytes, Work] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    most: int = 0
    """Of them at a time."""
    waits_s: dict[str, list[float]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    ticks: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.departures = Departures(monotonic=self.watch.monotonic)
        self.gate = Gate(
            "keys",
            at_once=self.at_once,
            per_owner=128,
            patience_s=3600,
            departures=self.departures,
            company=Company(self.watch.monotonic),
            clock=self.watch.ms,
            monotonic=self.watch.monotonic,
        )

    async def ask(self, owner: str, lifetime_s: float) -> bytes | None:
        """The session when it has begun; None if it was refused."""
        asked_s, deadline = self.watch.now_s, self.watch.ms() + round(lifetime_s * 1000)
        wish = Wish(owner=owner, kind="keygen ed25519", deadline=deadline)
        told: Failure | None = None
        session_id: bytes | None = None
        try:
            async with self.gate.turn(wish) as turn:
                session_id = next(self.numbers).to_bytes(32, "big")
                turn.keep(session_id)
                self.working[session_id] = Work(owner, deadline, asked_s, self.watch.now_s, 1.0)
        except OverloadedError as error:
            told = error.failure
        if told is not None:
            assert told.code is FailureCode.OVERLOADED
            assert told.retry_after_ms is not None
            late = self.watch.now_s > asked_s
            self.outcomes[owner, "refused later" if late else "refused"] += 1
        return session_id

    async def over(self, session_id: bytes) -> None:
        while session_id in self.working:
            await self.sleep(0)

    async def sleep(self, seconds: float) -> None:
        until_s = self.watch.now_s + seconds
        ticked = self.ticks
        while self.watch.now_s < until_s or self.ticks is ticked:
            await self.ticks.wait()

    async def step(self) -> None:
        self.watch.now_s += STEP_S
        self.most = max(self.most, len(self.working))
        share = STEP_S * self.per_second / max(len(self.working), 1)
        for session_id, work in list(self.working.items()):
            work.left -= share
            outcome = None
            if work.left <= 0 and self.watch.now_s - work.begun_s >= self.far_s:
                outcome = "done"
                self.waits_s.setdefault(work.owner, []).append(self.watch.now_s - work.asked_s)
            elif work.deadline <= self.watch.ms():
                outcome = "expired"
            if outcome is not None:
                self.outcomes[work.owner, outcome] += 1
                del self.working[session_id]
                self.departures.over(session_id, late=outcome == "expired")
        self.ticks.set()
        self.ticks = asyncio.Event()
        await settle()


async def flooded(parties: Parties, *, seconds: float, lifetime_s: float, lanes: int) -> None:
    """One owner keeps so many in flight, and pauses a second where it is refused; another asks for
    one after the other."""
    flood = [asyncio.create_task(lane(parties, lifetime_s)) for _ in range(lanes)]
    modest = asyncio.create_task(one_by_one(parties))
    while parties.watch.now_s < seconds:
        await parties.step()
    for task in (*flood, modest):
        task.cancel()
    await asyncio.gather(*flood, modest, return_exceptions=True)


async def lane(parties: Parties, lifetime_s: float) -> None:
    while True:
        refused = parties.outcomes[GREEDY, "refused"]
        session = await parties.ask(GREEDY, lifetime_s)
        if session is not None:
            await parties.over(session)
        elif parties.outcomes[GREEDY, "refused"] > refused:
            await parties.sleep(1)


async def begun_alone(parties: Parties) -> None:
    session = asyncio.create_task(parties.ask(MODEST, 60))
    await settle()
    while parties.working:
        await parties.step()
    assert session.done()


async def one_by_one(parties: Parties) -> None:
    while True:
        session = await parties.ask(MODEST, 60)
        assert session is not None
        await parties.over(session)


@pytest.mark.parametrize("lifetime_s", [3.0, 10.0])
@pytest.mark.parametrize("per_second", [2.0, 8.0])
async def test_in_a_flood_nothing_expires_and_another_owner_hardly_waits(
    per_second: float, lifetime_s: float
) -> None:
    parties = Parties(per_second=per_second, at_once=4)
    await flooded(parties, seconds=40, lifetime_s=lifetime_s, lanes=100)
    outcomes = parties.outcomes
    assert outcomes[MODEST, "expired"] == 0
    # Only those that began before anything was known.
    assert outcomes[GREEDY, "expired"] <= parties.at_once
    assert outcomes[MODEST, "refused"] + outcomes[MODEST, "refused later"] == 0
    assert outcomes[GREEDY, "refused"] > 20
    # Only those were told late who came before anything was known.
    assert outcomes[GREEDY, "refused later"] <= 100
    # Its own turn in a full house, and one of who is in it.
    assert max(parties.waits_s[MODEST]) <= (parties.at_once + 2) / per_second + 4 * STEP_S
    # The parties are never idle for want of what was refused.
    done = outcomes[GREEDY, "done"] + outcomes[MODEST, "done"]
    assert done >= 0.85 * 40 * per_second


async def test_where_so_many_at_once_are_too_many_fewer_are_begun_and_some_are_done() -> None:
    """Four side by side take sixteen seconds each, and have ten."""
    parties = Parties(per_second=0.25, at_once=4)
    await flooded(parties, seconds=200, lifetime_s=10, lanes=20)
    assert parties.outcomes[GREEDY, "done"] >= 10
    assert parties.outcomes[MODEST, "done"] >= 5


async def test_parties_that_are_far_away_are_given_as_much_as_keeps_them_busy() -> None:
    parties = Parties(per_second=20, at_once=4, far_s=2.0)
    await begun_alone(parties)
    await flooded(parties, seconds=60, lifetime_s=20, lanes=100)
    done = parties.outcomes[GREEDY, "done"] + parties.outcomes[MODEST, "done"]
    assert done >= 0.5 * 60 * 20, "four at a time are two a second"
    assert parties.most <= 2 * BUSY * 20 * 2


async def test_parties_at_hand_are_given_no_more_than_they_were() -> None:
    parties = Parties(per_second=8, at_once=4)
    await begun_alone(parties)
    await flooded(parties, seconds=60, lifetime_s=10, lanes=100)
    assert parties.most <= 4 + 1, "and one of who has nothing under way"


async def test_an_owner_who_is_alone_may_have_more_under_way_until_others_come() -> None:
    watch = Watch()
    gate = Gate(
        "signatures",
        at_once=2,
        alone=5,
        per_owner=128,
        patience_s=3600,
        departures=Departures(monotonic=watch.monotonic),
        company=Company(watch.monotonic),
        clock=watch.ms,
        monotonic=watch.monotonic,
    )

    async def stay(owner: str) -> None:
        async with gate.turn(Wish(owner=owner, kind="sign")):
            await asyncio.Event().wait()

    stays = [asyncio.create_task(stay(GREEDY)) for _ in range(7)]
    await settle()
    assert (gate.units, gate.waiting) == (5, 2)
    stays.append(asyncio.create_task(stay(MODEST)))  # who has nothing under way, and begins
    await settle()
    assert (gate.units, gate.waiting) == (6, 2)
    for left in range(4):
        stays[left].cancel()
        await settle()
    assert (gate.units, gate.waiting) == (2, 2)
    watch.now_s += ALONE_AFTER_S + 0.1
    stays[7].cancel()  # and does not come back
    await settle()
    assert (gate.units, gate.waiting) == (3, 0)
    for each in stays:
        each.cancel()
    await asyncio.gather(*stays, return_exceptions=True)


async def test_who_asks_at_another_gate_is_company() -> None:
    watch = Watch()
    company, departures = Company(watch.monotonic), Departures(monotonic=watch.monotonic)

    def of(name: str) -> Gate:
        return Gate(
            name,
            at_once=1,
            alone=3,
            per_owner=128,
            patience_s=3600,
            departures=departures,
            company=company,
            clock=watch.ms,
            monotonic=watch.monotonic,
        )

    signatures, answers = of("signatures"), of("answers")
    assert answers.at_once == 3
    async with answers.turn(Wish(owner=GREEDY, kind="look")):
        assert answers.at_once == 3
        async with signatures.turn(Wish(owner=MODEST, kind="sign")):
            assert answers.at_once == signatures.at_once == 1
    watch.now_s += ALONE_AFTER_S + 0.1
    assert answers.at_once == signatures.at_once == 3


async def test_a_cold_start_refuses_nobody() -> None:
    parties = Parties(per_second=1000, at_once=4)
    asked = [asyncio.create_task(parties.ask(f"gate/{i % 7}", 5)) for i in range(100)]
    await settle()
    assert parties.gate.waiting > 0
    while not all(task.done() for task in asked) or parties.working:
        await parties.step()
    assert sum(parties.outcomes.values()) == 100
    assert {outcome for _, outcome in parties.outcomes} == {"done"}


async def test_the_same_flood_without_turns_expires() -> None:
    """The model is a flood: without a bound, all of the first comes to nothing."""
    parties = Parties(per_second=8, at_once=10_000)
    await flooded(parties, seconds=20, lifetime_s=3, lanes=100)
    assert parties.outcomes[GREEDY, "expired"] >= 100


###
### Rules
###


def gate(watch: Watch, *, at_once: int = 2, per_owner: int = 3, patience_s: float = 60) -> Gate:
    return Gate(
        "signatures",
        at_once=at_once,
        per_owner=per_owner,
        patience_s=patience_s,
        departures=Departures(monotonic=watch.monotonic),
        company=Company(watch.monotonic),
        clock=watch.ms,
        monotonic=watch.monotonic,
    )


def wish(owner: str = GREEDY, *, units: int = 1, left_s: float = 60, watch: Watch) -> Wish:
    deadline = watch.ms() + round(left_s * 1000)
    return Wish(owner=owner, kind="sign ecdsa", units=units, deadline=deadline)


async def entered(at: Gate, asked: Wish, number: int = 0) -> Turn:
    async with at.turn(asked) as turn:
        turn.keep(number.to_bytes(32, "big"))
    return turn


async def test_too_many_that_wait_are_refused_by_name_limit_and_remedy() -> None:
    watch = Watch()
    at = gate(watch)
    turns = [await entered(at, wish(watch=watch), i) for i in (1, 2)]
    waiting = [asyncio.create_task(entered(at, wish(watch=watch), i)) for i in (3, 4, 5)]
    await settle()
    with pytest.raises(OverloadedError) as caught:
        await entered(at, wish(watch=watch), 6)
    told = caught.value.failure
    assert told.message == (
        "tenant 'greedy' of client 'gate' has 3 requests waiting here for signatures, and may "
        "have no more: wait for results before you ask for more"
    )
    assert told.retry_after_ms
    other = asyncio.create_task(entered(at, wish(MODEST, watch=watch), 7))
    await settle()
    assert other.done()  # it has nothing under way, so it need not wait
    for turn in turns:
        turn.leave()
        turn.leave()
    await settle()
    assert [task.done() for task in waiting] == [True, False, False]
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    waiting[0].result().leave()
    (await other).leave()
    await waiting[2]
    assert (at.waiting, at.units) == (0, 1)


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        ("svcA", "client 'svcA'"),
        ("svcA/shop", "tenant 'shop' of client 'svcA'"),
        ("", "the clients without an id"),
        ("/shop", "tenant 'shop' of the clients without an id"),
    ],
)
def test_an_owner_is_named_as_people_know_it(owner: str, told: str) -> None:
    assert named(owner) == told


async def test_a_list_that_is_longer_than_all_room_takes_all_of_it() -> None:
    watch = Watch()
    at = gate(watch)
    long = await entered(at, wish(units=200, watch=watch), 1)
    assert at.units == 2
    own = asyncio.create_task(entered(at, wish(watch=watch), 2))
    await settle()
    assert not own.done()
    (await entered(at, wish(MODEST, watch=watch), 3)).leave()
    long.leave()
    (await own).leave()
    assert at.units == 0


async def test_what_hangs_keeps_nobody_waiting() -> None:
    watch = Watch()
    at = gate(watch, at_once=1, patience_s=0.01)
    hangs = await entered(at, wish(watch=watch), 1)
    await entered(at, wish(watch=watch), 2)  # after the other's patience
    hangs.leave()
    assert at.units <= 1


async def test_a_deadline_that_passes_in_the_line_is_told_as_overload() -> None:
    watch = Watch()
    at = gate(watch, at_once=1)
    await entered(at, wish(watch=watch), 1)
    with pytest.raises(OverloadedError, match="its deadline is in"):
        await entered(at, wish(left_s=0.01, watch=watch), 2)
    assert at.waiting == 0


async def test_what_waits_can_be_withdrawn_and_what_has_its_turn_cannot() -> None:
    watch = Watch()
    at = gate(watch, at_once=1)
    asked = replace(wish(watch=watch), request_id="r1")
    first = await entered(at, asked, 1)
    waiting = asyncio.create_task(entered(at, asked, 2))
    await settle()
    at.withdraw("another", "r1")
    at.withdraw(asked.owner, "r2")
    assert at.waiting == 1
    at.withdraw(asked.owner, "r1")
    with pytest.raises(RequestCancelledError):
        await waiting
    assert (at.units, at.waiting) == (1, 0)
    next_one = asyncio.create_task(entered(at, asked, 3))
    await settle()
    first.leave()
    at.withdraw(asked.owner, "r1")  # it has the turn now, and does not know it yet
    (await next_one).leave()
    assert (at.units, at.waiting) == (0, 0)


async def test_what_is_no_work_waits_and_is_never_refused() -> None:
    watch = Watch()
    at = gate(watch, at_once=1, per_owner=1)
    first = await entered(at, wish(watch=watch), 1)
    no_work = Wish(owner=GREEDY, kind="refusal")
    waiting = [asyncio.create_task(entered(at, no_work, i)) for i in (2, 3, 4)]
    await settle()
    assert at.waiting == 3
    first.leave()
    for task in waiting:
        (await task).leave()


async def test_a_block_that_fails_or_keeps_nothing_leaves_its_turn() -> None:
    watch = Watch()
    at = gate(watch)
    async with at.turn(wish(watch=watch)):
        assert at.units == 1
    assert at.units == 0
    with pytest.raises(ZeroDivisionError):
        await failing(at, wish(watch=watch))
    assert at.units == 0
    assert len(at.departures) == 0


async def failing(at: Gate, asked: Wish) -> None:
    async with at.turn(asked) as turn:
        turn.keep(bytes(32))
        raise ZeroDivisionError


async def test_a_turn_that_comes_to_who_is_cancelled_goes_on_to_the_next() -> None:
    watch = Watch()
    at = gate(watch, at_once=1)
    first = await entered(at, wish(watch=watch), 1)
    cancelled = asyncio.create_task(entered(at, wish(watch=watch), 2))
    second = asyncio.create_task(entered(at, wish(watch=watch), 3))
    await settle()
    first.leave()  # it has the turn now, and does not know it yet
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert cancelled.cancelled()
    (await second).leave()
    assert (at.units, at.waiting) == (0, 0)
