"""Where requests wait for their turn, or learn at once that it would come too late.

A gate lets so many units of work be under way at a time and makes a line of the others, see
`session.coordinator.lines`. Whoever waits is a delivery that is not acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from contracts.failures import Failure, FailureCode

from ..delivery.clock import now_ms
from ..session.coordinator.lines import Line, Place
from ..session.coordinator.rates import Rates
from .departures import Departures

SHORTEST_RETRY_MS = 250
LONGEST_RETRY_MS = 60_000
UNKNOWN_RETRY_MS = 1_000
HEADROOM = 1.5
"""Of the time that it would take, by what is known: whoever is let in is to be done in time, though
others come who were served less."""
REVIEW_S = 0.25
"""Between two looks at whether those who wait will still be done in time."""
ALONE_AFTER_S = 1.0
"""An owner is alone if nobody else has asked for so long: whoever asks one thing after another has
moments without any."""
LATELY_S = 1.0
"""Work was at a gate lately if it is there, or was for the last time before less than this."""
LONGEST_REST_S = 2.0
"""A turn that took long waited for a party, which is no load on others."""
MOST_OWNERS_BEYOND = 4
"""Times as much as a gate lets in may be under way, if it is of owners who have nothing else."""


class OverloadedError(Exception):
    """It would not be done in time, or its owner has too much waiting."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RequestCancelledError(Exception):
    """A cancel of this request was here first, or came while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    Attributes:
        request_id: The owner's, if it may be withdrawn.
        kind: Of work, as costs are learned.
        units: Messages of a list; else 1.
        deadline: Unix milliseconds. None: it is no work, and waits as long as it takes.
    """

    owner: str
    kind: str
    request_id: str | None = None
    units: int = 1
    deadline: int | None = None


class Turn:
    """A place among what is under way, until its block ends or the session that it is kept for.

    Attributes:
        room: What it takes of the gate's, in units.
        began: Seconds, by the gate's clock.
    """

    def __init__(self, gate: Gate, wish: Wish, room: int, began: float) -> None:
        self.wish = wish
        self.room = room
        self.began = began
        self._gate = gate
        self._kept_for: bytes | None = None
        self._left = False

    @property
    def kept(self) -> bool:
        return self._kept_for is not None

    def keep(self, session_id: bytes) -> None:
        """Stay until this session is over, or for as long as the gate has patience."""
        self._kept_for = session_id
        self._gate.departures.expect(session_id, self.leave)

    def leave(self, late: bool = False) -> None:
        """It is over, perhaps for its deadline; the first call counts."""
        if self._forget_session():
            self._gate.ended(self, late=late)

    def lose(self) -> None:
        """It hangs: others need the place, and nothing is to be learned from it."""
        if self._forget_session():
            self._gate.lost(self)

    def _forget_session(self) -> bool:
        """False if it was left before."""
        if self._left:
            return False
        self._left = True
        if self._kept_for is not None:
            self._gate.departures.dismiss(self._kept_for)
        return True


