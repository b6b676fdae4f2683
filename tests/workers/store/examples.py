"""Changes and records to put into stores, different only where a test wants them to be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    CommitmentRecord,
    CoordinatorChange,
    KeyRecord,
    KeyShareRecord,
    NonceRecord,
    Outgoing,
    Parked,
    PartyChange,
    Received,
    RequestRecord,
)

KEY = hashlib.sha256(b"a key").digest()
FAR_FUTURE = 2**52


def session_id(name: str = "session") -> bytes:
    return hashlib.sha256(name.encode()).digest()


def outgoing(name: str = "message", **other: Any) -> Outgoing:
    values: dict[str, Any] = {
        "exchange": "warren.rounds",
        "routing_key": "party-2",
        "kind": "envelope",
        "content_type": "application/json",
        "message_id": f"id-of-{name}",
        "body": name.encode() + b"\x00\xff",
        "headers": {"session": "ü", "attempt": "1"},
    }
    return Outgoing(**(values | other))


def received(slot: str = "round-1", sender: str = "party-2", body: bytes = b"body") -> Received:
    return Received(slot=slot, sender=sender, digest=hashlib.sha256(body).digest(), body=body)


def _change(name: str, other: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "session_id": session_id(name),
        "expected_version": 0,
        "protocol": "keygen",
        "key_session": None,
        "status": "in_progress",
        "deadline": 1_000,
        "state": b"the state",
        "cause": "created",
    }
    return values | other


def party_change(name: str = "session", **other: Any) -> PartyChange:
    return PartyChange(**_change(name, other))


def coordinator_change(name: str = "session", **other: Any) -> CoordinatorChange:
    return CoordinatorChange(**_change(name, other))


def key_share(**other: Any) -> KeyShareRecord:
    values: dict[str, Any] = {
        "key_session": KEY,
        "epoch": 0,
        "owner": "svcA",
        "key_id": "treasury",
        "facts": '{"threshold": 2}',
        "certificates": {"party-1": b"\x00certificate"},
        "secret": b"the secret share",
        "active": False,
    }
    return KeyShareRecord(**(values | other))


def nonce(name: str = "nonce", **other: Any) -> NonceRecord:
    values: dict[str, Any] = {
        "nonce_id": session_id(name),
        "key_session": KEY,
        "epoch": 0,
        "scheme": "ed25519",
        "secret": b"the secret of " + name.encode(),
    }
    return NonceRecord(**(values | other))


def parked(name: str = "session", **other: Any) -> Parked:
    values: dict[str, Any] = {
        "session_id": session_id(name),
        "sender": "party-2",
        "slot": "round-1",
        "body": b"0123456789",
    }
    return Parked(**(values | other))


def request(name: str = "request", **other: Any) -> RequestRecord:
    values: dict[str, Any] = {
        "owner": "svcA",
        "request_id": name,
        "operation": "sign",
        "digest": session_id(f"body of {name}"),
        "body": b'{"request": "' + name.encode() + b'"}',
        "signature": b"\x30\x00",
        "session_id": session_id(),
    }
    return RequestRecord(**(values | other))


def key(**other: Any) -> KeyRecord:
    values: dict[str, Any] = {
        "owner": "svcA",
        "key_id": "treasury",
        "key_session": KEY,
        "epoch": 0,
        "curve": "ed25519",
        "certified": "{}",
    }
    return KeyRecord(**(values | other))


def commitment(name: str = "nonce", **other: Any) -> CommitmentRecord:
    values: dict[str, Any] = {
        "nonce_id": session_id(name),
        "key_session": KEY,
        "epoch": 0,
        "scheme": "ed25519",
        "party_id": "party-1",
        "commitment": b"commitment of " + name.encode(),
    }
    return CommitmentRecord(**(values | other))


async def claim(store: CoordinatorStore, parties: Sequence[str]) -> Mapping[str, CommitmentRecord]:
    """Commitments of the key's that a request nobody knows gets."""
    admission = await store.admit(
        "svcA", "nobody's", key_session=KEY, scheme="ed25519", parties=parties
    )
    return admission.claimed
