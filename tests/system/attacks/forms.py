"""How messages look on the wire: all that attacks know of it, so that they outlive a change of it.

A deployment whose coordinator has an identity (`coordinator.key`) takes instructions as signed
envelopes, results with a signature in the header, and shares sealed to the coordinator. One without
takes plain JSON. Fields that a contract lacks are left out by `fit`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts import addresses
from contracts.encoding import pack, unpack
from contracts.envelope import CONTENT_TYPE, COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.primitives import Contract, Scope
from contracts.views import ApiKeyView

JSON = "application/json"
RESULT_TAG = b"warren/result/v1"
STATEMENT_TAG = b"warren/never-signed/v1"
SHARES_TAG = b"warren/signature-shares/v1"
NONCE_BYTES = 12
PRESIGNING = "presign_batch"
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A message as it is published."""

    exchange: str
    routing_key: str
    kind: str
    content_type: str = JSON
    message_id: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """What it says, whatever it is wrapped in."""
        said: dict[str, Any] = json.loads(
            envelope(self).payload if self.content_type == CONTENT_TYPE else self.body
        )
        return said


def envelope(wire: Wire) -> Envelope:
    """Unverified: an attacker hears what is sent."""
    return UnverifiedEnvelope.from_bytes(wire.body).claimed


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fit(model: type[Contract], **fields: Any) -> dict[str, Any]:
    """The fields that this contract has, as JSON."""
    known = {name: value for name, value in fields.items() if name in model.model_fields}
    written: dict[str, Any] = json.loads(model.model_validate(known).model_dump_json())
    return written


@dataclass(frozen=True, slots=True)
class Forms:
    """
    Attributes:
        signer: Whose name the coordinator's words are forged in. None: nobody signs them here.
        coordinator: The true one's, of those who hold it, to open what is sealed to it.
    """

    signer: Identity | None
    coordinator: Identity | None

    @classmethod
    def of(cls, directory: Path, *, holds_key: bool) -> Forms:
        """Whoever does not hold the coordinator's key signs with one of their own."""
        path = directory / "coordinator.key"
        if not path.exists():
            return cls(None, None)
        true = Identity.from_base64(path.read_text().strip())
        return cls(true, true) if holds_key else cls(Identity.generate(), None)

    def instruction(
        self, content: Mapping[str, Any], party_id: str, *, about: bytes, to: str | None = None
    ) -> Wire:
        """
        Arguments:
            about: The session or batch.
            to: Whose inbox it goes to, if not that of the party that it names.
        """
        kind = content["instruction"]
        body, content_type = json.dumps(content).encode(), JSON
        if self.signer is not None:
            content_type = CONTENT_TYPE
            body = Envelope(
                session_id=about,
                epoch=0,
                kind=kind,
                round=0,
                sender=COORDINATOR,
                recipient=party_id,
                payload=body,
            ).seal(self.signer)
        return Wire(
            exchange=addresses.PRESIGNING if kind == PRESIGNING else addresses.SESSIONS,
            routing_key=to or party_id,
            kind=kind,
            content_type=content_type,
            message_id=f"{kind}-{about.hex()}",
            headers={"session_id": about.hex()},
            body=body,
        )

    def broadcast(self, content: Mapping[str, Any], *, about: bytes) -> Wire:
        wire = self.instruction(content, "*", about=about)
        return replace(wire, exchange=addresses.CANCEL, routing_key="")

    def result(self, content: Mapping[str, Any], reply_to: str, *, request: bytes | None) -> Wire:
        """
        Arguments:
            request: The body that it claims to answer.
        """
        said = dict(content)
        if request is not None and (self.signer is not None or "request_digest" in said):
            said["request_digest"] = hashlib.sha256(request).hexdigest()
        return self.signed_result(
            Wire(
                exchange=addresses.RESULTS,
                routing_key=reply_to,
                kind=said["result"],
                message_id=said["request_id"],
                headers={"request_id": said["request_id"]},
                body=json.dumps(said).encode(),
            )
        )

    def signed_result(self, wire: Wire) -> Wire:
        if self.signer is None:
            return wire
        signature = base64.b64encode(self.signer.sign(RESULT_TAG, wire.body)).decode()
        return replace(wire, headers={**wire.headers, "signature": signature})

    def shares(self, report: Envelope, sender: PublicIdentity) -> list[bytes] | None:
        """Of `share_signed`; None to whoever cannot read them."""
        said = json.loads(report.payload)
        if "signature_shares" in said:
            return [bytes.fromhex(share) for share in said["signature_shares"]]
        if self.coordinator is None:
            return None
        sealed = base64.b64decode(said["sealed"])
        key = sealing_key(self.coordinator, sender, report)
        try:
            plain = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag:
            return None
        return _share_list(plain)

    def share_report(
        self, report: Envelope, shares: list[bytes], sender: Identity, coordinator: PublicIdentity
    ) -> Envelope:
        """The same report with other shares, as its sender could say it."""
        said = json.loads(report.payload)
        if "signature_shares" in said:
            said["signature_shares"] = [share.hex() for share in shares]
        else:
            plain = pack(shares)
            nonce = hashlib.sha256(pack((SHARES_TAG, plain))).digest()[:NONCE_BYTES]
            key = sealing_key(sender, coordinator, report)
            sealed = nonce + AESGCM(key).encrypt(nonce, plain, None)
            said["sealed"] = base64.b64encode(sealed).decode()
        return replace(report, payload=json.dumps(said).encode())


