"""What the coordinator remembers for a client beside keys and sessions: accounts, API keys.

The key of an account was verified like any other, and API keys prove themselves. What else is told
of accounts is as the coordinator tells it, nothing proves it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..api_keys import SignedApiKeyEntry
from ..identity import PublicIdentity
from ..requests import (
    ConfigureAccountRequest,
    PutApiKeyRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    RevokeApiKeyRequest,
)
from ..results import (
    AccountView,
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

    async def put_api_key(self, entry: SignedApiKeyEntry) -> None:
        """Add an entry of the API-key authority, see `api_keys`: one that does not revoke. Not for
        a client that acts for a tenant: a gateway asks for its own chain only."""
        await self._query(PutApiKeyRequest, PutApiKeyResult, entry=entry)

    async def revoke_api_key(self, entry: SignedApiKeyEntry) -> None:
        """Add an entry that revokes."""
        await self._query(RevokeApiKeyRequest, RevokeApiKeyResult, entry=entry)

    async def api_key_entries(
        self,
        authority: PublicIdentity,
        *,
        after: int = 0,
        limit: int = 200,
        unsigned: bool = False,
    ) -> QueryApiKeysResult:
        """A page of the authority's chain, from the entry behind `after` on; not verified, see
        `api_keys.Chain`."""
        return await self._query(
            QueryApiKeysRequest,
            QueryApiKeysResult,
            authority=authority.der,
            after=after,
            limit=limit,
            unsigned=unsigned,
        )
