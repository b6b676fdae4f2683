"""The generic dialect: sessions of any type, one join token, and joining as a step of its own.

A session that was created here begins when each of its parties was joined, or after
the setting `join_window_ms` without: parties of this service join by themselves, so nobody has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Body, Depends, Request
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from contracts.primitives import Hex32, Id, Scope, Words

from ..entry.api_keys import HEADER, Caller, require
from ..problems import LOOK_RESPONSES, PROBLEM_RESPONSES, problem_responses
from . import examples, views
from .alternatives import ONE_KEY, ONE_MESSAGE
from .beginning import CREATED, ABeginner, Created
from .bodies import BoundedRoute
from .fields import Body as RequestBody
from .fields import Participants, PartyCount, PartyName, Patient, SessionId, Wait, names_of
from .reshares import KeyReshare
from .service import DeskAtHand, Names, looked_at
from .wishes import NewThresholdKey, Signature, named_key

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"], route_class=BoundedRoute)


def _type_spelt_out(wish: Any) -> Any:
    """Some callers of old say `type` for `session_type`."""
    if isinstance(wish, dict) and "type" in wish and "session_type" not in wish:
        return {"session_type" if name == "type" else name: told for name, told in wish.items()}
    return wish


class KeygenSession(NewThresholdKey):
    """Make a key."""

    session_type: Literal["keygen"]

    _type = model_validator(mode="before")(_type_spelt_out)


class SignSession(Signature):
    """Sign with a key, or with an account's. Exactly one of `account_id` and `key_id`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_KEY, ONE_MESSAGE]})

    session_type: Literal["sign"]
    account_id: Id | None = None
    key_id: Id | None = None
    threshold_n: PartyCount | None = None
    """May be left out; must be the key's otherwise."""
    threshold_t: PartyCount | None = None
    """May be left out; must be the key's otherwise."""
    participants: Participants | None = None
    """Who shall sign: exactly threshold_t of the key's parties. Left out: whom the account is
    configured with, else whom the service chooses."""

    _type = model_validator(mode="before")(_type_spelt_out)

    @model_validator(mode="after")
    def _key(self) -> SignSession:
        named_key(self.key_id, self.account_id)
        return self


class ReshareSession(KeyReshare):
    """Give a key, or an account's, other shares. Exactly one of `account_id` and `key_id`."""

    # An answer of another kind here would concern callers who never ask for it.
    INSTEAD: ClassVar[Mapping[str, str]] = {
        **KeyReshare.INSTEAD,
        "dry_run": "send it to /api/v1/mpc/reshare, with the other fields but session_type",
    }

    session_type: Literal["reshare"]

    _type = model_validator(mode="before")(_type_spelt_out)


def _named_type(wish: Any) -> Any:
    return wish.get("session_type", wish.get("type")) if isinstance(wish, dict) else None


NewSession = Annotated[
    Annotated[KeygenSession, Tag("keygen")]
    | Annotated[ReshareSession, Tag("reshare")]
    | Annotated[SignSession, Tag("sign")],
    Discriminator(
        _named_type,
        custom_error_type="session_type",
        custom_error_message="'session_type' must be one of 'keygen', 'reshare', 'sign'",
    ),
]


class SessionCreated(Created):
    """The session that was begun, and the one token that joins its parties."""

    join_token: str = Field(repr=False)
    """Joins each of the session's parties once."""


class Join(RequestBody):
    """Join a party to a session."""

    join_token: Hex32 = Field(repr=False)
    """The session's, or that party's own from the other dialect."""
    party_id: PartyName | None = None
    """May be left out with a token that is one party's."""
    device_type: Words | None = None
    device_id: Words | None = None


class Joined(views.Session):
    """The session after a party was joined to it."""

    party_id: str
    """Who has joined by it."""


