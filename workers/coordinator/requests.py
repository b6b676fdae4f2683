"""The coordinator's handlers for requests: check, admit once, begin a session or answer.

(owner, request id) is the idempotency key. The same bytes again get the same session, and its
result again once there is one; other bytes under the same id are a conflict.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.admission import (
    ClientPolicy,
    check_metadata,
    check_queue,
    check_size,
    open_request,
)
from contracts.errors import ContractError, InvalidRequestError
from contracts.failures import Failure, FailureCode
from contracts.keys import KeyFacts
from contracts.operations import OPERATIONS
from contracts.requests import (
    CancelRequest,
    KeygenRequest,
    Request,
    ReshareRequest,
    SignRequest,
)
from contracts.signing import SignedRequest, signature_of
from contracts.terms import SessionTerms

from ..delivery.clock import now_ms
from ..delivery.deliveries import GIVEN_ON, Delivery, ElsewhereError
from ..delivery.locks import SessionLocks
from ..delivery.publisher import Publisher
from ..session.coordinator import choice
from ..session.coordinator.announcing import announcement
from ..session.coordinator.conduct import Conduct
from ..session.peers import Peer
from ..store.interface import CoordinatorStore
from ..store.records import Outcome, RequestRecord
from .accounts import account_of, configured_among
from .admission import Admission
from .answers import Answers, cancelled, conflict, late
from .beginnings import Beginnings, begins_at, record_of
from .desks import Desk, Service, services_of
from .entrance import Entrance
from .gates import OverloadedError, RequestCancelledError, Turn
from .key_epochs import KeyEpochs
from .liveness import Liveness
from .recent import Known
from .refusals import Refusals
from .reshares import Reshares
from .signing_sessions import SigningSessions

KEPT_FACTS = 2_000
"""Some kilobytes each."""


@dataclass(frozen=True, slots=True)
class _SigningKey:
    """
    Attributes:
        of_account: Who signs with it may be configured.
        until: When to look at it again, Unix milliseconds.
    """

    facts: KeyFacts
    of_account: bool
    until: int


class RequestConsumer:
    """Serves requests that begin sessions itself.

    Arguments:
        tolerance_ms: How far a client's clock may be from this one.
        desks: Who serves the others. UnservedError is raised if nobody serves an operation.
    """

    def __init__(
        self,
        *,
        parties: Mapping[str, Peer],
        clients: Iterable[ClientPolicy],
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        beginnings: Beginnings,
        signings: SigningSessions,
        reshares: Reshares,
        admission: Admission,
        entrance: Entrance,
        answers: Answers,
        refusals: Refusals,
        tolerance_ms: int,
        desks: Sequence[Desk],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._parties = parties
        self._clients = clients
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._beginnings = beginnings
        self._signings = signings
        self._reshares = reshares
        self._epochs = KeyEpochs(store, clock=clock)
        self._admission = admission
        self._entrance = entrance
        self._in_hand = SessionLocks()
        self._answers = answers
        self._refusals = refusals
        self._tolerance_ms = tolerance_ms
        self._clock = clock
        self._random = random.Random()
        self._facts: dict[tuple[str, str], _SigningKey] = {}
        self._services = services_of((self, *desks))

    async def handle(self, delivery: Delivery) -> None:
        check_size(delivery.body)
        try:
            signed = open_request(delivery.body, signature_of(delivery.headers), self._clients)
        except InvalidRequestError as error:
            check_queue(delivery.queue, operation=error.operation, client_id=error.client_id)
            async with self._entrance.refusing(error.client_id or ""):
                return await self._answers.refuse(delivery.body, error)
        request, now = signed.request, self._clock()
        check_metadata(
            signed,
            headers=delivery.headers,
            routing_key=delivery.routing_key,
            message_id=delivery.message_id,
        )
        check_queue(delivery.queue, operation=request.operation, client_id=request.client_id)
        operation = OPERATIONS[request.operation]
        refuse = self._refuse if operation.begins_session else self._answers.fail
        if request.issued_at > now + self._tolerance_ms:
            return await refuse(signed, _early(request.issued_at - now, self._tolerance_ms))
        if request.expires_at <= now and not (operation.begins_session or operation.counts_late):
            return await self._answers.fail(signed, late())
        try:
            # The same bytes again, while the first ones wait for their turn, have no other one.
            async with self._in_hand.of(signed.digest):
                return await self._serve(signed, request)
        except RequestCancelledError:
            return await self._refuse(signed, cancelled())
        except _ForOthersError as error:
            if delivery.attempts < GIVEN_ON:
                raise
            return await self._refuse(signed, error.failure)
        except OverloadedError as error:
            async with self._entrance.refusing(request.owner):
                return await refuse(signed, error.failure)

    async def _serve(self, signed: SignedRequest, request: Request) -> None:
        service = self._services[type(request)]
        if OPERATIONS[request.operation].begins_session or isinstance(request, CancelRequest):
            return await service.handle(signed, request)
        async with self._entrance.turn(request):
            return await service.handle(signed, request)

    def services(self) -> tuple[Service, ...]:
        return (
            Service.of(KeygenRequest, self._keygen),
            Service.of(ReshareRequest, self._reshare),
            Service.of(SignRequest, self._sign),
        )

    async def _keygen(self, signed: SignedRequest, request: KeygenRequest) -> None:
        async def begin(turn: Turn) -> Outcome | Failure:
            return await self._begin_key(signed, request, turn)

        await self._make(signed, request, begin)

    async def _reshare(self, signed: SignedRequest, request: ReshareRequest) -> None:
        async def begin(turn: Turn) -> Outcome | Failure:
            deadline = self._deadline(request, self._clock())
            return await self._reshares.begin(signed, request, deadline=deadline, turn=turn)

        await self._make(signed, request, begin)

    async def _make(
        self,
        signed: SignedRequest,
        request: KeygenRequest | ReshareRequest,
        begin: Callable[[Turn], Awaitable[Outcome | Failure]],
    ) -> None:
        known = await self._known(signed)
        if known is not None:
            return await self._repeat(signed, known)
        now = self._clock()
        if self._came_late(request, now):
            return await self._refuse(signed, late(now - request.expires_at))
        if (overload := self._admission.refusal(request.owner)) is not None:
            raise OverloadedError(overload)
        async with self._entrance.turn(request) as turn:
            now = self._clock()
            # Or it has waited for its turn for too long.
            outcome = (
                late(now - request.expires_at)
                if self._came_late(request, now)
                else await begin(turn)
            )
        return await self._begun(signed, request, outcome)

    async def _begin_key(
        self, signed: SignedRequest, request: KeygenRequest, turn: Turn
    ) -> Outcome | Failure:
        now = self._clock()
        try:
            members = choice.holders(request, self._parties, self._liveness.alive(), self._random)
        except choice.ChoiceError as error:
            if self._liveness.known() - self._parties.keys():
                raise _ForOthersError(error.failure) from None
            return error.failure
        deadline = self._deadline(request, now)
        conduct = Conduct(
            request=request,
            terms=SessionTerms(
                protocol="keygen",
                request_digest=signed.digest,
                key_session=None,
                epoch=0,
                threshold=request.threshold,
                members=members,
                salt=os.urandom(32),
            ),
            join_secret=os.urandom(32),
            deadline=deadline,
            begins_at=begins_at(request, now, deadline),
        )
        return await self._beginnings.commit(
            conduct,
            record_of(signed),
            reserve=(request.owner, request.key_id),
            account=account_of(request, conduct, now),
            turn=turn,
        )

    async def _begun(
        self,
        signed: SignedRequest,
        request: KeygenRequest | ReshareRequest,
        outcome: Outcome | Failure,
    ) -> None:
        match outcome:
            case Failure():
                await self._refuse(signed, outcome)
            case Outcome.COMMITTED:
                self._admission.began(request.owner)
            case Outcome.KEY_EXISTS:
                failure = Failure.of(
                    FailureCode.KEY_EXISTS,
                    f"key {request.key_id} exists or is being made; choose another id",
                )
                await self._refuse(signed, failure)
            case Outcome.EPOCH_TAKEN:
                failure = Failure.of(
                    FailureCode.KEY_BUSY,
                    f"another reshare of key {request.key_id} began in the same moment: ask again "
                    "when it is over",
                )
                await self._refuse(signed, failure)
            case _:
                known = await self._known(signed)
                assert known is not None
                await self._repeat(signed, known)

    async def _sign(self, signed: SignedRequest, request: SignRequest) -> None:
        key = await self._key(request)
        now, overload = self._clock(), self._admission.refusal(request.owner)
        expired = self._came_late(request, now)
        unfit = _unfit(request, key)
        if key is None or expired or overload or unfit or self._entrance.signing.waiting:
            known = await self._known(signed)
            if known is not None:
                return await self._repeat(signed, known)
        if expired:
            return await self._refuse(signed, late(now - request.expires_at))
        if overload is not None:
            raise OverloadedError(overload)
        if key is None or unfit is not None:
            assert unfit is not None
            return await self._refuse(signed, unfit)
        try:
            async with self._entrance.turn(request) as turn:
                known = await self._signings.begin(
                    signed,
                    request,
                    key.facts,
                    deadline=self._deadline(request, now),
                    among=await self._configured(request, key),
                    turn=turn,
                )
        except choice.ChoiceError as error:
            return await self._refuse(signed, error.failure)
        if known is not None:
            return await self._repeat(signed, known)
        self._admission.began(request.owner)
        return None

    def _came_late(self, request: Request, now: int) -> bool:
        """A client's clock may be behind: what looks late by less is served, as parties do."""
        return now >= request.expires_at + self._tolerance_ms

    def _deadline(self, request: Request, now: int) -> int:
        """A clock that is off must neither keep a session longer than was asked for nor leave it
        less: whether a request was on its way, or its client's clock is behind, nobody can tell."""
        lifetime = request.expires_at - request.issued_at
        return min(request.expires_at + self._tolerance_ms, now + lifetime)

    async def _repeat(self, signed: SignedRequest, known: RequestRecord) -> None:
        """The request came before: its result again, or the messages that started it."""
        if known.digest != signed.digest:
            return await self._answers.fail(signed, conflict(known.request_id))
        if known.result is None:
            return await self._beginnings.send_again(known.session_id)
        messages = [known.result]
        if getattr(signed.request, "announce", False) and not known.refused:
            session = await self._store.session(known.session_id)
            if session is not None:
                messages.insert(0, announcement(Known.read(session).conduct))
        return await self._publisher.publish_all(messages)

    async def _known(self, signed: SignedRequest) -> RequestRecord | None:
        request = signed.request
        return await self._store.request(request.owner, request.request_id, signed.digest)

    async def _refuse(self, signed: SignedRequest, failure: Failure) -> None:
        known = await self._refusals.refuse(signed, failure)
        if known is not None:
            await self._repeat(signed, known)

    async def _key(self, request: SignRequest) -> _SigningKey | None:
        """Facts of an epoch do not change, so those of some keys are kept for a while."""
        name = (request.owner, request.key_id)
        key = self._facts.get(name)
        if key is None or key.until <= self._clock():
            self._facts.pop(name, None)
            record = await self._store.key(*name)
            if record is None:
                return None
            signing = await self._epochs.signing(record)
            of_account = await self._store.account(*name) is not None
            key = _SigningKey(signing.facts, of_account, signing.until)
            if len(self._facts) >= KEPT_FACTS:
                del self._facts[next(iter(self._facts))]
            self._facts[name] = key
        return key

    async def _configured(self, request: SignRequest, key: _SigningKey) -> tuple[str, ...] | None:
        """Whom the account's owner wants signers chosen from; asked each time, for it counts from
        the moment in which it was answered."""
        if not key.of_account or request.signers is not None:
            return None
        stored = await self._store.account(request.owner, request.key_id)
        return None if stored is None else configured_among(stored.account, key.facts)


class _ForOthersError(ElsewhereError):
    """Other coordinators hear of parties that we do not know, and may have enough of them."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.message}; there are others, which another coordinator may know")
        self.failure = failure


def _early(ahead_ms: int, tolerance_ms: int) -> Failure:
    return Failure.of(
        FailureCode.INVALID_REQUEST,
        f"issued_at is {ahead_ms / 1000:g} s ahead of the coordinator's clock, which allows "
        f"{tolerance_ms / 1000:g} s; is a clock wrong?",
    )


def _unfit(request: SignRequest, key: _SigningKey | None) -> Failure | None:
    if key is None:
        return Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.key_id!r}")
    try:
        key.facts.check_scheme(request.scheme)
    except ContractError as error:
        return Failure.of(FailureCode.INVALID_REQUEST, str(error))
    return None
