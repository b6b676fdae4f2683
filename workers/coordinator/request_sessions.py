"""The coordinator's sessions that a request asked for: those that make a key, give it other shares,
or sign with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from contracts import sessions
from contracts.failures import Failure, FailureCode
from contracts.identity import Identity
from contracts.requests import SignRequest
from contracts.results import Status

from ..delivery.clock import now_ms
from ..session import inbox
from ..session.coordinator import key_reports, resharing
from ..session.coordinator import reports as reporting
from ..session.coordinator.conduct import Conduct, Progress
from ..session.coordinator.refusing import Refusal
from ..session.errors import EquivocationError
from ..session.peers import Certifying, Peer
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import Event, RequestRecord, Session
from .beginnings import Beginnings
from .commits import UNASKED, CoordinatorCommits
from .key_epochs import KeyEpochs
from .local_sessions import LocalSessions
from .pools import Pools
from .recent import Known
from .sessions import Said


class RequestSessions:
    """Implements `sessions.SessionKind`.

    Arguments:
        identities: The coordinator's; parties seal their shares for one of them.
        grace_ms: For the parties' last words after a session's deadline.
        switch_ms: After a key's next epoch is made, until requests go to its holders.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        local: LocalSessions,
        commits: CoordinatorCommits,
        pools: Pools,
        beginnings: Beginnings,
        *,
        identities: Sequence[Identity],
        parties: Mapping[str, Peer],
        grace_ms: int,
        switch_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._scopes = local.scopes
        self._recent = local.recent
        self._commits = commits
        self._pools = pools
        self._beginnings = beginnings
        self._identities = identities
        self._parties = parties
        self._epochs = KeyEpochs(store, clock=clock)
        self._grace_ms = grace_ms
        self._switch_ms = switch_ms
        self._clock = clock

    async def advance(self, session: Session, said: Said) -> bool:
        session_id, cause, row = session.session_id, said.cause, said.row
        if Status(session.status).final:
            await self._commits.come_again(session, cause)
            return True
        known = self._recent.take(session_id) or Known.read(session)
        session, conduct = known.session, known.conduct
        seconds_left = (session.deadline + self._grace_ms - self._clock()) / 1000
        self._scopes.tighten(session_id, seconds_left)
        report = reporting.check_report(conduct, said.envelope, said.report)
        try:
            if inbox.repeats(session.received, row.slot, row.sender, row.digest):
                await self._commits.repeat(session_id, cause)
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

    async def expire(self, session: Session) -> bool:
        known = Known.read(session)
        begins_at = known.conduct.begins_at
        if begins_at is not None and self._clock() < known.conduct.deadline:
            await self._beginnings.begin(known)  # or else the next sweep
            return False
        await self._store.owe(session.session_id, self._clock())
        progress = reporting.expired(known.conduct, session.received)
        if await self._commits.commit(known, progress, UNASKED, None, None):
            await self._store.paid(session.session_id)
        return True

    async def send_owed(self, session: Session) -> None:
        if Status(session.status) is Status.CANCELLED:
            await self._commits.send_result(session.session_id)
        else:
            await self._commits.send_again(session.session_id, UNASKED)
        await self._commits.resume(session)

    ###
    ### Reports
    ###

    async def _progress(
        self, session: Session, conduct: Conduct, sender: str, report: reporting.RequestReport
    ) -> Progress:
        now = self._clock()
        match report:
            case sessions.PartyJoined():
                return Progress(conduct=conduct, status=Status.IN_PROGRESS)
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
                return reporting.share_signed(
                    conduct,
                    sender,
                    report,
                    session.received,
                    identities=self._identities,
                    now=now,
                )
            case sessions.KeyCertified():
                return key_reports.key_certified(conduct, sender, report, session.received, now=now)
            case sessions.EpochCertified():
                return resharing.epoch_certified(
                    conduct,
                    sender,
                    report,
                    session.received,
                    record=await self._request(session.session_id),
                    pinned=Certifying(self._parties),
                    switch_ms=self._switch_ms,
                    now=now,
                )
            case sessions.SessionFailed(failure=failure):
                if failure.code is FailureCode.EXPIRED:
                    # Others may still speak; the deadline's own sweep sums up who was silent.
                    return Progress(conduct=conduct, status=Status(session.status))
                failed = reporting.session_failed(conduct, sender, failure)
                return await self._with_proof(failed, sender, now)
            case _:
                assert_never(report)

    async def _with_proof(self, failed: Progress, sender: str, now: int) -> Progress:
        """A party that is behind is shown the epoch that it does not know, and others are asked in
        its place: it may just say so. Where we are behind, nobody refuses anything."""
        conduct, facts = failed.conduct, failed.conduct.facts
        assert failed.failure is not None
        if failed.failure.code is not FailureCode.STALE_EPOCH or facts is None:
            return failed
        made = await self._epochs.proofs(facts.session_id)
        bundle = made[-1] if made else None
        if bundle is not None and bundle.key.facts.epoch > facts.epoch:
            return failed
        signers = sorted(member.party_id for member in conduct.terms.members)
        failed = replace(failed, refusal=Refusal(party_id=sender, because=[], signers=signers))
        if bundle is None or not any(sender in resharing.concerned(each) for each in made):
            return failed
        shown = resharing.proof(bundle, [sender], made[:-1], now=now)
        return replace(failed, outgoing=(*failed.outgoing, *shown))

    async def _request(self, session_id: bytes) -> RequestRecord:
        request = await self._store.request_of(session_id)
        if request is None:
            # It goes on in another session: this one is over, and we had it in mind as it was.
            raise StoreUnavailableError("another worker has moved the session on")
        return request

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
