"""The coordinator's sessions that cancel a request: they end it here, and ask the parties.

A cancel is remembered in the transaction that begins its session, under a lock that the admission
of its target takes as well. So a target that comes later is refused, be it in the same moment or
in another process, and one that is here already is found and ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts.failures import Failure, FailureCode
from contracts.keys import KeyFacts
from contracts.primitives import Status
from contracts.requests import CancelRequest

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..delivery.scopes import uninterrupted
from ..session.coordinator import cancellation as cancelling
from ..session.coordinator.cancellation import Cancellation
from ..session.peers import Peer
from ..session.sending import result
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import CoordinatorChange, Event, Outcome, Received, Session
from .beginnings import CAUSE
from .commits import RACES, UNASKED, CoordinatorCommits, over
from .key_epochs import KeyEpochs
from .known_sessions import find, find_target
from .local_sessions import LocalSessions
from .sessions import Said

END = "end"
"""Cause of an answer for which nobody had to be asked."""


class Cancellations:
    """Implements `sessions.SessionKind`."""

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        local: LocalSessions,
        commits: CoordinatorCommits,
        *,
        parties: Mapping[str, Peer],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._locks = local.locks
        self._scopes = local.scopes
        self._departures = local.departures
        self._commits = commits
        self._epochs = KeyEpochs(store, clock=clock)
        self._parties = parties
        self._clock = clock

    async def go_on(self, session_id: bytes) -> None:
        """End the target, then ask the parties: for a cancel that came, or came again."""
        async with self._locks.of(session_id):
            for _ in range(RACES):
                session = await self._store.session(session_id)
                if session is None or Status(session.status).final:
                    return None
                cancellation = Cancellation.model_validate_json(session.state)
                await self._end_target(cancellation)
                target = await find_target(self._store, cancellation.request)
                if target.status is not Status.COMPLETED and cancellation.asked:
                    return await self._ask(session_id)
                unasked = cancellation.model_copy(update={"asked": []})  # so nobody is silent
                if await self._commit(session, unasked, END, final=True):
                    return None
            raise StoreUnavailableError("other workers were faster every time")

    async def epochs_of(self, request: CancelRequest) -> list[KeyFacts]:
        """Of the key that a cancel names, if its shares were made anew."""
        if request.key_session is None:
            return []
        return await self._epochs.line(request.key_session, request.target_owner.name)

    async def advance(self, session: Session, said: Said) -> bool:
        cancellation = Cancellation.model_validate_json(session.state)
        pinned = self._parties[said.envelope.sender].current
        report = cancelling.check_report(cancellation, said.envelope, said.report, pinned)
        row = said.row
        if Status(session.status).final or any(
            each.sender == row.sender for each in session.received
        ):
            await self._commits.repeat(session.session_id, said.cause)
            return True
        refused = "{}" if report.refused is None else f'{{"refused": "{report.refused}"}}'
        event = Event(event=row.slot, party_id=row.sender, details=refused)
        final = cancelling.all_answered(cancellation, (*session.received, row))
        return await self._commit(
            session, cancellation, said.cause, final=final, row=row, events=(event,)
        )

    async def expire(self, session: Session) -> bool:
        await self._store.owe(session.session_id, self._clock())
        cancellation = Cancellation.model_validate_json(session.state)
        target = await find_target(self._store, cancellation.request)
        if target.status is Status.IN_PROGRESS:  # whoever began this did not come to it
            await self._end_target(cancellation)
        if await self._commit(session, cancellation, UNASKED, final=True):
            await self._store.paid(session.session_id)
        return True

    async def send_owed(self, session: Session) -> None:
        await self._commits.send_again(session.session_id, UNASKED)

    async def _ask(self, session_id: bytes) -> None:
        with uninterrupted():
            questions = await self._store.outgoing(session_id, CAUSE)
            await publish_what_has_place(self._publisher, questions)

    async def _end_target(self, cancellation: Cancellation) -> None:
        """End the request's session, and those in which it goes on meanwhile."""
        request = cancellation.request
        by = "an operator" if cancellation.by_operator else "its client"
        failure = Failure.of(FailureCode.CANCELLED, f"cancelled by {by}")
        cause, ended = f"cancel:{request.request_id}", None
        while (
            found := await find(self._store, request.target_owner.name, target=request.target)
        ) is not None and found.session.session_id != ended:
            ended = found.session.session_id
            # The broker drops a cancel that is past its time, and then nobody comes again.
            await self._store.owe(ended, self._clock())
            await self._commits.end(ended, cause, Status.CANCELLED, failure)
            await self._store.paid(ended)
            self._scopes.cancel(ended)

    async def _commit(
        self,
        session: Session,
        cancellation: Cancellation,
        cause: str,
        *,
        final: bool,
        row: Received | None = None,
        events: tuple[Event, ...] = (),
    ) -> bool:
        """False if another worker moved the session on: load and try again."""
        now, answer = self._clock(), None
        rows = () if row is None else (row,)
        if final:
            target = await find_target(self._store, cancellation.request)
            content = cancelling.answer(
                cancellation,
                (*session.received, *rows),
                target_status=target.status,
                named=target.named,
                epochs=await self.epochs_of(cancellation.request),
                now=now,
            )
            answer = result(content, cancellation.request.reply_to)
            events = (*events, over(Status.COMPLETED, None))
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=None,
            status=(Status.COMPLETED if final else Status.IN_PROGRESS).value,
            deadline=now if final else session.deadline,
            state=cancellation.model_dump_json().encode(),
            cause=cause,
            received=rows,
            events=events,
            result=answer,
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            if answer is not None:
                self._departures.over(session.session_id)
                await self._publisher.publish(answer)
                self._commits.left(session.session_id, cause)
        return True
