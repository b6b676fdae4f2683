"""The specialised dialect: an endpoint for each thing to do, and a join token for each party."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, model_validator

from contracts.primitives import Id, Scope

from ..entry.api_keys import Caller, require
from ..problems import LOOK_RESPONSES
from . import examples, views
from .alternatives import ONE_KEY, ONE_MESSAGE
from .beginning import CREATED, ABeginner, Created
from .bodies import BoundedRoute
from .fields import Parties, SessionId, Wait
from .rehearsals import documented, rehearse
from .reshares import KeyReshare, Rehearsable
from .service import DeskAtHand, Names, looked_at
from .wishes import NewThresholdKey, Signature, named_key

router = APIRouter(prefix="/api/v1/mpc", tags=["mpc"], route_class=BoundedRoute)


class MpcKeygen(NewThresholdKey):
    """Make a key."""


class MpcSign(Signature):
    """Sign with a key, or with an account's. Exactly one of `account_id` and `key_id`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_KEY, ONE_MESSAGE]})

    account_id: Id | None = None
    key_id: Id | None = None
    parties: Parties | None = None
    """Who shall sign: exactly as many as the key's threshold_t. Left out: whom the account is
    configured with, else whom the service chooses."""

    @model_validator(mode="after")
    def _key(self) -> MpcSign:
        named_key(self.key_id, self.account_id)
        return self


class MpcReshare(KeyReshare, Rehearsable):
    """Give a key, or an account's, other shares. Exactly one of `account_id` and `key_id`."""


class MpcCreated(Created):
    """The session that was begun, and a token for each of its parties."""

    join_tokens: dict[str, str] = Field(repr=False)
    """Party -> what joins it, once, and only in this session."""


@router.post(
    "/keygen",
    operation_id="mpc_keygen",
    summary="Make a key",
    status_code=201,
    response_model=MpcCreated,
    response_model_exclude_none=True,
    responses=examples.answer(CREATED, 201, examples.MPC_KEYGEN_CREATED),
)
async def keygen(
    caller: Annotated[Caller, Depends(require(Scope.KEYGEN))],
    begin: ABeginner,
    wish: Annotated[MpcKeygen, Body(openapi_examples=examples.MPC_KEYGEN)],
    wait: Wait = 0,
) -> MpcCreated:
    """The parties begin at once; nobody has to join them."""
    begun = await begin.key(
        caller, wish, threshold_n=wish.threshold_n, threshold_t=wish.threshold_t, wait=wait
    )
    return MpcCreated(**begun.told(), join_tokens=begun.join_tokens)


@router.post(
    "/sign",
    operation_id="mpc_sign",
    summary="Sign",
    status_code=201,
    response_model=MpcCreated,
    response_model_exclude_none=True,
    responses=examples.answer(CREATED, 201, examples.MPC_SIGN_CREATED),
)
async def sign(
    caller: Annotated[Caller, Depends(require(Scope.SIGN))],
    begin: ABeginner,
    wish: Annotated[MpcSign, Body(openapi_examples=examples.MPC_SIGN)],
    wait: Wait = 0,
) -> MpcCreated:
    """The signature comes with `wait`, or from the session."""
    begun = await begin.signature(
        caller,
        wish,
        key_id=named_key(wish.key_id, wish.account_id),
        parties=None if wish.parties is None else ("parties", wish.parties),
        wait=wait,
    )
    return MpcCreated(**begun.told(), join_tokens=begun.join_tokens)


@router.post(
    "/reshare",
    operation_id="mpc_reshare",
    summary="Give a key other shares",
    status_code=201,
    response_model=MpcCreated,
    response_model_exclude_none=True,
    responses=documented(examples.answer(CREATED, 201, examples.MPC_RESHARE_CREATED)),
)
async def reshare(
    caller: Annotated[Caller, Depends(require(Scope.RESHARE))],
    begin: ABeginner,
    wish: Annotated[MpcReshare, Body(openapi_examples=examples.MPC_RESHARE)],
    wait: Wait = 0,
) -> MpcCreated | JSONResponse:
    """The public key stays, and signatures go on meanwhile: the former parties make them for half a
    minute more, until `signs_from` of the result. A minute later they delete their shares."""
    key_id = named_key(wish.key_id, wish.account_id)
    if wish.dry_run:
        return await rehearse(begin.desk, begin.names, caller, wish, key_id=key_id)
    begun = await begin.reshare(caller, wish, key_id=key_id, wait=wait)
    return MpcCreated(**begun.told(), join_tokens=begun.join_tokens)


@router.get(
    "/sessions/{id}",
    operation_id="mpc_session",
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
    """The same as `GET /api/v1/sessions/{id}`."""
    return await looked_at(desk, caller, names, session_id, wait)
