"""What the coordinator remembers for a client beside keys and sessions: accounts, API keys.

All of it is as the coordinator tells it, nothing proves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..primitives import Scope
from ..requests import (
    ConfigureAccountRequest,
    PutApiKeyRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    RevokeApiKeyRequest,
)
from ..results import (
    AccountView,
    ApiKeyView,
    ConfigureAccountResult,
    PutApiKeyResult,
    QueryAccountsResult,
    QueryApiKeysResult,
    RevokeApiKeyResult,
)
from .caller import Caller, present


class Registers(Caller):
    """Accounts and API keys, which the coordinator keeps for clients that serve many."""

    async def accounts(self, *, after: str | None = None, limit: int = 100) -> QueryAccountsResult:
        """A page of the accounts, those whose ids come behind `after`; `more` if it is not the
        last."""
        return await self._query(
            QueryAccountsRequest, QueryAccountsResult, after=after, limit=limit
        )

    async def account(self, account_id: str) -> AccountView:
        """Raises RequestFailedError where there is none."""
        result = await self._query(QueryAccountsRequest, QueryAccountsResult, only=account_id)
        return result.accounts[0]

    async def configure_account(
        self, account_id: str, signers: Sequence[str] | None
    ) -> AccountView:
        """Who signs where a request names nobody: these, or with None whom the coordinator
        chooses."""
        result = await self._query(
            ConfigureAccountRequest,
            ConfigureAccountResult,
            account_id=account_id,
            signers=None if signers is None else list(signers),
        )
        return present(result.account)

    async def put_api_key(
        self,
        api_key_id: str,
        *,
        holder: str,
        key_digest: bytes,
        scopes: Sequence[Scope],
        valid_until: int | None = None,
    ) -> ApiKeyView:
        """As in `PutApiKeyRequest`. Not for a client that acts for a tenant: a gateway asks for its
        own keys only, and each says whom it acts for."""
        result = await self._query(
            PutApiKeyRequest,
            PutApiKeyResult,
            api_key_id=api_key_id,
            holder=holder,
            key_digest=key_digest,
            scopes=list(scopes),
            valid_until=valid_until,
        )
        return present(result.api_key)

    async def revoke_api_key(self, api_key_id: str) -> ApiKeyView:
        """End an API key for good; doing it twice changes nothing."""
        result = await self._query(RevokeApiKeyRequest, RevokeApiKeyResult, api_key_id=api_key_id)
        return present(result.api_key)

    async def api_keys(self) -> list[ApiKeyView]:
        """All of them, revoked ones too, in the order of their ids."""
        found: list[ApiKeyView] = []
        after = None
        while True:
            page = await self._query(QueryApiKeysRequest, QueryApiKeysResult, after=after)
            found += page.api_keys
            if not page.more:
                return found
            after = page.api_keys[-1].api_key_id
