"""Requests, keys and results that are right in every respect, for tests to spoil."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import coincurve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.addresses import result_key
from contracts.admission import ClientPolicy
from contracts.api_keys import Action
from contracts.identity import Identity, PublicIdentity
from contracts.keys import CertifiedKey, Holder, KeyFacts, Origin
from contracts.primitives import Curve, DeleteAfter, Scheme
from contracts.requests import KeygenRequest, RequestBase, SignItem, SignRequest
from contracts.results import (
    EcdsaForms,
    KeygenResult,
    SessionAnnounced,
    SessionView,
    SignedItem,
    SignResult,
    Status,
)
from contracts.signing import sign_request as sign
from contracts.terms import Member, SessionTerms
from contracts.verification import child

from .chains import AUTHORITY, Scribe

CLIENT = Identity.generate()
COORDINATOR = Identity.generate()
SCRIBE = Scribe(client_id="svcA")
STRANGER = Identity.generate()
PARTIES = {f"p{number}": Identity.generate() for number in range(1, 4)}
PINNED: dict[str, PublicIdentity] = {name: party.public for name, party in PARTIES.items()}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def policies(client_id: str | None = "svcA") -> list[ClientPolicy]:
    return [ClientPolicy(identity=CLIENT.public, client_id=client_id)]


def all_fields(operation: str) -> dict[str, Any]:
    """With those that are not written where they are as usual."""
    unusual = {"delete_after": DeleteAfter.CERTIFIED} if operation == "reshare" else {}
    return fields(operation, **unusual)


def fields(operation: str, **changes: Any) -> dict[str, Any]:
    """Of a request by `CLIENT`; `reply_to` is the right one unless given."""
    now = time.time_ns() // 1_000_000
    own: dict[str, dict[str, Any]] = {
        "keygen": {
            "key_id": "treasury",
            "curve": Curve.ED25519,
            "threshold": 2,
            "party_count": 3,
        },
        "reshare": {
            "key_id": "treasury",
            "public_key": bytes(32),
            "from_epoch": 0,
            "first_epoch": 1,
            "threshold": 2,
            "parties": ["p1", "p3"],
        },
        "sign": {"key_id": "treasury", "scheme": Scheme.ED25519, "message": b"message"},
        "rehearse": {
            "key_id": "treasury",
            "public_key": bytes(32),
            "from_epoch": 0,
            "first_epoch": 1,
            "threshold": 2,
            "parties": ["p1", "p3"],
        },
        "cancel": {"target": "r0"},
        "query_keys": {},
        "query_session": {"target": "r0"},
        "query_key_history": {"key_id": "treasury"},
        "join_session": {"session_id": bytes([8]) * 32, "join_token": bytes([9]) * 32},
        "query_accounts": {},
        "configure_account": {"account_id": "treasury", "signers": ["p1", "p3"]},
        "put_api_key": {
            "entry": SCRIBE.signed_put(),
        },
        "revoke_api_key": {"entry": SCRIBE.signed(Action.REVOKE, api_key_id="shop-1")},
        "query_api_keys": {"authority": AUTHORITY.public.der},
    }
    given: dict[str, Any] = {
        "operation": operation,
        "request_id": "r1",
        "client_id": "svcA",
        "signer": CLIENT.public.der,
        "issued_at": now,
        "expires_at": now + 60_000,
        **own[operation],
        **changes,
    }
    given.setdefault(
        "reply_to",
        result_key(
            operation,
            client_id=given["client_id"],
            request_id=given["request_id"],
            key_id=given.get("key_id"),
        ),
    )
    return given


def keygen_request(**changes: Any) -> KeygenRequest:
    return KeygenRequest(**fields("keygen", **changes))


def sign_request(**changes: Any) -> SignRequest:
    return SignRequest(**fields("sign", **changes))


@dataclass(frozen=True)
class SingleKey:
    """A key in one hand that looks from outside like one that the parties share."""

    curve: Curve
    secret: bytes = bytes(31) + b"\x07"

    @property
    def public_key(self) -> bytes:
        if self.curve is Curve.SECP256K1:
            return coincurve.PublicKey.from_secret(self.secret).format()
        key = Ed25519PrivateKey.from_private_bytes(self.secret)
        return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def facts(self, **changes: Any) -> KeyFacts:
        given: dict[str, Any] = {
            "version": 2,
            "client_id": "svcA",
            "key_id": "treasury",
            "session_id": bytes([5]) * 32,
            "epoch": 0,
            "curve": self.curve,
            "threshold": 2,
            "public_key": self.public_key,
            "chain_code": bytes([6]) * 32,
            "holders": [
                Holder(party_id=name, identity=party.public.der, public_share=self.public_key)
                for name, party in PARTIES.items()
            ],
            "transcript_digest": bytes([7]) * 32,
            "request_digest": bytes([8]) * 32,
            "origin": Origin.GENERATED,
        }
        return KeyFacts(**{**given, **changes})

    def old_facts(self, **changes: Any) -> KeyFacts:
        """Of version 1."""
        return self.facts(version=1, request_digest=None, origin=None, **changes)

    def certified(self, **changes: Any) -> CertifiedKey:
        facts = self.facts(**changes)
        certificates = {name: facts.certify(party) for name, party in PARTIES.items()}
        return CertifiedKey(facts=facts, certificates=certificates)

    def made_for(self, request: KeygenRequest, **changes: Any) -> CertifiedKey:
        """As its parties would certify it."""
        asked = {
            "client_id": request.client_id,
            "tenant": request.tenant,
            "key_id": request.key_id,
            "request_digest": sign(request, CLIENT).digest,
            "schemes": request.schemes,
        }
        return self.certified(**{**asked, **changes})

    def sign(
        self, scheme: Scheme, message: bytes, taproot_merkle_root: bytes | None = None
    ) -> tuple[bytes, bytes]:
        """Signature and the public key that verifies it."""
        if scheme is Scheme.ED25519:
            edwards = Ed25519PrivateKey.from_private_bytes(self.secret)
            return edwards.sign(message), self.public_key
        if scheme is Scheme.SECP256K1:
            return self._sign_frost(message), self.public_key
        if scheme is Scheme.ECDSA:
            key = coincurve.PrivateKey(self.secret)
            return key.sign_recoverable(message, hasher=None), self.public_key
        secret = coincurve.PrivateKey(self.secret)
        if taproot_merkle_root is not None:
            secret = _taproot_tweaked(self.secret, taproot_merkle_root)
        public = coincurve.PublicKeyXOnly.from_secret(secret.secret).format()
        return secret.sign_schnorr(message), public

    def _sign_frost(self, message: bytes) -> bytes:
        nonce = 1234567
        commitment = coincurve.PublicKey.from_secret(nonce.to_bytes(32)).format()
        wide = _expand(commitment + self.public_key + message)
        challenge = int.from_bytes(wide) % ORDER
        z = (nonce + challenge * int.from_bytes(self.secret)) % ORDER
        return commitment + z.to_bytes(32)


def digest_of(request: RequestBase) -> bytes:
    """Of its bytes, as `sign_request` writes them."""
    return hashlib.sha256(request.model_dump_json().encode()).digest()


def keygen_result(request: KeygenRequest, key: CertifiedKey | None, **changes: Any) -> KeygenResult:
    given: dict[str, Any] = {
        "request_id": request.request_id,
        "client_id": request.client_id,
        "session_id": None if key is None else key.facts.session_id,
        "request_digest": digest_of(request),
        "status": Status.COMPLETED,
        "finished_at": request.issued_at + 1,
        "key_id": request.key_id,
        "curve": request.curve,
        "key": key,
    }
    return KeygenResult(**{**given, **changes})


def child_of(key: SingleKey, path: str | None) -> SingleKey:
    """BIP-32, from the secret's end."""
    if path is None:
        return key
    tweak = child(key.facts(), path).tweak
    secret = (int.from_bytes(key.secret) + int.from_bytes(tweak)) % ORDER
    return SingleKey(key.curve, secret.to_bytes(32))


