"""Instructions of nobody's, of others', to others, and of long ago."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from contracts import sessions
from contracts.client import Client
from contracts.envelope import CONTENT_TYPE
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult
from ops.stack.deployment import Deployment
from workers.session.nonce_batches import batch_id

from . import asking
from .adversary import (
    PATIENCE_S,
    SHARES,
    Adversary,
    invites,
    is_dead,
    is_instruction,
    is_report,
)
from .forms import Wire, now_ms
from .under_way import UnderWay, outcome, uninvited

SIGNERS = ["party-1", "party-2"]


@contextlib.asynccontextmanager
async def before_they_hear(
    adversary: Adversary, victim: Client, key: CertifiedKey, timeout_s: float = 15
) -> AsyncIterator[UnderWay[Any]]:
    """A signature of the first two, whose invitations are held back. All are let through in the
    end."""
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
        timeout_s=timeout_s,
    )
    async with uninvited(adversary, call, request_id, key) as under_way:
        assert len(await adversary.recording.count(invites(request_id), 2, 5)) == 2
        yield under_way
        for held in under_way.held.values():
            await held.let_through(held.recording.heard)


def invitations(adversary: Adversary, under_way: UnderWay[Any]) -> dict[str, Wire]:
    """As the coordinator has sent them, by party."""
    heard = adversary.recording.all(invites(under_way.signed.request.request_id))
    return {wire.routing_key: wire for wire in heard}


def session_of(adversary: Adversary, request_id: str) -> bytes:
    said = adversary.recording.all(invites(request_id))[0].json()
    return bytes.fromhex(said["session_id"])


def over(session_id: bytes) -> sessions.SessionCancelled:
    return sessions.SessionCancelled(session_id=session_id, issued_at=now_ms())


def wish(key: CertifiedKey, party_id: str, session_id: bytes, age_ms: int) -> sessions.NoncesWanted:
    return sessions.NoncesWanted(
        batch_id=batch_id(session_id, party_id),
        session_id=session_id,
        key_session=key.facts.session_id,
        epoch=key.facts.epoch,
        scheme=Scheme.ED25519,
        count=64,
        issued_at=now_ms() - age_ms,
    )


async def test_a_strangers_cancellation_ends_no_session(
    victim: Client, key: CertifiedKey, adversary: Adversary
) -> None:
    """The coordinator's own ends it: so it can, and proves nothing by it."""
    timeout_s = 3 if adversary.is_coordinator else 15
    async with before_they_hear(adversary, victim, key, timeout_s) as under_way:
        session_id = session_of(adversary, under_way.signed.request.request_id)

        async with adversary.disbelieved(0 if adversary.is_coordinator else 2):
            for party_id in SIGNERS:
                wire = adversary.forms.instruction(over(session_id), party_id)
                await under_way.held[party_id].let_through([wire])
    ended = await outcome(under_way.task)
    assert isinstance(ended, SignResult) == (not adversary.is_coordinator)


async def test_a_strangers_broadcasts_end_no_session(victim: Client, stranger: Adversary) -> None:
    name = f"loud-{secrets.token_hex(4)}"
    async with stranger.disbelieved(10):
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
        while not task.done():
            await stranger.publish(stranger.forms.broadcast(over(session_id)))
            await asyncio.sleep(0.005)
    assert (await task).facts.key_id == name


