"""P-256 identities of clients, parties and coordinator, and their signatures.

Public keys are DER SubjectPublicKeyInfo, private keys DER SEC1 or PKCS8, both base64 on paper.
Signatures are DER ECDSA-P256-SHA256 over ``pack(tag, data)``; the tag says what is signed, so a
signature of one kind is none of another.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .encoding import pack
from .errors import ContractError, UnauthenticatedError

_ECDSA = ec.ECDSA(hashes.SHA256())
MIN_SIGNATURE_BYTES, MAX_SIGNATURE_BYTES = 8, 72
"""What DER of two positive numbers below 2^256 can have."""


def is_signature(data: bytes) -> bool:
    """Whether it has the form of one. That costs nothing; verifying, a tenth of a millisecond."""
    fits = MIN_SIGNATURE_BYTES <= len(data) <= MAX_SIGNATURE_BYTES
    return fits and data[0] == 0x30 and data[1] == len(data) - 2


@functools.lru_cache(maxsize=4096)
def _load_public(der: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise ContractError("not a DER SubjectPublicKeyInfo") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ContractError("not a P-256 key")
    canonical = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if canonical != der:
        raise ContractError("not the canonical encoding of this key")
    return key


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """Somebody's public key; `der` is its only encoding (91 bytes)."""

    der: bytes

    def __post_init__(self) -> None:
        _load_public(self.der)

    @classmethod
    def from_base64(cls, text: str) -> PublicIdentity:
        """Raises ContractError unless it is a P-256 key in DER."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except ValueError as error:
            raise ContractError(f"not a public key: {error}") from None

    def to_base64(self) -> str:
        """As it stands in configuration files."""
        return base64.b64encode(self.der).decode()

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """The key for the cryptography library, parsed once."""
        return _load_public(self.der)

    def verify(self, tag: bytes, data: bytes, signature: bytes) -> None:
        """Raises UnauthenticatedError if the signature is not this identity's over the data."""
        if not is_signature(signature):
            raise UnauthenticatedError("wrong signature", kind="wrong_signature")
        try:
            self.key.verify(signature, pack((tag, data)), _ECDSA)
        except InvalidSignature:
            raise UnauthenticatedError("wrong signature", kind="wrong_signature") from None


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key. Secret; its repr shows the public half."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    public: PublicIdentity

    @classmethod
    def generate(cls) -> Identity:
        """A new key pair from the operating system's randomness."""
        return cls._of(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_base64(cls, text: str) -> Identity:
        """Parse SEC1 or PKCS8 DER. The text never stands in the error."""
        try:
            key = serialization.load_der_private_key(
                base64.b64decode(text, validate=True), password=None
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ContractError("not a base64 DER private key (SEC1 or PKCS8)") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise ContractError("not a P-256 private key")
        return cls._of(key)

    @classmethod
    def _of(cls, key: ec.EllipticCurvePrivateKey) -> Identity:
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(key, PublicIdentity(der))

    def to_base64(self) -> str:
        """PKCS8. Secret."""
        der = self.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return base64.b64encode(der).decode()

    def sign(self, tag: bytes, data: bytes) -> bytes:
        """About 71 bytes of DER."""
        return self.key.sign(pack((tag, data)), _ECDSA)

    def meet(self, peer: PublicIdentity) -> bytes:
        """What both have in common and nobody else: 32 bytes, secret. Computed once for a peer."""
        return _meet(self.key, peer.der)


@functools.lru_cache(maxsize=4096)
def _meet(key: ec.EllipticCurvePrivateKey, peer: bytes) -> bytes:
    return key.exchange(ec.ECDH(), _load_public(peer))
