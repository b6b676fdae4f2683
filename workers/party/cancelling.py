"""A party's handler for cancellations: the request is refused from now on, and a statement says so.

The statement is made in the transaction that forbids the request, under a lock that each commit for
that request takes. So no share or certificate was committed before it, and none comes after.

Where the cancel names a key of its owner, the same transaction promises that nothing is dealt of it
as long as the request could be answered: the statement says which epochs there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from contracts.requests import CancelRequest
from contracts.results import Status
from contracts.sessions import CancelAnswered, CancelRefusal, RequestCancelled
from contracts.statements import MAX_EPOCHS_STATED, Statement

from ..delivery.scopes import SessionScopes
from ..session.errors import RefusedError
from ..session.party import stating
from ..session.party.acceptance import Party
from ..session.party.step import Step
from ..session.protocols import CANCEL
from ..session.sending import report
from ..settings import PartyLimits
from ..store.interface import PartyStore, StoreUnavailableError
from ..store.promise_marks import PromiseMarks
from ..store.records import CancellationRecord, EpochStatus, Outcome, PromiseRecord
from .commits import PartyCommits

logger = logging.getLogger(__name__)

RACES = 5
"""Lost to reshares of the key before a delivery is given back."""


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
        marks: PromiseMarks | None = None,
    ) -> None:
        self._party = party
        self._store = store
        self._commits = commits
        self._scopes = scopes
        self._limits = limits
        self._clock = clock
        self._marks = marks

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
        for _ in range(RACES):
            promise = await self._promise(request)
            if (kept := await self._kept(request, promise)) is not None:
                await self._answer(told, CancelAnswered(statement=kept))
                return
            said, forbids = await self._forbidden(request, promise)
            outcome = await self._answer(told, said, forbids)
            if outcome is Outcome.ALREADY_SIGNED:
                said = CancelAnswered(refused=CancelRefusal.ALREADY_SIGNED)
                signed = replace(forbids, statement=None, promise=None)
                outcome = await self._answer(told, said, signed)
            if outcome is Outcome.OVERLOADED:
                await self._answer(told, CancelAnswered(refused=CancelRefusal.OVERLOADED))
            if outcome is not Outcome.EPOCH_TAKEN:
                return
        raise StoreUnavailableError("the key got another epoch every time")

    async def _forbidden(
        self, request: CancelRequest, promise: PromiseRecord | None
    ) -> tuple[CancelAnswered, CancellationRecord]:
        """What is said of the request if nothing was committed for it, and what goes with that."""
        memory = await self._store.memory()
        kept_ms = int(self._limits.statements_seconds * 1000)
        since = stating.remembered_from(memory, self._party, now=self._clock(), kept_ms=kept_ms)
        statement, said = None, CancelAnswered(refused=CancelRefusal.FORGOTTEN)
        if not stating.forgotten(request, memory, since):
            statement = stating.state(request, self._party, since, promise)
            said = CancelAnswered(statement=statement)
        limit = self._limits.cancellations_per_owner
        return said, stating.cancellation(
            request, self._party, memory, statement, limit=limit, promise=promise
        )

    async def _promise(self, request: CancelRequest) -> PromiseRecord | None:
        """None where no key is named, or another owner's, whose reshares this one has no say in; or
        one of whose epochs not all can be told of. Then nothing is stated of the key."""
        key_session = request.key_session
        if key_session is None:
            return None
        owners = await self._store.owners(key_session)
        if any(owner != request.target_owner.name for owner in owners):
            return None
        if any(
            each.status is EpochStatus.SUSPENDED for each in await self._store.epochs(key_session)
        ):
            return None  # a backup does not say what came after it
        epochs = await self._store.signing_epochs(key_session)
        if len(epochs) > MAX_EPOCHS_STATED or any(each.session_id is None for each in epochs):
            logger.warning(
                "nothing can be stated of a key",
                extra={"key_session": key_session.hex(), "epochs": len(epochs)},
            )
            return None
        return PromiseRecord(key_session=key_session, epochs=tuple(epochs))

    async def _kept(
        self, request: CancelRequest, promise: PromiseRecord | None
    ) -> Statement | None:
        """A statement made earlier that says all that is asked for. It holds whatever was forgotten
        since: its request is forbidden for as long as it is kept."""
        text = await self._store.statement(request.target_owner.name, request.target)
        if text is None:
            return None
        kept = Statement.model_validate_json(text)
        named = None if promise is None else promise.key_session
        return kept if stating.covers(kept, request, named) else None

    async def _answer(
        self,
        told: RequestCancelled,
        said: CancelAnswered,
        forbids: CancellationRecord | None = None,
    ) -> Outcome:
        answered = report(
            said,
            identity=self._party.speaker,
            party_id=self._party.party_id,
            session_id=told.session_id,
        )
        promise = None if forbids is None else forbids.promise
        if self._marks is not None and forbids is not None and promise is not None:
            await asyncio.to_thread(self._marks.mark, promise.key_session, forbids.forbidden_until)
        step = Step(status=Status.COMPLETED, outgoing=(answered,), forbids=forbids)
        return await self._commits.first(
            told.session_id, step, protocol=CANCEL.name, key_session=None, cause=told.instruction
        )