class Company:
    """The owners who asked lately, at any of the gates that share it: what they ask for is done by
    the same processes."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: OrderedDict[str, float] = OrderedDict()
        """Those seen longest ago first."""

    def came(self, owner: str) -> None:
        self._seen[owner] = self._monotonic()
        self._seen.move_to_end(owner)

    @property
    def alone(self) -> bool:
        """Whether they are no more than one."""
        lately = self._monotonic() - ALONE_AFTER_S
        while len(self._seen) > 1 and next(iter(self._seen.values())) < lately:
            self._seen.popitem(last=False)
        return len(self._seen) <= 1


class Gate:
    """
    Arguments:
        name: Of the work, for people.
        at_once: Units under way, of those that this process lets in; more where that keeps parties
            busy that are far away, as `Rates.enough` says.
        company: Of all gates of the process.
        alone: The same for an owner who is alone, and keeps nobody waiting but himself. Not less
            than `at_once`.
        per_owner: How many of one owner may wait.
        patience_s: For so long a turn is kept that does not end.
        gives_way_to: While there is work at that gate, here one unit is under way at a time, and
            its turn is kept for a rest after it.
        rest: So many times what the turn took, no longer than `LONGEST_REST_S`.
        clock: Unix milliseconds.
        monotonic: Seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        at_once: int,
        per_owner: int,
        patience_s: float,
        departures: Departures,
        company: Company,
        alone: int = 0,
        gives_way_to: Gate | None = None,
        rest: float = 0.0,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.departures = departures
        self._name = name
        self._at_once = at_once
        self._alone = max(at_once, alone)
        self._company = company
        self._per_owner = per_owner
        self._patience_s = patience_s
        self._gives_way_to = gives_way_to
        self._rest = rest
        self._clock = clock
        self._monotonic = monotonic
        self._rates = Rates()
        self._line: Line[asyncio.Future[Turn]] = Line()
        self._wishes: dict[asyncio.Future[Turn], Wish] = {}
        self._under_way: Counter[str] = Counter()
        self._units = 0
        self._reviewed_at = self._monotonic()
        self._ended_at = -math.inf
        self._losing: dict[Turn, asyncio.TimerHandle] = {}

    @property
    def at_once(self) -> int:
        """As it was given: to an owner who is alone, or to several."""
        return self._alone if self._company.alone else self._at_once

    @property
    def waiting(self) -> int:
        """How many are in the line."""
        return len(self._line)

    @property
    def units(self) -> int:
        """Under way."""
        return self._units

    @property
    def busy_lately(self) -> bool:
        """Whether anything is under way, or was a moment ago."""
        return self._units > 0 or self._monotonic() - self._ended_at < LATELY_S

    @property
    def _gives_way(self) -> bool:
        return self._gives_way_to is not None and self._gives_way_to.busy_lately

    @contextlib.asynccontextmanager
    async def turn(self, wish: Wish) -> AsyncIterator[Turn]:
        """A turn, when it has come. It is left with the block, unless it was kept.

        Raises OverloadedError, RequestCancelledError.
        """
        turn = await self._enter(wish)
        try:
            yield turn
        except BaseException:
            turn.leave()
            raise
        if not turn.kept:
            turn.leave()

    def refusal(self, wish: Wish) -> Failure | None:
        """Why it cannot be let in, nor wait, now; None if it can."""
        left_s = self._left_s(wish)
        if left_s is None:
            return None
        if self._line.waiting(wish.owner) >= self._per_owner:
            return self._too_many(wish)
        if wish.units == 1 and self._at_hand(wish):
            return None  # it is by such that we learn whether it is done in time
        done_s = self.forecast_s(wish)
        if done_s is not None and HEADROOM * done_s > left_s:
            return self._too_late(wish, HEADROOM * done_s, left_s)
        return None

    def withdraw(self, owner: str, request_id: str) -> None:
        """Whoever waits with this request waits no more. What has its turn goes on."""
        for waiting, wish in self._wishes.items():
            if (wish.owner, wish.request_id) == (owner, request_id) and not waiting.done():
                self._line.leave(waiting)
                waiting.set_exception(RequestCancelledError(request_id))

    def forecast_s(self, wish: Wish) -> float | None:
        """Seconds until it would be done, if it came now; None as long as nobody knows."""
        now = self._monotonic()
        cost = self._rates.known(wish.kind, now=now)
        if cost is None:
            return None
        own = cost * wish.units
        if self._at_hand(wish):
            return own
        return self._rates.left(now=now) + self._line.ahead(wish.owner) + own

    async def _enter(self, wish: Wish) -> Turn:
        self._company.came(wish.owner)
        if (failure := self.refusal(wish)) is not None:
            raise OverloadedError(failure)
        come = asyncio.get_running_loop().create_future()
        weight = wish.units * self._rates.cost(wish.kind, now=self._monotonic())
        at_hand = self._at_hand(wish)
        self._line.join(come, wish.owner, weight)
        if at_hand:
            self._line.serve(come)
            return self._begin(wish)
        self._wishes[come] = wish
        self._admit()
        left_s = self._left_s(wish)
        try:
            async with asyncio.timeout(left_s):
                return await _turn_of(come)
        except TimeoutError:
            raise OverloadedError(self._too_late(wish, left_s or 0.0, 0.0)) from None
        finally:
            del self._wishes[come]
            self._line.leave(come)

    def _left_s(self, wish: Wish) -> float | None:
        return None if wish.deadline is None else (wish.deadline - self._clock()) / 1000

    def _at_hand(self, wish: Wish) -> bool:
        """Whether it would begin at once."""
        return not self._line and self._has_room(wish)

    def _has_room(self, wish: Wish) -> bool:
        in_all = self._in_all(wish)
        if self._units + min(wish.units, in_all) <= in_all:
            return True
        if self._gives_way:
            return False
        # Whoever has nothing under way need not wait until others' work ends.
        return not self._under_way[wish.owner] and self._units < MOST_OWNERS_BEYOND * in_all

    def _in_all(self, wish: Wish) -> int:
        """Room for units under way. A list that is longer takes all of it."""
        if self._gives_way:
            return 1
        busy = round(self._rates.enough(wish.kind, now=self._monotonic()))
        return max(1, max(self.at_once, busy) >> self._rates.setbacks(wish.kind))

    def _admit(self) -> None:
        def fits(place: Place[asyncio.Future[Turn]]) -> bool:
            return self._has_room(self._wishes[place.item])

        while (place := self._line.next(fits)) is not None:
            wish, now = self._wishes[place.item], self._monotonic()
            done_s = self._rates.left(now=now) + self._own_s(wish, now)
            if place.item.done():
                self._line.leave(place.item)
            elif self._comes_too_late(wish, done_s):
                self._refuse(place.item, wish, done_s)
            else:
                self._line.serve(place.item)
                place.item.set_result(self._begin(wish))

    def _own_s(self, wish: Wish, now: float) -> float:
        return (self._rates.known(wish.kind, now=now) or 0.0) * wish.units

    def _comes_too_late(self, wish: Wish, done_s: float) -> bool:
        left_s = self._left_s(wish)
        return left_s is not None and done_s > left_s

    def _refuse(self, waiting: asyncio.Future[Turn], wish: Wish, done_s: float) -> None:
        self._line.leave(waiting)
        failure = self._too_late(wish, done_s, self._left_s(wish) or 0.0)
        waiting.set_exception(OverloadedError(failure))

    def _begin(self, wish: Wish) -> Turn:
        turn = Turn(self, wish, min(wish.units, self._in_all(wish)), self._monotonic())
        self._under_way[wish.owner] += 1
        self._units += turn.room
        self._rates.began(turn, wish.kind, wish.units, now=self._monotonic())
        loop = asyncio.get_running_loop()
        self._losing[turn] = loop.call_later(self._patience_s, turn.lose)
        return turn

    def ended(self, turn: Turn, *, late: bool) -> None:
        """As `Turn.leave` says."""
        took_s = self._monotonic() - turn.began
        if self._rest and turn.kept and self._gives_way:
            # It counts as under way until then: what a unit costs has the rest in it.
            loop = asyncio.get_running_loop()
            rest_s = min(self._rest * took_s, LONGEST_REST_S)
            loop.call_later(rest_s, self._over, turn, late)
        else:
            self._over(turn, late)

    def _over(self, turn: Turn, late: bool) -> None:
        now = self._monotonic()
        self._rates.ended(turn, now=now, late=late)
        if self._line and now - self._reviewed_at >= REVIEW_S:
            self._reviewed_at = now
            self._review(now)
        self._make_room(turn)

    def _review(self, now: float) -> None:
        """Tell those who would come too late, by what has been learned since they came."""
        done_s = self._rates.left(now=now)
        for place in self._line.places():
            wish = self._wishes[place.item]
            own_s = self._own_s(wish, now)
            if not self._comes_too_late(wish, done_s + own_s):
                done_s += own_s
            elif not place.item.done():
                self._refuse(place.item, wish, done_s + own_s)

    def lost(self, turn: Turn) -> None:
        """As `Turn.lose` says."""
        self._rates.forget(turn, now=self._monotonic())
        self._make_room(turn)

    def _make_room(self, turn: Turn) -> None:
        self._losing.pop(turn).cancel()
        self._under_way[turn.wish.owner] -= 1
        if not self._under_way[turn.wish.owner]:
            del self._under_way[turn.wish.owner]
        self._units -= turn.room
        self._ended_at = self._monotonic()
        self._admit()

    def _too_many(self, wish: Wish) -> Failure:
        now = self._monotonic()
        cost = self._rates.known(wish.kind, now=now)
        retry_ms = UNKNOWN_RETRY_MS if cost is None else 1000 * cost * self._per_owner / 4
        return Failure.of(
            FailureCode.OVERLOADED,
            f"{named(wish.owner)} has {self._per_owner} requests waiting here for {self._name}, "
            "and may have no more: wait for results before you ask for more",
            retry_after_ms=bounded(retry_ms),
        )

    def _too_late(self, wish: Wish, done_s: float, left_s: float) -> Failure:
        return Failure.of(
            FailureCode.OVERLOADED,
            f"this would be done after {done_s:.1f} s, behind what {named(wish.owner)} and others "
            f"have waiting here for {self._name}; its deadline is in {max(left_s, 0.0):.1f} s: "
            "ask again later, or give it more time",
            retry_after_ms=bounded(1000 * (done_s - left_s)),
        )


async def _turn_of(come: asyncio.Future[Turn]) -> Turn:
    try:
        return await come
    except asyncio.CancelledError:
        # It came in the moment in which nobody waited any more.
        if come.done() and not come.cancelled() and come.exception() is None:
            come.result().leave()
        raise


def named(owner: str) -> str:
    """An owner, as `RequestBase.owner` has it, for people."""
    client, _, tenant = owner.partition("/")
    who = f"client {client!r}" if client else "the clients without an id"
    return f"tenant {tenant!r} of {who}" if tenant else who


def bounded(milliseconds: float) -> int:
    """How long to tell somebody to wait."""
    return min(max(round(milliseconds), SHORTEST_RETRY_MS), LONGEST_RETRY_MS)
