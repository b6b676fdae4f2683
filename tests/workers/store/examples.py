"""Changes and records to put into stores, different only where a test wants them to be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    AccountRecord,
    ApiKeyEntryRecord,
    BanRecord,
    BatchRecord,
    CommitmentRecord,
    CoordinatorChange,
    EvidenceRecord,
    KeyRecord,
    KeyShareRecord,
    NonceRecord,
    Outgoing,
    Parked,
    PartyChange,
    PooledPresignature,
    PoolName,
    PresignatureRecord,
    QuarrelRecord,
    Received,
    RequestRecord,
    WaiterRecord,
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


def presignature(position: int = 0, batch: str = "batch", **other: Any) -> PresignatureRecord:
    values: dict[str, Any] = {
        "batch": session_id(batch),
        "position": position,
        "key_session": KEY,
        "epoch": 0,
        "secret": f"the secret of {batch} {position}".encode(),
    }
    return PresignatureRecord(**(values | other))


def place(position: int = 0, batch: str = "batch") -> tuple[bytes, int]:
    """By which a presignature is named."""
    return session_id(batch), position


def ban(party_id: str = "party-2", **other: Any) -> BanRecord:
    values: dict[str, Any] = {
        "party_id": party_id,
        "session_id": session_id("batch"),
        "check": "6: the extension is not consistent",
        "at": 7,
    }
    return BanRecord(**(values | other))


def evidence(sender: str = "party-2", name: str = "session", **other: Any) -> EvidenceRecord:
    values: dict[str, Any] = {
        "session_id": session_id(name),
        "slot": "keygen/2",
        "sender": sender,
        "first": b"\x00one",
        "second": b"\xffanother",
        "at": 7,
    }
    return EvidenceRecord(**(values | other))


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


def pool(signers: str = "1,2", **other: Any) -> PoolName:
    values: dict[str, Any] = {"key_session": KEY, "epoch": 0, "signers": signers}
    return PoolName(**(values | other))


def pooled(
    count: int = 1, signers: str = "1,2", batch: str = "batch", **other: Any
) -> tuple[PooledPresignature, ...]:
    """A batch."""
    values: dict[str, Any] = {
        "batch": session_id(batch),
        "key_session": KEY,
        "epoch": 0,
        "signers": signers,
    }
    return tuple(
        PooledPresignature(**(values | {"position": n, "point": b"point %d" % n} | other))
        for n in range(count)
    )


def batch(count: int = 16, signers: str = "1,2", **other: Any) -> BatchRecord:
    values: dict[str, Any] = {"pool": pool(signers), "count": count}
    return BatchRecord(**(values | {"limit_pool": 2, "limit_all": 100} | other))


def waiter(name: str = "session", count: int = 1, signers: str = "1,2") -> WaiterRecord:
    return WaiterRecord(session_id=session_id(name), pool=pool(signers), count=count)


def quarrel(accuser: str = "party-1", accused: str = "party-2", at: int = 7) -> QuarrelRecord:
    return QuarrelRecord(accuser=accuser, accused=accused, at=at)


async def claim(store: CoordinatorStore, parties: Sequence[str]) -> Mapping[str, CommitmentRecord]:
    """Commitments of the key's that a request nobody knows gets."""
    admission = await store.admit(
        "svcA", "nobody's", request().digest, key_session=KEY, scheme="ed25519", parties=parties
    )
    return admission.claimed


def account(account_id: str = "treasury", **other: Any) -> AccountRecord:
    values: dict[str, Any] = {
        "owner": "svcA",
        "account_id": account_id,
        "user_id": "Zoë, first floor",
        "session_id": session_id(),
        "curve": "secp256k1",
        "threshold": 2,
        "parties": ("party-1", "party-2", "party-3"),
        "created_at": 5,
    }
    return AccountRecord(**(values | other))


def api_key_entry(number: int = 1, **other: Any) -> ApiKeyEntryRecord:
    """Its digest is that of the body, see `previous`."""
    body = other.pop("body", f"entry {number}")
    values: dict[str, Any] = {
        "owner": "svcA",
        "authority": b"the authority",
        "number": number,
        "digest": session_id(body),
        "api_key_id": f"key-{number}",
        "body": body.encode(),
        "signature": b"signature",
    }
    return ApiKeyEntryRecord(**(values | other))


def previous(number: int) -> bytes:
    """Of the entry of this number."""
    return bytes(32) if number == 1 else session_id(f"entry {number - 1}")
