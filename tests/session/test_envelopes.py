"""Which instructions are believed: the coordinator's own, for us, of our time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from contracts import sessions
from contracts.coordinators import Coordinators, Pin
from contracts.envelope import COORDINATOR, EVERYONE, Envelope
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity
from contracts.requests import MAX_LIFETIME_MS
from tests.session.builders import (
    COORDINATOR_IDENTITY,
    IDENTITIES,
    NOW,
    TOLERANCE_MS,
    keygen_created,
    nonces_wanted,
)
from tests.session.cancels import cancelled, told
from tests.session.presigners import presign_batch, world
from workers.coordinator.signature import Signature
from workers.session.envelopes import MAX_INSTRUCTION_BYTES, Instructions
from workers.session.sending import cancellation, instruction

CREATED = keygen_created()
OVER = sessions.SessionCancelled(session_id=CREATED.session_id, issued_at=NOW)


def reader(
    recipient: str = "party-1", coordinators: Coordinators | None = None, now: int = NOW
) -> Instructions:
    believed = coordinators or Coordinators.of(COORDINATOR_IDENTITY.public)
    return Instructions(believed, recipient, tolerance_ms=TOLERANCE_MS, clock=lambda: now)


def envelope(content: sessions.Instruction = CREATED, **changes: Any) -> Envelope:
    right = Envelope(
        session_id=content.session_id,
        epoch=0,
        kind=content.instruction,
        round=0,
        sender=COORDINATOR,
        recipient="party-1",
        payload=content.model_dump_json().encode(),
    )
    return replace(right, **changes)


def test_every_instruction_has_what_its_envelope_is_checked_against() -> None:
    for model in get_args(get_args(sessions.Instruction)[0]):
        for name in ("session_id", "issued_at"):
            assert model.model_fields[name].is_required(), (model, name)


@pytest.mark.parametrize(
    "content",
    [CREATED, nonces_wanted(1), presign_batch(world()), OVER, told(cancelled())],
    ids=lambda content: str(content.instruction),
)
def test_what_the_coordinator_publishes_is_read(content: sessions.Instruction) -> None:
    message = instruction(content, "party-1", content.session_id)
    sent = Signature(COORDINATOR_IDENTITY).under(message)
    read = reader().read(sent.body, sent.kind)
    assert read.instruction == content
    assert read.coordinator == COORDINATOR_IDENTITY.public


def test_a_broadcast_is_for_everyone_and_nobodys_instruction() -> None:
    sent = Signature(COORDINATOR_IDENTITY).under(cancellation(OVER))
    assert reader(EVERYONE).read(sent.body, sent.kind).instruction == OVER
    with pytest.raises(UnauthenticatedError, match="an instruction for '\\*'"):
        reader().read(sent.body, sent.kind)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"recipient": "party-2"}, "misplaced"),
        ({"recipient": EVERYONE}, "misplaced"),
        ({"sender": "party-2"}, "misplaced"),
        ({"round": 1}, "misplaced"),
        ({"kind": "session_cancelled"}, "misplaced"),
    ],
)
def test_what_is_meant_for_another_place_is_not_believed(
    changes: dict[str, Any], kind: str
) -> None:
    body = envelope(**changes).seal(COORDINATOR_IDENTITY)
    with pytest.raises(UnauthenticatedError) as caught:
        reader().read(body, "session_created")
    assert caught.value.kind == kind


def test_only_the_coordinators_signature_counts() -> None:
    plain = CREATED.model_dump_json().encode()
    for signer in (Identity.generate(), IDENTITIES["party-1"]):
        with pytest.raises(UnauthenticatedError, match="not signed by the coordinator"):
            reader().read(envelope().seal(signer), "session_created")
    with pytest.raises(UnauthenticatedError) as caught:
        reader().read(plain, "session_created")
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize("later", [True, False])
def test_a_former_or_future_identity_does_not_count(later: bool) -> None:
    pin = Pin(COORDINATOR_IDENTITY.public, *((NOW + 1, None) if later else (None, NOW)))
    body = envelope().seal(COORDINATOR_IDENTITY)
    with pytest.raises(UnauthenticatedError, match="not valid now"):
        reader(coordinators=Coordinators([pin])).read(body, "session_created")
    now = NOW + 1 if later else NOW - 1
    reader(coordinators=Coordinators([pin]), now=now).read(body, "session_created")


def test_an_old_instruction_and_one_of_the_future_are_not_believed() -> None:
    body = envelope().seal(COORDINATOR_IDENTITY)
    for first, beyond, kind in (
        (MAX_LIFETIME_MS + TOLERANCE_MS, 1, "stale"),
        (-TOLERANCE_MS, -1, "early"),
    ):
        reader(now=NOW + first).read(body, "session_created")
        with pytest.raises(UnauthenticatedError) as caught:
            reader(now=NOW + first + beyond).read(body, "session_created")
        assert caught.value.kind == kind


def test_the_envelope_and_its_payload_are_of_one_session_and_kind() -> None:
    other = envelope(session_id=bytes(32)).seal(COORDINATOR_IDENTITY)
    with pytest.raises(ContractError, match="another session than its envelope's"):
        reader().read(other, "session_created")
    swapped = envelope(payload=OVER.model_dump_json().encode()).seal(COORDINATOR_IDENTITY)
    with pytest.raises(ContractError, match="session_cancelled in an envelope for"):
        reader().read(swapped, "session_created")


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        CREATED.model_dump_json().replace("{", '{"version":1,', 1).encode(),
        OVER.model_dump_json(exclude={"issued_at"}).encode(),
    ],
)
def test_the_coordinator_may_sign_what_is_no_instruction(payload: bytes) -> None:
    body = envelope(payload=payload).seal(COORDINATOR_IDENTITY)
    with pytest.raises(ContractError, match="not an instruction") as caught:
        reader().read(body, "session_created")
    assert not isinstance(caught.value, UnauthenticatedError)


def test_what_is_too_long_is_not_even_looked_at() -> None:
    body = envelope(payload=bytes(MAX_INSTRUCTION_BYTES)).seal(COORDINATOR_IDENTITY)
    with pytest.raises(UnauthenticatedError, match="too many for an instruction") as caught:
        reader().read(body, "session_created")
    assert caught.value.kind == "malformed"
    with pytest.raises(UnauthenticatedError, match="behind the last part"):
        reader().read(bytes(MAX_INSTRUCTION_BYTES), "session_created")
