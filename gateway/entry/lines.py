"""In which order requests are taken up that are there at the same time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from starlette.types import ASGIApp, Receive, Scope, Send

from .api_keys import CALLER, Caller


class Lines:
    """Middleware: one request in each pass of the event loop, of each holder in turn.

    To take up a request costs more than to let it wait. So whoever sends hundreds at once stands in
    a line of his own, and what others ask is taken up before most of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Those whose turn is next first; none is empty."""
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(CALLER)
        if caller is not None:
            await self._turn(caller.tenant)
        await self._app(scope, receive, send)

    def _turn(self, holder: str) -> asyncio.Future[None]:
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(holder, deque()).append(turn)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), name="warren gateway lines")
        return turn

    async def _serve(self) -> None:
        while self._lines:
            holder, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[holder] = line
            if not turn.done():  # else its caller has hung up
                turn.set_result(None)
                await asyncio.sleep(0)
        self._serving = None
