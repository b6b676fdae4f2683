"""The coordinator's handlers for reports: what the parties say about their sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from contracts import addresses, sessions, strict_json
from contracts.allowances import Allowance
from contracts.envelope import COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError, UnauthenticatedError
from contracts.results import Status
from contracts.signing import explain

from ..delivery.clock import now_ms
from ..delivery.deliveries import GIVEN_ON, Delivery, ElsewhereError
from ..delivery.scopes import SessionLateError
from ..delivery.strangers import Strangers
from ..session.envelopes import Instructions
from ..session.peers import Peer, by_any
from ..store.interface import CoordinatorStore, StoreUnavailableError
from .commits import CANCELLED, RACES
from .local_sessions import LocalSessions
from .retirements import Retirements
from .sessions import Said, SessionKinds
from .vouching import Vouching

logger = logging.getLogger(__name__)

ALIVE = "party_alive"
GIVEN_ON_A_SECOND = 100
"""Reports of parties that we do not know: whoever can send them must not keep us busy with it."""


class ReportConsumer:
    """
    Arguments:
        parties: Those whose word counts, by id.
        retirements: Told what is about no session.
        siblings: Reads what coordinator processes broadcast.
        grace_ms: For the parties' last words after a session's deadline.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        local: LocalSessions,
        kinds: SessionKinds,
        *,
        parties: Mapping[str, Peer],
        vouching: Vouching,
        retirements: Retirements,
        siblings: Instructions,
        grace_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._locks = local.locks
        self._scopes = local.scopes
        self._recent = local.recent
        self._kinds = kinds
        self._parties = parties
        self._vouching = vouching
        self._retirements = retirements
        self._siblings = siblings
        self._grace_ms = grace_ms
        self._clock = clock
        self._strangers = Strangers(addresses.REPORTS_QUEUE)
        self._given_on = Allowance(GIVEN_ON_A_SECOND)

    async def handle(self, delivery: Delivery) -> None:
        unverified = UnverifiedEnvelope.from_bytes(delivery.body)
        peer = self._parties.get(unverified.claimed.sender)
        if peer is None:
            return self._of_a_stranger(unverified.claimed, delivery)
        envelope = by_any(peer.current, unverified.verify)
        report = _parse(envelope)
        match report:
            case sessions.PartyAlive():
                return await self._retirements.seen(envelope.sender)
            case sessions.EpochsRetired():
                return await self._retirements.told(envelope.sender, report)
            case sessions.VouchersWanted():
                return await self._vouching.wanted(envelope.sender, envelope.session_id, report)
            case sessions.VoucherGiven():
                return await self._vouching.given(envelope.sender, report, envelope.session_id)
            case _:
                return await self._in_session(envelope, report, delivery)

    async def _in_session(
        self, envelope: Envelope, report: sessions.Report, delivery: Delivery
    ) -> None:
        said = Said(envelope, report, delivery.body)
        try:
            with self._scopes.enter(envelope.session_id):
                await self._take(envelope.session_id, said)
        except SessionLateError:
            await self._repeat(envelope.session_id, said)
            raise

    def _of_a_stranger(self, claimed: Envelope, delivery: Delivery) -> None:
        """While parties are added to the coordinators' configurations, one after another, some
        know a party and some do not."""
        stranger = UnauthenticatedError("the sender is not one of our parties", kind="stranger")
        if claimed.kind == ALIVE:
            # It comes every few seconds, and tells those who know the party soon enough.
            if self._strangers.keeps(stranger):
                logger.warning("sign of life of a party that we do not know")
            return
        if delivery.attempts < GIVEN_ON and self._given_on.takes():
            raise ElsewhereError(
                "the sender is not one of our parties; another coordinator may know it"
            )
        raise stranger

    async def _take(self, session_id: bytes, said: Said) -> None:
        async with self._locks.of(session_id):
            for _ in range(RACES):
                if await self._advance(session_id, said):
                    return
            raise StoreUnavailableError("other workers were faster every time")

    async def _repeat(self, session_id: bytes, said: Said) -> None:
        """What a report led to, if it came too late only for all that this process knew: it may be
        the one that ended the session, delivered again because its result was not sent."""
        session = await self._store.session(session_id)
        if session is not None and Status(session.status).final:
            await self._kinds.of(session).advance(session, said)

    async def _advance(self, session_id: bytes, said: Said) -> bool:
        """False if another worker moved the session on: load and try again."""
        session = self._recent.session(session_id) or await self._store.session(session_id)
        if session is None:
            raise ContractError("there is no such session")
        return await self._kinds.of(session).advance(session, said)

    def broadcast(self, body: bytes) -> None:
        """A cancellation heard on `warren.cancel`, from this coordinator process or another."""
        over = self._siblings.read(body, CANCELLED).instruction
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
            if not await self._kinds.of(session).expire(session):
                return
        self._scopes.cancel(session_id)

    async def send_owed(self, session_id: bytes) -> None:
        """What an end that nobody asks for committed and perhaps did not send."""
        session = await self._store.session(session_id)
        if session is not None:
            await self._kinds.of(session).send_owed(session)
        await self._store.paid(session_id)


def _parse(envelope: Envelope) -> sessions.Report:
    if envelope.recipient != COORDINATOR or envelope.round != 0:
        raise ContractError("not a report to the coordinator")
    try:
        report = strict_json.validated(sessions.REPORT, envelope.payload)
    except (ValidationError, ContractError) as error:
        raise ContractError(f"not a report: {explain(error)}") from None
    if report.report != envelope.kind:
        raise ContractError(f"{report.report} in an envelope for {envelope.kind}")
    return report
