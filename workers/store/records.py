"""What the stores keep, as values. Plain here; sealed on their way to the database.

A *change* is one transaction: everything in it happens, or nothing does. `cause` names the
delivery that made it, so that the same delivery, come again, finds the bytes it sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Outcome(Enum):
    """Of a commit."""

    COMMITTED = auto()
    LOST_RACE = auto()
    """Another worker moved the session on, or it is over; nothing was written. Load it again."""
    NONCE_GONE = auto()
    """The nonce was used or never ours; nothing was written."""
    DUPLICATE_REQUEST = auto()
    """The client's request id is taken; nothing was written."""
    KEY_EXISTS = auto()
    """The client's key id is taken; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that leaves after the commit, as the exact bytes."""

    exchange: str
    routing_key: str
    kind: str
    """AMQP ``type``."""
    content_type: str
    message_id: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An inbox row; (session, slot, sender) is unique, the digest tells a repeat from a lie."""

    slot: str
    sender: str
    digest: bytes
    """SHA-256 of what was signed."""
    body: bytes = field(repr=False)
    """Secret at a party: it may have been opened already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as one role's database has it.

    Attributes:
        version: Rises by one with each change; 0 does not exist yet.
        status: A `contracts.results.Status` value.
        deadline: Unix milliseconds by this database's role's own clock.
        state: What the next step needs, encoded. Secret at a party.
    """

    session_id: bytes
    version: int
    protocol: str
    key_session: bytes | None
    status: str
    deadline: int
    state: bytes = field(repr=False)
    received: tuple[Received, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChange:
    """What every change does to its session, in both roles.

    A change to a final status is a session's last one; a party's store forgets its state and inbox.

    Attributes:
        expected_version: The version that was loaded; 0 to create the session.
    """

    session_id: bytes
    expected_version: int
    protocol: str
    key_session: bytes | None
    status: str
    deadline: int
    state: bytes = field(repr=False)
    cause: str
    received: tuple[Received, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()


###
### Party
###


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShareRecord:
    """A key share with what its certificate covers.

    Attributes:
        owner: Client id, "" for clients without one.
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
class PartyChange(SessionChange):
    """One delivery's transaction at a party.

    Attributes:
        key_share: Insert it, or replace the one of the same (key_session, epoch).
        take_nonce: Delete this nonce; if it is not there the whole change fails (NONCE_GONE).
        nonces: Insert these.
    """

    key_share: KeyShareRecord | None = None
    take_nonce: bytes | None = None
    nonces: tuple[NonceRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningMaterial:
    """All that one signing delivery reads, fetched in one round trip."""

    session: Session | None
    key_share: KeyShareRecord | None
    nonce: NonceRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A verified envelope that came before its session."""

    session_id: bytes
    sender: str
    slot: str
    body: bytes


###
### Coordinator
###


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request that was accepted. (owner, request_id) is unique.

    Attributes:
        digest: Tells a repeat from a conflict.
        result: The result's message, once there is one.
    """

    owner: str
    request_id: str
    operation: str
    digest: bytes
    body: bytes
    signature: bytes
    session_id: bytes
    result: Outgoing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of a session's history; `sequence` and time are the store's to give."""

    event: str
    party_id: str | None = None
    details: str = "{}"
    """JSON object. Never secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    sequence: int
    at: int
    event: str
    party_id: str | None
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key with all certificates. (owner, key_id) is unique.

    Attributes:
        certified: JSON of `contracts.keys.CertifiedKey`.
    """

    owner: str
    key_id: str
    key_session: bytes
    epoch: int
    curve: str
    certified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRecord:
    """A party's nonce commitment, waiting to be used once."""

    nonce_id: bytes
    key_session: bytes
    epoch: int
    scheme: str
    party_id: str
    commitment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorChange(SessionChange):
    """One delivery's transaction at the coordinator.

    Attributes:
        reserve_key: (owner, key_id) that this new session is to make; KEY_EXISTS if the name is
            taken by a key or by another unfinished session. Freed when the session ends without
            a key.
        request: Insert it; DUPLICATE_REQUEST if it is there.
        result: Becomes the result of the session's request, and is sent like `outgoing`.
    """

    reserve_key: tuple[str, str] | None = None
    request: RequestRecord | None = None
    events: tuple[Event, ...] = ()
    key: KeyRecord | None = None
    commitments: tuple[CommitmentRecord, ...] = ()
    result: Outgoing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the coordinator reads before it accepts a request.

    Attributes:
        request: The same client's request of the same id, if there is one; then nothing was
            claimed.
        claimed: Party id -> a commitment that is now ours alone; parties without one are absent.
    """

    request: RequestRecord | None
    claimed: Mapping[str, CommitmentRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySeen:
    party_id: str
    last_seen: int
    """Unix milliseconds by the coordinator's database."""
