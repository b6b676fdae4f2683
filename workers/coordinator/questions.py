"""What clients ask about their keys and sessions."""

from __future__ import annotations

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.requests import QueryKeysRequest, QuerySessionRequest
from contracts.results import (
    DELIVERED,
    QueryKeysResult,
    QuerySessionResult,
    SessionResult,
)
from contracts.signing import SignedRequest
from contracts.terms import ReshareTerms, SessionTerms

from ..session.coordinator.conduct import Conduct
from ..session.coordinator.views import session_view
from ..store.interface import CoordinatorStore
from ..store.records import Outgoing
from .answers import Answers, that_fit, unknown
from .desks import Service
from .known_sessions import Found, find
from .operators import Operators

PAGE_BYTES = 4 * 1024 * 1024
"""Of keys on one page. A broker of today takes messages four times as large."""


class Questions:
    def __init__(self, operators: Operators, store: CoordinatorStore, answers: Answers) -> None:
        self._operators = operators
        self._store = store
        self._answers = answers

    def services(self) -> tuple[Service, ...]:
        return (
            Service.of(QueryKeysRequest, self._keys),
            Service.of(QuerySessionRequest, self._session),
        )

    async def _keys(self, signed: SignedRequest, request: QueryKeysRequest) -> None:
        if request.only is None:
            found = await self._store.keys(
                request.owner, after=request.after or "", limit=request.limit + 1
            )
        else:
            one = await self._store.key(request.owner, request.only)
            if one is None:
                failure = Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.only!r}")
                return await self._answers.fail(signed, failure)
            found = [one]
        keys = [CertifiedKey.model_validate_json(each.certified) for each in found]
        page = that_fit(keys[: request.limit], PAGE_BYTES)
        content = QueryKeysResult(
            **self._answers.head(signed),
            keys=page,
            more=len(page) < len(keys),
        )
        return await self._answers.give(request, content)

    async def _session(self, signed: SignedRequest, request: QuerySessionRequest) -> None:
        anybodys = request.target is None and self._operators.include(request)
        found = await find(
            self._store,
            None if anybodys else request.owner,
            session_id=request.session_id,
            target=request.target,
        )
        if found is None:
            return await self._answers.fail(signed, unknown("session"))
        events = await self._store.events(found.session.session_id)
        own = found.record.owner == request.owner
        content = QuerySessionResult(
            **self._answers.head(signed, found.named),
            session=session_view(
                found.record,
                found.session,
                found.conduct,
                events,
                session_id=found.named,
                with_tokens=own,
            ),
            outcome=_outcome(found.record.result) if own else None,
            request=found.record.body,
            request_signature=found.record.signature,
            terms=await self._terms(found),
        )
        return await self._answers.give(request, content)

    async def _terms(self, found: Found) -> SessionTerms | ReshareTerms | None:
        """Of the session by the id by which it is known, if it is remembered: its request may have
        gone on in others."""
        if found.named == found.conduct.session_id:
            return found.conduct.terms
        named = await self._store.session(found.named)
        return None if named is None else Conduct.model_validate_json(named.state).terms


def _outcome(message: Outgoing | None) -> SessionResult | None:
    if message is None:
        return None
    outcome = DELIVERED.validate_json(message.body)
    assert isinstance(outcome, SessionResult)
    return outcome
