"""Letters as an operator finds them, for tests to spoil."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.envelope import COORDINATOR, Envelope
from contracts.requests import Request
from contracts.sessions import SessionCreated
from contracts.signing import SignedRequest, sign_request
from contracts.terms import SessionTerms
from ops.deadletters.letter import Letter
from tests.contracts.samples import CLIENT, PARTIES

SESSION_ID = bytes([7]) * 32
PAYLOAD = b"a sealed share"
DIED_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


def death(**changes: Any) -> dict[str, Any]:
    return {
        "count": 1,
        "reason": "rejected",
        "queue": "warren.inbox.p1",
        "time": DIED_AT,
        "exchange": "warren.rounds",
        "routing-keys": ["p1"],
        **changes,
    }


def letter(**changes: Any) -> Letter:
    """One that the broker made, unless `headers` say something else."""
    given: dict[str, Any] = {
        "queue": "warren.dead",
        "position": 1,
        "exchange": "warren.dead",
        "routing_key": "p1",
        "properties": {"type": "keygen/1", "message_id": "m1"},
        "headers": {"session_id": SESSION_ID.hex(), "x-death": [death()]},
        "body": BODY,
    }
    return Letter(**{**given, **changes})


def refused(**changes: Any) -> Letter:
    """A worker's copy, as they were when only the reason and the place were noted."""
    headers = {
        "session_id": SESSION_ID.hex(),
        "warren-reason": "the sender is not in our configuration",
        "warren-queue": "warren.inbox.p1",
        "warren-routing-key": "p1",
    }
    properties = {
        "type": "refused",
        "message_id": "m1",
        "content_type": "application/octet-stream",
    }
    given = {"routing_key": "warren.inbox.p1", "properties": properties, "headers": headers}
    return letter(**{**given, **changes})


def noted(**changes: Any) -> Letter:
    """A worker's copy as they are now."""
    headers = {
        **refused().headers,
        "warren-exchange": "warren.sessions",
        "warren-kind": "session_created",
        "warren-content-type": "application/json",
        "warren-refused-at": DIED_AT.isoformat(),
    }
    return refused(headers={**headers, **changes})


def envelope(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "session_id": SESSION_ID,
        "epoch": 0,
        "kind": "keygen",
        "round": 1,
        "sender": "p2",
        "recipient": "p1",
        "payload": PAYLOAD,
    }
    return Envelope(**{**given, **changes}).seal(PARTIES["p2"])


def signed(request: Request) -> SignedRequest:
    return sign_request(request, CLIENT)


def instruction(request: SignedRequest) -> bytes:
    members = [
        {"party_id": name, "index": index, "identity": party.public.der}
        for index, (name, party) in enumerate(PARTIES.items(), 1)
    ]
    terms = SessionTerms.model_validate(
        {
            "protocol": "sign",
            "request_digest": bytes(32),
            "key_session": bytes(32),
            "epoch": 0,
            "threshold": 3,
            "members": members,
            "salt": bytes(32),
        }
    )
    payload = (
        SessionCreated(
            session_id=terms.session_id(),
            issued_at=1,
            terms=terms,
            commitments=[],
            request=request.body,
            request_signature=request.signature,
            time_left_ms=1000,
        )
        .model_dump_json()
        .encode()
    )
    return Envelope(
        session_id=terms.session_id(),
        epoch=0,
        kind="session_created",
        round=0,
        sender=COORDINATOR,
        recipient="p2",
        payload=payload,
    ).seal(PARTIES["p1"])


BODY = envelope()
"""Sealed once: signatures differ from one time to the next."""
