"""What tests of a party's cancels tell it, and are told."""

from __future__ import annotations

from typing import Any

from contracts.envelope import UnverifiedEnvelope
from contracts.identity import Identity
from contracts.primitives import Owner
from contracts.requests import ADAPTER, CancelRequest, SignRequest
from contracts.sessions import (
    CancelAnswered,
    RequestCancelled,
    SessionCreated,
    cancel_session_id,
)
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement
from tests.workers.party.test_party_handler import (
    ME,
    held_back,
    made_key,
    signing_created,
)
from tests.workers.simulate import CLIENT, World
from workers.delivery.clock import now_ms
from workers.party.consumer import PartyConsumer
from workers.session.sending import instruction
from workers.store.records import Outgoing

OWNER = Owner(client_id=CLIENT)
DAY_MS = 86_400_000


def cancel_of(
    world: World, target: str, *, by: Identity | None = None, **changes: Any
) -> SignedRequest:
    signer = by or world.client
    fields = {"target": target, "target_issued_at": world.clock(), "key_id": None} | changes
    made = world._request("cancel", fields)
    made = {name: value for name, value in made.items() if name != "key_id"}
    made["signer"] = signer.public.der
    return sign_request(CancelRequest.model_validate(made, strict=False), signer)


def told_of(world: World, signed: SignedRequest, **changes: Any) -> Outgoing:
    told = RequestCancelled(
        session_id=cancel_session_id(signed.digest),
        issued_at=world.clock(),
        request=signed.body,
        request_signature=signed.signature,
    ).model_copy(update=changes)
    return instruction(told, ME, told.session_id)


async def cancelled(world: World, signed: SignedRequest) -> CancelAnswered:
    """What we report of it."""
    before = len(world.network.sent)
    await world.deliver(told_of(world, signed))
    (message,) = world.network.sent[before:]
    return said(message)


def said(message: Outgoing) -> CancelAnswered:
    envelope = UnverifiedEnvelope.from_bytes(message.body).claimed
    assert envelope.kind == "cancel_answered"
    return CancelAnswered.model_validate_json(envelope.payload)


def stated(world: World, answered: CancelAnswered, request: Any) -> Statement:
    """The statement, which is about this request."""
    assert answered.statement is not None
    answered.statement.verify(OWNER, request.request_id, world.identities[ME].public)
    assert answered.statement.covers(request.issued_at)
    return answered.statement


async def held_signing(world: World) -> tuple[SignRequest, Outgoing]:
    """A request, and its instruction to us, which has not arrived."""
    key = await made_key(world)
    created = await signing_created(world, key.key_id)
    return request_of(created), created


def request_of(created: Outgoing) -> Any:
    return request_of_bytes(SessionCreated.model_validate_json(created.body).request)


def request_of_bytes(body: bytes) -> Any:
    return ADAPTER.validate_json(body)


async def signing(world: World) -> SignedRequest:
    """A request that was sent nowhere."""
    key = await made_key(world)
    request = world.sign_request(key_id=key.key_id, signers=[ME, "party-2"])
    return sign_request(request, world.client)


async def replayed(world: World, signed: SignedRequest, salt: int) -> Outgoing:
    """The signed bytes in a session of their own, with nonces that nobody has used."""
    key_id = request_of_bytes(signed.body).key_id
    other = world.sign_request(key_id=key_id, signers=[ME, "party-2"], request_id=f"r-{salt}")
    await world.ask(other)
    (created,) = await held_back(world, "session_created")
    content = SessionCreated.model_validate_json(created.body)
    changes = {"request_digest": signed.digest, "salt": bytes([salt]) * 32}
    terms = content.terms.model_copy(update=changes)
    fields = {
        "terms": terms,
        "session_id": terms.session_id(),
        "request": signed.body,
        "request_signature": signed.signature,
    }
    return instruction(content.model_copy(update=fields), ME, terms.session_id())


async def lose_memory(world: World) -> None:
    await world.party_stores[ME].begin_incarnation("crashed")
    world.clock.offset_ms += now_ms() - world.clock() + 1


async def told_to(worker: PartyConsumer, shire: World, message: Outgoing) -> None:
    """Past the bag, straight to one of a party's workers."""
    await worker.instruction(shire.signature.under(message).body, message.kind)
