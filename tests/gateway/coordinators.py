"""What all gateways ask, and each one's connection to it: doubles of the client library."""

from __future__ import annotations

import asyncio
from typing import Any

from contracts.answers import failed_result
from contracts.client import ClientClosedError, Rehearsal, RequestFailedError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Status
from contracts.results import (
    QuerySessionResult,
    Result,
    SessionAnnounced,
    SessionResult,
    SignResult,
)
from contracts.views import SessionView
from gateway.opening import NewShares

from ..contracts.samples import (
    SingleKey,
    announcement,
    keygen_request,
    keygen_result,
    session_view,
    sign_request,
    sign_result,
)
from .desk_sessions import rehearsal

KEY = SingleKey(Curve.ED25519)


class BegunDouble:
    def __init__(self, request_id: str, announced: SessionAnnounced | None) -> None:
        self.request_id = request_id
        self.announced = announced
        self.stopped = False
        self.ending: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    @property
    def done(self) -> bool:
        return self.ending.done()

    async def result(self) -> Result:
        return await asyncio.shield(self.ending)

    def stop(self) -> None:
        self.stopped = True
        if not self.done:
            self.ending.set_exception(ClientClosedError("stopped"))
            self.ending.exception()


class Coordinator:
    """What all gateways ask.

    Attributes:
        sessions: By the request id as it is sent.
        looks: How often it was asked for a session.
        instant: Results are there before announcements.
        gate: Whoever looks has to pass it.
    """

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], SessionView] = {}
        self.outcomes: dict[bytes, SessionResult] = {}
        self.begun: list[BegunDouble] = []
        self.looks = 0
        self.key_queries = 0
        self.reshared: list[tuple[CertifiedKey, dict[str, Any]]] = []
        self.rehearsed: list[tuple[str, str, dict[str, Any]]] = []
        self.instant = False
        self.refusal: FailureCode | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def begin(self, tenant: str, request_id: str, reference: str, result: Any) -> BegunDouble:
        if self.refusal is not None:
            raise refused(self.refusal)
        known = self.sessions.get((tenant, request_id))
        if known is not None:
            raise refused(FailureCode.CONFLICT)
        session_id = bytes([len(self.sessions) + 1]) * 32
        self.sessions[tenant, request_id] = session_view(
            session_id=session_id,
            request_id=request_id,
            reference=reference,
            status=Status.WAITING,
            operation=result.result,
        )
        announced = announcement(sign_request(request_id=request_id), session_id=session_id)
        begun = BegunDouble(request_id, None if self.instant else announced)
        self.begun.append(begun)
        if self.instant:
            begun.ending.set_result(result.model_copy(update={"session_id": session_id}))
        return begun

    def move(self, session_id: bytes, **changes: Any) -> None:
        for name, view in self.sessions.items():
            if view.session_id == session_id:
                self.sessions[name] = view.model_copy(update=changes)

    def end(self, session_id: bytes) -> SignResult:
        self.move(session_id, status=Status.COMPLETED)
        outcome = sign_result(sign_request(), KEY, session_id=session_id)
        self.outcomes[session_id] = outcome
        return outcome


def refused(code: FailureCode) -> RequestFailedError:
    failure = Failure.of(code, "no")
    result = failed_result(
        "sign",
        failure,
        request_id="r",
        client_id="gateway",
        request_digest=bytes(32),
        finished_at=1,
    )
    return RequestFailedError(failure, result)


class ClientDouble:
    """One gateway's connection."""

    def __init__(self, coordinator: Coordinator, tenant: str = "") -> None:
        self.coordinator = coordinator
        self.tenant = tenant
        self.discarding = asyncio.Event()

    def acting_for(self, tenant: str) -> ClientDouble:
        return ClientDouble(self.coordinator, tenant)

    async def begin_key(self, key_id: str, **asked: Any) -> BegunDouble:
        request = keygen_request(key_id=key_id)
        result = keygen_result(request, KEY.certified(key_id=key_id))
        return self._begin(asked, result)

    async def begin_signature(self, key_id: str, **asked: Any) -> BegunDouble:
        return self._begin(asked, sign_result(sign_request(), KEY))

    async def begin_reshare(self, key: CertifiedKey, **asked: Any) -> BegunDouble:
        self.coordinator.reshared.append((key, asked))
        result = failed_result(
            "reshare",
            Failure.of(FailureCode.STALE_EPOCH, "no"),
            request_id=asked["request_id"],
            client_id="gateway",
            request_digest=bytes(32),
            finished_at=1,
            key_id=key.facts.key_id,
        )
        return self._begin(asked, result)

    async def rehearse(self, key_id: str, **asked: Any) -> Rehearsal:
        self.coordinator.rehearsed.append((self.tenant, key_id, asked))
        facts = KEY.certified(key_id=key_id).facts
        return rehearsal(facts, NewShares(**asked), declining=(), away=())

    def _begin(self, asked: dict[str, Any], result: Result) -> BegunDouble:
        return self.coordinator.begin(self.tenant, asked["request_id"], asked["reference"], result)

    async def look(
        self, *, session_id: bytes | None = None, request_id: str | None = None
    ) -> QuerySessionResult:
        self.coordinator.looks += 1
        await self.coordinator.gate.wait()
        for (tenant, known), view in self.coordinator.sessions.items():
            if tenant == self.tenant and (known == request_id or view.session_id == session_id):
                return QuerySessionResult(
                    request_id="query",
                    client_id="gateway",
                    session_id=view.session_id,
                    request_digest=bytes(32),
                    status=Status.COMPLETED,
                    finished_at=1,
                    session=view,
                    outcome=self.coordinator.outcomes.get(view.session_id),
                )
        raise refused(FailureCode.UNKNOWN_REQUEST)

    async def keys(self, only: str) -> list[Any]:
        self.coordinator.key_queries += 1
        return [KEY.certified(key_id=only)]

    async def discard_results(self) -> None:
        self.discarding.set()
        await asyncio.Event().wait()
