"""The coordinator's handlers for reports: what the parties say about their sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from contracts import sessions, strict_json
from contracts.envelope import COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.requests import SignRequest
from contracts.results import Status
from contracts.signing import explain

from ..delivery.clock import now_ms
from ..delivery.deliveries import Delivery
from ..delivery.scopes import SessionScopes
from ..session import inbox
from ..session.coordinator import key_reports, pooling
from ..session.coordinator import reports as reporting
from ..session.coordinator.conduct import Conduct, Progress
from ..session.errors import EquivocationError
from ..session.peers import Peer
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import Event, Received, RequestRecord, Session
from .batches import BatchConsumer
from .beginnings import Beginnings
from .commits import RACES, UNASKED, CoordinatorCommits
from .liveness import Liveness
from .pools import Pools
from .recent import Known, RecentSessions

logger = logging.getLogger(__name__)


class ReportConsumer:
    """
    Arguments:
        parties: Those whose word counts, by id.
        grace_ms: For the parties' last words after a session's deadline.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        parties: Mapping[str, Peer],
        store: CoordinatorStore,
        liveness: Liveness,
        scopes: SessionScopes,
        recent: RecentSessions,
        commits: CoordinatorCommits,
        pools: Pools,
        batches: BatchConsumer,
        beginnings: Beginnings,
        *,
        grace_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._parties = parties
        self._store = store
        self._liveness = liveness
        self._scopes = scopes
        self._recent = recent
        self._commits = commits
        self._pools = pools
        self._batches = batches
        self._beginnings = beginnings
        self._grace_ms = grace_ms
        self._clock = clock
        self._locks = commits.locks

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
            over = sessions.SessionCancelled.model_validate_json(strict_json.checked(body))
        except (ValidationError, ContractError) as error:
            raise ContractError(f"not a cancellation: {explain(error)}") from None
        self._recent.take(over.session_id)
        self._scopes.cancel(over.session_id)

    async def expire(self, session_id: bytes) -> None:
        """The deadline and the parties' grace have passed."""
        async with self._locks.of(session_id):
            session = await self._store.session(session_id)
            if session is None or Status(session.status).final:
                return
            if session.deadline >= self._clock() - self._grace_ms:
                return  # a report moved it after the sweep had looked
            if session.protocol != pooling.PROTOCOL:
                known = Known.read(session)
                begins_at = known.conduct.begins_at
                if begins_at is not None and self._clock() < known.conduct.deadline:
                    await self._beginnings.begin(known)  # or else the next sweep
                    return
            await self._store.owe(session_id, self._clock())
            if session.protocol == pooling.PROTOCOL:
                ended = await self._batches.expire(session)
            else:
                known = Known.read(session)
                failure = _expired(known.conduct, session)
                progress = Progress(conduct=known.conduct, status=Status.EXPIRED, failure=failure)
                ended = await self._commits.commit(known, progress, UNASKED, None, None)
            if ended:
                await self._store.paid(session_id)
        self._scopes.cancel(session_id)

    async def send_owed(self, session_id: bytes) -> None:
        """What an end that nobody asks for committed and perhaps did not send."""
        await self._commits.send_again(session_id, UNASKED)
        session = await self._store.session(session_id)
        if session is not None:
            await self._commits.resume(session)
        await self._store.paid(session_id)

    async def cancel(self, session_id: bytes, cause: str, *, by: str = "its client") -> Status:
        """Somebody's wish; returns how the session ended, which may be otherwise."""
        failure = Failure.of(FailureCode.CANCELLED, f"cancelled by {by}")
        return await self._commits.end(session_id, cause, Status.CANCELLED, failure)

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
            if session.protocol == pooling.PROTOCOL:
                return await self._batches.advance(session, envelope, report, row)
            if Status(session.status).final:
                if await self._commits.send_again(session.session_id, cause):
                    await self._commits.resume(session)  # it may have been what ended it
                return True
            known = Known.read(session)
        session, conduct = known.session, known.conduct
        seconds_left = (session.deadline + self._grace_ms - self._clock()) / 1000
        self._scopes.tighten(session.session_id, seconds_left)
        reporting.check_report(conduct, envelope, report)
        try:
            if inbox.repeats(session.received, row.slot, row.sender, row.digest):
                await self._commits.send_again(session.session_id, cause)
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
        if progress.failure is not None:
            await self._distrust(conduct, row.sender, progress.failure)
        return await self._commits.commit(known, progress, cause, row, event)

    async def _distrust(self, conduct: Conduct, party_id: str, failure: Failure) -> None:
        """A party that refuses to sign may have lost what it made ahead, as a crash of its database
        makes it: then all that it has announced is worth nothing, and each would cost a request.
        The same goes for presignatures of which one made no signature, though nobody knows why."""
        request, facts = conduct.request, conduct.facts
        refused, spoilt = FailureCode.PARTY_REFUSED, FailureCode.SPOILT
        if not isinstance(request, SignRequest) or failure.code not in {refused, spoilt}:
            return
        assert facts is not None
        if conduct.presigned:
            pool = self._pools.use(facts, conduct.terms.members)
            await self._store.forget_presignatures(pool)
            if failure.code is spoilt:
                self._pools.rest(pool)
        elif failure.code is refused:
            await self._store.forget_commitments(
                facts.session_id, facts.epoch, request.scheme.value, party_id
            )

    async def _progress(
        self, session: Session, conduct: Conduct, sender: str, report: sessions.Report
    ) -> Progress:
        now = self._clock()
        match report:
            case sessions.NoncesMade():
                request = await self._request(session.session_id)
                return reporting.nonces_made(
                    conduct,
                    sender,
                    report,
                    request=request.body,
                    signature=request.signature,
                    now=now,
                )
            case sessions.ShareSigned():
                return reporting.share_signed(conduct, sender, report, session.received, now=now)
            case sessions.KeyCertified():
                return key_reports.key_certified(conduct, sender, report, session.received, now=now)
            case sessions.SessionFailed(failure=failure):
                if failure.code is FailureCode.EXPIRED:
                    # Others may still speak; the deadline's own sweep sums up who was silent.
                    return Progress(conduct=conduct, status=Status(session.status))
                return reporting.session_failed(conduct, sender, failure)
            case _:
                return Progress(conduct=conduct, status=Status.IN_PROGRESS)

    async def _request(self, session_id: bytes) -> RequestRecord:
        request = await self._store.request_of(session_id)
        if request is None:
            raise ContractError("the session's request is gone")
        return request


def _expired(conduct: Conduct, session: Session) -> Failure:
    if conduct.presigned and not conduct.presignatures:
        # Its own parties were not asked yet.
        return Failure.of(FailureCode.EXPIRED, "the deadline passed before presignatures were made")
    silent = reporting.silent_parties(conduct, session.received)
    return Failure.of(
        FailureCode.EXPIRED,
        f"the deadline passed; nothing was heard of {', '.join(silent)}"
        if silent
        else "the deadline passed before the parties were done",
        silent=silent,
    )


def _parse(envelope: Envelope) -> sessions.Report:
    if envelope.recipient != COORDINATOR or envelope.round != 0:
        raise ContractError("not a report to the coordinator")
    try:
        report = sessions.REPORT.validate_json(strict_json.checked(envelope.payload))
    except (ValidationError, ContractError) as error:
        raise ContractError(f"not a report: {explain(error)}") from None
    if report.report != envelope.kind:
        raise ContractError(f"{report.report} in an envelope for {envelope.kind}")
    return report
