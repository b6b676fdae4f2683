"""What the coordinator's handlers do alike with a request's session: commit what a report or a
wish comes to, then publish it, the request's result before all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.answers import failed_result
from contracts.failures import Failure
from contracts.requests import KeygenRequest
from contracts.results import Status

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..delivery.scopes import uninterrupted
from ..session.coordinator import instructions
from ..session.coordinator.conduct import Conduct, Progress
from ..session.coordinator.refusing import Refusal
from ..session.sending import result
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import CoordinatorChange, Event, Outcome, Outgoing, Received, Session
from . import reshare_counts
from .endings import Ended, Endings
from .local_sessions import LocalSessions
from .recent import Known
from .repeats import Repeats

UNASKED = "deadline"
"""Cause of an end that no delivery asks for again, as one by a deadline. What it sends is owed."""
CANCELLED = "session_cancelled"
_TOLD = {CANCELLED, "epoch_proven"}

RACES = 20
"""Lost to other workers before a delivery is given back."""


class CoordinatorCommits:
    """
    Arguments:
        endings: Told of sessions that end without a result, so that their requests go on.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        local: LocalSessions,
        endings: Endings,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.locks = local.locks
        self._endings = endings
        self._clock = clock
        self._store = store
        self._publisher = publisher
        self._recent = local.recent
        self._repeats = Repeats(clock=clock)
        self._departures = local.departures

    async def commit(
        self,
        known: Known,
        progress: Progress,
        cause: str,
        row: Received | None,
        event: Event | None,
    ) -> bool:
        """False if another worker moved the session on: load and try again."""
        session, conduct = known.session, progress.conduct
        outgoing = progress.outgoing
        if progress.failure is not None:
            outgoing = (*outgoing, *instructions.farewells(conduct, now=self._clock()))
        ended = self._ended(progress)
        if ended is not None:
            conduct = ended.conduct  # for whoever begins the next session if we do not come to it
            # Until the next session has begun: whoever finds this one over must begin it.
            await self._store.owe(session.session_id, self._clock())
        answer = self._answer(progress) if ended is None else None
        events: tuple[Event, ...] = () if event is None else (event,)
        if progress.status.final:
            events = (*events, over(progress.status, progress.failure))
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=progress.status.value,
            deadline=self._clock()
            if progress.status.final
            else progress.deadline or session.deadline,
            state=session.state if conduct is known.conduct else conduct.model_dump_json().encode(),
            cause=cause,
            received=() if row is None else (row,),
            outgoing=outgoing,
            events=events,
            key=progress.key,
            epoch=progress.epoch,
            made=progress.made,
            retirements=progress.retirements,
            commitments=progress.commitments,
            result=answer,
            waiter=progress.waiter,
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            if progress.status.final:
                self._recent.take(session.session_id)  # it may be there from the last report
                late = progress.status is Status.EXPIRED
                self._departures.over(session.session_id, late=late)
                reshare_counts.ended(conduct, progress, self._clock())
            await self.send(outgoing if answer is None else (answer, *outgoing))
            if ended is not None:
                await self._endings.tell(ended)
                await self._store.paid(session.session_id)
            self.left(session.session_id, cause)
        if not progress.status.final:
            self._recent.keep(change, session, conduct)
        return True

    def _ended(self, progress: Progress) -> Ended | None:
        """What there is to tell of a session that fails, if its request is to go on."""
        conduct, failure = progress.conduct, progress.failure
        if failure is None or not conduct.may_go_on(failure, self._clock()):
            return None
        learnt: dict[str, object] = {}
        if progress.refusal is not None:
            learnt["refusals"] = [*conduct.refusals, progress.refusal]
        else:
            learnt["avoided"] = sorted({*conduct.avoided, *failure.culprits, *failure.silent})
        return Ended(conduct.session_id, conduct.model_copy(update=learnt), failure)

    def _answer(self, progress: Progress) -> Outgoing | None:
        """The result that a session comes to, if it is over and with it its request."""
        conduct, request, content = progress.conduct, progress.conduct.request, progress.result
        if progress.failure is not None:
            content = failed_result(
                request.operation,
                progress.failure,
                request_id=request.request_id,
                client_id=request.client_id,
                session_id=conduct.public_id,
                request_digest=conduct.terms.request_digest,
                key_id=request.key_id,
                status=progress.status,
                finished_at=self._clock(),
            )
        return None if content is None else result(content, request.reply_to)

    async def resume(self, session: Session) -> None:
        """Begin the session that should follow this one, if whoever ended it did not come to it.
        Uninterrupted, as `send_again`."""
        conduct = Conduct.model_validate_json(session.state)
        makes_key = isinstance(conduct.request, KeygenRequest)
        if not makes_key and Status(session.status) in {Status.FAILED, Status.EXPIRED}:
            with uninterrupted():
                *_, last = await self._store.events(session.session_id)
                failure = Failure.model_validate_json(last.details)
                await self._endings.tell(Ended(session.session_id, conduct, failure))

    async def end(
        self,
        session_id: bytes,
        cause: str,
        status: Status,
        failure: Failure,
        *,
        refusal: Refusal | None = None,
    ) -> Status:
        """End a session from outside; returns how it ended, which may be otherwise: its request may
        have gone on in another one.

        Arguments:
            cause: Names who wished it; come again, it sends again what it sent.
            refusal: Who would not sign with whom, if that is why.
        """
        async with self.locks.of(session_id):
            for _ in range(RACES):
                session = await self._store.session(session_id)
                if session is None:
                    return Status.EXPIRED  # so long ago that it was forgotten
                if Status(session.status).final:
                    await self.send_again(session_id, cause)
                    await self.resume(session)  # so that there is something to end
                    return Status(session.status)
                known = Known.read(session)
                progress = Progress(
                    conduct=known.conduct,
                    status=status,
                    failure=failure,
                    refusal=refusal,
                )
                if await self.commit(known, progress, cause, None, None):
                    return status
            raise StoreUnavailableError("other workers were faster every time")

    async def come_again(self, session: Session, cause: str) -> None:
        """A report for a session that is over came again, and may have been what ended it: what it
        led to once more, unless all of that has left within the last second."""
        if not self._repeats.due(session.session_id, cause):
            return
        if await self.send_again(session.session_id, cause):
            await self.resume(session)
            self.left(session.session_id, cause)

    async def repeat(self, session_id: bytes, cause: str) -> None:
        """As `send_again`, unless it has left within the last second."""
        if self._repeats.due(session_id, cause) and await self.send_again(session_id, cause):
            self.left(session_id, cause)

    def left(self, session_id: bytes, cause: str) -> None:
        """All that the cause sends in the session was confirmed just now."""
        self._repeats.left(session_id, cause)

    async def send_again(self, session_id: bytes, cause: str) -> bool:
        """What this cause sent the first time, the session's result included; False if that is
        nothing. Uninterrupted: the cancellation among it comes back to us as well."""
        with uninterrupted():
            sent = await self._store.outgoing(session_id, cause)
            await self.send(sent)
        return bool(sent)

    async def send_result(self, session_id: bytes) -> None:
        """What its request got, whatever the cause."""
        request = await self._store.request_of(session_id)
        if request is not None and request.result is not None:
            await self.send((request.result,))

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """All at once; a result before what parties are told with it, and whether that finds a
        place or not: a party's full queue must not bring the client its result again and again."""
        told = [message for message in messages if message.kind in _TOLD]
        await self._publisher.publish_all(
            [message for message in messages if message.kind not in _TOLD]
        )
        await publish_what_has_place(self._publisher, told)


def over(status: Status, failure: Failure | None) -> Event:
    """The last line of a session's history."""
    return Event(event=status.value, details="{}" if failure is None else failure.model_dump_json())