async def test_one_partys_invitation_is_not_anothers(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    async with (
        before_they_hear(stranger, victim, key) as under_way,
        stranger.disbelieved(2, "misplaced"),
    ):
        sent = invitations(stranger, under_way)
        for one, other in (SIGNERS, SIGNERS[::-1]):
            exchanged = replace(sent[one], routing_key=other)
            await under_way.held[other].let_through([exchanged])
    assert (await under_way.task).signature is not None


async def test_a_foreign_coordinators_invitation_is_answered_by_nobody(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """The true one's words, in the name of a coordinator that nobody has pinned."""
    async with before_they_hear(stranger, victim, key) as under_way:
        async with stranger.disbelieved(2):
            for party_id, wire in invitations(stranger, under_way).items():
                said = sessions.SessionCreated.model_validate_json(wire.content())
                forged = stranger.forms.instruction(said, party_id)
                await under_way.held[party_id].let_through([forged])
        session_id = session_of(stranger, under_way.signed.request.request_id)
        assert await stranger.until_now(is_report(SHARES, session_id)) == []
    assert (await under_way.task).signature is not None


async def test_a_plain_invitation_is_answered_by_nobody(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """As they were once, without an envelope."""
    async with (
        before_they_hear(stranger, victim, key) as under_way,
        stranger.disbelieved(2, "malformed"),
    ):
        for party_id, wire in invitations(stranger, under_way).items():
            bare = replace(wire, body=wire.content(), content_type="application/json")
            await under_way.held[party_id].let_through([bare])
    assert (await under_way.task).signature is not None


AGES = {0: None, asking.HOUR_MS: "stale", -asking.HOUR_MS: "early"}


@pytest.mark.parametrize("age_ms", AGES)
async def test_wishes_for_nonces_are_heard_in_their_time_and_of_the_coordinator(
    stack: Deployment, key: CertifiedKey, adversary: Adversary, age_ms: int
) -> None:
    """An old one, of a session that is forgotten by now, would trim good ones."""
    session_id = secrets.token_bytes(32)
    made = is_report("nonces_made", session_id)
    wires = [
        adversary.forms.instruction(wish(key, party_id, session_id, age_ms), party_id)
        for party_id in stack.plan.party_ids
    ]
    refused = AGES[age_ms] if adversary.is_coordinator else "wrong_signature"
    if refused is None:
        await adversary.publish(*wires)
        assert len(await adversary.recording.count(made, 3, PATIENCE_S)) == 3
        return
    async with adversary.disbelieved(3, refused):
        await adversary.publish(*wires)
    assert await adversary.until_now(made) == []


async def test_a_recorded_wish_makes_no_nonces_a_second_time(
    stack: Deployment, key: CertifiedKey, insider: Adversary
) -> None:
    """It has the same answer, byte for byte: a nonce is never made from two coins."""
    session_id, party_id = secrets.token_bytes(32), "party-1"
    made = is_report("nonces_made", session_id, [party_id])
    wire = insider.forms.instruction(wish(key, party_id, session_id, 0), party_id)
    await insider.publish(wire)
    await insider.recording.first(made)
    await insider.publish(wire)
    one, other = await insider.recording.count(made, 2, PATIENCE_S)
    assert one.body == other.body


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("keygen/1", "misplaced"), ("share_signed", "misplaced"), ("nonces_wanted", "misplaced")],
)
async def test_a_header_of_another_kind_than_the_instruction_is_refused(
    victim: Client, key: CertifiedKey, stranger: Adversary, kind: str, refused: str
) -> None:
    """The kind decides the lane; the signed word decides what is done."""
    async with before_they_hear(stranger, victim, key) as under_way:
        async with stranger.disbelieved(2, refused):
            for party_id, wire in invitations(stranger, under_way).items():
                await under_way.held[party_id].let_through([replace(wire, kind=kind)])
        session_id = session_of(stranger, under_way.signed.request.request_id)
        assert await stranger.until_now(is_report(SHARES, session_id)) == []
    assert (await under_way.task).signature is not None


async def test_an_envelope_about_another_session_than_its_word_is_refused(
    victim: Client, key: CertifiedKey, insider: Adversary
) -> None:
    async with before_they_hear(insider, victim, key) as under_way:
        for party_id, wire in invitations(insider, under_way).items():
            assert wire.content_type == CONTENT_TYPE
            said = sessions.SessionCreated.model_validate_json(wire.content())
            apart = insider.forms.instruction(said, party_id, about=secrets.token_bytes(32))
            other = insider.forms.instruction(said, party_id, kind="session_cancelled")
            await under_way.held[party_id].let_through([apart, other])
        await insider.recording.first(is_dead("session_created of another session"))
        await insider.recording.first(is_dead("session_created in an envelope for"))
    assert (await under_way.task).signature is not None
    assert insider.recording.all(is_instruction("session_created"))
