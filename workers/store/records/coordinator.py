"""What the coordinator keeps. Nothing of it is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .accounts import AccountRecord
from .pools import BatchRecord, PooledPresignature, QuarrelRecord, WaiterRecord
from .sessions import Outgoing, SessionChange

REFUSED = "refused"
"""Protocol and cause of a session that is none, see `RequestRecord.refused`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request that was accepted or refused. (owner, request_id) is unique.

    Attributes:
        digest: Tells a repeat from a conflict.
        result: The result's message, once there is one.
        refused: Its session is none: it ended before it began, and says nothing but the result.
    """

    owner: str
    request_id: str
    operation: str
    digest: bytes
    body: bytes
    signature: bytes
    session_id: bytes
    result: Outgoing | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of a session's history; `sequence` and time are the store's to give."""

    event: str
    party_id: str | None = None
    details: str = "{}"
    """JSON object. Never secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event with its place in the session's history."""

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
class KeyEpoch:
    """A later epoch of a key: begun by a session, and made by it if that came to its end.

    Attributes:
        session_id: The reshare's.
        bundle: JSON of `contracts.keys.EpochBundle`, once it is made.
        signs_from: Unix milliseconds; until then requests go to the holders of the one before.
        due_at: When something more is to be done for it, if anything is.
    """

    key_session: bytes
    epoch: int
    session_id: bytes
    bundle: str | None = None
    signs_from: int | None = None
    due_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementRecord:
    """A holder that an epoch of a key concerns, and what it has said of those below.

    Attributes:
        shown: How often it was shown again what proves the epoch.
        due_at: When it is shown that next, Unix milliseconds; None: no more.
        retirement: JSON of `contracts.retirements.Retirement`, once it has come.
    """

    key_session: bytes
    epoch: int
    party_id: str
    shown: int = 0
    due_at: int | None = None
    retirement: str | None = None


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
        request: Insert it, in the place of a refused one that was other bytes; DUPLICATE_REQUEST
            if the id is taken otherwise, CANCELLED if it is cancelled and this is no refusal.
        result: Becomes the result of the session's request, and is sent like `outgoing`.
        presignatures: Put these into their pools.
        batch: The session makes presignatures; BATCH_REFUSED if too many do. Until it ends.
        waiter: The session waits for presignatures from now on, behind those who wait already.
        served: It waits no more, as it does not when it ends.
        quarrels: Insert these; the latest of an accuser and an accused stays.
        succeeds: The ended session whose request this new one takes over; LOST_RACE if that
            request has its result, or another session.
        account: What `reserve_key` is for; takes the place of an account whose session failed.
        epoch: Begun by this new session, unless one that is not below it was begun before:
            EPOCH_TAKEN. Or made by it, with its bundle.
        made: The same epoch's certified key, as JSON of `contracts.keys.CertifiedKey`.
        retirements: Those whom the epoch that is made concerns; none of them has said anything.
        cancels: (owner, request id) of a request that this session is to cancel. CANCELLED for
            whoever brings that request afterwards, be it in the same moment.
    """

    reserve_key: tuple[str, str] | None = None
    request: RequestRecord | None = None
    events: tuple[Event, ...] = ()
    key: KeyRecord | None = None
    commitments: tuple[CommitmentRecord, ...] = ()
    result: Outgoing | None = None
    presignatures: tuple[PooledPresignature, ...] = ()
    batch: BatchRecord | None = None
    waiter: WaiterRecord | None = None
    served: bool = False
    quarrels: tuple[QuarrelRecord, ...] = ()
    succeeds: bytes | None = None
    account: AccountRecord | None = None
    epoch: KeyEpoch | None = None
    made: str | None = None
    retirements: tuple[RetirementRecord, ...] = ()
    cancels: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the coordinator reads before it accepts a request.

    Attributes:
        request: The same client's request of the same id, if there is one; then nothing was
            claimed.
        claimed: Party id -> a commitment that is now ours alone; parties without one are absent.
        presignatures: Of one signer set, now ours alone; as many as were wanted, or none.
    """

    request: RequestRecord | None
    claimed: Mapping[str, CommitmentRecord]
    presignatures: tuple[PooledPresignature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySeen:
    """A party's last sign of life."""

    party_id: str
    last_seen: int
    """Unix milliseconds by the coordinator's database."""