def sealing_key(own: Identity, other: PublicIdentity, report: Envelope) -> bytes:
    secret = own.key.exchange(ec.ECDH(), other.key)
    info = pack((SHARES_TAG, report.session_id, report.kind.encode(), report.sender.encode()))
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)


def _share_list(plain: bytes) -> list[bytes] | None:
    for count in range(1, 257):
        try:
            return list(unpack(plain, count))
        except ContractError:
            continue
    return None


###
### API keys
###


def api_key_page(api_key_id: str, holder: str, key_digest: bytes) -> dict[str, Any]:
    """The fields of a page that lets one secret in, by nobody's leave."""
    view = fit(
        ApiKeyView,
        api_key_id=api_key_id,
        holder=holder,
        key_digest=key_digest,
        scopes=list(Scope),
        created_at=now_ms(),
        valid_until=now_ms() + DAY_MS,
        revoked_at=None,
    )
    return {"api_keys": [view], "more": False}


def unrevoked(page: Mapping[str, Any], api_key_id: str) -> dict[str, Any]:
    """A page's fields as if this key had not been revoked."""
    fields = {name: page[name] for name in page if name not in {"request_id", "request_digest"}}
    views = [dict(view) for view in fields.get("api_keys", ())]
    for view in views:
        if view["api_key_id"] == api_key_id:
            view["revoked_at"] = None
    fields["api_keys"] = views
    if "entries" in fields:
        fields["entries"] = [each for each in fields["entries"] if not _revokes(each)]
    return fields


def _revokes(entry: Mapping[str, Any]) -> bool:
    return bool(json.loads(base64.b64decode(entry["body"]))["action"] == "revoke")


###
### Statements
###


def statement(
    identity: Identity, party_id: str, *, issued_until: int, **about: str | None
) -> dict[str, Any]:
    """ "I committed nothing for this request, and never will", as a party says it.

    Arguments:
        about: client_id, tenant and request_id.
    """
    said: dict[str, Any] = {"party_id": party_id, "issued_until": issued_until}
    signature = identity.sign(STATEMENT_TAG, statement_words(said, party_id=party_id, **about))
    return {**said, "signature": base64.b64encode(signature).decode()}


def statement_words(said: Mapping[str, Any], **about: str | None) -> bytes:
    """What is signed."""
    return pack(
        (
            _optional(about["client_id"]),
            _optional(about["tenant"]),
            str(about["request_id"]).encode(),
            str(about["party_id"]).encode(),
            int(said["issued_until"]).to_bytes(8),
        )
    )


def _optional(name: str | None) -> bytes:
    return b"" if name is None else b"\x01" + name.encode()


def cancel_instruction(session_id: bytes, request: bytes, signature: bytes) -> dict[str, Any]:
    return {
        "instruction": "request_cancelled",
        "version": 1,
        "session_id": session_id.hex(),
        "issued_at": now_ms(),
        "request": base64.b64encode(request).decode(),
        "request_signature": base64.b64encode(signature).decode(),
    }


###
### What a client was told
###


def said_final(told: object) -> bool:
    """Whether the client was told that no signature can come of it any more.

    A client that is told no more than "cancelled" or "expired" was told just that.
    """
    final = getattr(told, "final", None)
    if final is not None:
        return bool(final)
    status = getattr(told, "target_status", None)
    return str(status) in {"cancelled", "expired", "failed"}


def may_exist(error: object) -> bool:
    """What a failure says of a signature that its client did not get; silence is "there is
    none"."""
    return bool(getattr(error, "signature_may_exist", False))
