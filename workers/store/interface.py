"""What a store can do. Two backends stand behind each interface, held to one test battery.

Every method is one transaction; where a backend writes several in one, nothing of one depends on
the others: see `gathering`. Methods raise `StoreUnavailableError` when the database cannot be
reached or gave up on the transaction; then the delivery goes back to its queue. It may have been
committed all the same: whoever was cut off before the answer learns it from the next `commit`,
which is LOST_RACE, and loads the session again.

At a party, what was sealed is opened on its way out: `sealing.SealError` if that cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from .accounts import CoordinatorAccounts
from .database import Row
from .pools import CoordinatorPools
from .records import (
    Admission,
    BanRecord,
    CoordinatorChange,
    EpochRecord,
    EvidenceRecord,
    IncarnationRecord,
    KeyEpoch,
    KeyRecord,
    KeyShareRecord,
    ListEntryRecord,
    Outcome,
    Outgoing,
    Parked,
    PartyChange,
    PartySeen,
    RequestRecord,
    Session,
    SigningMaterial,
    StoredEvent,
    TenantRecord,
    WordRecord,
)
from .retirements import CoordinatorRetirements, PartyRetirements
from .rows.sealed import Sealed


class StoreUnavailableError(Exception):
    """The database is away or would not have the transaction now. Try again later."""


class ReadOnlyError(StoreUnavailableError):
    """The database answers and takes no changes: a standby, or made read-only by somebody."""


class PoolerError(StoreUnavailableError):
    """A pooler before the database leaves us no session of its server: says what to do. Whoever
    opens a store is told by a SchemaError; this is for one that was changed afterwards."""


class TlsRefusedError(StoreUnavailableError):
    """TLS keeps us from the database: its certificate, ours, or a file. Whoever opens a store is
    told by a SchemaError; this is for what was changed afterwards."""


class SchemaError(Exception):
    """The database is not as this version needs it: its schema, or what stands before it. Says what
    mends it."""


class WitnessError(Exception):
    """The file outside of the database cannot be kept; says what to do."""


class SessionStore(Protocol):
    """What both roles need."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def ping(self) -> None:
        """Raises StoreUnavailableError or SchemaError."""

    async def require_able(self) -> None:
        """The same, and that it takes changes: raises ReadOnlyError where it does not."""

    async def session(self, session_id: bytes) -> Session | None:
        """With its whole inbox; None if it is not known here, or not any more."""

    async def outgoing(self, session_id: bytes, cause: str) -> tuple[Outgoing, ...]:
        """What the change of this cause sent, byte for byte and in order."""

    async def overdue(self, now: int, limit: int) -> list[bytes]:
        """Unfinished sessions whose deadline is before `now`, oldest first."""

    async def owe(self, session_id: bytes, now: int) -> None:
        """Mark an unfinished session before a sweep ends it. What that end sends, no delivery asks
        for again; so the mark stays until it is sent."""

    async def owing(self, before: int, limit: int) -> list[bytes]:
        """Finished sessions that were marked before `before` and still are, oldest first."""

    async def paid(self, session_id: bytes) -> None:
        """Take the mark away: all is sent."""

    async def now(self) -> int:
        """The clock by which sessions end here, Unix milliseconds: the database's own, where it
        has one."""

    async def purge(self, *, ended_before: int) -> int:
        """Forget finished sessions with all rows of theirs; returns how many.

        A few thousand at once and no more: call again while there are any.
        """

    async def add_list_entry(self, entry: ListEntryRecord, previous: bytes) -> bool:
        """Go on with a list that operators sign. True if the entry stands in it, be it since
        earlier; False if another one does, or if the entry before is not there or not the one with
        the digest `previous`."""

    async def list_entries(
        self, list_name: str, *, after: int, limit: int
    ) -> list[ListEntryRecord]:
        """In their order, from the first one after number `after`."""


