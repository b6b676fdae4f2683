"""The coordinator's handlers for requests: check, admit once, begin a session or answer.

(client id, request id) is the idempotency key. The same bytes again get the same session, and its
result again once there is one; other bytes under the same id are a conflict.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence

from contracts import addresses
from contracts.errors import InvalidRequestError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.requests import (
    CancelRequest,
    KeygenRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    Request,
    SignRequest,
)
from contracts.results import (
    CancelResult,
    QueryKeysResult,
    QuerySessionResult,
    Result,
    SessionEvent,
    SessionView,
    Status,
    failed_result,
)
from contracts.sessions import SessionTerms
from contracts.signing import (
    ClientPolicy,
    SignedRequest,
    check_metadata,
    open_request,
    signature_of,
)

from ..session import choice
from ..session.acceptance import Peer
from ..session.conduct import Conduct, invitations
from ..session.sending import result
from ..store.interface import CoordinatorStore
from ..store.records import (
    CoordinatorChange,
    Event,
    Outcome,
    RequestRecord,
)
from .admission import Admission
from .clock import now_ms
from .deliveries import Delivery
from .liveness import Liveness
from .publisher import Publisher
from .recent import RecentSessions
from .reports import ReportConsumer
from .scopes import SessionScopes, uninterrupted
from .signing_sessions import CAUSE, SigningSessions

KEPT_FACTS = 2_000
"""Some kilobytes each."""


class RequestConsumer:
    def __init__(
        self,
        parties: Mapping[str, Peer],
        clients: Sequence[ClientPolicy],
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        scopes: SessionScopes,
        reports: ReportConsumer,
        recent: RecentSessions,
        signings: SigningSessions,
        admission: Admission,
    ) -> None:
        self._parties = parties
        self._clients = clients
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._scopes = scopes
        self._reports = reports
        self._recent = recent
        self._signings = signings
        self._admission = admission
        self._random = random.Random()
        self._facts: dict[tuple[str, str], KeyFacts] = {}

    async def handle(self, delivery: Delivery) -> None:
        try:
            signed = open_request(delivery.body, signature_of(delivery.headers), self._clients)
        except InvalidRequestError as error:
            return await self._answer_invalid(error)
        check_metadata(
            signed,
            headers=delivery.headers,
            routing_key=delivery.routing_key,
            message_id=delivery.message_id,
        )
        match signed.request:
            case KeygenRequest() as request:
                await self._keygen(signed, request)
            case SignRequest() as request:
                await self._sign(signed, request)
            case CancelRequest() as request:
                await self._cancel(request)
            case QueryKeysRequest() as request:
                await self._query_keys(request)
            case QuerySessionRequest() as request:
                await self._query_session(request)
        return None

    ###
    ### Sessions
    ###

    async def _keygen(self, signed: SignedRequest, request: KeygenRequest) -> None:
        owner = _owner(request)
        known = await self._store.request(owner, request.request_id)
        if known is not None:
            return await self._repeat(signed, known)
        if request.expires_at <= now_ms():
            return await self._fail(request, _late())
        if (overload := self._admission.refusal(owner)) is not None:
            return await self._fail(request, overload)
        try:
            members = choice.holders(request, self._parties, self._liveness.alive(), self._random)
        except choice.ChoiceError as error:
            return await self._fail(request, error.failure)
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
            deadline=_deadline(request, now_ms()),
        )
        return await self._begin(signed, conduct, reserve=(owner, request.key_id))

    async def _sign(self, signed: SignedRequest, request: SignRequest) -> None:
        facts = await self._key_facts(request)
        late, overload = request.expires_at <= now_ms(), self._admission.refusal(_owner(request))
        if facts is None or late or overload or facts.curve is not request.scheme.curve:
            known = await self._store.request(_owner(request), request.request_id)
            if known is not None:
                return await self._repeat(signed, known)
            failure = _late() if late else overload or _unfit(request, facts)
            return await self._fail(request, failure)
        try:
            known = await self._signings.begin(
                signed, request, facts, deadline=_deadline(request, now_ms())
            )
        except choice.ChoiceError as error:
            return await self._fail(request, error.failure)
        if known is not None:
            return await self._repeat(signed, known)
        self._admission.began(_owner(request))
        return None

    async def _begin(
        self, signed: SignedRequest, conduct: Conduct, *, reserve: tuple[str, str]
    ) -> None:
        """One transaction: request, session, its first event, and the messages that start it."""
        request, session_id, now = conduct.request, conduct.session_id, now_ms()
        deadline = conduct.deadline
        outgoing = invitations(
            conduct,
            request=signed.body,
            signature=signed.signature,
            time_left_ms=deadline - now,
        )
        parties = [member.party_id for member in conduct.terms.members]
        change = CoordinatorChange(
            session_id=session_id,
            expected_version=0,
            protocol=conduct.terms.protocol,
            key_session=conduct.terms.key_session,
            status=Status.WAITING.value,
            deadline=deadline,
            state=conduct.model_dump_json().encode(),
            cause=CAUSE,
            outgoing=outgoing,
            reserve_key=reserve,
            request=RequestRecord(
                owner=_owner(request),
                request_id=request.request_id,
                operation=request.operation,
                digest=signed.digest,
                body=signed.body,
                signature=signed.signature,
                session_id=session_id,
            ),
            events=(Event(event="session_created", details=json.dumps({"parties": parties})),),
        )
        with self._scopes.enter(session_id, seconds_left=(deadline - now) / 1000), uninterrupted():
            match await self._store.commit(change):
                case Outcome.COMMITTED:
                    self._admission.began(_owner(request))
                    self._recent.keep(change, None, conduct)
                    await self._publisher.publish_all(outgoing)
                case Outcome.KEY_EXISTS:
                    await self._fail(
                        request,
                        Failure.of(
                            FailureCode.KEY_EXISTS,
                            f"key {request.key_id} exists or is being made; choose another id",
                        ),
                    )
                case _:
                    known = await self._store.request(_owner(request), request.request_id)
                    assert known is not None
                    await self._repeat(signed, known)

    async def _repeat(self, signed: SignedRequest, known: RequestRecord) -> None:
        """The request came before: its result again, or the messages that started it."""
        if known.digest != signed.digest:
            await self._fail(
                signed.request,
                Failure.of(
                    FailureCode.CONFLICT,
                    f"request id {known.request_id} was used before for another request",
                ),
            )
        elif known.result is not None:
            await self._publisher.publish(known.result)
        else:
            await self._publisher.publish_all(await self._store.outgoing(known.session_id, CAUSE))

    ###
    ### Answers without a session of their own
    ###

    async def _cancel(self, request: CancelRequest) -> None:
        owner, cause = _owner(request), f"cancel:{request.request_id}"
        known = await self._store.request(owner, request.target)
        if known is None:
            return await self._fail(request, _unknown(f"request {request.target}"))
        status = await self._reports.cancel(known.session_id, cause)
        while (now := await self._store.request(owner, request.target)) is not None and (
            now.session_id != known.session_id
        ):  # it went on with other signers meanwhile
            known = now
            status = await self._reports.cancel(known.session_id, cause)
        self._scopes.cancel(known.session_id)
        return await self._answer(
            request,
            CancelResult(
                request_id=request.request_id,
                client_id=request.client_id,
                session_id=known.session_id,
                status=Status.COMPLETED,
                finished_at=now_ms(),
                target=request.target,
                target_status=status,
            ),
        )

    async def _query_keys(self, request: QueryKeysRequest) -> None:
        if request.only is None:
            found = await self._store.keys(_owner(request))
        else:
            one = await self._store.key(_owner(request), request.only)
            if one is None:
                return await self._fail(
                    request,
                    Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.only!r}"),
                )
            found = [one]
        return await self._answer(
            request,
            QueryKeysResult(
                request_id=request.request_id,
                client_id=request.client_id,
                session_id=None,
                status=Status.COMPLETED,
                finished_at=now_ms(),
                keys=[CertifiedKey.model_validate_json(each.certified) for each in found],
            ),
        )

    async def _query_session(self, request: QuerySessionRequest) -> None:
        if request.target is not None:
            known = await self._store.request(_owner(request), request.target)
        else:
            assert request.session_id is not None
            known = await self._store.request_of(request.session_id)
            if known is not None and known.owner != _owner(request):
                known = None
        session = None if known is None else await self._store.session(known.session_id)
        if known is None or session is None:
            return await self._fail(request, _unknown("session"))
        conduct = Conduct.model_validate_json(session.state)
        events = await self._store.events(session.session_id)
        return await self._answer(
            request,
            QuerySessionResult(
                request_id=request.request_id,
                client_id=request.client_id,
                session_id=session.session_id,
                status=Status.COMPLETED,
                finished_at=now_ms(),
                session=SessionView(
                    session_id=session.session_id,
                    request_id=known.request_id,
                    operation=known.operation,
                    key_id=conduct.request.key_id,
                    status=Status(session.status),
                    deadline=session.deadline,
                    parties=[member.party_id for member in conduct.terms.members],
                    events=[
                        SessionEvent(
                            sequence=event.sequence,
                            at=event.at,
                            event=event.event,
                            party_id=event.party_id,
                            details=json.loads(event.details),
                        )
                        for event in events
                    ],
                ),
            ),
        )

    ###
    ### Results
    ###

    async def _answer(self, request: Request, content: Result) -> None:
        await self._publisher.publish(result(content, request.reply_to))

    async def _fail(self, request: Request, failure: Failure) -> None:
        """Answer without a trace: nothing was begun, and the same request again is as new."""
        content = failed_result(
            request.operation,
            failure,
            request_id=request.request_id,
            client_id=request.client_id,
            key_id=getattr(request, "key_id", None),
            target=getattr(request, "target", None),
            status=Status.EXPIRED if failure.code is FailureCode.EXPIRED else Status.FAILED,
            finished_at=now_ms(),
        )
        await self._answer(request, content)

    async def _answer_invalid(self, error: InvalidRequestError) -> None:
        content = failed_result(
            error.operation,
            Failure.of(FailureCode.INVALID_REQUEST, str(error)[:2000]),
            request_id=error.request_id,
            client_id=error.client_id,
            key_id=error.key_id,
            finished_at=now_ms(),
        )
        reply_to = addresses.result_key(
            error.operation,
            client_id=error.client_id,
            request_id=error.request_id,
            key_id=error.key_id,
        )
        await self._publisher.publish(result(content, reply_to))

    async def _key_facts(self, request: SignRequest) -> KeyFacts | None:
        """Facts of an epoch do not change, so those of some keys are kept."""
        name = (_owner(request), request.key_id)
        facts = self._facts.get(name)
        if facts is None:
            record = await self._store.key(*name)
            if record is not None:
                facts = CertifiedKey.model_validate_json(record.certified).facts
                if len(self._facts) >= KEPT_FACTS:
                    del self._facts[next(iter(self._facts))]
                self._facts[name] = facts
        return facts


def _owner(request: Request) -> str:
    return request.client_id or ""


def _deadline(request: Request, now: int) -> int:
    """A client's clock that runs ahead must not keep a session longer than was asked for."""
    return min(request.expires_at, now + request.expires_at - request.issued_at)


def _late() -> Failure:
    return Failure.of(
        FailureCode.EXPIRED, "the request had expired when it arrived; is a clock wrong?"
    )


def _unfit(request: SignRequest, facts: KeyFacts | None) -> Failure:
    if facts is None:
        return Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.key_id!r}")
    return Failure.of(
        FailureCode.INVALID_REQUEST,
        f"key {request.key_id} is on {facts.curve}; {request.scheme} signs on "
        f"{request.scheme.curve}",
    )


def _unknown(what: str) -> Failure:
    return Failure.of(FailureCode.UNKNOWN_REQUEST, f"you have no such thing: {what}")
