"""Sessions of several rounds at a party: each message parked, or the step that it completes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.results import Status

from ..delivery.locks import SessionLocks
from ..delivery.scopes import SessionScopes
from ..session import inbox
from ..session.errors import EquivocationError
from ..session.failures import failure_of
from ..session.party.step import STEP_ERRORS, Step
from ..settings import PartyLimits
from ..store.interface import PartyStore, StoreUnavailableError
from ..store.records import EvidenceRecord, Parked, Received, Session
from .commits import PartyCommits
from .machines import Machine

logger = logging.getLogger(__name__)

DEADLINE = "deadline"
RACES = 20
"""Lost to other workers before a delivery is given back."""
EVIDENCE_OF_ONE_SENDER = 50
"""Up to some megabytes each. The rest proves nothing new."""


class RoundSessions:
    def __init__(
        self,
        store: PartyStore,
        commits: PartyCommits,
        machine: Machine,
        scopes: SessionScopes,
        locks: SessionLocks,
        limits: PartyLimits,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._commits = commits
        self._machine = machine
        self._scopes = scopes
        self._locks = locks
        self._limits = limits
        self._clock = clock

    async def enter(self, envelope: Envelope, body: bytes) -> None:
        """A verified message of some session."""
        async with self._locks.of(envelope.session_id):
            for _ in range(RACES):
                session = await self._store.session(envelope.session_id)
                if session is None:
                    if await self._park(envelope, body):
                        return
                    continue  # the session came into being between the two looks
                if await self._advance(session, envelope, body):
                    return
            raise StoreUnavailableError("other workers were faster every time")

    async def play_parked(self, session_id: bytes) -> None:
        """What came before its session, once that is there."""
        parked = await self._store.parked(session_id)
        if not parked:
            return
        for each in parked:
            try:
                await self.enter(UnverifiedEnvelope.from_bytes(each.body).claimed, each.body)
            except ContractError as error:
                logger.warning(
                    "parked message refused",
                    extra={
                        "session_id": session_id.hex(),
                        "party": each.sender,
                        "reason": str(error),
                    },
                )
        await self._store.unpark(session_id)

    async def expire(self, session_id: bytes) -> None:
        """The deadline has passed: say who was missing, and stop."""
        async with self._locks.of(session_id):
            session = await self._store.session(session_id)
            if session is None or Status(session.status).final:
                return
            seat = self._machine.seat(session)
            silent, round_ = seat.silent(session.received), seat.state.round
            failure = Failure.of(
                FailureCode.EXPIRED,
                f"no message of {', '.join(silent)} in round {round_}",
                round=round_,
                silent=silent,
            )
            await self._store.owe(session_id, self._clock())
            if await self._commits.fail(
                session,
                failure,
                DEADLINE,
                Status.EXPIRED,
                None,
                forget_sent=seat.protocol.forgets_sent,
            ):
                await self._store.paid(session_id)
        self._scopes.cancel(session_id)

    async def send_owed(self, session_id: bytes) -> None:
        """What `expire` committed and perhaps did not send."""
        await self._commits.send_again(session_id, DEADLINE)
        await self._store.paid(session_id)

    async def _advance(self, session: Session, envelope: Envelope, body: bytes) -> bool:
        """False if another worker was faster: load and try again."""
        slot, sender = inbox.slot_of(envelope), envelope.sender
        cause = inbox.cause_of(envelope)
        if Status(session.status).final:
            await self._commits.send_again(session.session_id, cause)
            return True
        if envelope.kind != session.protocol:
            raise ContractError(f"{slot!r} in a session to {session.protocol}")
        self._scopes.tighten(session.session_id, (session.deadline - self._clock()) / 1000)
        seat = self._machine.seat(session)
        seat.check_sender(envelope)
        row = Received(slot=slot, sender=sender, digest=envelope.digest(), body=body)
        try:
            if inbox.repeats(session.received, slot, sender, row.digest):
                await self._commits.send_again(session.session_id, cause)
                return True
            step = await self._machine.advance(session, (*session.received, row))
            if step is None:
                step = Step(
                    status=Status(session.status),
                    state=session.state,
                    erased_with=seat.state.erased_with,
                )
            if not await self._commits.next(session, step, cause, row):
                return False
        except STEP_ERRORS as error:
            if isinstance(error, EquivocationError):
                await self._keep_evidence(session, row)
            members = seat.state.members
            failure = failure_of(error, members, round_=envelope.round)
            bans = self._commits.bans(session.session_id, error, members)
            return await self._commits.fail(
                session,
                failure,
                cause,
                Status.FAILED,
                row,
                forget_sent=seat.protocol.forgets_sent,
                bans=bans,
            )
        if step.status.final:
            await self._machine.finished(step)
        return True

    async def _keep_evidence(self, session: Session, second: Received) -> None:
        """Before the session ends: its end wipes the inbox, where the first one is."""
        first = inbox.first_of(session.received, second)
        kept = await self._store.keep_evidence(
            EvidenceRecord(
                session_id=session.session_id,
                slot=second.slot,
                sender=second.sender,
                first=first.body,
                second=second.body,
                at=self._clock(),
            ),
            max_count=EVIDENCE_OF_ONE_SENDER,
        )
        logger.warning(
            "equivocation",
            extra={
                "session_id": session.session_id.hex(),
                "party": second.sender,
                "slot": second.slot,
                "kept": kept,
            },
        )

    async def _park(self, envelope: Envelope, body: bytes) -> bool:
        """False if the session exists by now: what is parked after its start would not be played.

        Raises ContractError if the sender has too much parked already.
        """
        slot = inbox.slot_of(envelope)
        parked = await self._keep_parked(envelope, slot, body)
        if parked and await self._parked_another(envelope, slot):
            parked = await self._keep_parked(envelope, inbox.beside(slot), body)
        if await self._store.session(envelope.session_id) is not None:
            return False
        if not parked:
            raise ContractError(
                f"{envelope.sender} has as many messages parked here as it may; "
                "the sessions they belong to never started"
            )
        return True

    async def _keep_parked(self, envelope: Envelope, slot: str, body: bytes) -> bool:
        return await self._store.park(
            Parked(session_id=envelope.session_id, sender=envelope.sender, slot=slot, body=body),
            max_count=self._limits.parked_messages,
            max_bytes=self._limits.parked_bytes,
            now=self._clock(),
        )

    async def _parked_another(self, envelope: Envelope, slot: str) -> bool:
        """Whether another message stands in this one's place. Both have to be played."""
        return any(
            UnverifiedEnvelope.from_bytes(each.body).claimed.digest() != envelope.digest()
            for each in await self._store.parked(envelope.session_id)
            if (each.slot, each.sender) == (slot, envelope.sender)
        )
