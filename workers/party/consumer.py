"""A party's handlers: everything that comes to its queues.

Each delivery loads, takes a pure step, commits it together with the exact bytes to send, publishes
them, and only then is acknowledged (by `deliveries.settle`). A delivery that comes again finds its
bytes in the store and sends those.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import assert_never

from contracts import sessions
from contracts.envelope import EVERYONE, UnverifiedEnvelope
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import PublicIdentity
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.results import Status

from ..delivery.clock import now_ms
from ..delivery.deliveries import Delivery
from ..delivery.locks import SessionLocks
from ..delivery.publisher import Publisher
from ..delivery.scopes import SessionScopes
from ..protocols.rounds import ProtocolError
from ..session import inbox
from ..session.envelopes import Instructions
from ..session.errors import NameTakenError, RefusedError
from ..session.party import presigned, signing
from ..session.party.acceptance import (
    Accepted,
    Party,
    accept,
    accept_batch,
    own_commitment,
    presignatures_used,
)
from ..session.party.engines import ENGINES
from ..session.party.step import Step
from ..session.peers import by_any
from ..session.protocols import (
    INBOX,
    KEY_GENERATION,
    OF_ROUNDS,
    PRESIGN,
    PRESIGNING,
    PROTOCOLS,
    SIGN,
    Begun,
    Lane,
    complete,
    lane_of,
    lanes_of,
)
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.promise_marks import PromiseMarks
from ..store.records import Outcome
from .cancelling import Cancelling
from .commits import PartyCommits, check
from .epochs import Epochs
from .machines import Machine
from .rehearsing import Rehearsing
from .rounds import RoundSessions
from .vouching import Vouching

CREATED = "session_created"
CANCELLED = "session_cancelled"


class PartyConsumer:
    """
    Arguments:
        marks: Of promises; without any, a party that lost its memory deals nothing for a while.
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
        marks: PromiseMarks | None = None,
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
        self._instructions = self._heard_by(party.party_id)
        self._broadcasts = self._heard_by(EVERYONE)
        self._commits = PartyCommits(party, store, publisher, clock)
        self._cancelling = Cancelling(
            party, store, self._commits, self.scopes, limits, clock, marks
        )
        self._machine = Machine(ENGINES, party, store, limits, randomness)
        self._vouching = Vouching(party, store, publisher, limits, clock)
        self.epochs = Epochs(
            party,
            store,
            self._commits,
            self._machine,
            self._vouching,
            limits,
            self._require_memory_of,
            clock,
            marks,
        )
        self._rehearsing = Rehearsing(party, self.epochs, publisher, clock)
        self._rounds = RoundSessions(
            store,
            self._commits,
            self._machine,
            self.scopes,
            self._locks,
            limits,
            clock,
        )
        self.expire = self._rounds.expire
        self.send_owed = self._rounds.send_owed

    def _heard_by(self, recipient: str) -> Instructions:
        return Instructions(
            self._party.coordinators,
            recipient,
            tolerance_ms=self._party.clock_tolerance_ms,
            clock=self._clock,
        )

    async def handle(self, delivery: Delivery) -> None:
        """Anything that comes to the inbox. Raises as `deliveries.settle` expects."""
        await self._handle(delivery, INBOX)

    async def handle_keygen(self, delivery: Delivery) -> None:
        """Anything that comes to the queue of key generations, which signing must not wait for."""
        await self._handle(delivery, KEY_GENERATION)

    async def handle_presigning(self, delivery: Delivery) -> None:
        """Anything that comes to the presigning queue, which signing must not wait for either."""
        await self._handle(delivery, PRESIGNING)

    async def _handle(self, delivery: Delivery, lane: Lane) -> None:
        """What belongs to another lane is refused: it would stand in front of this one's."""
        if (wrong := _wrong_lane(lane, lanes_of(delivery.kind), delivery.kind)) is not None:
            # Whoever sent it: nobody's signature was looked at, so it costs and leaves little.
            raise UnauthenticatedError(wrong, kind="misplaced")
        if "/" in delivery.kind:
            await self.round_message(delivery.body)
        else:
            await self.instruction(delivery.body, delivery.kind, lane)

    async def instruction(self, body: bytes, kind: str, lane: Lane | None = None) -> None:
        """
        Arguments:
            kind: As the delivery has it.
            lane: On whose queue it came; None: any.
        """
        told = self._instructions.read(body, kind)
        own = lane_of(told.instruction)
        if lane is not None and (wrong := _wrong_lane(lane, {own}, kind)) is not None:
            raise ContractError(wrong)
        match instruction := told.instruction:
            case sessions.SessionCreated():
                await self.session_created(instruction, told.coordinator)
            case sessions.NoncesWanted():
                await self.nonces_wanted(instruction)
            case sessions.PresignBatch():
                await self.presign_batch(instruction)
            case sessions.ReshareCreated():
                await self.reshare_created(instruction)
            case sessions.RehearsalAsked():
                await self._rehearsing.answer(instruction)
            case sessions.EpochProven():
                await self.epochs.shown([*instruction.before, instruction.bundle])
            case sessions.VoucherAsked():
                await self._vouching.answer(instruction)
            case sessions.VoucherShown():
                await self._vouching.shown(instruction)
            case sessions.SessionCancelled():
                await self.session_cancelled(instruction)
            case sessions.RequestCancelled():
                await self._cancelling.request_cancelled(instruction)
            case _:
                assert_never(instruction)

    async def round_message(self, body: bytes) -> None:
        unverified = UnverifiedEnvelope.from_bytes(body)
        peer = self._party.peers.get(unverified.claimed.sender)
        if peer is None:
            raise UnauthenticatedError("the sender is not one of our parties", kind="stranger")
        envelope = by_any(peer.current, unverified.verify)
        inbox.check_place(envelope, self._party.party_id)
        with self.scopes.enter(envelope.session_id):
            await self._rounds.enter(envelope, body)

    def broadcast(self, body: bytes) -> None:
        """A cancellation heard on `warren.cancel`: stop working now. The instruction in the inbox
        makes it last."""
        over = self._broadcasts.read(body, CANCELLED).instruction
        self.scopes.cancel(over.session_id)

    ###
    ### Instructions
    ###

    async def session_created(
        self, created: sessions.SessionCreated, coordinator: PublicIdentity
    ) -> None:
        session_id, terms = created.session_id, created.terms
        with self.scopes.enter(session_id, seconds_left=self._left_ms(created) / 1000):
            async with self._locks.of(session_id):
                try:
                    accepted = accept(
                        created, self._party, coordinator=coordinator, now=self._clock()
                    )
                    await _BEGIN[terms.protocol](self, accepted)
                except (RefusedError, ProtocolError) as error:
                    await self._commits.refuse(
                        session_id,
                        await self.epochs.explained(error, terms.key_session, terms.epoch),
                        terms.members,
                        protocol=terms.protocol,
                        key_session=terms.key_session,
                        epoch=terms.epoch,
                        cause=CREATED,
                    )
            if PROTOCOLS[terms.protocol].rounds:
                await self._rounds.play_parked(session_id)

    async def presign_batch(self, batch: sessions.PresignBatch) -> None:
        session_id = batch.session_id
        with self.scopes.enter(session_id, seconds_left=self._left_ms(batch) / 1000):
            async with self._locks.of(session_id):
                await self._begin_batch(batch)
            await self._rounds.play_parked(session_id)

    async def reshare_created(self, created: sessions.ReshareCreated) -> None:
        session_id = created.session_id
        with self.scopes.enter(session_id, seconds_left=self._left_ms(created) / 1000):
            async with self._locks.of(session_id):
                await self.epochs.begin(created)
            await self._rounds.play_parked(session_id)

    async def nonces_wanted(self, wanted: sessions.NoncesWanted) -> None:
        with self.scopes.enter(wanted.session_id):
            if await self._store.session(wanted.batch_id) is not None:
                return await self._commits.send_again(wanted.batch_id, wanted.instruction)
            key_share = await self._store.key_share(wanted.key_session, wanted.epoch)
            try:
                await self._require_memory_of(wanted.issued_at)
                step = signing.make_nonces(
                    wanted,
                    self._party,
                    key_share,
                    randomness=self._randomness(wanted.count * signing.NONCE_RANDOMNESS_BYTES),
                )
                outcome = await self._commits.first(
                    wanted.batch_id,
                    step,
                    protocol="nonces",
                    key_session=wanted.key_session,
                    cause=wanted.instruction,
                )
                check(outcome)
            except RefusedError as error:
                # In the session that waits: whoever gives it up here says so once, and does not
                # give it up again, for another reason, when it begins.
                return await self._commits.refuse(
                    wanted.session_id,
                    await self.epochs.explained(error, wanted.key_session, wanted.epoch),
                    (),
                    protocol=SIGN.name,
                    key_session=wanted.key_session,
                    epoch=wanted.epoch,
                    cause=wanted.instruction,
                )
            if outcome is Outcome.COMMITTED:
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

    async def _begin_rounds(self, accepted: Accepted) -> None:
        session_id = accepted.session_id
        if await self._store.session(session_id) is not None:
            return await self._commits.send_again(session_id, CREATED)
        if await self._store.key_share(session_id, accepted.created.terms.epoch) is not None:
            # The session was here and is forgotten; begun again, it would replace the share.
            raise RefusedError("the session took place before")
        await self._require_memory_of(accepted.request.issued_at)
        request = accepted.request
        if await self._store.name_taken(request.owner, request.key_id, session_id):
            # Found out again with the certificate; here before any work is done for it.
            raise NameTakenError(request.key_id)
        step = await self._machine.begin(accepted.created.terms.protocol, accepted.created)
        await self._commit_first(accepted, step)
        return None

    async def _begin_batch(self, batch: sessions.PresignBatch) -> None:
        session_id, terms, cause = batch.session_id, batch.terms, batch.instruction
        if await self._store.session(session_id) is not None:
            return await self._commits.send_again(session_id, cause)
        key_share = await self._store.key_share(terms.key_session, terms.epoch)
        banned = {ban.party_id for ban in await self._store.bans()}
        try:
            await self._require_memory_of(terms.issued_at)
            share = accept_batch(batch, self._party, key_share, banned, now=self._clock())
            step = await self._machine.begin(PRESIGN.name, batch, share)
            outcome = await self._commits.first(
                session_id,
                step,
                protocol=PRESIGN.name,
                key_session=terms.key_session,
                cause=cause,
                time_left_ms=self._left_ms(batch),
            )
            check(outcome)
        except (RefusedError, ProtocolError) as error:
            return await self._commits.refuse(
                session_id,
                await self.epochs.explained(error, terms.key_session, terms.epoch),
                terms.members,
                protocol=PRESIGN.name,
                key_session=terms.key_session,
                epoch=terms.epoch,
                cause=cause,
                banned=banned & {member.party_id for member in terms.members},
            )
        return None

    async def _answer_signing(self, accepted: Accepted) -> None:
        session_id, terms = accepted.session_id, accepted.created.terms
        assert terms.key_session is not None
        assert isinstance(accepted.request, SignRequest)
        from_presignatures = accepted.request.scheme is Scheme.ECDSA
        material = await self._store.signing_material(
            session_id,
            key_session=terms.key_session,
            epoch=terms.epoch,
            nonce_id=None if from_presignatures else own_commitment(accepted).nonce_id,
            presignatures=presignatures_used(accepted.created),
        )
        if material.session is not None:
            return await self._commits.send_again(session_id, CREATED)
        await self._require_memory_of(accepted.request.issued_at)
        if from_presignatures:
            step = presigned.answer(
                accepted, self._party, material.key_share, material.presignatures
            )
        else:
            step = signing.answer(
                accepted,
                self._party,
                material.key_share,
                material.nonce,
                randomness=self._randomness(signing.NONCE_RANDOMNESS_BYTES),
            )
        await self._commit_first(accepted, step)
        return None

    async def _commit_first(self, accepted: Accepted, step: Step) -> None:
        terms = accepted.created.terms
        outcome = await self._commits.first(
            accepted.session_id,
            step,
            protocol=terms.protocol,
            key_session=terms.key_session,
            cause=CREATED,
            time_left_ms=self._left_ms(accepted.created),
        )
        check(outcome)

    async def _require_memory_of(self, issued_at: int) -> None:
        """What we answered and forgot must not be answered again: with other coins we would look
        like a liar, and what was cancelled must not come back.

        Raises RefusedError.
        """
        memory = await self._store.memory()
        if not memory.remembers(issued_at, tolerance_ms=self._party.clock_tolerance_ms):
            raise RefusedError(
                "our database lost its memory after this was asked for, so we cannot tell whether "
                "we began it before: ask again"
            )

    def _left_ms(self, begun: Begun) -> int:
        return min(begun.time_left_ms, int(self._limits.session_seconds * 1000))


def _wrong_lane(lane: Lane, own: Collection[Lane], kind: str) -> str | None:
    if lane in own:
        return None
    theirs = " or ".join(sorted(each.instructions for each in own))
    return f"{kind} came to the queue of {lane.instructions}, not of {theirs}"


_BEGIN: Mapping[str, Callable[[PartyConsumer, Accepted], Awaitable[None]]] = {
    SIGN.name: PartyConsumer._answer_signing
} | dict.fromkeys((row.name for row in OF_ROUNDS), PartyConsumer._begin_rounds)

complete("what a party does in sessions", _BEGIN, (SIGN, *OF_ROUNDS))
