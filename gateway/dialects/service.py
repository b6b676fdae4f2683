"""What all dialects work with, from where `gateway.app` has put it.

Dependencies are coroutines although they wait for nothing: for others the framework takes a thread.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ..entry.api_keys import Caller
from ..sessions import Desk
from . import views
from .names import PartyNames


async def desk_at_hand(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


async def party_names(request: Request) -> PartyNames:
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