def signed_item(
    key: SingleKey, scheme: Scheme, item: SignItem, taproot_merkle_root: bytes | None = None
) -> SignedItem:
    own = child_of(key, item.derivation_path)
    signature, public_key = own.sign(scheme, item.message, taproot_merkle_root)
    return SignedItem(
        message=item.message,
        derivation_path=item.derivation_path,
        public_key=public_key,
        signature=signature,
        ecdsa=EcdsaForms.of(signature) if scheme is Scheme.ECDSA else None,
    )


def sign_result(request: SignRequest, key: SingleKey, **changes: Any) -> SignResult:
    """In the form that the request has."""
    items = [
        signed_item(key, request.scheme, task, request.taproot_merkle_root)
        for task in request.tasks
    ]
    given: dict[str, Any] = {
        "request_id": request.request_id,
        "client_id": request.client_id,
        "session_id": bytes([8]) * 32,
        "request_digest": digest_of(request),
        "status": Status.COMPLETED,
        "finished_at": request.issued_at + 1,
        "key_id": request.key_id,
        "scheme": request.scheme,
        "taproot_merkle_root": request.taproot_merkle_root,
        "signers": request.signers or ["p1", "p3"],
    }
    if request.items is None:
        given |= {name: getattr(items[0], name) for name in SignedItem.model_fields}
    else:
        given["items"] = items
    return SignResult(**{**given, **changes})


