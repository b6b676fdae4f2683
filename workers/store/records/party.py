"""What a party keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from .sessions import Session, SessionChange


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShareRecord:
    """A key share with what its certificate covers.

    Attributes:
        owner: As `KeyFacts.owner`. Where facts of version 1 leave the tenant open, that of the
            operators' list if it has come.
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
class TenantRecord:
    """Whose a key is of which its certificates, of version 1, do not tell the tenant.

    Attributes:
        owner: As `KeyFacts.owner`, with the tenant.
        tenant: None: the client's own.
        given_at: Unix milliseconds by this party's clock.
    """

    key_session: bytes
    owner: str
    tenant: str | None
    given_at: int


class EpochStatus(StrEnum):
    """How far an epoch of a key is at one party."""

    BEGUN = "begun"
    """A session is to make it. It stays so if that fails."""
    PENDING = "pending"
    """Our share of it is stored, if we get one, and what we have signed for it may be out; whether
    all others' is, we do not know."""
    CERTIFIED = "certified"
    """We have its bundle. The epoch before still signs."""
    ACTIVE = "active"
    """The highest of these signs."""
    SUSPENDED = "suspended"
    """Our share of it came from a backup: it is not used before other holders say that they know of
    no later epoch. The record's session is the number that we ask them with."""
    RETIRED = "retired"
    """All that we had of it is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStep:
    """What a session does to the epoch that it makes.

    Attributes:
        status: BEGUN, for the first; then PENDING, with our word for it and, if we get one, our
            share.
        owner: Whose request asks for it, as `Owner.name`.
        digest: Of the request's body.
        open_until: Until then anybody may give a word for it, by the store's clock; unix
            milliseconds.
    """

    key_session: bytes
    epoch: int
    status: EpochStatus
    owner: str
    digest: bytes
    open_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """An epoch that was begun here, or came with its bundle.

    Attributes:
        session_id: That makes it; empty of one that was there before there were any others.
        bundle: JSON of `contracts.keys.EpochBundle`, which was checked. Public.
        at: When it came to this status; Unix milliseconds by this party's clock.
        due_at: From when on it is to go on by itself, likewise: to be active if it is certified, to
            have those before it retired if it is active. None: it does not.
    """

    key_session: bytes
    epoch: int
    session_id: bytes
    status: EpochStatus
    bundle: str | None = None
    at: int
    due_at: int | None = None


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
class AnswerRecord:
    """That the change's session is one of an owner's request.

    Attributes:
        owner: As `Owner.name`.
        digest: Of the request's body.
        commits: With this change goes a signature share or a key certificate.
        counts_until: By the store's clock; unix milliseconds.
    """

    owner: str
    request_id: str
    digest: bytes
    commits: bool
    counts_until: int


@dataclass(frozen=True, slots=True)
class WordRecord:
    """An epoch of a key that this party had a hand in, or has proof of.

    Attributes:
        session_id: That made it; None where that was not kept.
    """

    epoch: int
    session_id: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseRecord:
    """That nothing is dealt of a key for the request's owner, as long as the request is forbidden.

    Attributes:
        epochs: All of the key's that may sign, as `PartyStore.signing_epochs` says.
    """

    key_session: bytes
    epochs: tuple[WordRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationRecord:
    """An owner's request for which nothing is to be committed any more.

    Attributes:
        owner: As `Owner.name`.
        issued_until: Whatever has its id and was issued until then; unix milliseconds.
        forbidden_until: From when on it would be refused for its age.
        statement: JSON of `contracts.statements.Statement`; None to state nothing.
        limit: Of the owner's live cancellations, and of its live promises.
        incarnation: In which the statement holds; in another one nothing is written.
        promise: With a statement that names a key.
    """

    owner: str
    request_id: str
    issued_until: int
    forbidden_until: int
    statement: str | None
    limit: int
    incarnation: bytes
    promise: PromiseRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyChange(SessionChange):
    """One delivery's transaction at a party.

    Attributes:
        key_share: Insert it, or replace the one of the same (key_session, epoch) unless it is
            active; one that comes with `epoch` replaces none. If another key has its owner and key
            id, the whole change fails (KEY_EXISTS).
        epoch: Begin it: the whole change fails (EPOCH_TAKEN) unless it is above all of its key that
            were ever begun here; and (KEY_BUSY) as long as one that another request asked for may
            still be made: it is under way here, or our word is out and others may give theirs. Or
            move it on: likewise (EPOCH_TAKEN), unless this session has just begun it. Either fails
            (PROMISED) as long as nothing is to be dealt of the key.
        take_nonce: Delete this nonce; if it is not there the whole change fails (NONCE_GONE).
        nonces: Insert these.
        take_presignatures: (batch, position) of each; delete them all. If one is not there, or
            named twice, the whole change fails (PRESIGNATURE_GONE).
        presignatures: Insert these.
        bans: Insert these; a party that is banned already stays so for the first reason.
        forget_sent: Delete what the session's earlier causes sent; nobody will ask for it again.
        answers: Remember it. The whole change fails if the request was cancelled (CANCELLED) or
            counts no more (EXPIRED), if another came under its id (OTHER_REQUEST), or if
            `MAX_TRIES` other sessions answered it (TOO_MANY_TRIES).
        forbids: Let every change fail that answers it from now on, and end its sessions. The whole
            change fails if it has a statement and one did answer (ALREADY_SIGNED), if the owner has
            too many of these or too many promises (OVERLOADED), or if its promise leaves out an
            epoch, or cannot name it by its session (EPOCH_TAKEN).
        at: Unix milliseconds by this party's clock, for these and the epoch.
    """

    key_share: KeyShareRecord | None = None
    epoch: EpochStep | None = None
    take_nonce: bytes | None = None
    nonces: tuple[NonceRecord, ...] = ()
    take_presignatures: tuple[tuple[bytes, int], ...] = ()
    presignatures: tuple[PresignatureRecord, ...] = ()
    bans: tuple[BanRecord, ...] = ()
    forget_sent: bool = False
    answers: AnswerRecord | None = None
    forbids: CancellationRecord | None = None
    at: int = 0


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

    @property
    def is_first(self) -> bool:
        return self.reason == self.FIRST

    def remembers(self, at: int, *, tolerance_ms: int) -> bool:
        """Whether what this party did about anything that was issued then is still known, by a
        clock that may be off by so much."""
        return self.is_first or at > self.begun_at + tolerance_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A verified envelope that came before its session."""

    session_id: bytes
    sender: str
    slot: str
    body: bytes
