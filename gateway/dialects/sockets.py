"""A session's changes by WebSocket: what `events` tells, for callers that had a socket.

Each message is JSON: `event` (`session`, `end` or `problem`), `id`, and `data`, which is an object
where the stream has its text. Nothing is read: whoever sends something is hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator

from fastapi import APIRouter, WebSocket

from contracts.primitives import Scope

from .. import promises
from ..entry.api_keys import CALLER, with_scope
from ..problems import KINDS, Problem
from ..settings import Limits
from .events import START, Change, Place, changes, streams
from .fields import SESSION_ID_PATTERN
from .names import PartyNames
from .refusals import invalid
from .service import desk_at_hand

OVER, NOT_READ, REFUSED, STUMBLED, LATER = 1000, 1003, 1008, 1011, 1013
"""Why a socket is closed (RFC 6455, 7.4.1)."""
MAX_REASON_BYTES = 123
LAST_EVENT_ID = "Last-Event-ID"

router = APIRouter()
"""To be the last one, since it has a word for every path."""


@router.websocket("/api/v1/sessions/{id}/events")
async def events(socket: WebSocket) -> None:
    """Tell each change of a session until it is over. Whoever may not be told, or asks for what is
    not there, is refused by an answer of HTTP."""
    caller = with_scope(socket.scope.get(CALLER), Scope.READ)
    session_id, seen = _asked(socket)
    limits: Limits = socket.app.state.limits
    names = PartyNames(socket.app.state.party_names)
    with (await streams()).one(caller, limits):
        async with asyncio.timeout(promises.ANSWER_S):
            desk = await desk_at_hand(socket)
            looked = await desk.look(caller.tenant, session_id)
        await socket.accept()
        await _tell(socket, changes(desk, socket, looked, names, seen))


@router.websocket("/{path:path}")
async def nothing(socket: WebSocket) -> None:
    """Say that no other path has a socket."""
    raise Problem("not_found", "No socket has this path.")


def _asked(socket: WebSocket) -> tuple[bytes, Place]:
    session_id = socket.path_params["id"]
    if re.fullmatch(SESSION_ID_PATTERN, session_id) is None:
        raise invalid("id", "is no session id: those have 64 digits of lower-case hex")
    last = socket.headers.get(LAST_EVENT_ID)
    if last is None:
        return bytes.fromhex(session_id), START
    try:
        return bytes.fromhex(session_id), Place.of(last)
    except ValueError:
        raise invalid(LAST_EVENT_ID, "is no id of an event") from None


async def _tell(socket: WebSocket, told: AsyncGenerator[Change, None]) -> None:
    telling = asyncio.create_task(_send_all(socket, told))
    reading = asyncio.create_task(socket.receive())
    try:
        await asyncio.wait([telling, reading], return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await socket.close(*telling.result())
        elif reading.result()["type"] == "websocket.receive":
            await socket.close(NOT_READ, "nothing is read here")
    finally:
        for each in (telling, reading):
            each.cancel()
        await asyncio.gather(telling, reading, return_exceptions=True)


async def _send_all(socket: WebSocket, told: AsyncGenerator[Change, None]) -> tuple[int, str]:
    """With what code and words the socket is to be closed."""
    async with contextlib.aclosing(told):
        async for change in told:
            data = json.loads(change.data)
            message = {"event": change.event, "id": change.id, "data": data}
            await socket.send_json({k: v for k, v in message.items() if v is not None})
            if change.event == "problem":
                return _why(data["code"]), _short(data["detail"])
    return OVER, "the session is over"


def _why(code: str) -> int:
    kind = KINDS[code]
    if kind.status in {401, 403}:
        return REFUSED
    return LATER if kind.retryable else STUMBLED


def _short(sentence: str) -> str:
    return sentence.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