class PartyStore(SessionStore, PartyRetirements, Protocol):
    """Opened without a witness, it is for key shares, bans and evidence only: it neither seals nor
    opens round state, nonces or presignatures (NoIncarnationError)."""

    async def commit(self, change: PartyChange) -> Outcome:
        """LOST_RACE also if (session, slot, sender) was received, or `cause` sent, before."""

    async def signing_material(
        self,
        session_id: bytes,
        *,
        key_session: bytes,
        epoch: int,
        nonce_id: bytes | None = None,
        presignatures: Sequence[tuple[bytes, int]] = (),
    ) -> SigningMaterial:
        """What is there of it; `presignatures` are named by batch and position.

        A nonce or presignature comes as it was stored, be it for another key or epoch.
        """

    async def key_share(self, key_session: bytes, epoch: int) -> KeyShareRecord | None:
        """With its secret, opened. Not usable if its epoch is over, whatever the database says.
        Raises SealError."""

    async def key_shares(self, owner: str | None = None) -> list[KeyShareRecord]:
        """All key shares, `secret` left empty."""

    async def name_taken(self, owner: str, key_id: str, key_session: bytes) -> bool:
        """Whether another key than that session's was ever certified here under this name."""

    async def epochs(self, key_session: bytes) -> list[EpochRecord]:
        """Of one key, by their number: all that were begun here, proven here or retired here."""

    async def signing_epochs(self, key_session: bytes) -> list[WordRecord]:
        """Of one key, by their number: all but the first for which this party's word may be out, or
        which it has proof of. Without those that one comes from which it has proof of."""

    async def promised(self, key_session: bytes, owner: str, now: int) -> bool:
        """Whether this party has promised that owner to deal nothing of the key for now."""

    async def is_busy(self, key_session: bytes, digest: bytes, now: int) -> bool:
        """Whether an epoch of the key that another request asked for may still be made here, as
        `PartyChange.epoch` says; by the clock of `now`."""

    async def owners(self, key_session: bytes) -> list[str]:
        """Whose the shares of a key are; none or one."""

    async def certify_epoch(
        self,
        record: EpochRecord,
        certificates: Mapping[str, bytes] | None,
        *,
        before: WordRecord | None = None,
    ) -> bool:
        """Keep the bundle that proves an epoch, whoever made it. False if there was one already.

        Arguments:
            certificates: Of all holders, for our share of it, which may be used from now on. None
                deletes what we hold of its number: a share of other facts, which nothing will ever
                prove.
            before: The epoch that it comes from; None of a key's first one.
        """

    async def activate_epoch(self, key_session: bytes, epoch: int, now: int, due_at: int) -> bool:
        """Nothing more begins with shares of those before it, which at `due_at` are to be retired.
        False if it is not certified (no more), or a higher one is active."""

    async def keys_due(self, now: int, limit: int) -> list[bytes]:
        """Keys with an epoch that is to go on, first those that wait the longest."""

    async def sessions_under_way(self, key_session: bytes) -> list[bytes]:
        """Of this key, and not over."""

    async def retire_epochs(
        self, key_session: bytes, below: int, sessions: Sequence[bytes], now: int, retirement: str
    ) -> bool:
        """Remember outside of the database that all lower epochs are over, and erase what opens
        their shares; then delete these, nonces and presignatures, end these sessions, in which they
        are used, and keep what is to be told of it. False, and nothing is done, unless the epoch
        `below` is active."""

    async def purge_retired(self, *, since: int) -> int:
        """Delete nonces and presignatures of epochs that were retired since: a session that nobody
        thought of may have added some in that moment. Returns how many."""

    async def give_tenant(self, given: TenantRecord) -> Outcome:
        """LOST_RACE if the key was given a tenant before, or is not here; KEY_EXISTS if the owner
        has another key of its id."""

    async def tenants(self) -> list[TenantRecord]:
        """Those that were given, by key."""

    async def trim_nonces(self, key_session: bytes, epoch: int, scheme: str, keep: int) -> int:
        """Delete the oldest nonces beyond `keep`; returns how many."""

    async def trim_presignatures(
        self, key_session: bytes, epoch: int, *, keep: int, keep_in_all: int
    ) -> int:
        """Delete this key's oldest presignatures beyond `keep`, then the oldest of all keys' beyond
        `keep_in_all`; returns how many. Reads them all: for each batch, not for each signature."""

    async def park(self, parked: Parked, *, max_count: int, max_bytes: int, now: int) -> bool:
        """Keep a message whose session is not there yet, once for (session, slot, sender).

        False if its sender has parked as much as it may, or the session is there already. Whatever
        was parked is seen by `parked` after the commit that makes the session.
        """

    async def parked(self, session_id: bytes) -> list[Parked]:
        """In the order in which they came."""

    async def unpark(self, session_id: bytes) -> None:
        """Forget what was parked for the session, once it was played."""

    async def purge_parked(self, *, before: int) -> int:
        """Forget what was parked for sessions that never began; returns how much."""

    async def end(self, session_id: bytes, status: str, now: int) -> bool:
        """Tombstone: from now on the session is `status`, even if it was never here; its round
        state and inbox are wiped. False if it was over already.

        Over already or not, the presignatures that it made are deleted: a batch that failed
        anywhere dies everywhere.
        """

    async def memory(self) -> IncarnationRecord:
        """The incarnation that we are in, as it was when we first asked: since when we remember.
        Asks the database once for each."""

    async def statement(self, owner: str, request_id: str) -> str | None:
        """The one that a cancellation of the request was answered with, as long as it is kept."""

    async def sessions_of(self, owner: str, request_id: str) -> list[bytes]:
        """Those that began here, over or not."""

    async def purge_answers(self, *, before: int) -> int:
        """Forget which sessions answered what before then; returns how many. As `purge`."""

    async def purge_cancellations(self, *, before: int) -> int:
        """Forget those that forbade nothing more from then on; returns how many."""

    async def bans(self) -> list[BanRecord]:
        """By party id."""

    async def lift_ban(self, party_id: str) -> bool:
        """False if there was none."""

    async def keep_evidence(self, evidence: EvidenceRecord, *, max_count: int) -> bool:
        """In a transaction of its own, before the one that wipes the session's inbox: it proves
        what it proves whether that one comes or not.

        False if there is some of this place already, or so much of this sender.
        """

    async def evidence(self) -> list[EvidenceRecord]:
        """The latest first. It stays until it is discarded."""

    async def discard_evidence(self, session_id: bytes) -> int:
        """Returns how much there was."""

    async def attest(self) -> None:
        """Compare the database with the witness, and tell it how far the database has come; every
        few seconds. Does nothing without a witness.

        Where the two do not agree, a new incarnation begins and the ephemeral tables are emptied.
        """

    async def incarnation(self) -> IncarnationRecord | None:
        """None if the database is in none."""

    async def begin_incarnation(self, reason: str) -> None:
        """Empty the ephemeral tables, whatever the witness says."""

    async def count_sealed(self, kind: Sealed) -> int:
        """How many rows have a value of this kind."""

    async def sealed_page(
        self, kind: Sealed, after: tuple[object, ...] | None, limit: int
    ) -> Sequence[Row]:
        """The rows whose key comes next after this one; None: the first."""

    async def replace_sealed(self, kind: Sealed, row: Row, secret: bytes) -> bool:
        """Another sealed value in the row's place. False if it is gone, or was changed."""

    async def states_under_way(self) -> list[bytes]:
        """Of sessions that are not over, sealed as they are."""

    async def sealed_key_shares(self) -> list[KeyShareRecord]:
        """All of them, each `secret` as it is stored: sealed to this party."""

    async def add_sealed_key_shares(
        self, shares: Sequence[KeyShareRecord], *, suspended_at: int | None = None
    ) -> bool:
        """Add all of them, or none if there is one of the same key already, whatever its epoch, or
        if one is below an epoch that was proven here, or was retired. Each `secret` is stored as it
        is.

        Arguments:
            suspended_at: From then on others are to be asked before the usable ones may be used:
                see `EpochStatus.SUSPENDED`.
        """

    async def resume_epoch(self, key_session: bytes, epoch: int, now: int) -> bool:
        """Use a share that was suspended. False if it is not, or not any more."""

    async def put_off_epoch(self, key_session: bytes, epoch: int, due_at: int | None) -> None:
        """When it is to go on."""

    async def outdated(self, shares: Sequence[KeyShareRecord]) -> list[KeyShareRecord]:
        """Those of epochs that are over, as the database tells or what is kept outside of it.
        Raises WitnessError."""


