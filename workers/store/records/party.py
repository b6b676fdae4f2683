"""What a party keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .sessions import Session, SessionChange


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShareRecord:
    """A key share with what its certificate covers.

    Attributes:
        owner: Client id, "" for clients without one, whichever of its tenants asked.
        facts: JSON of `contracts.keys.KeyFacts`. Public.
        certificates: Party id -> certificate; the share is usable when all are in.
        secret: The protocol's encoding of the share. Secret.
        active: All certificates are in.
    """

    key_session: bytes
    epoch: int
    owner: str
    key_id: str
    facts: str
    certificates: Mapping[str, bytes]
    secret: bytes = field(repr=False)
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceRecord:
    """A nonce pair made ahead. `secret` is the protocol's encoding of it. Secret."""

    nonce_id: bytes
    key_session: bytes
    epoch: int
    scheme: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignatureRecord:
    """This party's part of a presignature. `secret` is the protocol's encoding of it. Secret.

    Attributes:
        batch: The session that made it.
        position: In its batch, from 0.
    """

    batch: bytes
    position: int
    key_session: bytes
    epoch: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BanRecord:
    """A party with which this one makes no presignatures any more, and what it failed where.

    Attributes:
        at: Unix milliseconds by this party's clock.
    """

    party_id: str
    session_id: bytes
    check: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecord:
    """Two different messages that one party signed for the same place of a session.

    Attributes:
        first, second: Envelopes, byte for byte as they came.
        at: Unix milliseconds by this party's clock.
    """

    session_id: bytes
    slot: str
    sender: str
    first: bytes = field(repr=False)
    second: bytes = field(repr=False)
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyChange(SessionChange):
    """One delivery's transaction at a party.

    Attributes:
        key_share: Insert it, or replace the one of the same (key_session, epoch).
        take_nonce: Delete this nonce; if it is not there the whole change fails (NONCE_GONE).
        nonces: Insert these.
        take_presignatures: (batch, position) of each; delete them all. If one is not there, or
            named twice, the whole change fails (PRESIGNATURE_GONE).
        presignatures: Insert these.
        bans: Insert these; a party that is banned already stays so for the first reason.
        forget_sent: Delete what the session's earlier causes sent; nobody will ask for it again.
    """

    key_share: KeyShareRecord | None = None
    take_nonce: bytes | None = None
    nonces: tuple[NonceRecord, ...] = ()
    take_presignatures: tuple[tuple[bytes, int], ...] = ()
    presignatures: tuple[PresignatureRecord, ...] = ()
    bans: tuple[BanRecord, ...] = ()
    forget_sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningMaterial:
    """All that one signing delivery reads, fetched in one round trip.

    Attributes:
        presignatures: In the order in which they were asked for; None where one is not there.
    """

    session: Session | None
    key_share: KeyShareRecord | None
    nonce: NonceRecord | None
    presignatures: tuple[PresignatureRecord | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncarnationRecord:
    """Since when the database's round state, nonces and presignatures are of one piece, and why.

    Attributes:
        progress: What the witness compares; at least as much as it remembers.
        begun_at: Unix milliseconds by this party's clock.
    """

    FIRST: ClassVar[str] = "database and witness are new"
    """The reason of one that nothing was lost for."""

    incarnation: bytes
    progress: int
    begun_at: int
    reason: str

    def remembers(self, at: int) -> bool:
        """Whether what this party did at that time is still known."""
        return self.reason == self.FIRST or at > self.begun_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A verified envelope that came before its session."""

    session_id: bytes
    sender: str
    slot: str
    body: bytes
