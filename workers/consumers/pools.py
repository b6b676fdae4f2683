"""The coordinator's pools of presignatures: made when they are wanted, and ahead while in use.

Whoever finds too few waits in line; a batch that is done serves the line, oldest first. All of it
may be done by any coordinator process: the store keeps the line and counts the batches.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence

from contracts import sessions
from contracts.envelope import Envelope
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.results import Status
from contracts.sessions import Member, PresignTerms

from ..session import inbox, pooling
from ..session.choice import members_of, set_name
from ..session.conduct import Conduct, Presigned, invitations
from ..session.errors import EquivocationError
from ..session.pooling import Batch, BatchProgress
from ..settings import PoolLimits
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import (
    BatchRecord,
    CoordinatorChange,
    Event,
    Outcome,
    Outgoing,
    PoolName,
    PoolRecord,
    Received,
    Session,
    WaiterRecord,
)
from .clock import now_ms
from .coordinator_commits import UNASKED
from .liveness import Liveness
from .locks import SessionLocks
from .publisher import FullError, Publisher, PublishError, UnroutableError
from .scopes import uninterrupted

logger = logging.getLogger(__name__)

BEGUN = "batch"
SERVED = "presigned"
SERVED_AT_ONCE = 100
REST_MS = 60_000
SPOILT_IN_A_ROW = 3
"""Batches, until those who wait hear of it for whom there are no other signers."""
KEPT_KEYS = 2_000

End = Callable[[bytes, str, Status, Failure], Awaitable[object]]


class Pools:
    """
    Arguments:
        end: Ends the session of a request: id, cause, status, failure.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        limits: PoolLimits,
        locks: SessionLocks,
        *,
        end: End,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._limits = limits
        self._locks = locks
        self._resting: dict[PoolName, int] = {}
        self._spoilt: Counter[PoolName] = Counter()
        self._end = end
        self._clock = clock
        self._facts: dict[bytes, KeyFacts] = {}
        self._used: dict[PoolName, tuple[str, str]] = {}
        self._stocked: dict[tuple[bytes, int], list[str]] = {}
        self._quarrels: frozenset[frozenset[str]] = frozenset()

    ###
    ### For requests
    ###

    @property
    def quarrels(self) -> frozenset[frozenset[str]]:
        """Pairs of parties that make no presignatures together, as of the last look."""
        return self._quarrels

    def stocked(self, facts: KeyFacts) -> list[str]:
        """The key's signer sets that had presignatures at the last look, the fullest first."""
        return self._stocked.get((facts.session_id, facts.epoch), [])

    def rest(self, pool: PoolName) -> None:
        """Leave a signer set alone for a while: what it made was spoilt, and nobody knows by whom.
        Only if there are others."""
        self._resting[pool] = self._clock() + REST_MS
        self._spoilt[pool] += 1

    def resting(self, facts: KeyFacts) -> frozenset[str]:
        """The key's signer sets that are to be left alone."""
        now = self._clock()
        self._resting = {pool: until for pool, until in self._resting.items() if until > now}
        self._spoilt = Counter({pool: self._spoilt[pool] for pool in self._resting})
        return frozenset(
            pool.signers
            for pool in self._resting
            if (pool.key_session, pool.epoch) == (facts.session_id, facts.epoch)
        )

    def use(self, facts: KeyFacts, members: Sequence[Member]) -> PoolName:
        """Remember that a pool is in use; the store learns it with the next look."""
        self._keep_facts(facts)
        name = PoolName(key_session=facts.session_id, epoch=facts.epoch, signers=set_name(members))
        self._used[name] = (facts.client_id or "", facts.key_id)
        return name

    async def note_used(self) -> None:
        """Tell the store. Also before somebody begins to wait: nobody looks after a pool that the
        store does not know."""
        for name, (owner, key_id) in tuple(self._used.items()):
            await self._store.use_pool(name, owner, key_id, self._clock())
            self._used.pop(name, None)

    async def make(self, pool: PoolName) -> None:
        """Begin a batch for those who wait, unless enough are in the making."""
        for record in await self._store.pools(self._clock()):
            if record.name == pool:
                await self._fill(record, ahead=False)

    ###
    ### Chores
    ###

    async def tend(self) -> None:
        """Look at all pools: serve who waits, and make what is wanted now or soon."""
        now = self._clock()
        await self.note_used()
        quarrels = await self._store.quarrels(now - int(self._limits.quarrel_seconds * 1000))
        self._quarrels = frozenset(frozenset((each.accuser, each.accused)) for each in quarrels)
        pools = await self._store.pools(now - int(self._limits.idle_seconds * 1000))
        self._note_stocked(pools)
        in_all = sum(pool.stock + pool.making for pool in pools)
        per_key: defaultdict[bytes, int] = defaultdict(int)
        for pool in pools:
            per_key[pool.name.key_session] += pool.stock + pool.making
        for pool in sorted(pools, key=_urgency):
            full = (
                in_all >= self._limits.in_all
                or per_key[pool.name.key_session] >= self._limits.per_key
            )
            try:
                if pool.waiting:
                    await self.serve(pool.name)
                await self._fill(pool, ahead=not full)
            except (StoreUnavailableError, PublishError):
                raise
            except Exception:  # one pool's trouble must not hide those behind it
                logger.exception("pool put off", extra={"signers": pool.name.signers})

    async def serve(self, pool: PoolName) -> None:
        """Give those who wait their presignatures, the first first, as long as there are enough."""
        for waiter in await self._store.waiters(pool, SERVED_AT_ONCE):
            if not await self._serve(waiter):
                return

    async def expire(self, session: Session) -> bool:
        """A batch's deadline has passed. False if another worker was faster."""
        batch = Batch.model_validate_json(session.state)
        progress = pooling.expired(batch, session.received)
        return await self._commit(session, batch, progress, UNASKED, None)

    ###
    ### Reports
    ###

    async def advance(
        self, session: Session, envelope: Envelope, report: sessions.Report, row: Received
    ) -> bool:
        """A report in a batch's session. False if another worker was faster."""
        cause = inbox.cause_of(envelope)
        batch = Batch.model_validate_json(session.state)
        pooling.check_report(batch, envelope, report)
        if Status(session.status).final:
            await self._again(session, batch, cause)
            return True
        try:
            if inbox.repeats(session.received, row.slot, row.sender, row.digest):
                await self._again(session, batch, cause)
                return True
            progress = self._progress(batch, session, row.sender, report)
        except EquivocationError as error:
            row = inbox.evidence(row)
            progress = BatchProgress(
                status=Status.FAILED,
                failure=Failure.of(FailureCode.PARTY_FAULT, str(error), culprits=[error.sender]),
            )
        return await self._commit(session, batch, progress, cause, row)

    def _progress(
        self, batch: Batch, session: Session, sender: str, report: sessions.Report
    ) -> BatchProgress:
        if isinstance(report, sessions.PresignaturesMade):
            return pooling.presignatures_made(batch, sender, report, session.received)
        assert isinstance(report, sessions.SessionFailed)
        if report.failure.code is FailureCode.EXPIRED:
            # Others may still speak; the deadline's own sweep sums up who was silent.
            return BatchProgress(status=Status(session.status))
        return pooling.batch_failed(batch, sender, report)

    async def _commit(
        self,
        session: Session,
        batch: Batch,
        progress: BatchProgress,
        cause: str,
        row: Received | None,
    ) -> bool:
        now = self._clock()
        outgoing = () if progress.failure is None else pooling.farewells(batch)
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=progress.status.value,
            deadline=now if progress.status.final else session.deadline,
            state=session.state,
            cause=cause,
            received=() if row is None else (row,),
            outgoing=outgoing,
            events=(_event(progress),) if progress.status.final else (),
            presignatures=progress.presignatures,
            quarrels=pooling.quarrel_records(progress, now),
        )
        # To the end: the cancellation among the farewells comes back to us as well.
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            await self._send(outgoing)
            if progress.failure is not None:
                await self._failed(batch, progress)
            if progress.status is Status.COMPLETED:
                self._spoilt.pop(batch.pool, None)
                await self.serve(batch.pool)
        return True

    async def _again(self, session: Session, batch: Batch, cause: str) -> None:
        """A report came again: what it led to may not have been finished."""
        with uninterrupted():
            await self._send(await self._store.outgoing(session.session_id, cause))
            await self.serve(batch.pool)

    async def _failed(self, batch: Batch, progress: BatchProgress) -> None:
        """Those who wait go on with other signers, or learn why they cannot. Not if nobody was
        heard at all: it may be that the batch was never announced."""
        failure = progress.failure
        assert failure is not None
        logger.warning(
            "batch failed",
            extra={"session_id": batch.session_id.hex(), "failure": failure.message},
        )
        if failure.silent == sorted(batch.party_ids):
            return await self.make(batch.pool)
        spoilt = failure.code is FailureCode.SPOILT
        if spoilt:
            self.rest(batch.pool)
        self._quarrels |= {frozenset(pair) for pair in progress.quarrels}
        # Nobody is to blame, and nobody else could sign: new coins may do better.
        patient = spoilt and self._spoilt[batch.pool] < SPOILT_IN_A_ROW
        for waiter in await self._store.waiters(batch.pool, SERVED_AT_ONCE):
            if patient and not await self._replaceable(waiter, failure):
                continue
            await self._store.owe(waiter.session_id, self._clock())
            await self._end(waiter.session_id, UNASKED, Status.FAILED, failure)
            await self._store.paid(waiter.session_id)
        return await self.make(batch.pool) if patient else None

    async def _replaceable(self, waiter: WaiterRecord, failure: Failure) -> bool:
        session = await self._store.session(waiter.session_id)
        if session is None:
            return False
        conduct = Conduct.model_validate_json(session.state)
        return conduct.may_go_on(failure, self._clock())

    async def _send(self, messages: Iterable[Outgoing]) -> None:
        await asyncio.gather(*map(self._send_one, messages))

    async def _send_one(self, message: Outgoing) -> None:
        """A party that reads no more may have no place for it. Then the batch expires; that must
        not hold up the others, nor what else is to be done."""
        try:
            await self._publisher.publish(message)
        except (FullError, UnroutableError) as error:
            logger.warning("instruction not sent", extra={"reason": str(error)})

    ###
    ### Those who wait
    ###

    async def _serve(self, waiter: WaiterRecord) -> bool:
        """False if there are not enough for this one."""
        async with self._locks.of(waiter.session_id):
            session = await self._store.session(waiter.session_id)
            if session is not None and Status(session.status) is Status.WAITING:
                return await self._invite(waiter, session)
            if waiter in await self._store.waiters(waiter.pool, SERVED_AT_ONCE):
                # Served before, by somebody who did not come to say so.
                sent = await self._store.outgoing(waiter.session_id, SERVED)
                await self._publisher.publish_all(sent)
                await self._store.stop_waiting(waiter.session_id)
            return True

    async def _invite(self, waiter: WaiterRecord, session: Session) -> bool:
        claimed = await self._store.claim_presignatures(waiter.pool, waiter.count)
        if not claimed:
            return False
        request = await self._store.request_of(waiter.session_id)
        assert request is not None  # in one transaction with its session
        conduct = Conduct.model_validate_json(session.state).model_copy(
            update={"presignatures": [Presigned.of(each) for each in claimed]}
        )
        now = self._clock()
        deadline = conduct.until(now)
        outgoing = invitations(
            conduct,
            request=request.body,
            signature=request.signature,
            time_left_ms=deadline - now,
        )
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=Status.IN_PROGRESS.value,
            deadline=deadline,
            state=conduct.model_dump_json().encode(),
            cause=SERVED,
            outgoing=outgoing,
        )
        with uninterrupted():
            if await self._store.commit(change) is Outcome.COMMITTED:
                await self._publisher.publish_all(outgoing)
                await self._store.stop_waiting(waiter.session_id)
        return True

    ###
    ### Batches
    ###

    async def _fill(self, pool: PoolRecord, *, ahead: bool) -> None:
        """Begin the batches that a pool needs, or as many as may be in the making."""
        facts = await self._key_facts(pool.name)
        if facts is None:
            return
        members = members_of(facts, pool.name.signers)
        coming = pool.stock + pool.making
        wanted = pool.waiting - coming
        if wanted > 0:
            # One that waits gets its own as soon as can be. Where more do, the next are not far.
            if pool.waiting > 1 and ahead and self._limits.low:
                wanted += self._limits.high
        elif ahead and coming < self._limits.low and not pool.waiting and self._willing(members):
            wanted = self._limits.high - coming
        while wanted > 0 and await self._begin(pool.name, members, min(wanted, self._limits.batch)):
            wanted -= self._limits.batch

    def _willing(self, members: Sequence[Member]) -> bool:
        """Whether a batch is likely to succeed, so that it is worth making one ahead."""
        names = {member.party_id for member in members}
        return names <= self._liveness.alive() and not any(pair <= names for pair in self._quarrels)

    async def _begin(self, pool: PoolName, members: list[Member], count: int) -> bool:
        """False if too many batches are in the making."""
        now = self._clock()
        lifetime_ms = int(self._limits.batch_seconds * 1000)
        batch = Batch(
            terms=PresignTerms(
                key_session=pool.key_session,
                epoch=pool.epoch,
                members=members,
                count=count,
                issued_at=now,
                salt=os.urandom(32),
            )
        )
        outgoing = pooling.instructions(batch, time_left_ms=lifetime_ms)
        change = CoordinatorChange(
            session_id=batch.session_id,
            expected_version=0,
            protocol=pooling.PROTOCOL,
            key_session=pool.key_session,
            status=Status.IN_PROGRESS.value,
            deadline=now + lifetime_ms,
            state=batch.model_dump_json().encode(),
            cause=BEGUN,
            outgoing=outgoing,
            batch=BatchRecord(
                pool=pool,
                count=count,
                limit_pool=self._limits.batches_per_pool,
                limit_all=self._limits.batches,
            ),
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            await self._send(outgoing)
        return True

    ###
    ### What is remembered between looks
    ###

    def _note_stocked(self, pools: Sequence[PoolRecord]) -> None:
        self._stocked = {}
        for pool in sorted(pools, key=lambda pool: -pool.stock):
            if pool.stock:
                place = (pool.name.key_session, pool.name.epoch)
                self._stocked.setdefault(place, []).append(pool.name.signers)

    async def _key_facts(self, pool: PoolName) -> KeyFacts | None:
        facts = self._facts.get(pool.key_session)
        if facts is None or facts.epoch != pool.epoch:
            record = await self._store.key_of(pool.key_session)
            if record is None or record.epoch != pool.epoch:
                return None
            facts = CertifiedKey.model_validate_json(record.certified).facts
            self._keep_facts(facts)
        return facts

    def _keep_facts(self, facts: KeyFacts) -> None:
        if facts.session_id not in self._facts and len(self._facts) >= KEPT_KEYS:
            del self._facts[next(iter(self._facts))]
        self._facts[facts.session_id] = facts


def _urgency(pool: PoolRecord) -> tuple[bool, int]:
    """Those who wait come first, the longest unattended of them before all: only so many batches
    are made at once. Then the emptiest."""
    return pool.waiting == 0, pool.stock if pool.waiting == 0 else pool.used_at


def _event(progress: BatchProgress) -> Event:
    failure = progress.failure
    return Event(
        event=progress.status.value,
        details="{}" if failure is None else failure.model_dump_json(),
    )
