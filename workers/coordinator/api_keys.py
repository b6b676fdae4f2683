"""API keys: whom a client's gateways let in. Nothing here is the secret, only what tells it."""

from __future__ import annotations

from collections.abc import Callable

from contracts.failures import Failure, FailureCode
from contracts.primitives import Scope
from contracts.requests import PutApiKeyRequest, QueryApiKeysRequest, RevokeApiKeyRequest
from contracts.results import (
    ApiKeyView,
    PutApiKeyResult,
    QueryApiKeysResult,
    RevokeApiKeyResult,
)
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..store.interface import CoordinatorStore
from ..store.records import ApiKeyRecord
from .answers import Answers, late
from .desks import Service


class ApiKeys:
    def __init__(
        self, store: CoordinatorStore, answers: Answers, *, clock: Callable[[], int] = now_ms
    ) -> None:
        self._store = store
        self._answers = answers
        self._clock = clock

    def services(self) -> tuple[Service, ...]:
        return (
            Service.of(PutApiKeyRequest, self._put),
            Service.of(RevokeApiKeyRequest, self._revoke),
            Service.of(QueryApiKeysRequest, self._query),
        )

    async def _put(self, signed: SignedRequest, request: PutApiKeyRequest) -> None:
        if request.expires_at <= self._clock():
            return await self._answers.fail(signed, late())
        wanted = ApiKeyRecord(
            owner=request.owner,
            api_key_id=request.api_key_id,
            holder=request.holder,
            key_digest=request.key_digest,
            scopes=tuple(sorted(set(request.scopes))),
            created_at=self._clock(),
            asked_at=request.issued_at,
            valid_until=request.valid_until,
        )
        done = await self._store.put_api_key(wanted)
        stored = await self._store.api_key(request.owner, request.api_key_id)
        if not done or stored is None:
            return await self._answers.fail(signed, _conflict(wanted, stored))
        content = PutApiKeyResult(
            **self._answers.head(request),
            api_key=_view(stored),
        )
        return await self._answers.give(request, content)

    async def _revoke(self, signed: SignedRequest, request: RevokeApiKeyRequest) -> None:
        """However late it comes: nobody is let in by it."""
        await self._store.revoke_api_key(request.owner, request.api_key_id, self._clock())
        stored = await self._store.api_key(request.owner, request.api_key_id)
        if stored is None:
            failure = Failure.of(
                FailureCode.UNKNOWN_API_KEY, f"you have no API key {request.api_key_id!r}"
            )
            return await self._answers.fail(signed, failure)
        content = RevokeApiKeyResult(
            **self._answers.head(request),
            api_key=_view(stored),
        )
        return await self._answers.give(request, content)

    async def _query(self, _: SignedRequest, request: QueryApiKeysRequest) -> None:
        found = await self._store.api_keys(
            request.owner, after=request.after or "", limit=request.limit + 1
        )
        content = QueryApiKeysResult(
            **self._answers.head(request),
            api_keys=[_view(each) for each in found[: request.limit]],
            more=len(found) > request.limit,
        )
        return await self._answers.give(request, content)


def _view(stored: ApiKeyRecord) -> ApiKeyView:
    return ApiKeyView(
        api_key_id=stored.api_key_id,
        holder=stored.holder,
        key_digest=stored.key_digest,
        scopes=[Scope(scope) for scope in stored.scopes],
        created_at=stored.created_at,
        valid_until=stored.valid_until,
        revoked_at=stored.revoked_at,
    )


def _conflict(wanted: ApiKeyRecord, stored: ApiKeyRecord | None) -> Failure:
    """Says nothing of the digest that is there: it is another secret's."""
    name = f"API key {wanted.api_key_id}"
    if stored is None:
        why = "the secret is another API key's; make a new one"
    elif (stored.holder, stored.key_digest) != (wanted.holder, wanted.key_digest):
        why = f"{name} is there, for another tenant or secret; choose another id"
    elif stored.revoked_at is not None:
        why = f"{name} was revoked for good; make another one"
    else:
        why = f"{name} was changed by a later request"
    return Failure.of(FailureCode.CONFLICT, why)
