"""What both roles keep of a session, and how a change of it ends."""

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
    PRESIGNATURE_GONE = auto()
    """A presignature was used, forgotten or never ours; nothing was written."""
    CANCELLED = auto()
    """The request was cancelled; nothing was written."""
    EXPIRED = auto()
    """The request counts no more; nothing was written."""
    OTHER_REQUEST = auto()
    """Another request of its owner came under its id; nothing was written."""
    TOO_MANY_TRIES = auto()
    """The request was answered in as many other sessions as may be; nothing was written."""
    ALREADY_SIGNED = auto()
    """The request to be forbidden was answered; nothing was written."""
    OVERLOADED = auto()
    """The owner has as many cancellations as it may; nothing was written."""
    DUPLICATE_REQUEST = auto()
    """The client's request id is taken; nothing was written."""
    KEY_EXISTS = auto()
    """The client's key id is taken; nothing was written."""
    BATCH_REFUSED = auto()
    """As many batches are in the making as may be; nothing was written."""
    EPOCH_TAKEN = auto()
    """The epoch is another session's, or not above all that were begun, or there is one that was
    not named; nothing was written."""
    KEY_BUSY = auto()
    """Another request's reshare of the key may still be done; nothing was written."""
    EPOCH_OVER = auto()
    """What it is about is of an epoch that is over; nothing was written."""
    PROMISED = auto()
    """It was promised that nothing is dealt of the key for now; nothing was written."""


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
        erased_with: At a party, the epoch of the session's key, or of the key that it makes, with
            which the end of what the state tells has come: from then on no copy of it opens. None:
            it tells of no share.
    """

    session_id: bytes
    expected_version: int
    protocol: str
    key_session: bytes | None
    status: str
    deadline: int
    state: bytes = field(repr=False)
    cause: str
    erased_with: int | None = None
    received: tuple[Received, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()
