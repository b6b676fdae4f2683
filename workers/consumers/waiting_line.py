"""Requests that wait for presignatures: one line for each pool, served in its order.

The store keeps the line, so any coordinator process may serve it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from contracts.failures import Failure
from contracts.results import Status

from ..session.conduct import Conduct, Presigned, invitations
from ..store.interface import CoordinatorStore
from ..store.records import CoordinatorChange, Outcome, PoolName, Session, WaiterRecord
from .clock import now_ms
from .coordinator_commits import UNASKED
from .locks import SessionLocks
from .publisher import Publisher
from .scopes import uninterrupted

SERVED = "presigned"
SERVED_AT_ONCE = 100


class End(Protocol):
    """`CoordinatorCommits.end`."""

    async def __call__(
        self,
        session_id: bytes,
        cause: str,
        status: Status,
        failure: Failure,
        *,
        accused: Collection[str],
    ) -> object: ...


class WaitingLine:
    """
    Arguments:
        end: Ends the session of a request.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        locks: SessionLocks,
        *,
        end: End,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._locks = locks
        self._end = end
        self._clock = clock

    async def serve(self, pool: PoolName) -> None:
        """Give those who wait their presignatures, the first first, as long as there are enough."""
        for waiter in await self._store.waiters(pool, SERVED_AT_ONCE):
            if not await self._serve(waiter):
                return

    async def give_up(
        self,
        pool: PoolName,
        failure: Failure,
        *,
        accused: Collection[str],
        but_those_alone: bool,
    ) -> None:
        """Those who wait go on with other signers, or learn why they cannot.

        Arguments:
            accused: Who had better not sign instead, besides those whom the failure names.
            but_those_alone: Let those wait on for whom there are no other signers.
        """
        for waiter in await self._store.waiters(pool, SERVED_AT_ONCE):
            if but_those_alone and not await self._replaceable(waiter, failure):
                continue
            await self._store.owe(waiter.session_id, self._clock())
            await self._end(waiter.session_id, UNASKED, Status.FAILED, failure, accused=accused)
            await self._store.paid(waiter.session_id)

    async def _replaceable(self, waiter: WaiterRecord, failure: Failure) -> bool:
        session = await self._store.session(waiter.session_id)
        if session is None:
            return False
        conduct = Conduct.model_validate_json(session.state)
        return conduct.may_go_on(failure, self._clock())

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