class CoordinatorStore(
    SessionStore, CoordinatorAccounts, CoordinatorPools, CoordinatorRetirements, Protocol
):
    """What the coordinator needs besides."""

    async def commit(self, change: CoordinatorChange) -> Outcome:
        """LOST_RACE also if (session, slot, sender) was received, or `cause` sent, before."""

    async def admit(
        self,
        owner: str,
        request_id: str,
        digest: bytes,
        *,
        key_session: bytes | None = None,
        epoch: int = 0,
        scheme: str = "",
        parties: Sequence[str] = (),
        pools: Sequence[str] = (),
        presignatures: int = 0,
    ) -> Admission:
        """Look for the request; if it is new, claim what it is to be signed with.

        Without `pools`, that is one commitment of each of the parties. With them, signer sets as in
        `PoolName.signers`, it is so many presignatures of the first of these pools that has as many
        besides what others wait for, the newest ones; or none.
        """

    async def forget_commitments(
        self, key_session: bytes, epoch: int, scheme: str, party_id: str
    ) -> int:
        """Drop what a party announced and cannot keep; returns how many there were."""

    async def unfinished(self) -> dict[str, int]:
        """Owner -> how many of its requests have a session that is not over."""

    async def finished(self, session_ids: Sequence[bytes]) -> list[bytes]:
        """Those of them that are over, or not known any more, in any order."""

    async def request(
        self, owner: str, request_id: str, digest: bytes | None = None
    ) -> RequestRecord | None:
        """
        Arguments:
            digest: Of a request that wants the id; then one that was refused and is other bytes
                does not stand in its way, and is not found.
        """

    async def request_of(self, session_id: bytes) -> RequestRecord | None:
        """The request that the session serves; None for a batch."""

    async def key(self, owner: str, key_id: str) -> KeyRecord | None:
        """The key that the owner calls so."""

    async def key_of(self, key_session: bytes) -> KeyRecord | None:
        """The key that this session made."""

    async def keys(self, owner: str, *, after: str = "", limit: int = 1000) -> list[KeyRecord]:
        """In the order of their ids, from the first one after `after`."""

    async def all_keys(self, *, after: bytes = b"", limit: int) -> list[KeyRecord]:
        """Of every owner, in the order of their sessions, from the first one after `after`."""

    async def key_epochs(self, key_session: bytes) -> list[KeyEpoch]:
        """A key's later epochs that were begun here, in order; none of most keys."""

    async def reshare_under_way(self, key_session: bytes) -> bool:
        """Whether a request that was to make an epoch of the key has no result yet."""

    async def key_epochs_due(self, now: int, limit: int) -> list[KeyEpoch]:
        """Those for which something is to be done, the longest due first."""

    async def put_off_key_epoch(self, key_session: bytes, epoch: int, due_at: int | None) -> None:
        """When the next thing is to be done for an epoch; None: nothing is."""

    async def forget_epochs_below(self, key_session: bytes, epoch: int) -> None:
        """What was made ahead for a key's lower epochs: commitments, presignatures, pools."""

    async def events(self, session_id: bytes) -> list[StoredEvent]:
        """The session's history, from its beginning."""

    async def seen(self, party_id: str, now: int) -> None:
        """Note a sign of life. They may overtake each other; the latest counts."""

    async def parties(self) -> list[PartySeen]:
        """All that ever gave a sign of life, by id."""
