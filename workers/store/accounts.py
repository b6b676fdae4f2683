"""What the coordinator's stores can do with accounts, and with the entries of API keys."""

from __future__ import annotations

from typing import Protocol

from .records import ApiKeyEntryRecord, ApiKeyRecord, StoredAccount


class CoordinatorAccounts(Protocol):
    """Of owners who act for users of their own."""

    async def account(self, owner: str, account_id: str) -> StoredAccount | None:
        """With the status of its key."""

    async def accounts(self, owner: str, *, after: str, limit: int) -> list[StoredAccount]:
        """In the order of their ids, from the first one after `after`, which may be empty."""

    async def configure_account(
        self, owner: str, account_id: str, signers: tuple[str, ...] | None, *, asked_at: int
    ) -> bool:
        """False if there is no such account, or a later wish was heeded."""

    async def add_api_key_entry(self, entry: ApiKeyEntryRecord, previous: bytes) -> bool:
        """Go on with the chain. True if the entry stands in it, be it since earlier; False if
        another one does, or if the entry before is not there or not the one with the digest
        `previous`."""

    async def api_key_entries(
        self, owner: str, authority: bytes, *, after: int, limit: int
    ) -> list[ApiKeyEntryRecord]:
        """In their order, from the first one after number `after`."""

    async def highest_api_key_entry(self, owner: str, authority: bytes) -> int:
        """The number of the chain's last entry; 0 if there is none."""

    async def unsigned_api_keys(self, owner: str, *, now: int, limit: int) -> list[ApiKeyRecord]:
        """Those from before there was an authority that are valid and of which no entry tells."""
