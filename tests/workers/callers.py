"""What clients that serve many ask a simulated Warren for, and are told."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection
from typing import Any, TypeVar

from contracts import addresses
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.requests import ADAPTER, CancelRequest, KeygenRequest, Request
from contracts.results import (
    DELIVERED,
    JoinSessionResult,
    QuerySessionResult,
    SessionAnnounced,
    SessionView,
)
from contracts.sessions import CancelAnswered, cancel_session_id
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement
from tests.workers.simulate import CLIENT, World
from workers.session.coordinator.announcing import ANNOUNCED
from workers.session.sending import report
from workers.store.records import Outgoing

R = TypeVar("R")
PARTIES = ["party-1", "party-2", "party-3"]
_ids = itertools.count(1)


def wish(
    world: World,
    operation: str,
    *,
    by: Identity | None = None,
    client_id: str | None = CLIENT,
    **fields: Any,
) -> SignedRequest:
    identity = world.client if by is None else by
    now = world.clock()
    request: dict[str, Any] = {
        "operation": operation,
        "request_id": f"wish-{next(_ids)}",
        "client_id": client_id,
        "signer": identity.public.der,
        "issued_at": now,
        "expires_at": now + 60_000,
    } | fields
    request["reply_to"] = addresses.result_key(
        operation,
        client_id=client_id,
        request_id=request["request_id"],
        key_id=request.get("key_id"),
    )
    return sign_request(ADAPTER.validate_python(request, strict=False), identity)


async def answered(world: World, signed: SignedRequest, kind: type[R]) -> R:
    """The answer that this request has now."""
    before = len(world.network.sent)
    await world.submit(signed)
    if isinstance(signed.request, CancelRequest):
        await state(world, signed)
    return answer(world, signed.request, kind, since=before)


async def state(
    world: World, cancel: SignedRequest, *, parties: Collection[str] | None = None, **said: Any
) -> None:
    """Answer for the parties that a cancel asks; whatever else they do with it comes later.

    Arguments:
        parties: Who answers; None: all that are asked.
        said: Of `CancelAnswered`, else a statement.
    """
    request = cancel.request
    assert isinstance(request, CancelRequest)
    session_id = cancel_session_id(cancel.digest)
    for message in asked(world, cancel):
        party_id = message.routing_key
        if parties is not None and party_id not in parties:
            continue
        identity = world.identities[party_id]
        statement = Statement.signed(
            identity,
            party_id,
            request.target_owner,
            request.target,
            issued_from=0,
            issued_until=request.issued_at,
        )
        content = CancelAnswered(**(said or {"statement": statement}))
        await world.deliver(
            report(content, identity=identity, party_id=party_id, session_id=session_id)
        )


def asked(world: World, cancel: SignedRequest) -> list[Outgoing]:
    """What a cancel has the coordinator ask the parties, once each."""
    name = cancel_session_id(cancel.digest).hex()
    return list(
        {
            message.routing_key: message
            for message in world.network.sent
            if message.kind == "request_cancelled" and message.headers["session_id"] == name
        }.values()
    )


def answer(world: World, request: Request, kind: type[R], *, since: int = 0) -> R:
    *_, last = [
        message
        for message in world.network.sent[since:]
        if message.exchange == addresses.RESULTS and message.message_id == request.request_id
    ]
    found = DELIVERED.validate_json(last.body)
    assert isinstance(found, kind), found
    return found


async def ask(world: World, kind: type[R], operation: str, **fields: Any) -> R:
    """Ask for something that is answered at once."""
    found = await answered(world, wish(world, operation, **fields), kind)
    assert getattr(found, "failure") is None, found  # noqa: B009 - every result has one
    return found


async def refusal(world: World, operation: str, **fields: Any) -> FailureCode:
    return await refused(world, wish(world, operation, **fields))


async def refused(world: World, signed: SignedRequest) -> FailureCode:
    result: Any = await answered(world, signed, object)
    assert result.failure is not None, result
    code: FailureCode = result.failure.code
    return code


###
### Sessions
###


def announcements(world: World, request: Request) -> list[Outgoing]:
    return [
        message
        for message in world.network.sent
        if message.kind == ANNOUNCED and message.headers["request_id"] == request.request_id
    ]


def announced(world: World, request: Request) -> SessionAnnounced:
    """What was announced, the same however often."""
    (body,) = {message.body for message in announcements(world, request)}
    return SessionAnnounced.model_validate_json(body)


async def making(world: World, **fields: Any) -> tuple[KeygenRequest, SessionAnnounced]:
    request = world.keygen_request(announce=True, **fields)
    await world.ask(request)
    return request, announced(world, request)


async def view(world: World, *, tenant: str | None = None, **named: Any) -> SessionView:
    found = await seen(world, tenant=tenant, **named)
    assert found.session is not None
    return found.session


async def seen(world: World, *, tenant: str | None = None, **named: Any) -> QuerySessionResult:
    return await ask(world, QuerySessionResult, "query_session", tenant=tenant, **named)


def joining(
    world: World, told: SessionAnnounced, token_of: str | None, /, **changes: Any
) -> SignedRequest:
    """With a party's token, and without a word about whose it is."""
    fields: dict[str, Any] = {"session_id": told.session_id}
    if token_of is not None:
        fields["join_token"] = told.join_tokens[token_of]
    return wish(world, "join_session", **(fields | changes))


async def join(world: World, told: SessionAnnounced, party_id: str) -> JoinSessionResult:
    result = await answered(world, joining(world, told, party_id), JoinSessionResult)
    assert result.failure is None, result
    return result


def instructions(world: World, session_id: bytes, *kinds: str) -> list[Outgoing]:
    """What the coordinator has told parties about a session."""
    return [
        message
        for message in world.network.sent
        if message.exchange in {addresses.SESSIONS, addresses.KEYGEN}
        and message.headers["session_id"] == session_id.hex()
        and (not kinds or message.kind in kinds)
    ]


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
