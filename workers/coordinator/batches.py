"""The coordinator's handlers for batches of presignatures: what their signers say of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import assert_never

from contracts import sessions
from contracts.failures import Failure, FailureCode
from contracts.results import Status

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..delivery.scopes import uninterrupted
from ..session import inbox
from ..session.coordinator import pooling
from ..session.coordinator.pooling import Batch, BatchProgress, BatchReport
from ..session.errors import EquivocationError
from ..store.interface import CoordinatorStore
from ..store.records import CoordinatorChange, Outcome, Received, Session
from .commits import UNASKED, over
from .departures import Departures
from .pools import Pools
from .repeats import Repeats
from .sessions import Said
from .waiting_line import WaitingLine

logger = logging.getLogger(__name__)

SPOILT_IN_A_ROW = 3
"""Batches, until those who wait hear of it for whom there are no other signers."""


class Batches:
    """Implements `sessions.SessionKind`."""

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        pools: Pools,
        line: WaitingLine,
        departures: Departures,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._pools = pools
        self._line = line
        self._departures = departures
        self._clock = clock
        self._repeats = Repeats(clock=clock)

    async def advance(self, session: Session, said: Said) -> bool:
        cause, row = said.cause, said.row
        batch = Batch.model_validate_json(session.state)
        report = pooling.check_report(batch, said.envelope, said.report)
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

    async def expire(self, session: Session) -> bool:
        await self._store.owe(session.session_id, self._clock())
        batch = Batch.model_validate_json(session.state)
        progress = pooling.expired(batch, session.received)
        if await self._commit(session, batch, progress, UNASKED, None):
            await self._store.paid(session.session_id)
        return True

    async def send_owed(self, session: Session) -> None:
        with uninterrupted():
            await self._send_again(session, UNASKED)

    def _progress(
        self, batch: Batch, session: Session, sender: str, report: BatchReport
    ) -> BatchProgress:
        match report:
            case sessions.PresignaturesMade():
                return pooling.presignatures_made(batch, sender, report, session.received)
            case sessions.SessionFailed(failure=failure):
                if failure.code is FailureCode.EXPIRED:
                    # Others may still speak; the deadline's own sweep sums up who was silent.
                    return BatchProgress(status=Status(session.status))
                return pooling.batch_failed(batch, sender, report)
            case _:
                assert_never(report)

    async def _commit(
        self,
        session: Session,
        batch: Batch,
        progress: BatchProgress,
        cause: str,
        row: Received | None,
    ) -> bool:
        now = self._clock()
        outgoing = () if progress.failure is None else pooling.farewells(batch, now=now)
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
            events=(over(progress.status, progress.failure),) if progress.status.final else (),
            presignatures=progress.presignatures,
            quarrels=pooling.quarrel_records(progress, now),
        )
        # To the end: the cancellation among the farewells comes back to us as well.
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            if progress.status.final:
                self._departures.over(session.session_id)
            await publish_what_has_place(self._publisher, outgoing)
            if progress.failure is not None:
                await self._failed(batch, progress)
            if progress.status is Status.COMPLETED:
                self._pools.succeeded(batch.pool)
                await self._line.serve(batch.pool)
                await self._pools.make(batch.pool)  # the next one, for those who still wait
        return True

    async def _again(self, session: Session, batch: Batch, cause: str) -> None:
        """A report came again: what it led to may not have been finished, unless it was within the
        last second."""
        if not self._repeats.due(session.session_id, cause):
            return
        with uninterrupted():
            await self._send_again(session, cause)
            await self._line.serve(batch.pool)
            self._repeats.left(session.session_id, cause)

    async def _send_again(self, session: Session, cause: str) -> None:
        sent = await self._store.outgoing(session.session_id, cause)
        await publish_what_has_place(self._publisher, sent)

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
            return await self._pools.make(batch.pool)
        self._pools.quarrelled(progress.quarrels)
        spoilt = failure.code is FailureCode.SPOILT
        # Nobody is to blame, and nobody else could sign: new coins may do better.
        again = spoilt and self._pools.rest(batch.pool) < SPOILT_IN_A_ROW
        await self._line.give_up(
            batch.pool, failure, refusal=progress.refusal, but_those_alone=again
        )
        return await self._pools.make(batch.pool) if again else None
