"""What the stores keep, as values. Plain here; sealed on their way to the database.

A *change* is one transaction: everything in it happens, or nothing does. `cause` names the
delivery that made it, so that the same delivery, come again, finds the bytes it sent.
"""

from .accounts import AccountRecord, ApiKeyEntryRecord, ApiKeyRecord, StoredAccount
from .coordinator import (
    REFUSED,
    Admission,
    CommitmentRecord,
    CoordinatorChange,
    Event,
    KeyEpoch,
    KeyRecord,
    PartySeen,
    RequestRecord,
    StoredEvent,
)
from .lists import ListEntryRecord
from .party import (
    AnswerRecord,
    BanRecord,
    CancellationRecord,
    EpochRecord,
    EpochStatus,
    EpochStep,
    EvidenceRecord,
    IncarnationRecord,
    KeyShareRecord,
    NonceRecord,
    Parked,
    PartyChange,
    PresignatureRecord,
    SigningMaterial,
    TenantRecord,
)
from .pools import (
    BatchRecord,
    PooledPresignature,
    PoolName,
    PoolRecord,
    QuarrelRecord,
    WaiterRecord,
    WaitingSession,
)
from .sessions import (
    Outcome,
    Outgoing,
    Received,
    Session,
    SessionChange,
)

__all__ = [
    "REFUSED",
    "AccountRecord",
    "Admission",
    "AnswerRecord",
    "ApiKeyEntryRecord",
    "ApiKeyRecord",
    "BanRecord",
    "BatchRecord",
    "CancellationRecord",
    "CommitmentRecord",
    "CoordinatorChange",
    "EpochRecord",
    "EpochStatus",
    "EpochStep",
    "Event",
    "EvidenceRecord",
    "IncarnationRecord",
    "KeyEpoch",
    "KeyRecord",
    "KeyShareRecord",
    "ListEntryRecord",
    "NonceRecord",
    "Outcome",
    "Outgoing",
    "Parked",
    "PartyChange",
    "PartySeen",
    "PoolName",
    "PoolRecord",
    "PooledPresignature",
    "PresignatureRecord",
    "QuarrelRecord",
    "Received",
    "RequestRecord",
    "Session",
    "SessionChange",
    "SigningMaterial",
    "StoredAccount",
    "StoredEvent",
    "TenantRecord",
    "WaiterRecord",
    "WaitingSession",
]
