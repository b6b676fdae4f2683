"""Who speaks in the vectors: fixed identities whose signatures are the same each time, and a key in
one hand that looks from outside like one that the parties share."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import coincurve
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..encoding import pack
from ..identity import Identity
from ..keys import CertifiedKey, Holder, KeyFacts, Origin
from ..primitives import Curve, Scheme
from ..secp256k1 import ORDER
from ..verification import expand_message_xmd, tagged_hash

NOW = 1_800_000_000_000
"""When all this happens, Unix milliseconds."""
PATH = "m/44/60/0/0/7"
_STEADY = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class Steady(Identity):
    """Signs the same with the same (RFC 6979)."""

    @classmethod
    def named(cls, name: str) -> Identity:
        """That name's own, known to everybody."""
        secret = int.from_bytes(hashlib.sha256(f"warren vector {name}".encode()).digest())
        return cls._of(ec.derive_private_key(secret, ec.SECP256R1()))

    def sign(self, tag: bytes, data: bytes) -> bytes:
        """DER."""
        return self.key.sign(pack((tag, data)), _STEADY)


CLIENT, COORDINATOR, STRANGER = map(Steady.named, ("client", "coordinator", "stranger"))
PARTIES = {name: Steady.named(name) for name in ("p1", "p2", "p3")}
SPARE = Steady.named("p4")
"""A party that is pinned and holds no key."""


def b64(data: bytes) -> str:
    """As it stands in messages."""
    return base64.b64encode(data).decode()


def public_keys(**more: Identity) -> dict[str, str]:
    """Of all pinned parties, as they stand in configuration."""
    return {name: each.public.to_base64() for name, each in {**PARTIES, **more}.items()}


@dataclass(frozen=True)
class OneHand:
    """Has the whole secret of a key."""

    curve: Curve
    secret: bytes

    @classmethod
    def on(cls, curve: Curve) -> OneHand:
        """The one of this curve."""
        return cls(curve, hashlib.sha256(f"warren vector key {curve}".encode()).digest())

    @property
    def public_key(self) -> bytes:
        """Compressed."""
        if self.curve is Curve.SECP256K1:
            return coincurve.PublicKey.from_secret(self.secret).format()
        edwards = Ed25519PrivateKey.from_private_bytes(self.secret)
        return edwards.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def child(self, tweak: bytes) -> OneHand:
        """So far away from it."""
        secret = (int.from_bytes(self.secret) + int.from_bytes(tweak)) % ORDER
        return OneHand(self.curve, secret.to_bytes(32))

    def sign(self, scheme: Scheme, message: bytes, root: bytes | None = None) -> bytes:
        """A signature that verifies under `verification.verifying_key`."""
        match scheme:
            case Scheme.ED25519:
                return Ed25519PrivateKey.from_private_bytes(self.secret).sign(message)
            case Scheme.ECDSA:
                key = coincurve.PrivateKey(self.secret)
                return key.sign_recoverable(message, hasher=None)
            case Scheme.SECP256K1:
                return self._frost(message)
            case Scheme.BIP340:
                secret = self.secret if root is None else self._tweaked(root)
                return coincurve.PrivateKey(secret).sign_schnorr(message, aux_randomness=bytes(32))

    def facts(self, **changes: Any) -> KeyFacts:
        """What its parties would certify."""
        given: dict[str, Any] = {
            "version": 2,
            "client_id": "svcA",
            "key_id": self.curve.value,
            "session_id": bytes([5]) * 32,
            "epoch": 0,
            "curve": self.curve,
            "threshold": 2,
            "public_key": self.public_key,
            "chain_code": bytes([6]) * 32,
            "holders": [
                Holder(party_id=name, identity=each.public.der, public_share=self.public_key)
                for name, each in PARTIES.items()
            ],
            "transcript_digest": bytes([7]) * 32,
            "request_digest": bytes([8]) * 32,
            "origin": Origin.GENERATED,
        }
        return KeyFacts(**{**given, **changes})

    def certified(self, **changes: Any) -> CertifiedKey:
        """By all its parties."""
        return certified(self.facts(**changes))

    def _frost(self, message: bytes) -> bytes:
        """RFC 9591's signature, by a fixed nonce."""
        nonce = hashlib.sha256(self.secret + message).digest()
        commitment = coincurve.PublicKey.from_secret(nonce).format()
        wide = expand_message_xmd(
            commitment + self.public_key + message, b"FROST-secp256k1-SHA256-v1chal", length=48
        )
        z = int.from_bytes(nonce) + int.from_bytes(wide) * int.from_bytes(self.secret)
        return commitment + (z % ORDER).to_bytes(32)

    def _tweaked(self, root: bytes) -> bytes:
        """BIP-341's taproot_tweak_seckey."""
        secret, public = int.from_bytes(self.secret), self.public_key
        even = secret if public[0] == 2 else ORDER - secret
        tweak = int.from_bytes(tagged_hash(b"TapTweak", public[1:] + root))
        return ((even + tweak) % ORDER).to_bytes(32)


def certified(facts: KeyFacts) -> CertifiedKey:
    """By all of `PARTIES` that it names."""
    holders = {holder.party_id for holder in facts.holders}
    return CertifiedKey(
        facts=facts,
        certificates={
            name: facts.certify(each) for name, each in PARTIES.items() if name in holders
        },
    )


ED25519, SECP256K1 = OneHand.on(Curve.ED25519), OneHand.on(Curve.SECP256K1)
HANDS = {Curve.ED25519: ED25519, Curve.SECP256K1: SECP256K1}
