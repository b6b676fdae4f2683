"""What all dialects work with, from where `gateway.app` has put it.

Dependencies are coroutines although they wait for nothing: for others the framework takes a thread.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from ..entry.api_keys import Caller
from ..problems import Problem
from ..sessions import Desk
from . import views
from .names import PartyNames

WITHOUT_BROKER_S = 3.0
"""How long a request waits for a connection that was lost. Short breaks nobody notices; in long
ones callers are told, and do not pile up until each has waited for its own deadline."""
LOOK_S = 0.05


async def desk_at_hand(request: HTTPConnection) -> Desk:
    """Raises a Problem while there is no broker."""
    ends_at = time.monotonic() + WITHOUT_BROKER_S
    while not request.app.state.connected():
        if time.monotonic() >= ends_at:
            raise Problem("broker_unavailable", "The gateway has no connection to the queue.")
        await asyncio.sleep(LOOK_S)
    found: Desk = request.app.state.desk
    return found


async def party_names(request: Request) -> PartyNames:
    """A dependency: the names that callers have for parties."""
    return PartyNames(request.app.state.party_names)


DeskAtHand = Annotated[Desk, Depends(desk_at_hand)]
Names = Annotated[PartyNames, Depends(party_names)]


async def looked_at(
    desk: Desk, caller: Caller, names: PartyNames, session_id: str, wait: float = 0
) -> views.Session:
    """One of the caller's sessions, when it is over or after so many seconds."""
    known_as = bytes.fromhex(session_id)
    if wait:
        looked = await desk.wait(caller.tenant, known_as, wait)
    else:
        looked = await desk.look(caller.tenant, known_as)
    return views.looked_at(looked, names)
