"""What a party's handlers do alike with a session: commit a step, then publish what it sends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

from contracts import sessions
from contracts.failures import Failure
from contracts.requests import MAX_TRIES
from contracts.results import Status
from contracts.terms import Member

from ..delivery.publisher import Publisher
from ..delivery.scopes import uninterrupted
from ..protocols.rounds import PartyFaultError
from ..session.errors import KeyBusyError, NameTakenError, NoShareError, RefusedError
from ..session.failures import failure_of
from ..session.party.acceptance import Party
from ..session.party.step import Step
from ..session.sending import report
from ..store.interface import PartyStore
from ..store.records import BanRecord, Outcome, Outgoing, PartyChange, Received, Session

REFUSALS = {
    Outcome.NONCE_GONE: "the nonce was used for another session",
    Outcome.PRESIGNATURE_GONE: "a presignature was used for another session",
    Outcome.CANCELLED: "the request was cancelled",
    Outcome.EXPIRED: "the request expired before we could answer it; is a clock wrong?",
    Outcome.OTHER_REQUEST: "another request of the same id came before",
    Outcome.EPOCH_TAKEN: "an epoch of this key that is not below was begun here meanwhile",
    Outcome.PROMISED: (
        "a request that was to sign with this key was cancelled a few minutes ago, and as long as "
        "it could be answered nothing is dealt of the key: ask again in eleven minutes"
    ),
    Outcome.TOO_MANY_TRIES: f"we answered the request in {MAX_TRIES} other sessions",
}
"""Outcomes of a commit for which its session is to fail."""

logger = logging.getLogger(__name__)


def check(outcome: Outcome) -> None:
    """Raises RefusedError if the session is to fail."""
    if outcome is Outcome.KEY_BUSY:
        raise KeyBusyError
    reason = REFUSALS.get(outcome)
    if reason is not None:
        raise RefusedError(reason)
    if outcome is Outcome.EPOCH_OVER:
        raise NoShareError


class PartyCommits:
    """Arguments: clock: Unix milliseconds."""

    def __init__(
        self, party: Party, store: PartyStore, publisher: Publisher, clock: Callable[[], int]
    ) -> None:
        self._party = party
        self._store = store
        self._publisher = publisher
        self._clock = clock

    async def first(
        self,
        session_id: bytes,
        step: Step,
        *,
        protocol: str,
        key_session: bytes | None,
        cause: str,
        time_left_ms: int = 0,
    ) -> Outcome:
        """The change that makes a session. LOST_RACE if it was made before: then what this cause
        sent is sent again. Whoever refuses a session hears of every other outcome."""
        change = PartyChange(
            session_id=session_id,
            expected_version=0,
            protocol=protocol,
            key_session=key_session,
            status=step.status.value,
            deadline=self._clock() + time_left_ms,
            state=step.state,
            erased_with=step.erased_with,
            cause=cause,
            outgoing=step.outgoing,
            key_share=step.key_share,
            epoch=step.epoch,
            take_nonce=step.take_nonce,
            nonces=step.nonces,
            take_presignatures=step.take_presignatures,
            answers=step.answers,
            forbids=step.forbids,
            at=self._clock(),
        )
        with uninterrupted():
            outcome = await self._store.commit(change)
            if outcome is Outcome.COMMITTED:
                await self._publisher.publish_all(step.outgoing)
            elif outcome is Outcome.LOST_RACE:
                await self.send_again(session_id, cause)
        return outcome

    async def next(
        self,
        session: Session,
        step: Step,
        cause: str,
        row: Received | None,
        *,
        bans: tuple[BanRecord, ...] = (),
    ) -> bool:
        """A change of a session that exists. False if another worker was faster. Raises
        NameTakenError or RefusedError."""
        change = PartyChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=step.status.value,
            deadline=self._clock() if step.status.final else session.deadline,
            state=step.state,
            erased_with=step.erased_with,
            cause=cause,
            received=() if row is None else (row,),
            outgoing=step.outgoing,
            key_share=step.key_share,
            epoch=step.epoch,
            presignatures=step.presignatures,
            bans=bans,
            forget_sent=step.forget_sent,
            answers=step.answers,
            at=self._clock(),
        )
        with uninterrupted():
            outcome = await self._store.commit(change)
            if outcome is Outcome.KEY_EXISTS:
                assert step.key_share is not None
                raise NameTakenError(step.key_share.key_id)
            check(outcome)
            if outcome is not Outcome.COMMITTED:
                return False
            await self._publisher.publish_all(step.outgoing)
        return True

    async def fail(
        self,
        session: Session,
        failure: Failure,
        cause: str,
        status: Status,
        row: Received | None,
        *,
        forget_sent: bool,
        bans: tuple[BanRecord, ...] = (),
    ) -> bool:
        """End a session and tell the coordinator. False if another worker was faster."""
        logger.warning(
            "session failed",
            extra={"session_id": session.session_id.hex(), "failure": failure.message},
        )
        failed = self.failed(session.session_id, failure, 0)
        step = Step(status=status, outgoing=(failed,), forget_sent=forget_sent)
        return await self.next(session, step, cause, row, bans=bans)

    async def refuse(
        self,
        session_id: bytes,
        error: Exception,
        members: Sequence[Member],
        *,
        protocol: str,
        key_session: bytes | None,
        epoch: int,
        cause: str,
        banned: Collection[str] = (),
    ) -> None:
        """Tell the coordinator, once, and be done with the session.

        Arguments:
            banned: Members with whom we make no presignatures: so the coordinator knows for as
                long as it is so.
        """
        failure = failure_of(error, members, round_=0)
        if banned:
            failure = failure.model_copy(update={"culprits": sorted(banned)})
        logger.warning(
            "session refused",
            extra={
                "session_id": session_id.hex(),
                "key_session": key_session and key_session.hex(),
                "epoch": epoch,
                "reason": failure.message,
            },
        )
        failed = self.failed(session_id, failure, epoch)
        step = Step(status=Status.FAILED, outgoing=(failed,))
        await self.first(session_id, step, protocol=protocol, key_session=key_session, cause=cause)

    def failed(self, session_id: bytes, failure: Failure, epoch: int) -> Outgoing:
        return report(
            sessions.SessionFailed(failure=failure),
            identity=self._party.speaker,
            party_id=self._party.party_id,
            session_id=session_id,
            epoch=epoch,
        )

    def bans(
        self, session_id: bytes, error: Exception, members: Sequence[Member]
    ) -> tuple[BanRecord, ...]:
        """Whom an error forbids us to make presignatures with from now on."""
        if not isinstance(error, PartyFaultError) or not error.ban:
            return ()
        return tuple(
            BanRecord(
                party_id=member.party_id,
                session_id=session_id,
                check=error.check,
                at=self._clock(),
            )
            for member in members
            if member.index in error.culprits
        )

    async def tell(self, content: sessions.Report) -> None:
        """What belongs to no session, and is kept elsewhere until it is told."""
        told = report(content, identity=self._party.speaker, party_id=self._party.party_id)
        await self._publisher.publish(told)

    async def send_again(self, session_id: bytes, cause: str) -> None:
        """What this delivery sent the first time, byte for byte; nothing if it sent nothing."""
        await self._publisher.publish_all(await self._store.outgoing(session_id, cause))
