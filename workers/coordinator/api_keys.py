"""API keys: whom a client's gateways let in, as an authority has signed it.

The coordinator keeps each authority's chain and hands it on. Gateways believe the authority and not
the coordinator; what is checked here keeps a chain that no gateway would take out of the database.
"""

from __future__ import annotations

from collections.abc import Callable

from contracts.api_keys import SignedApiKeyEntry
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.identity import PublicIdentity
from contracts.primitives import Scope
from contracts.requests import (
    ApiKeyRequest,
    PutApiKeyRequest,
    QueryApiKeysRequest,
    RevokeApiKeyRequest,
)
from contracts.results import ApiKeyView, PutApiKeyResult, QueryApiKeysResult, RevokeApiKeyResult
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..store.interface import CoordinatorStore
from ..store.records import ApiKeyEntryRecord, ApiKeyRecord
from .answers import Answers
from .desks import Service

MAX_UNSIGNED = 500


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
        if (failure := await self._add(request)) is not None:
            return await self._answers.fail(signed, failure)
        number = request.entry.claimed().number
        content = PutApiKeyResult(**self._answers.head(signed), number=number)
        return await self._answers.give(request, content)

    async def _revoke(self, signed: SignedRequest, request: RevokeApiKeyRequest) -> None:
        """However late it comes: nobody is let in by it."""
        if (failure := await self._add(request)) is not None:
            return await self._answers.fail(signed, failure)
        number = request.entry.claimed().number
        content = RevokeApiKeyResult(**self._answers.head(signed), number=number)
        return await self._answers.give(request, content)

    async def _add(self, request: ApiKeyRequest) -> Failure | None:
        """What is wrong with the entry; None if it stands in the chain."""
        signed = request.entry
        claimed = signed.claimed()
        try:
            entry = signed.verified(PublicIdentity(claimed.authority))
        except ContractError as error:
            return Failure.of(FailureCode.INVALID_REQUEST, f"entry: {error}")
        record = ApiKeyEntryRecord(
            owner=request.owner,
            authority=entry.authority,
            number=entry.number,
            digest=signed.digest,
            api_key_id=entry.api_key_id,
            body=signed.body,
            signature=signed.signature,
        )
        if await self._store.add_api_key_entry(record, entry.previous):
            return None
        highest = await self._store.highest_api_key_entry(request.owner, entry.authority)
        return Failure.of(
            FailureCode.CONFLICT,
            f"entry {entry.number} does not continue the chain, whose highest number is {highest}",
        )

    async def _query(self, signed: SignedRequest, request: QueryApiKeysRequest) -> None:
        owner, authority = request.owner, request.authority
        found = await self._store.api_key_entries(
            owner, authority, after=request.after, limit=request.limit + 1
        )
        unsigned: list[ApiKeyRecord] = []
        if request.unsigned:
            unsigned = await self._store.unsigned_api_keys(
                owner, now=self._clock(), limit=MAX_UNSIGNED
            )
        content = QueryApiKeysResult(
            **self._answers.head(signed),
            entries=[
                SignedApiKeyEntry(body=each.body, signature=each.signature)
                for each in found[: request.limit]
            ],
            after=request.after,
            highest=await self._store.highest_api_key_entry(owner, authority),
            more=len(found) > request.limit,
            unsigned=[_view(each) for each in unsigned],
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
        revoked_at=None,
    )
