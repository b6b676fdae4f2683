"""What waits together goes together.

A database makes one transaction for many changes nearly as fast as for one. So of each kind one
call is under way at a time, and what comes meanwhile goes as a group when it ends. A call that
finds none under way goes at once, by itself and in its own task: as if there were no groups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeAlias, TypeVar

from prometheus_client import Counter

Call = TypeVar("Call")
Answer = TypeVar("Answer")

MOST = 16
"""Calls of a group. More make nothing faster: what is paid once has become small."""
PATIENCE_S = 0.25
"""Whatever is under way for longer waits for something, and others go past it."""

GROUPS = Counter(
    "warren_store_groups",
    "Transactions of the store that several deliveries shared.",
    registry=None,
)
GATHERED = Counter(
    "warren_store_gathered", "Calls of the store that went in such a group.", registry=None
)


class Apart(Enum):
    """What a call of a group can be told instead of its answer."""

    ALONE = auto()
    """Nothing of it has happened, for sure: let it go by itself."""


ALONE = Apart.ALONE


@dataclass(frozen=True, slots=True)
class Failed:
    """The same: it alone has failed, with this."""

    error: Exception


Told: TypeAlias = Answer | Failed | Apart


class _Turn(Enum):
    """What somebody is told who waited, and nobody else with him."""

    COME = auto()


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Call, Answer]):
    call: Call
    told: asyncio.Future[Told[Answer] | _Turn]


class Gathering(Generic[Call, Answer]):
    """Calls of one kind.

    Arguments:
        alone: Makes one call.
        together: Makes several, and tells each what came of it, in their order. What it raises all
            of them raise: what is not known of one is not known of any. Nothing is tried again but
            what it says is to go alone.
        width: So many may be under way at once, if those under way take long.
    """

    def __init__(
        self,
        alone: Callable[[Call], Awaitable[Answer]],
        together: Callable[[Sequence[Call]], Awaitable[Sequence[Told[Answer]]]],
        *,
        width: int,
        most: int = MOST,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._alone = alone
        self._together = together
        self._width = width
        self._most = most
        self._patience_s = patience_s
        self._under_way = 0
        self._line: deque[_Waiting[Call, Answer]] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, call: Call) -> Answer:
        """Make the call, perhaps with others. Whoever is cancelled while it waits has done nothing;
        later, it only does not hear how it went."""
        if not self._under_way:
            self._under_way = 1
            return await self._go(call)
        waiting: _Waiting[Call, Answer]
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._watch()
        try:
            told = await waiting.told
        except asyncio.CancelledError:
            if not waiting.told.cancelled() and waiting.told.result() is _Turn.COME:
                self._ended()  # the turn is the next one's
            raise
        match told:
            case _Turn.COME:
                return await self._go(call)
            case Apart.ALONE:
                return await self._alone(call)
            case Failed(error):
                raise error
            case _:
                return told

    async def _go(self, call: Call) -> Answer:
        try:
            return await self._alone(call)
        finally:
            self._ended()

    def _ended(self) -> None:
        self._under_way -= 1
        self._go_on()

    def _go_on(self) -> None:
        """Let those go who wait, if anybody does."""
        group: list[_Waiting[Call, Answer]] = []
        while self._line and len(group) < self._most:
            waiting = self._line.popleft()
            if not waiting.told.done():  # or it was cancelled
                group.append(waiting)
        if group:
            self._under_way += 1
            if len(group) == 1:
                group[0].told.set_result(_Turn.COME)
            else:
                task = asyncio.create_task(self._go_together(group), name="group")
                self._groups.add(task)
                task.add_done_callback(self._groups.discard)
        self._watch(anew=True)

    async def _go_together(self, group: Sequence[_Waiting[Call, Answer]]) -> None:
        """In a task of its own: nobody's handler can cancel it."""
        GROUPS.inc()
        GATHERED.inc(len(group))
        told: Sequence[Told[Answer]] = ()
        try:
            told = await self._together([waiting.call for waiting in group])
        except Exception as error:
            told = [Failed(error)] * len(group)
        finally:
            for waiting, answer in zip(group, told, strict=False):
                if not waiting.told.done():
                    waiting.told.set_result(answer)
            for waiting in group:
                waiting.told.cancel()  # if the loop ends: nobody is told any more
            self._ended()

    def _watch(self, *, anew: bool = False) -> None:
        """See to it that nobody waits for long behind something that is stuck."""
        if anew and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._line and self._timer is None and self._width > 1:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience_s, self._lose_patience)

    def _lose_patience(self) -> None:
        self._timer = None
        if self._under_way < self._width:
            self._go_on()
        else:
            self._watch()
