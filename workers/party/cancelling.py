"""A party's handler for cancellations: the request is refused from now on, and a statement says so.

The statement is made in the transaction that forbids the request, under a lock that each commit for
that request takes. So no share or certificate was committed before it, and none comes after.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from contracts.requests import CancelRequest
from contracts.results import Status
from contracts.sessions import CancelAnswered, CancelRefusal, RequestCancelled
from contracts.statements import Statement

from ..delivery.scopes import SessionScopes
from ..session.errors import RefusedError
from ..session.party import stating
from ..session.party.acceptance import Party
from ..session.party.step import Step
from ..session.protocols import CANCEL
from ..session.sending import report
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.records import CancellationRecord, Outcome
from .commits import PartyCommits

logger = logging.getLogger(__name__)


class Cancelling:
    """Arguments: clock: Unix milliseconds."""

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        commits: PartyCommits,
        scopes: SessionScopes,
        limits: PartyLimits,
        clock: Callable[[], int],
    ) -> None:
        self._party = party
        self._store = store
        self._commits = commits
        self._scopes = scopes
        self._limits = limits
        self._clock = clock

    async def request_cancelled(self, told: RequestCancelled) -> None:
        """One that comes again loses the race for its session, and is answered as it was."""
        try:
            request = stating.accept_cancel(told, self._party, now=self._clock())
        except RefusedError as error:
            logger.warning(
                "cancel refused",
                extra={"session_id": told.session_id.hex(), "reason": str(error)},
            )
            await self._answer(told, CancelAnswered(refused=CancelRefusal.NOT_AUTHORISED))
            return
        await self._forbid(told, request)
        for session_id in await self._store.sessions_of(request.target_owner.name, request.target):
            self._scopes.cancel(session_id)

    async def _forbid(self, told: RequestCancelled, request: CancelRequest) -> None:
        """Whatever is answered, nothing is committed for the request any more: unless there are too
        many cancellations."""
        if (kept := await self._kept(request)) is not None:
            await self._answer(told, CancelAnswered(statement=kept))
            return
        memory = await self._store.memory()
        kept_ms = int(self._limits.statements_seconds * 1000)
        since = stating.remembered_from(memory, self._party, now=self._clock(), kept_ms=kept_ms)
        statement, said = None, CancelAnswered(refused=CancelRefusal.FORGOTTEN)
        if not stating.forgotten(request, memory, since):
            statement = stating.state(request, self._party, since)
            said = CancelAnswered(statement=statement)
        limit = self._limits.cancellations_per_owner
        forbids = stating.cancellation(request, self._party, memory, statement, limit=limit)
        outcome = await self._answer(told, said, forbids)
        if outcome is Outcome.ALREADY_SIGNED:
            said = CancelAnswered(refused=CancelRefusal.ALREADY_SIGNED)
            outcome = await self._answer(told, said, replace(forbids, statement=None))
        if outcome is Outcome.OVERLOADED:
            await self._answer(told, CancelAnswered(refused=CancelRefusal.OVERLOADED))

    async def _kept(self, request: CancelRequest) -> Statement | None:
        """A statement made earlier that says all that is asked for. It holds whatever was forgotten
        since: its request is forbidden for as long as it is kept."""
        text = await self._store.statement(request.target_owner.name, request.target)
        if text is None:
            return None
        kept = Statement.model_validate_json(text)
        return kept if stating.covers(kept, request) else None

    async def _answer(
        self,
        told: RequestCancelled,
        said: CancelAnswered,
        forbids: CancellationRecord | None = None,
    ) -> Outcome:
        answered = report(
            said,
            identity=self._party.identity,
            party_id=self._party.party_id,
            session_id=told.session_id,
        )
        step = Step(status=Status.COMPLETED, outgoing=(answered,), forbids=forbids)
        return await self._commits.first(
            told.session_id, step, protocol=CANCEL.name, key_session=None, cause=told.instruction
        )
