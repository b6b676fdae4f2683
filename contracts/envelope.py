"""What parties and coordinator send to each other: signed bytes.

The envelope is opaque to the broker, and those between parties to the coordinator but for their
header; a sender is believed because of the signature and for nothing else. Session, epoch, round,
from and to are signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .encoding import pack, unpack
from .errors import ContractError, UnauthenticatedError
from .identity import Identity, PublicIdentity
from .primitives import MAX_MESSAGE_BYTES

ENVELOPE_TAG = b"warren/envelope/v1"
EVERYONE = "*"
COORDINATOR = "@coordinator"
"""Neither is an id that a party can have."""

CONTENT_TYPE = "application/x-warren-envelope"
MAX_ENVELOPE_BYTES = 64 * MAX_MESSAGE_BYTES
"""4 MiB. The largest is the last round of a batch of 64 presignatures, 2.7 MB."""
NO_SESSION = bytes(32)
"""Stands for the session in reports that belong to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """
    Attributes:
        session_id: 32 bytes.
        kind: What the payload is, e.g. ``keygen``, ``party_joined`` or ``session_created``.
        round: 0 for reports and instructions, from 1 in a protocol.
        sender: Party id or `COORDINATOR`; believed only after `verify`.
        recipient: Party id, `EVERYONE` or `COORDINATOR`.
    """

    session_id: bytes
    epoch: int
    kind: str
    round: int
    sender: str
    recipient: str
    payload: bytes

    def content(self) -> bytes:
        """The bytes that are signed."""
        return pack(
            (
                self.session_id,
                self.epoch.to_bytes(4),
                self.kind.encode(),
                self.round.to_bytes(1),
                self.sender.encode(),
                self.recipient.encode(),
                self.payload,
            )
        )

    def digest(self) -> bytes:
        """SHA-256 of what is signed, without the signature: ECDSA signatures are malleable,
        and a second valid one over the same bytes is no second message."""
        return hashlib.sha256(self.content()).digest()

    def seal(self, identity: Identity) -> bytes:
        """The bytes to send: content and signature. Made once, stored, sent as often as needed."""
        content = self.content()
        return pack((content, identity.sign(ENVELOPE_TAG, content)))


@dataclass(frozen=True, slots=True)
class UnverifiedEnvelope:
    """Parsed, and not to be believed before `verify`."""

    claimed: Envelope
    content: bytes
    signature: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> UnverifiedEnvelope:
        """Raises UnauthenticatedError if the bytes are not an envelope, whoever signed them."""
        try:
            return cls._parsed(data)
        except ContractError as error:
            raise UnauthenticatedError(str(error), kind="malformed") from None

    @classmethod
    def _parsed(cls, data: bytes) -> UnverifiedEnvelope:
        if len(data) > MAX_ENVELOPE_BYTES:
            raise ContractError(f"{len(data)} bytes; an envelope has at most {MAX_ENVELOPE_BYTES}")
        content, signature = unpack(data, 2)
        session_id, epoch, kind, round_, sender, recipient, payload = unpack(content, 7)
        if len(session_id) != 32 or len(epoch) != 4 or len(round_) != 1:
            raise ContractError("an envelope's fixed-width field has another width")
        try:
            claimed = Envelope(
                session_id=session_id,
                epoch=int.from_bytes(epoch),
                kind=kind.decode("ascii"),
                round=round_[0],
                sender=sender.decode("ascii"),
                recipient=recipient.decode("ascii"),
                payload=payload,
            )
        except UnicodeDecodeError:
            raise ContractError("an envelope's names are ASCII") from None
        return cls(claimed, content, signature)

    def verify(self, sender: PublicIdentity) -> Envelope:
        """Raises UnauthenticatedError unless the claimed sender's identity signed it."""
        sender.verify(ENVELOPE_TAG, self.content, self.signature)
        return self.claimed
