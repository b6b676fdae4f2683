"""The coordinator's handlers for reports: what the parties say about their sessions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from contracts import addresses, sessions
from contracts.envelope import COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.requests import SignRequest
from contracts.results import Status, failed_result
from contracts.signing import explain

from ..session import conduct as conducting
from ..session import inbox
from ..session.acceptance import Peer
from ..session.conduct import Conduct, Progress
from ..session.errors import EquivocationError
from ..session.sending import result
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import (
    CoordinatorChange,
    Event,
    Outcome,
    Outgoing,
    Received,
    RequestRecord,
    Session,
)
from .clock import now_ms
from .deliveries import Delivery
from .liveness import Liveness
from .locks import SessionLocks
from .publisher import FullError, Publisher, UnroutableError
from .recent import Known, RecentSessions
from .scopes import SessionScopes, uninterrupted

logger = logging.getLogger(__name__)

DEADLINE = "deadline"
RACES = 20
"""Lost to other workers before a delivery is given back."""


class ReportConsumer:
    """
    Arguments:
        parties: Those whose word counts, by id.
        grace_ms: For the parties' last words after a session's deadline.
    """

    def __init__(
        self,
        parties: Mapping[str, Peer],
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        scopes: SessionScopes,
        recent: RecentSessions,
        *,
        grace_ms: int,
    ) -> None:
        self._parties = parties
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._scopes = scopes
        self._recent = recent
        self._grace_ms = grace_ms
        self._locks = SessionLocks()

    async def handle(self, delivery: Delivery) -> None:
        unverified = UnverifiedEnvelope.from_bytes(delivery.body)
        peer = self._parties.get(unverified.claimed.sender)
        if peer is None:
            raise ContractError("the sender is not one of our parties")
        envelope = unverified.verify(peer.identity)
        report = _parse(envelope)
        if isinstance(report, sessions.PartyAlive):
            await self._liveness.seen(envelope.sender)
            return
        row = Received(
            slot=envelope.kind,
            sender=envelope.sender,
            digest=envelope.digest(),
            body=delivery.body,
        )
        with self._scopes.enter(envelope.session_id):
            async with self._locks.of(envelope.session_id):
                for _ in range(RACES):
                    if await self._advance(envelope, report, row):
                        return
                raise StoreUnavailableError("other workers were faster every time")

    def broadcast(self, body: bytes) -> None:
        """A cancellation heard on `warren.cancel`, from this coordinator process or another."""
        try:
            over = sessions.SessionCancelled.model_validate_json(body)
        except ValidationError as error:
            raise ContractError(f"not a cancellation: {explain(error)}") from None
        self._scopes.cancel(over.session_id)

    async def expire(self, session_id: bytes) -> None:
        """The deadline and the parties' grace have passed."""
        async with self._locks.of(session_id):
            session = await self._store.session(session_id)
            if session is None or Status(session.status).final:
                return
            known = Known.read(session)
            silent = conducting.silent_parties(known.conduct, session.received)
            failure = Failure.of(
                FailureCode.EXPIRED,
                f"the deadline passed; nothing was heard of {', '.join(silent)}"
                if silent
                else "the deadline passed before the parties were done",
                silent=silent,
            )
            progress = Progress(conduct=known.conduct, status=Status.EXPIRED, failure=failure)
            await self._store.owe(session_id, now_ms())
            if await self._commit(known, progress, DEADLINE, None, None):
                await self._store.paid(session_id)
        self._scopes.cancel(session_id)

    async def send_owed(self, session_id: bytes) -> None:
        """What `expire` committed and perhaps did not send."""
        await self._send(await self._store.outgoing(session_id, DEADLINE))
        await self._store.paid(session_id)

    async def cancel(self, session_id: bytes, cause: str) -> Status:
        """The client's wish; returns how the session ended, which may be otherwise.

        Arguments:
            cause: Names the request to cancel; come again, it sends again what it sent.
        """
        async with self._locks.of(session_id):
            for _ in range(RACES):
                session = await self._store.session(session_id)
                if session is None:
                    return Status.EXPIRED  # so long ago that it was forgotten
                if Status(session.status).final:
                    await self._send_again(session_id, cause)
                    return Status(session.status)
                known = Known.read(session)
                progress = Progress(
                    conduct=known.conduct,
                    status=Status.CANCELLED,
                    failure=Failure.of(FailureCode.CANCELLED, "cancelled by its client"),
                )
                if await self._commit(known, progress, cause, None, None):
                    return Status.CANCELLED
            raise StoreUnavailableError("other workers were faster every time")

    ###
    ### Steps
    ###

    async def _advance(self, envelope: Envelope, report: sessions.Report, row: Received) -> bool:
        """False if another worker moved the session on: load and try again."""
        cause = inbox.cause_of(envelope)
        known = self._recent.take(envelope.session_id)
        if known is None:
            session = await self._store.session(envelope.session_id)
            if session is None:
                raise ContractError("there is no such session")
            if Status(session.status).final:
                await self._send_again(session.session_id, cause)
                return True
            known = Known.read(session)
        session, conduct = known.session, known.conduct
        seconds_left = (session.deadline + self._grace_ms - now_ms()) / 1000
        self._scopes.tighten(session.session_id, seconds_left)
        conducting.check_report(conduct, envelope, report)
        try:
            if inbox.repeats(session.received, row.slot, row.sender, row.digest):
                await self._send_again(session.session_id, cause)
                return True
            progress = await self._progress(session, conduct, row.sender, report)
        except EquivocationError as error:
            row = inbox.evidence(row)
            progress = Progress(
                conduct=conduct,
                status=Status.FAILED,
                failure=Failure.of(FailureCode.PARTY_FAULT, str(error), culprits=[error.sender]),
            )
        event = Event(
            event=row.slot,
            party_id=row.sender,
            details=report.failure.model_dump_json()
            if isinstance(report, sessions.SessionFailed)
            else "{}",
        )
        if not await self._commit(known, progress, cause, row, event):
            return False
        if isinstance(report, sessions.SessionFailed):
            await self._distrust_commitments(conduct, row.sender, report.failure)
        return True

    async def _distrust_commitments(
        self, conduct: Conduct, party_id: str, failure: Failure
    ) -> None:
        """A party that refuses to sign may have lost its nonces, as a crash of its database makes
        it: then all that it has announced is worth nothing, and each would cost a request."""
        if failure.code is FailureCode.PARTY_REFUSED and isinstance(conduct.request, SignRequest):
            assert conduct.facts is not None
            await self._store.forget_commitments(
                conduct.facts.session_id,
                conduct.facts.epoch,
                conduct.request.scheme.value,
                party_id,
            )

    async def _progress(
        self, session: Session, conduct: Conduct, sender: str, report: sessions.Report
    ) -> Progress:
        now = now_ms()
        match report:
            case sessions.NoncesMade():
                request = await self._request(session.session_id)
                return conducting.nonces_made(
                    conduct,
                    sender,
                    report,
                    request=request.body,
                    signature=request.signature,
                    time_left_ms=session.deadline - now,
                )
            case sessions.ShareSigned():
                return conducting.share_signed(conduct, sender, report, session.received, now=now)
            case sessions.KeyCertified():
                return conducting.key_certified(conduct, sender, report, session.received, now=now)
            case sessions.SessionFailed(failure=failure):
                if failure.code is FailureCode.EXPIRED:
                    # Others may still speak; the deadline's own sweep sums up who was silent.
                    return Progress(conduct=conduct, status=Status(session.status))
                return conducting.session_failed(conduct, sender, failure)
            case _:
                return Progress(conduct=conduct, status=Status.IN_PROGRESS)

    async def _commit(
        self,
        known: Known,
        progress: Progress,
        cause: str,
        row: Received | None,
        event: Event | None,
    ) -> bool:
        session, conduct = known.session, progress.conduct
        content = progress.result
        outgoing = progress.outgoing
        if progress.failure is not None:
            request = conduct.request
            content = failed_result(
                request.operation,
                progress.failure,
                request_id=request.request_id,
                client_id=request.client_id,
                session_id=session.session_id,
                key_id=request.key_id,
                status=progress.status,
                finished_at=now_ms(),
            )
            outgoing = (*outgoing, *conducting.farewells(conduct))
        answer = None if content is None else result(content, conduct.request.reply_to)
        over = () if content is None else (Event(event=progress.status.value),)
        events = over if event is None else (event, *over)
        change = CoordinatorChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=progress.status.value,
            deadline=now_ms() if progress.status.final else session.deadline,
            state=session.state if conduct is known.conduct else conduct.model_dump_json().encode(),
            cause=cause,
            received=() if row is None else (row,),
            outgoing=outgoing,
            events=events,
            key=progress.key,
            commitments=progress.commitments,
            result=answer,
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            await self._send(outgoing if answer is None else (answer, *outgoing))
        if not progress.status.final:
            self._recent.keep(change, session, conduct)
        return True

    async def _request(self, session_id: bytes) -> RequestRecord:
        request = await self._store.request_of(session_id)
        if request is None:
            raise ContractError("the session's request is gone")
        return request

    async def _send_again(self, session_id: bytes, cause: str) -> None:
        """What this cause sent the first time, the session's result included. Uninterrupted: the
        cancellation among it comes back to us as well."""
        with uninterrupted():
            await self._send(await self._store.outgoing(session_id, cause))

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        """All at once; a result before the farewells that come with it. Those, a party that reads
        no more may have no place for. It has a deadline of its own, and its full queue must not
        hold up the others' work, nor bring the client its result again and again."""
        answers = [message for message in messages if message.exchange == addresses.RESULTS]
        if not answers:
            return await self._publisher.publish_all(messages)
        await self._publisher.publish_all(answers)
        for message in messages:
            if message in answers:
                continue
            try:
                await self._publisher.publish(message)
            except (FullError, UnroutableError) as error:
                logger.warning("farewell not sent", extra={"reason": str(error)})
        return None


def _parse(envelope: Envelope) -> sessions.Report:
    if envelope.recipient != COORDINATOR or envelope.round != 0:
        raise ContractError("not a report to the coordinator")
    try:
        report = sessions.REPORT.validate_json(envelope.payload)
    except ValidationError as error:
        raise ContractError(f"not a report: {explain(error)}") from None
    if report.report != envelope.kind:
        raise ContractError(f"{report.report} in an envelope for {envelope.kind}")
    return report
