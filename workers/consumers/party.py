"""A party's handlers: everything that comes to its inbox.

Each delivery loads, takes a pure step, commits it together with the exact bytes to send, publishes
them, and only then is acknowledged (by `deliveries.settle`). A delivery that comes again finds its
bytes in the store and sends those.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from pydantic import ValidationError

from contracts import sessions
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import MAX_BODY_BYTES
from contracts.results import Status
from contracts.signing import explain

from ..protocols.rounds import ProtocolError
from ..session import inbox, keygen, signing
from ..session.acceptance import Accepted, Party, accept, own_commitment
from ..session.direct import EPHEMERAL_RANDOMNESS_BYTES
from ..session.errors import EquivocationError, RefusedError
from ..session.keygen import KeygenState
from ..session.sending import report
from ..session.step import Step, failure_of
from ..settings import PartyLimits
from ..store.interface import PartyStore, StoreUnavailableError
from ..store.records import Outcome, Outgoing, Parked, PartyChange, Received, Session
from .clock import now_ms
from .deliveries import Delivery
from .locks import SessionLocks
from .publisher import Publisher
from .scopes import SessionScopes, uninterrupted

logger = logging.getLogger(__name__)

CREATED = "session_created"
DEADLINE = "deadline"
RACES = 20
"""Lost to other workers before a delivery is given back."""
KEYGEN_RANDOMNESS_BYTES = 32


class PartyConsumer:
    """
    Arguments:
        randomness: The operating system's, but for tests.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        publisher: Publisher,
        limits: PartyLimits,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.scopes = SessionScopes()
        self._party = party
        self._store = store
        self._publisher = publisher
        self._limits = limits
        self._randomness = randomness
        self._clock = clock
        self._locks = SessionLocks()

    async def handle(self, delivery: Delivery) -> None:
        """Anything that comes to the inbox. Raises as `deliveries.settle` expects."""
        if delivery.kind.startswith(keygen.PROTOCOL):
            await self.round_message(delivery.body)
        else:
            await self.instruction(delivery.body)

    async def instruction(self, body: bytes) -> None:
        if len(body) > 2 * MAX_BODY_BYTES:
            raise ContractError(f"{len(body)} bytes are too many for an instruction")
        try:
            instruction = sessions.INSTRUCTION.validate_json(body)
        except ValidationError as error:
            raise ContractError(f"not an instruction: {explain(error)}") from None
        match instruction:
            case sessions.SessionCreated():
                await self.session_created(instruction)
            case sessions.NoncesWanted():
                await self.nonces_wanted(instruction)
            case sessions.SessionCancelled():
                await self.session_cancelled(instruction)

    async def round_message(self, body: bytes) -> None:
        unverified = UnverifiedEnvelope.from_bytes(body)
        peer = self._party.peers.get(unverified.claimed.sender)
        if peer is None:
            raise ContractError("the sender is not in our configuration")
        envelope = unverified.verify(peer.identity)
        inbox.check_place(envelope, self._party.party_id)
        with self.scopes.enter(envelope.session_id):
            await self._enter(envelope, body)

    def broadcast(self, body: bytes) -> None:
        """A cancellation heard on `warren.cancel`: stop working now. The instruction in the inbox
        makes it last."""
        try:
            over = sessions.SessionCancelled.model_validate_json(body)
        except ValidationError as error:
            raise ContractError(f"not a cancellation: {explain(error)}") from None
        self.scopes.cancel(over.session_id)

    ###
    ### Instructions
    ###

    async def session_created(self, created: sessions.SessionCreated) -> None:
        session_id = created.session_id
        with self.scopes.enter(session_id, seconds_left=self._time_left_ms(created) / 1000):
            async with self._locks.of(session_id):
                try:
                    accepted = accept(created, self._party, now=self._clock())
                    if created.terms.protocol == keygen.PROTOCOL:
                        await self._begin_keygen(accepted)
                    else:
                        await self._answer_signing(accepted)
                except (RefusedError, ProtocolError) as error:
                    await self._refuse(created, error)
            if created.terms.protocol == keygen.PROTOCOL:
                await self._play_parked(session_id)

    async def nonces_wanted(self, wanted: sessions.NoncesWanted) -> None:
        with self.scopes.enter(wanted.session_id):
            if await self._store.session(wanted.batch_id) is not None:
                return await self._send_again(wanted.batch_id, wanted.instruction)
            key_share = await self._store.key_share(wanted.key_session, wanted.epoch)
            try:
                step = signing.make_nonces(
                    wanted,
                    self._party,
                    key_share,
                    randomness=self._randomness(wanted.count * signing.NONCE_RANDOMNESS_BYTES),
                )
            except RefusedError as error:
                return await self._publisher.publish(
                    self._failed(wanted.session_id, error.failure, wanted.epoch)
                )
            change = PartyChange(
                session_id=wanted.batch_id,
                expected_version=0,
                protocol="nonces",
                key_session=wanted.key_session,
                status=step.status.value,
                deadline=self._clock(),
                state=b"",
                cause=wanted.instruction,
                outgoing=step.outgoing,
                nonces=step.nonces,
            )
            with uninterrupted():
                if await self._store.commit(change) is not Outcome.COMMITTED:
                    return await self._send_again(wanted.batch_id, wanted.instruction)
                await self._publisher.publish_all(step.outgoing)
            await self._store.trim_nonces(
                wanted.key_session,
                wanted.epoch,
                wanted.scheme.value,
                max(self._limits.nonces_per_key, wanted.count),
            )
            return None

    async def session_cancelled(self, over: sessions.SessionCancelled) -> None:
        await self._store.end(over.session_id, Status.CANCELLED.value, self._clock())
        self.scopes.cancel(over.session_id)

    ###
    ### Steps
    ###

    async def _begin_keygen(self, accepted: Accepted) -> None:
        session_id = accepted.session_id
        if await self._store.session(session_id) is not None:
            return await self._send_again(session_id, CREATED)
        if await self._store.key_share(session_id, accepted.created.terms.epoch) is not None:
            # The session was here and is forgotten; begun again, it would replace the share.
            raise RefusedError("the session took place before")
        step = keygen.begin(
            accepted,
            self._party,
            randomness=self._randomness(KEYGEN_RANDOMNESS_BYTES),
            ephemeral_randomness=self._randomness(EPHEMERAL_RANDOMNESS_BYTES),
        )
        return await self._commit_first(accepted, step)

    async def _answer_signing(self, accepted: Accepted) -> None:
        session_id, terms = accepted.session_id, accepted.created.terms
        assert terms.key_session is not None
        material = await self._store.signing_material(
            session_id,
            key_session=terms.key_session,
            epoch=terms.epoch,
            nonce_id=own_commitment(accepted).nonce_id,
        )
        if material.session is not None:
            return await self._send_again(session_id, CREATED)
        step = signing.answer(
            accepted,
            self._party,
            material.key_share,
            material.nonce,
            randomness=self._randomness(signing.NONCE_RANDOMNESS_BYTES),
        )
        return await self._commit_first(accepted, step)

    async def _commit_first(self, accepted: Accepted, step: Step) -> None:
        terms = accepted.created.terms
        change = PartyChange(
            session_id=accepted.session_id,
            expected_version=0,
            protocol=terms.protocol,
            key_session=terms.key_session,
            status=step.status.value,
            deadline=self._clock() + self._time_left_ms(accepted.created),
            state=step.state,
            cause=CREATED,
            outgoing=step.outgoing,
            key_share=step.key_share,
            take_nonce=step.take_nonce,
            nonces=step.nonces,
        )
        with uninterrupted():
            match await self._store.commit(change):
                case Outcome.COMMITTED:
                    await self._publisher.publish_all(step.outgoing)
                case Outcome.NONCE_GONE:
                    raise RefusedError("the nonce was used for another session")
                case _:
                    await self._send_again(accepted.session_id, CREATED)

    async def _enter(self, envelope: Envelope, body: bytes) -> None:
        """A verified message of some session: park it, or take the steps that it completes."""
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

    async def _advance(self, session: Session, envelope: Envelope, body: bytes) -> bool:
        """False if another worker was faster: load and try again."""
        slot, sender = inbox.slot_of(envelope), envelope.sender
        cause = inbox.cause_of(envelope)
        if Status(session.status).final:
            await self._send_again(session.session_id, cause)
            return True
        state = KeygenState.from_bytes(session.state)
        self.scopes.tighten(session.session_id, (session.deadline - self._clock()) / 1000)
        terms = state.created.terms
        inbox.check_member(envelope, terms.members, epoch=terms.epoch)
        row = Received(slot=slot, sender=sender, digest=envelope.digest(), body=body)
        try:
            if inbox.repeats(session.received, slot, sender, row.digest):
                await self._send_again(session.session_id, cause)
                return True
            step = keygen.advance(state, self._party, (*session.received, row))
        except (ProtocolError, EquivocationError, ContractError) as error:
            if isinstance(error, EquivocationError):
                row = inbox.evidence(row)
            failure = failure_of(error, terms.members, round_=envelope.round)
            return await self._fail(session, failure, cause, Status.FAILED, row)
        if step is None:
            step = Step(status=Status(session.status), state=session.state)
        return await self._commit_step(session, step, cause, row)

    async def _commit_step(
        self, session: Session, step: Step, cause: str, row: Received | None
    ) -> bool:
        change = PartyChange(
            session_id=session.session_id,
            expected_version=session.version,
            protocol=session.protocol,
            key_session=session.key_session,
            status=step.status.value,
            deadline=self._clock() if step.status.final else session.deadline,
            state=step.state,
            cause=cause,
            received=() if row is None else (row,),
            outgoing=step.outgoing,
            key_share=step.key_share,
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            await self._publisher.publish_all(step.outgoing)
        return True

    ###
    ### Messages before their session
    ###

    async def _park(self, envelope: Envelope, body: bytes) -> bool:
        """False if the session exists by now: what is parked after its start would not be played.

        Raises ContractError if the sender has too much parked already.
        """
        parked = await self._store.park(
            Parked(
                session_id=envelope.session_id,
                sender=envelope.sender,
                slot=inbox.slot_of(envelope),
                body=body,
            ),
            max_count=self._limits.parked_messages,
            max_bytes=self._limits.parked_bytes,
            now=self._clock(),
        )
        if await self._store.session(envelope.session_id) is not None:
            return False
        if not parked:
            raise ContractError(
                f"{envelope.sender} has as many messages parked here as it may; "
                "the sessions they belong to never started"
            )
        return True

    async def _play_parked(self, session_id: bytes) -> None:
        parked = await self._store.parked(session_id)
        if not parked:
            return
        for each in parked:
            try:
                await self._enter(UnverifiedEnvelope.from_bytes(each.body).claimed, each.body)
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

    ###
    ### Endings
    ###

    async def expire(self, session_id: bytes) -> None:
        """The deadline has passed: say who was missing, and stop."""
        async with self._locks.of(session_id):
            session = await self._store.session(session_id)
            if session is None or Status(session.status).final:
                return
            state = KeygenState.from_bytes(session.state)
            others = [
                member
                for member in state.created.terms.members
                if member.party_id != self._party.party_id
            ]
            silent = inbox.missing(session.received, f"{keygen.PROTOCOL}/{state.round}", others)
            failure = Failure.of(
                FailureCode.EXPIRED,
                f"no message of {', '.join(silent)} in round {state.round}",
                round=state.round,
                silent=silent,
            )
            await self._store.owe(session_id, self._clock())
            if await self._fail(session, failure, DEADLINE, Status.EXPIRED, None):
                await self._store.paid(session_id)
        self.scopes.cancel(session_id)

    async def send_owed(self, session_id: bytes) -> None:
        """What `expire` committed and perhaps did not send."""
        await self._send_again(session_id, DEADLINE)
        await self._store.paid(session_id)

    async def _fail(
        self,
        session: Session,
        failure: Failure,
        cause: str,
        status: Status,
        row: Received | None,
    ) -> bool:
        logger.warning(
            "session failed",
            extra={"session_id": session.session_id.hex(), "failure": failure.message},
        )
        failed = self._failed(session.session_id, failure, 0)
        return await self._commit_step(session, Step(status=status, outgoing=(failed,)), cause, row)

    async def _refuse(self, created: sessions.SessionCreated, error: Exception) -> None:
        """Tell the coordinator, once, and be done with the session."""
        failure = failure_of(error, created.terms.members, round_=0)
        logger.warning(
            "session refused",
            extra={"session_id": created.session_id.hex(), "reason": failure.message},
        )
        failed = self._failed(created.session_id, failure, created.terms.epoch)
        change = PartyChange(
            session_id=created.session_id,
            expected_version=0,
            protocol=created.terms.protocol,
            key_session=created.terms.key_session,
            status=Status.FAILED.value,
            deadline=self._clock(),
            state=b"",
            cause=CREATED,
            outgoing=(failed,),
        )
        if await self._store.commit(change) is Outcome.COMMITTED:
            await self._publisher.publish(failed)
        else:
            await self._send_again(created.session_id, CREATED)

    def _failed(self, session_id: bytes, failure: Failure, epoch: int) -> Outgoing:
        return report(
            sessions.SessionFailed(failure=failure),
            identity=self._party.identity,
            party_id=self._party.party_id,
            session_id=session_id,
            epoch=epoch,
        )

    async def _send_again(self, session_id: bytes, cause: str) -> None:
        """What this delivery sent the first time, byte for byte; nothing if it sent nothing."""
        await self._publisher.publish_all(await self._store.outgoing(session_id, cause))

    def _time_left_ms(self, created: sessions.SessionCreated) -> int:
        return min(created.time_left_ms, int(self._limits.session_seconds * 1000))
