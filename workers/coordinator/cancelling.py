"""Clients that end sessions: their own, or as operators anybody's."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.admission import ClientPolicy
from contracts.requests import CancelRequest
from contracts.results import CancelResult, Status
from contracts.signing import SignedRequest

from ..delivery.scopes import SessionScopes
from ..store.interface import CoordinatorStore
from .answers import Answers, unknown
from .desks import Service
from .known_sessions import Found, find
from .reports import ReportConsumer


class Cancelling:
    def __init__(
        self,
        clients: Sequence[ClientPolicy],
        store: CoordinatorStore,
        answers: Answers,
        scopes: SessionScopes,
        reports: ReportConsumer,
    ) -> None:
        self._operators = {
            (policy.client_id, policy.identity.der) for policy in clients if policy.operator
        }
        self._store = store
        self._answers = answers
        self._scopes = scopes
        self._reports = reports

    def services(self) -> tuple[Service, ...]:
        return (Service.of(CancelRequest, self._handle),)

    async def _handle(self, signed: SignedRequest, request: CancelRequest) -> None:
        found = await self._found(request)
        if found is None:
            failure = unknown("session" if request.target is None else "request")
            return await self._answers.fail(signed, failure)
        named, status = found.named, await self._end(found, request)
        while (now := await self._found(request)) is not None and (
            now.session.session_id != found.session.session_id
        ):  # it went on with other signers meanwhile
            found = now
            status = await self._end(found, request)
        content = CancelResult(
            **self._answers.head(request, named),
            target=request.target,
            target_status=status,
        )
        return await self._answers.give(request, content)

    async def _found(self, request: CancelRequest) -> Found | None:
        by_operator = (request.client_id, request.signer) in self._operators
        return await find(
            self._store,
            None if by_operator and request.session_id is not None else request.owner,
            session_id=request.session_id,
            target=request.target,
        )

    async def _end(self, found: Found, request: CancelRequest) -> Status:
        session_id = found.session.session_id
        by = "its client" if found.record.owner == request.owner else "an operator"
        status = await self._reports.cancel(session_id, f"cancel:{request.request_id}", by=by)
        self._scopes.cancel(session_id)
        return status
