# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""What of a party's store has to do with epochs that are over, in words that both databases
understand.

Of such an epoch nothing opens any more, whatever stands in the database: what a session or a
database that went back still has of it counts as deleted.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from contracts.results import Status

from ..database import Database, RefusedError, Row
from ..interface import StoreUnavailableError, WitnessError
from ..records import KeyShareRecord, Outcome, PartyChange, Session
from ..rows import party as rows
from ..rows.party import PartyRows
from ..sealing import ErasedError
from ..tombstones import Tombstones
from .retirements import SharedPartyRetirements
from .sessions import PURGED_AT_ONCE

T = TypeVar("T")

ACTIVE_EPOCH = "SELECT 1 FROM epochs WHERE key_session = $1 AND epoch = $2 AND status = 'active'"

EPOCH = "SELECT 1 FROM epochs WHERE key_session = $1 AND epoch = $2"

# Sessions that are about to be forgotten, and the epochs that they were to make and did not: there
# is no share of any. Those that they deal from have one.
MADE_NOTHING = f"""
    SELECT session_id AS key_session, 0 AS epoch, ended_at FROM sessions
    WHERE ended_at < $1 AND protocol = 'keygen' AND status <> 'completed'
        AND NOT EXISTS (SELECT 1 FROM key_shares WHERE key_session = sessions.session_id)
    UNION ALL
    SELECT epochs.key_session, epochs.epoch, ended_at
    FROM sessions JOIN epochs ON epochs.key_session = sessions.key_session
        AND epochs.session_id = sessions.session_id
    WHERE ended_at < $1 AND protocol = 'reshare' AND sessions.status <> 'completed'
        AND NOT EXISTS (
            SELECT 1 FROM key_shares
            WHERE key_session = epochs.key_session AND epoch = epochs.epoch
        )
    ORDER BY 3
    LIMIT {PURGED_AT_ONCE}
"""


@contextmanager
def _unavailable() -> Iterator[None]:
    """At work, a file that cannot be kept is as good as a database that is away."""
    try:
        yield
    except WitnessError as error:
        raise StoreUnavailableError(str(error)) from None


class ErasingStore(SharedPartyRetirements):
    """Remembers which epochs are over, outside of the database."""

    def __init__(self, database: Database, rows: PartyRows, tombstones: Tombstones | None) -> None:
        super().__init__(database, rows, "party")
        self._tombstones = tombstones
        self._rows: PartyRows = rows

    ###
    ### What is read
    ###

    async def session(self, session_id: bytes) -> Session | None:
        """One whose epoch is over is over too: whoever comes first ends it."""
        try:
            with _unavailable():
                return await self._session(session_id)
        except ErasedError:
            await self.end(session_id, Status.FAILED.value, await self.now())
            return await self._session(session_id)

    def _key_share(self, row: Row) -> KeyShareRecord:
        """Opened, unless it is over: a database that went back may hold such. Raises SealError."""
        share = rows.sealed_key_share(row)
        with _unavailable():
            opened = None if self._is_over(share) else _unless_over(self._rows.key_share, row)
        return replace(share, secret=b"", active=False) if opened is None else opened

    def _unless_over(self, opened: Callable[[Row], T], row: Row) -> T | None:
        """What was made ahead, or None. Raises SealError."""
        with _unavailable():
            return _unless_over(opened, row)

    def _over(self, share: KeyShareRecord) -> bool:
        with _unavailable():
            return self._is_over(share)

    def _is_over(self, share: KeyShareRecord) -> bool:
        """By what is known outside of the database. Raises WitnessError."""
        below = 0 if self._tombstones is None else self._tombstones.below(share.key_session)
        return share.epoch < below or self._rows.halves.is_over((share.key_session, share.epoch))

    ###
    ### What is written
    ###

    async def commit(self, change: PartyChange) -> Outcome:
        try:
            with _unavailable():
                await self._prepare(change)
                outcome = await self._commit(change)
        except ErasedError:
            outcome = Outcome.EPOCH_OVER
        except RefusedError as refused:
            outcome = refused.outcome
        if outcome is not Outcome.COMMITTED:
            await self._begun_in_vain(change)
        return outcome

    async def _prepare(self, change: PartyChange) -> None:
        """What waits for a disk, before the transaction that needs it: what a session begins with
        or makes. Raises ErasedError."""
        if change.expected_version == 0 or change.key_share is not None:
            for name in self._rows.needs(change):
                await asyncio.to_thread(self._rows.halves.made, name)

    async def _begun_in_vain(self, change: PartyChange) -> None:
        """An epoch that nobody has begun here leaves no file. Of one that somebody has, the session
        that has begun it leaves none: see `purge`."""
        step = change.epoch
        if step is None or change.expected_version or change.erased_with != step.epoch:
            return
        name = step.key_session, step.epoch
        if not await self._database.fetch(EPOCH, *name):
            with _unavailable():
                await asyncio.to_thread(self._rows.halves.discard, name)

    async def purge(self, *, ended_before: int) -> int:
        for row in await self._database.fetch(MADE_NOTHING, ended_before):
            with _unavailable():
                name = row["key_session"], row["epoch"]
                await asyncio.to_thread(self._rows.halves.discard, name)
        return await self._purge(ended_before)

    async def _leave_behind(self, key_session: bytes, below: int) -> bool:
        """Outside of the database, before anything is deleted in it: remember that lower epochs are
        over, and make what tells their shares useless. False if `below` is not active."""
        if not await self._database.fetch(ACTIVE_EPOCH, key_session, below):
            return False
        if self._tombstones is not None:
            with _unavailable():
                self._tombstones.rise(key_session, below)
        await self._erase_below(key_session, below)
        return True

    async def _erase_below(self, key_session: bytes, below: int) -> None:
        """Once before the rows go, and once after: until then a session may add one."""
        with _unavailable():
            await asyncio.to_thread(self._rows.halves.erase_below, key_session, below)

    @abstractmethod
    async def _commit(self, change: PartyChange) -> Outcome:
        """Raises RefusedError, ErasedError, WitnessError."""

    @abstractmethod
    async def end(self, session_id: bytes, status: str, now: int) -> bool: ...


def _unless_over(opened: Callable[[Row], T], row: Row) -> T | None:
    try:
        return opened(row)
    except ErasedError:
        return None
