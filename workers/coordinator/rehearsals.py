"""The coordinator's sessions that rehearse a reshare: the parties are asked whether they would take
part, and nothing of the key changes, here or there.

It is a session because the answers come to any of the coordinator's processes. It has no number of
an epoch, and stands in nobody's way.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Status
from contracts.requests import RehearseRequest
from contracts.sessions import rehearsal_session_id
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, publish_what_has_place
from ..delivery.scopes import uninterrupted
from ..session.coordinator import rehearsing, resharing
from ..session.coordinator.choice import ChoiceError
from ..session.coordinator.rehearsing import PATIENCE_MS, Rehearsing
from ..session.peers import Peer
from ..session.protocols import REHEARSE
from ..session.sending import result
from ..store.interface import CoordinatorStore
from ..store.records import CoordinatorChange, Event, Outcome, Received, RequestRecord, Session
from .answers import Answers, conflict
from .beginnings import CAUSE, record_of
from .commits import UNASKED, CoordinatorCommits, over
from .desks import Service
from .liveness import Liveness
from .local_sessions import LocalSessions
from .sessions import Said


class Rehearsals:
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
        self._departures = local.departures
        self._commits = commits
        self._parties = parties
        self._clock = clock

    async def advance(self, session: Session, said: Said) -> bool:
        state = Rehearsing.model_validate_json(session.state)
        pinned = self._parties[said.envelope.sender].current
        rehearsing.check_report(state, said.envelope, said.report, pinned)
        row = said.row
        if Status(session.status).final or any(
            each.sender == row.sender for each in session.received
        ):
            await self._commits.repeat(session.session_id, said.cause)
            return True
        final = rehearsing.all_answered(state, (*session.received, row))
        event = Event(event=row.slot, party_id=row.sender, details="{}")
        return await self._commit(session, state, said.cause, final=final, row=row, events=(event,))

    async def expire(self, session: Session) -> bool:
        """Those who have not answered by now are silent."""
        await self._store.owe(session.session_id, self._clock())
        state = Rehearsing.model_validate_json(session.state)
        if await self._commit(session, state, UNASKED, final=True):
            await self._store.paid(session.session_id)
        return True

    async def send_owed(self, session: Session) -> None:
        await self._commits.send_again(session.session_id, UNASKED)

    async def ask(self, session_id: bytes) -> None:
        """The parties, for a request that came, or came again."""
        with uninterrupted():
            questions = await self._store.outgoing(session_id, CAUSE)
            await publish_what_has_place(self._publisher, questions)

    async def _commit(
        self,
        session: Session,
        state: Rehearsing,
        cause: str,
        *,
        final: bool,
        row: Received | None = None,
        events: tuple[Event, ...] = (),
    ) -> bool:
        """False if another worker moved the session on: load and try again."""
        now, told = self._clock(), None
        rows = () if row is None else (row,)
        if final:
            content = rehearsing.answer(state, (*session.received, *rows), now=now)
            told = result(content, state.request.reply_to)
            events = (*events, over(Status.COMPLETED, None))
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=None,
            status=(Status.COMPLETED if final else Status.IN_PROGRESS).value,
            deadline=now if final else session.deadline,
            state=session.state,
            cause=cause,
            received=rows,
            events=events,
            result=told,
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            if told is not None:
                self._departures.over(session.session_id)
                await self._publisher.publish(told)
                self._commits.left(session.session_id, cause)
        return True


class RehearsalDesk:
    """Begins them, for the owners of keys.

    Arguments:
        grace_ms: By which sweeps for deadlines come too late.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        answers: Answers,
        rehearsals: Rehearsals,
        *,
        parties: Mapping[str, Peer],
        liveness: Liveness,
        grace_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._answers = answers
        self._rehearsals = rehearsals
        self._parties = parties
        self._liveness = liveness
        self._grace_ms = grace_ms
        self._clock = clock
        self._random = random.Random()

    def services(self) -> tuple[Service, ...]:
        return (Service.of(RehearseRequest, self._handle),)

    async def _handle(self, signed: SignedRequest, request: RehearseRequest) -> None:
        known = await self._known(signed)
        if known is None:
            failure = await self._begin(signed, request)
            if failure is not None:
                return await self._answers.fail(signed, failure)
            known = await self._known(signed)
            assert known is not None
        if known.digest != signed.digest:
            return await self._answers.fail(signed, conflict(request.request_id))
        if known.result is not None:
            return await self._answers.again(known.result)
        return await self._rehearsals.ask(known.session_id)

    async def _begin(self, signed: SignedRequest, request: RehearseRequest) -> Failure | None:
        """Whoever comes second under this request id changes nothing. Returns what the reshare
        would be refused for before any party is asked."""
        record = await self._store.key(request.owner, request.key_id)
        if record is None:
            return Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.key_id!r}")
        predecessor = CertifiedKey.model_validate_json(record.certified)
        if (unfit := resharing.unfit(request.asks_for, predecessor.facts)) is not None:
            return unfit
        if await self._store.reshare_under_way(record.key_session):
            return resharing.busy(predecessor.facts)
        begun = [each.epoch for each in await self._store.key_epochs(record.key_session)]
        try:
            asked = rehearsing.terms_of(
                request,
                signed.digest,
                predecessor,
                self._parties,
                self._liveness.alive(),
                begun,
                self._random,
                os.urandom(32),
            )
        except ChoiceError as error:
            return error.failure
        now, session_id = self._clock(), rehearsal_session_id(signed.digest)
        state = Rehearsing(request=request, request_digest=signed.digest, asked=list(asked))
        change = CoordinatorChange(
            session_id=session_id,
            expected_version=0,
            protocol=REHEARSE.name,
            key_session=None,
            status=Status.WAITING.value,
            deadline=min(request.expires_at, now + PATIENCE_MS) - self._grace_ms,
            state=state.model_dump_json().encode(),
            cause=CAUSE,
            outgoing=rehearsing.questions(
                session_id,
                asked,
                predecessor,
                request=signed.body,
                signature=signed.signature,
                now=now,
            ),
            request=record_of(signed, session_id),
        )
        await self._store.commit(change)
        return None

    async def _known(self, signed: SignedRequest) -> RequestRecord | None:
        request = signed.request
        return await self._store.request(request.owner, request.request_id, signed.digest)
