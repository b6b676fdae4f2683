"""Requests that wait for presignatures: one line for each pool, served in its order.

The store keeps the line, so any coordinator process may serve it. Who is served is decided in the
line's order and in one transaction; what the served go on with is sent to all at once. Whoever dies
between the two leaves them in the line, where the next who serves it finds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from contracts.failures import Failure
from contracts.results import Status

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..delivery.scopes import uninterrupted
from ..session.coordinator.conduct import Conduct, Presigned
from ..session.coordinator.instructions import invitations
from ..session.coordinator.refusing import Refusal
from ..store.interface import CoordinatorStore
from ..store.records import (
    CoordinatorChange,
    Outgoing,
    PooledPresignature,
    PoolName,
    WaitingSession,
)
from .commits import UNASKED, CoordinatorCommits
from .local_sessions import LocalSessions
from .turns import Turns

SERVED = "presigned"
SERVED_AT_ONCE = 32
"""By one transaction. Requests of the same key wait for its end."""
GIVEN_UP_AT_ONCE = 100


class WaitingLine:
    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        local: LocalSessions,
        commits: CoordinatorCommits,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._recent = local.recent
        self._commits = commits
        self._clock = clock
        self._turns = Turns(self._serve)

    async def serve(self, pool: PoolName) -> None:
        """Give those who wait their presignatures, the first first, as long as there are enough."""
        await self._turns.take(pool)

    async def give_up(
        self,
        pool: PoolName,
        failure: Failure,
        *,
        refusal: Refusal | None,
        but_those_alone: bool,
    ) -> None:
        """Those who wait go on with other signers, or learn why they cannot.

        Arguments:
            refusal: Who would not sign with whom, if that is why.
            but_those_alone: Let those wait on for whom there are no other signers.
        """
        for waiter in await self._store.waiters(pool, GIVEN_UP_AT_ONCE):
            conduct = await self._waiting(waiter.session_id)
            if conduct is None:
                continue
            if but_those_alone and not conduct.may_go_on(failure, self._clock()):
                continue
            await self._store.owe(waiter.session_id, self._clock())
            await self._commits.end(
                waiter.session_id, UNASKED, Status.FAILED, failure, refusal=refusal
            )
            await self._store.paid(waiter.session_id)

    async def _waiting(self, session_id: bytes) -> Conduct | None:
        """None if it waits no more: it has been served, or is over."""
        session = await self._store.session(session_id)
        if session is None or Status(session.status) is not Status.WAITING:
            return None
        return Conduct.model_validate_json(session.state)

    ###
    ### Serving
    ###

    async def _serve(self, pool: PoolName) -> None:
        with uninterrupted():
            # Served before, by somebody who has not come to say so. First of all: as long as they
            # cannot be told, it is of no use to serve others.
            for session_id in await self._store.leaving(pool, SERVED_AT_ONCE):
                await self._publisher.publish_all(await self._store.outgoing(session_id, SERVED))
                await self._store.stop_waiting([session_id])
            while await self._serve_some(pool) == SERVED_AT_ONCE:
                pass

    async def _serve_some(self, pool: PoolName) -> int:
        """How many there were enough for, of as many as are served at once."""
        conducts: dict[bytes, Conduct] = {}

        def go_on(
            waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
        ) -> CoordinatorChange:
            conduct, change = self._invited(waiting, presignatures)
            conducts[change.session_id] = conduct
            return change

        changes = await self._store.serve(pool, SERVED_AT_ONCE, go_on)
        for change in changes:
            if change.expected_version == 1:  # nothing came in since it began to wait
                self._recent.keep(change, None, conducts[change.session_id])
        await self._tell({change.session_id: change.outgoing for change in changes})
        return len(changes)

    def _invited(
        self, waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
    ) -> tuple[Conduct, CoordinatorChange]:
        session = waiting.session
        conduct = Conduct.model_validate_json(session.state).model_copy(
            update={"presignatures": [Presigned.of(each) for each in presignatures]}
        )
        now = self._clock()
        deadline = conduct.until(now)
        outgoing = invitations(
            conduct,
            request=waiting.request,
            signature=waiting.signature,
            time_left_ms=deadline - now,
            now=now,
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
        return conduct, change

    async def _tell(self, invited: dict[bytes, tuple[Outgoing, ...]]) -> None:
        """All at once. Whoever could not be told stays in the line."""
        outcomes = await asyncio.gather(
            *map(self._publisher.publish_all, invited.values()), return_exceptions=True
        )
        told = [
            session_id
            for session_id, outcome in zip(invited, outcomes, strict=True)
            if outcome is None
        ]
        if told:
            await self._store.stop_waiting(told)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
