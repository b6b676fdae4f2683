"""That a request's session ended without a result, told to whoever goes on with the request.

Whoever ends sessions is below those who begin them, so it calls none of these. It tells what
happened; who hears of it, `wiring` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from contracts.failures import Failure

from ..session.coordinator.conduct import Conduct


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over, and its request is not: other signers may do better.

    Attributes:
        conduct: With what is to be learnt from it for the choice of others.
        failure: Why it ended.
    """

    session_id: bytes
    conduct: Conduct
    failure: Failure


Listener: TypeAlias = Callable[[Ended], Awaitable[None]]


class Endings:
    """The listeners are part of the handler that ends the session: it is done when they are, and
    where one of them fails, the session goes on owing the event, which is told again. So what they
    do must be the same when done twice."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def heard_by(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def tell(self, ended: Ended) -> None:
        if not self._listeners:
            raise LookupError(
                "a session ended without a result and nobody goes on with its request: "
                "name a listener where the coordinator is wired"
            )
        for listener in self._listeners:
            await listener(ended)