def _expand(message: bytes) -> bytes:
    """expand_message_xmd to 48 bytes for FROST(secp256k1)'s challenge, written out."""
    suffix = b"FROST-secp256k1-SHA256-v1chal" + bytes([29])
    first = hashlib.sha256(bytes(64) + message + b"\x00\x30\x00" + suffix).digest()
    one = hashlib.sha256(first + b"\x01" + suffix).digest()
    mixed = bytes(x ^ y for x, y in zip(first, one, strict=True))
    return one + hashlib.sha256(mixed + b"\x02" + suffix).digest()[:16]


def _taproot_tweaked(secret: bytes, root: bytes) -> coincurve.PrivateKey:
    """BIP-341 `taproot_tweak_seckey`."""
    public = coincurve.PublicKey.from_secret(secret).format()
    even = int.from_bytes(secret) if public[0] == 2 else ORDER - int.from_bytes(secret)
    tag = hashlib.sha256(b"TapTweak").digest()
    tweak = hashlib.sha256(tag + tag + public[1:] + root).digest()
    return coincurve.PrivateKey(((even + int.from_bytes(tweak)) % ORDER).to_bytes(32))


def announcement(request: KeygenRequest | SignRequest, **changes: Any) -> SessionAnnounced:
    given: dict[str, Any] = {
        "request_id": request.request_id,
        "client_id": request.client_id,
        "session_id": session_terms(request).session_id(),
        "request_digest": digest_of(request),
        "terms": session_terms(request),
        "deadline": request.expires_at,
        "parties": ["p1", "p3"],
        "join_tokens": {"p1": bytes([1]) * 32, "p3": bytes([3]) * 32},
        "session_token": bytes([9]) * 32,
    }
    return SessionAnnounced(**{**given, **changes})


def session_terms(request: KeygenRequest | SignRequest) -> SessionTerms:
    """Of a session of two parties."""
    return SessionTerms(
        protocol=request.operation,
        request_digest=digest_of(request),
        key_session=None if isinstance(request, KeygenRequest) else bytes([5]) * 32,
        epoch=0,
        threshold=2,
        members=[
            Member(party_id=name, index=index, identity=PARTIES[name].public.der)
            for index, name in ((1, "p1"), (3, "p3"))
        ],
        salt=bytes(32),
    )


def looked_at(
    asked: KeygenRequest | SignRequest | None = None, by: Identity = CLIENT, **changes: Any
) -> dict[str, Any]:
    """What is told of a session of the request, or of `BEGUN`.

    Arguments:
        changes: To the view.
    """
    request = asked or BEGUN
    terms, signed = session_terms(request), sign(request, by)
    named = {
        "session_id": terms.session_id(),
        "request_id": request.request_id,
        "operation": request.operation,
        "key_id": request.key_id,
        "client_id": request.client_id,
        "tenant": request.tenant,
    }
    return {
        "session": session_view(**(named | changes)),
        "request": signed.body,
        "request_signature": signed.signature,
        "terms": terms,
    }


def session_view(**changes: Any) -> SessionView:
    """Of a signature that `sign_request` asks for."""
    given: dict[str, Any] = {
        "session_id": bytes([8]) * 32,
        "request_id": "r0",
        "operation": "sign",
        "key_id": "treasury",
        "status": Status.COMPLETED,
        "deadline": 2_000_000_000_000,
        "parties": ["p1", "p3"],
        "events": [],
        "client_id": "svcA",
    }
    return SessionView(**{**given, **changes})


BEGUN = sign_request(request_id="r0")
