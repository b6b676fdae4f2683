"""Direct payloads between two parties, sealed end to end.

Both parties' ephemeral keys of the session and both identity keys feed one key for each session,
epoch, round and direction; it seals one message, so the AEAD's nonce may be constant. A session
whose first message is direct already seals that one without an ephemeral key of its recipient.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.encoding import pack
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity

from ...protocols.rounds import MisuseError

SEAL_TAG = b"warren/direct-payload/v1"
FIRST_SEAL_TAG = b"warren/first-direct-payload/v1"
EPHEMERAL_BYTES = 65
EPHEMERAL_RANDOMNESS_BYTES = 48
_NONCE = bytes(12)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class EphemeralKey:
    """A party's P-256 key for one session. Secret; kept in the sealed round state."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def from_randomness(cls, randomness: bytes) -> EphemeralKey:
        """Arguments: randomness: FRESH, 48 bytes; reduced, so the bias is below 2^-128."""
        if len(randomness) != EPHEMERAL_RANDOMNESS_BYTES:
            raise MisuseError(f"randomness is {EPHEMERAL_RANDOMNESS_BYTES} bytes")
        return cls(
            ec.derive_private_key(int.from_bytes(randomness) % (_ORDER - 1) + 1, ec.SECP256R1())
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> EphemeralKey:
        return cls(ec.derive_private_key(int.from_bytes(data), ec.SECP256R1()))

    def to_bytes(self) -> bytes:
        """32 bytes. Secret."""
        return self._key.private_numbers().private_value.to_bytes(32)

    def public_bytes(self) -> bytes:
        """65 bytes, SEC1 uncompressed."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )

    def exchange(self, peer: bytes) -> bytes:
        """Raises ContractError if the peer's bytes are not a point of P-256."""
        return self._key.exchange(ec.ECDH(), public_ephemeral(peer))

    def meet(self, peer: PublicIdentity) -> bytes:
        """What this key and a peer's identity key have in common."""
        return self._key.exchange(ec.ECDH(), peer.key)

    def __repr__(self) -> str:
        return "EphemeralKey(…)"


def public_ephemeral(data: bytes) -> ec.EllipticCurvePublicKey:
    """Raises ContractError if the bytes are not a point of P-256."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise ContractError("an ephemeral key is not a point of P-256") from None


def direct_key(
    own: EphemeralKey,
    peer_ephemeral: bytes,
    identity: Identity,
    peer: PublicIdentity,
    place: Envelope,
) -> AESGCM:
    """The key of the one message that stands at `place`; its payload is not looked at.

    Raises ContractError if the peer's ephemeral key is not a point of P-256.
    """
    return _key(SEAL_TAG, own.exchange(peer_ephemeral), identity, peer, place)


def first_key_to(
    own: EphemeralKey, identity: Identity, peer: PublicIdentity, place: Envelope
) -> AESGCM:
    """As `direct_key`, for a session's first message: our ephemeral key meets the peer's identity.

    So whoever learns the peer's identity key later can open it; nothing that must stay secret
    beyond its session may be sealed like this.
    """
    return _key(FIRST_SEAL_TAG, own.meet(peer), identity, peer, place)


def first_key_from(
    peer_ephemeral: bytes, identity: Identity, peer: PublicIdentity, place: Envelope
) -> AESGCM:
    """The other end of `first_key_to`. Raises ContractError as `direct_key`."""
    shared = identity.key.exchange(ec.ECDH(), public_ephemeral(peer_ephemeral))
    return _key(FIRST_SEAL_TAG, shared, identity, peer, place)


def seal(key: AESGCM, payload: bytes) -> bytes:
    return key.encrypt(_NONCE, payload, None)


def unseal(key: AESGCM, sealed: bytes) -> bytes:
    """Raises ContractError if the payload was not sealed for this place."""
    try:
        return key.decrypt(_NONCE, sealed, None)
    except InvalidTag:
        raise ContractError("a direct payload does not open") from None


def _key(
    tag: bytes, shared: bytes, identity: Identity, peer: PublicIdentity, place: Envelope
) -> AESGCM:
    info = pack(
        (
            tag,
            place.session_id,
            place.epoch.to_bytes(4),
            place.kind.encode(),
            place.round.to_bytes(1),
            place.sender.encode(),
            place.recipient.encode(),
        )
    )
    both = shared + identity.key.exchange(ec.ECDH(), peer.key)
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(both))
