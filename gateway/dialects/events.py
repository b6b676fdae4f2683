"""A session's changes as server-sent events.

Each event is the whole session as it then is, so that whoever misses one has missed nothing. Its id
is the place of the last line in the session's history: a browser that comes back says it in
`Last-Event-ID`, and is told only what is newer.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Header, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette import types
from starlette.requests import HTTPConnection

from contracts.client import ClientError
from contracts.primitives import Scope
from contracts.results import QuerySessionResult

from .. import faults
from ..entry.api_keys import CALLER, Caller, require
from ..entry.crowds import Counted
from ..entry.stays import stay_of
from ..problems import Problem, problem_responses
from ..sessions import Desk
from ..settings import Limits
from ..watching import is_over
from . import examples, views
from .bodies import BoundedRoute
from .fields import Patient, SessionId
from .names import PartyNames
from .service import DeskAtHand, Names

KEEP_ALIVE_S = 15
"""Between two comments that keep proxies from closing a silent connection."""

EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Missing with a problem."},
        "event": {"type": "string", "enum": ["session", "end", "problem"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
"""One of the stream's, which is what the schema of a stream means in OpenAPI 3.1."""

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"], route_class=BoundedRoute)


class Place(NamedTuple):
    """In a session's history, which begins anew when other parties are tried."""

    attempt: int
    line: int

    @classmethod
    def of(cls, event_id: str) -> Place:
        """Read an event's id, as `Last-Event-ID` brings it back."""
        attempt, line = event_id.split(".")
        return cls(int(attempt), int(line))

    @classmethod
    def reached(cls, looked: QuerySessionResult) -> Place:
        """The place of the last event that the coordinator told of."""
        assert looked.session is not None  # `check_answer` has made sure
        attempt = line = 0
        for event in looked.session.events:
            attempt = max(attempt, event.details.get("try", 1))
            line = max(line, event.sequence)
        return cls(attempt, line)


START = Place(-1, -1)


class Streams:
    """How many streams each API key, and each holder, has open in this process."""

    def __init__(self) -> None:
        self._open = Counted()

    @contextlib.contextmanager
    def one(self, caller: Caller, limits: Limits) -> Iterator[None]:
        """One more, while it is open. Raises a Problem if that would be too many."""
        refusal = self._open.refusal(
            caller,
            per_key=limits.event_streams_per_key,
            per_holder=limits.event_streams_per_holder,
        )
        if refusal is not None:
            raise Problem(
                "rate_exceeded",
                f"Too many sessions are followed already: {refusal} streams. Close one, or poll.",
            )
        with self._open.one(caller):
            yield


_STREAMS = Streams()


async def streams() -> Streams:
    """A dependency: the streams that are open in this process."""
    return _STREAMS


class _Stream(EventSourceResponse):
    """
    Arguments:
        held: Closed when it ends, however it does.
    """

    def __init__(self, held: contextlib.ExitStack, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held = held

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


@router.get(
    "/{id}/events",
    operation_id="session_events",
    dependencies=[Patient],
    summary="Follow a session",
    response_class=EventSourceResponse,
    responses={
        **problem_responses(404),
        200: {
            "description": "An event `session` for each change and one `end` for the last, after "
            "which the stream ends. The data of each is what `GET /api/v1/sessions/{id}` answers. "
            "An event `problem` tells why the stream ends early; come back.",
            "content": {
                "text/event-stream": {
                    "schema": EVENT,
                    "examples": examples.SESSION_EVENTS,
                }
            },
        },
        204: {
            "description": "The session is over, and `Last-Event-ID` was its last event: "
            "do not come back."
        },
    },
)
async def events(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    request: Request,
    opened: Annotated[Streams, Depends(streams)],
    session_id: SessionId,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,9}\.[0-9]{1,9}$",
            description="The id of the last event that you have seen.",
        ),
    ] = None,
) -> Response:
    """Comments keep the connection alive between events.

    The same is told by WebSocket to who asks with `Upgrade: websocket`, under the same API key,
    scope and `Last-Event-ID`: each message is a JSON object with `event`, `id` and `data`, which is
    an object there. It is closed with 1000 after `end`, with 1008 where the API key is of no more
    use, with 1003 if you send anything, with 1013 where you are to come back, else with 1011. Who
    is not let in has one of the answers below instead of 101."""
    limits: Limits = request.app.state.limits
    known_as = bytes.fromhex(session_id)
    with contextlib.ExitStack() as held:
        # Before anything is awaited, or a burst of streams would find that there are none yet.
        held.enter_context(opened.one(caller, limits))
        # Before the stream begins, since later there is no status left to say no with.
        looked = await desk.look(caller.tenant, known_as)
        seen = START if last_event_id is None else Place.of(last_event_id)
        if is_over(looked) and Place.reached(looked) <= seen:
            return Response(status_code=204)
        return _Stream(
            held.pop_all(),
            _as_sent_events(changes(desk, request, looked, names, seen)),
            ping=KEEP_ALIVE_S,
            ping_message_factory=lambda: ServerSentEvent(comment="still here"),
            send_timeout=limits.read_seconds,
        )


class Change(NamedTuple):
    """What is told of a session, by whichever way.

    Attributes:
        event: `session`, `end` or `problem`.
        data: JSON: the session, or the problem document.
    """

    event: str
    id: str | None
    data: str

    def as_sent_event(self) -> ServerSentEvent:
        return ServerSentEvent(self.data, event=self.event, id=self.id)


async def changes(
    desk: Desk, request: HTTPConnection, looked: QuerySessionResult, names: PartyNames, seen: Place
) -> AsyncGenerator[Change, None]:
    """What is newer than what was seen, until the session is over, or why no more is told: there is
    trouble, or the caller may not be here any more."""
    assert looked.session is not None  # `check_answer` has made sure
    caller: Caller = request.scope[CALLER]
    following = desk.follow(caller.tenant, looked.session.session_id, looked)
    try:
        while (found := await _next(following, request)) is not None:
            place, over = Place.reached(found), is_over(found)
            if place > seen or over:
                seen = place
                told = views.looked_at(found, names).model_dump_json(exclude_none=True)
                yield Change("end" if over else "session", f"{place.attempt}.{place.line}", told)
    except (ClientError, Problem) as error:
        problem = faults.problem_of(error)
        yield Change("problem", None, json.dumps(problem.document(None)))
    finally:
        await following.aclose()


async def _next(
    following: AsyncGenerator[QuerySessionResult, None], request: HTTPConnection
) -> QuerySessionResult | None:
    async with stay_of(request.scope):
        return await anext(following, None)


async def _as_sent_events(
    told: AsyncGenerator[Change, None],
) -> AsyncGenerator[ServerSentEvent, None]:
    async with contextlib.aclosing(told):
        async for change in told:
            yield change.as_sent_event()