@router.post(
    "",
    operation_id="create_session",
    summary="Create a session",
    status_code=201,
    response_model=SessionCreated,
    response_model_exclude_none=True,
    responses=examples.answer(CREATED, 201, examples.SESSION_CREATED),
    # The scope depends on the body, so no dependency can ask for it and declare this.
    openapi_extra={"security": [{HEADER: []}]},
)
async def create(
    request: Request,
    begin: ABeginner,
    wish: Annotated[NewSession, Body(openapi_examples=examples.NEW_SESSION)],
    wait: Wait = 0,
) -> SessionCreated:
    """It begins when all its parties were joined, or after a second or as long as this gateway is
    set to wait: joining is possible and not needed. `type` is taken for `session_type`, too. An API
    key needs the scope `keygen`, `reshare` or `sign`, as the type is."""
    if isinstance(wish, KeygenSession):
        begun = await begin.key(
            await require(Scope.KEYGEN)(request),
            wish,
            threshold_n=wish.threshold_n,
            threshold_t=wish.threshold_t,
            wait=wait,
            join_window_ms=request.app.state.join_window_ms,
        )
    elif isinstance(wish, ReshareSession):
        caller = await require(Scope.RESHARE)(request)
        key_id = named_key(wish.key_id, wish.account_id)
        begun = await begin.reshare(
            caller,
            wish,
            key_id=key_id,
            wait=wait,
            join_window_ms=request.app.state.join_window_ms,
        )
    else:
        named = names_of(wish.participants)
        begun = await begin.signature(
            await require(Scope.SIGN)(request),
            wish,
            key_id=named_key(wish.key_id, wish.account_id),
            parties=None if named is None else ("participants", named),
            thresholds=(wish.threshold_n, wish.threshold_t),
            wait=wait,
            join_window_ms=request.app.state.join_window_ms,
        )
    return SessionCreated(**begun.told(), join_token=begun.session_token)


@router.post(
    "/{id}/join",
    operation_id="join_session",
    dependencies=[Patient],
    summary="Join a party",
    response_model=Joined,
    response_model_exclude_none=True,
    responses=examples.answer(
        problem_responses(404, 409, also="token_refused"), 200, examples.JOINED
    ),
)
async def join(
    caller: Annotated[Caller, Depends(require(Scope.JOIN))],
    desk: DeskAtHand,
    names: Names,
    session_id: SessionId,
    wish: Annotated[Join, Body(openapi_examples=examples.JOIN)],
) -> Joined:
    """Once for each party; repeated, or after the session has begun or ended, it does no harm and
    is answered with the session all the same. A token is refused in another session and for
    another party."""
    party_id = None if wish.party_id is None else names.party_id(wish.party_id, "party_id")
    joined = await desk.join(caller.tenant, bytes.fromhex(session_id), wish.join_token, party_id)
    names = names.spoken([] if wish.party_id is None else [wish.party_id])
    # `check_answer` has made sure of both.
    assert joined.party_id is not None
    assert joined.session is not None
    seen = views.session(joined.session, None, names)
    return Joined(**dict(seen), party_id=names.name(joined.party_id))


@router.get(
    "/{id}",
    operation_id="get_session",
    summary="Look at a session",
    response_model=views.Session,
    response_model_exclude_none=True,
    responses=examples.answer(LOOK_RESPONSES, 200, examples.SESSION),
)
async def look(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    session_id: SessionId,
    wait: Wait = 0,
) -> views.Session:
    """Whichever dialect began it."""
    return await looked_at(desk, caller, names, session_id, wait)


@router.post(
    "/{id}/cancel",
    operation_id="cancel_session",
    dependencies=[Patient],
    summary="Cancel a session",
    response_model=views.CancelledSession,
    response_model_exclude_none=True,
    responses=examples.answer(PROBLEM_RESPONSES, 200, examples.CANCELLED),
)
async def cancel(
    caller: Annotated[Caller, Depends(require(Scope.CANCEL))],
    desk: DeskAtHand,
    names: Names,
    session_id: SessionId,
) -> views.CancelledSession:
    """What is over already stays as it is: the status says how it ended. Whether nothing can come
    of it any more, `final` says: the parties' statements prove that, the status does not."""
    settlement = await desk.cancel(caller.tenant, bytes.fromhex(session_id))
    looked = await desk.look(caller.tenant, bytes.fromhex(session_id))
    return views.settled(looked, settlement, names)
