"""Instructions of nobody's, of others', to others, and of long ago."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from contracts import sessions
from contracts.client import Client
from contracts.identity import Identity
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment
from workers.session.nonce_batches import batch_id

from . import asking
from .adversary import (
    QUIET_S,
    SHARES,
    Adversary,
    invites,
    is_instruction,
    is_report,
)
from .forms import Forms, fit, now_ms
from .under_way import UnderWay, uninvited

SHORT_S = 8.0
SIGNERS = ["party-1", "party-2"]


@contextlib.asynccontextmanager
async def before_they_hear(
    adversary: Adversary, victim: Client, key: CertifiedKey
) -> AsyncIterator[UnderWay[Any]]:
    """A signature of the first two, whose invitations are held back. All others are let through
    in the end."""
    # With nonces in stock there is nothing but the invitation.
    await victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, signers=SIGNERS
    )
    request_id = f"early-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id,
        message=asking.MESSAGE,
        scheme=Scheme.ED25519,
        request_id=request_id,
        signers=SIGNERS,
        timeout_s=SHORT_S,
    )
    async with uninvited(adversary, call, "sign", request_id) as under_way:
        await adversary.recording.count(invites(request_id), 2, 5)
        yield under_way
        for held in under_way.held.values():
            await held.let_through(held.recording.heard)


def session_of(adversary: Adversary, request_id: str) -> bytes:
    said = adversary.recording.all(invites(request_id))[0].json()
    return bytes.fromhex(said["session_id"])


async def test_a_strangers_cancellation_ends_no_session(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    async with before_they_hear(stranger, victim, key) as under_way:
        session_id = session_of(stranger, under_way.signed.request.request_id)
        content = fit(sessions.SessionCancelled, session_id=session_id, issued_at=now_ms())
        for party_id in SIGNERS:
            wire = stranger.forms.instruction(content, party_id, about=session_id)
            await under_way.held[party_id].let_through([wire])
        await asyncio.sleep(0.5)
    assert (await under_way.task).signature is not None


async def test_a_strangers_broadcasts_end_no_session(victim: Client, stranger: Adversary) -> None:
    name = f"loud-{secrets.token_hex(4)}"
    task = asyncio.ensure_future(
        victim.create_key(
            name,
            curve=Curve.ED25519,
            threshold=2,
            party_count=3,
            request_id=name,
            timeout_s=20,
        )
    )
    await stranger.recording.first(invites(name))
    session_id = session_of(stranger, name)
    content = fit(sessions.SessionCancelled, session_id=session_id, issued_at=now_ms())
    while not task.done():
        await stranger.publish(stranger.forms.broadcast(content, about=session_id))
        await asyncio.sleep(0.005)
    assert (await task).facts.key_id == name


async def test_one_partys_invitation_is_not_anothers(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    async with before_they_hear(stranger, victim, key) as under_way:
        request_id = under_way.signed.request.request_id
        one, two = (
            next(
                wire
                for wire in stranger.recording.all(invites(request_id))
                if wire.routing_key == name
            )
            for name in SIGNERS
        )
        await under_way.held["party-2"].let_through([replace(one, routing_key="party-2")])
        await under_way.held["party-1"].let_through([replace(two, routing_key="party-1")])
        await asyncio.sleep(0.5)
    assert (await under_way.task).signature is not None


async def test_a_foreign_coordinators_invitation_is_answered_by_nobody(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """Truly signed by its client, and by a coordinator that nobody has pinned."""
    async with before_they_hear(stranger, victim, key) as under_way:
        request_id = under_way.signed.request.request_id
        foreign = Forms(Identity.generate(), None)
        for wire in stranger.recording.all(invites(request_id)):
            said = wire.json()
            forged = foreign.instruction(
                said, wire.routing_key, about=bytes.fromhex(said["session_id"])
            )
            await under_way.held[wire.routing_key].let_through([forged])
        session_id = session_of(stranger, request_id)
        shares = is_report(SHARES, session_id)
        assert await stranger.recording.count(shares, 1, QUIET_S) == []
    assert (await under_way.task).signature is not None


async def test_old_wishes_for_nonces_are_not_heard(
    stack: Deployment, key: CertifiedKey, adversary: Adversary
) -> None:
    """An hour old, of a session that is forgotten by now."""
    session_id = secrets.token_bytes(32)
    for party_id in stack.plan.party_ids:
        content = fit(
            sessions.NoncesWanted,
            batch_id=batch_id(session_id, party_id),
            session_id=session_id,
            key_session=key.facts.session_id,
            epoch=key.facts.epoch,
            scheme=Scheme.ED25519,
            count=64,
            issued_at=now_ms() - asking.HOUR_MS,
        )
        await adversary.publish(adversary.forms.instruction(content, party_id, about=session_id))
    made = is_report("nonces_made", session_id)
    assert await adversary.recording.count(made, 1, QUIET_S) == []


async def test_a_strangers_wish_for_nonces_is_not_heard(
    stack: Deployment, key: CertifiedKey, stranger: Adversary
) -> None:
    """It would trim good ones."""
    session_id = secrets.token_bytes(32)
    for party_id in stack.plan.party_ids:
        content = fit(
            sessions.NoncesWanted,
            batch_id=batch_id(session_id, party_id),
            session_id=session_id,
            key_session=key.facts.session_id,
            epoch=key.facts.epoch,
            scheme=Scheme.ED25519,
            count=64,
            issued_at=now_ms(),
        )
        await stranger.publish(stranger.forms.instruction(content, party_id, about=session_id))
    made = is_report("nonces_made", session_id)
    assert await stranger.recording.count(made, 1, QUIET_S) == []


async def test_a_header_of_another_kind_than_the_instruction_is_refused(
    victim: Client, key: CertifiedKey, adversary: Adversary
) -> None:
    """The kind decides the lane; the signed word decides what is done."""
    async with before_they_hear(adversary, victim, key) as under_way:
        request_id = under_way.signed.request.request_id
        wires = adversary.recording.all(invites(request_id))
        for wire in wires:
            await under_way.held[wire.routing_key].let_through(
                [replace(wire, kind=kind) for kind in ("keygen/1", "presign_batch", "share_signed")]
            )
        session_id = session_of(adversary, request_id)
        answered = is_report(SHARES, session_id)
        assert await adversary.recording.count(answered, 1, QUIET_S) == []
    assert (await under_way.task).signature is not None
    assert adversary.recording.all(is_instruction("session_created"))
