"""How many questions to the coordinator one tenant has under way at once: a burst of one would
otherwise stand in all queues before what anybody else asks next. Alone, a tenant may have more of
them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

AT_ONCE = 8
BESIDE_OTHERS = 4
REMEMBERED_S = 1.0
"""How long after its last question somebody still counts as there: whoever asks one thing after
another has moments without any."""

Leave = Callable[[], None]


@dataclass(slots=True)
class _Line:
    """One tenant's."""

    taken: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    seen_s: float = 0.0


class Turns:
    """
    Arguments:
        at_once: Of a tenant that is alone.
        beside_others: Of each, where there are several.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        at_once: int,
        beside_others: int = BESIDE_OTHERS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._beside_others = min(at_once, beside_others)
        self._clock = clock
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        """Those seen longest ago first."""

    async def take(self, tenant: str) -> Leave:
        """Wait for a turn; call what is returned when it is over, once."""
        line = self._seen(tenant)
        if not line.waiting and line.taken < self._room:
            line.taken += 1
            return lambda: self._leave(tenant)
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await asyncio.wait([turn])  # which leaves the turn as it is if this is cancelled
        except asyncio.CancelledError:
            if turn.done():
                self._leave(tenant)
            else:
                line.waiting.remove(turn)
            raise
        return lambda: self._leave(tenant)

    @property
    def _room(self) -> int:
        return self._at_once if len(self._lines) == 1 else self._beside_others

    def _seen(self, tenant: str) -> _Line:
        now = self._clock()
        line = self._lines.setdefault(tenant, _Line())
        line.seen_s = now
        self._lines.move_to_end(tenant)
        for name, other in list(self._lines.items()):
            if other.seen_s > now - REMEMBERED_S:
                break
            if not other.taken and not other.waiting:
                del self._lines[name]
        return line

    def _leave(self, tenant: str) -> None:
        line = self._seen(tenant)
        line.taken -= 1
        while line.waiting and line.taken < self._room:
            line.taken += 1
            line.waiting.popleft().set_result(None)
