# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""Accounts and API keys, in words that both databases understand."""

from __future__ import annotations

from ..records import ApiKeyEntryRecord, ApiKeyRecord, StoredAccount
from ..rows import accounts as rows
from ..rows.accounts import ACCOUNT_COLUMNS, API_KEY_COLUMNS, ENTRY_COLUMNS
from .sessions import SharedStore

# With the session that makes the key; in place of one whose session failed, for the key's name
# would not be free otherwise.
KEEP_ACCOUNT = f"""
    INSERT INTO accounts ({ACCOUNT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (owner, account_id) DO UPDATE
    SET user_id = excluded.user_id, session_id = excluded.session_id, curve = excluded.curve,
        threshold = excluded.threshold, parties = excluded.parties,
        created_at = excluded.created_at, signers = excluded.signers,
        configured_at = excluded.configured_at
"""

# Not if a session without an account has made a key of this name since.
_ACCOUNTS = f"""
    SELECT {", ".join(f"accounts.{column}" for column in ACCOUNT_COLUMNS.split(", "))},
        keys.certified AS certified,
        CASE WHEN keys.key_id IS NOT NULL THEN 'completed'
            ELSE coalesce(sessions.status, 'failed') END AS status
    FROM accounts
    LEFT JOIN keys ON keys.owner = accounts.owner AND keys.key_id = accounts.account_id
    LEFT JOIN sessions ON sessions.session_id = accounts.session_id
    WHERE (keys.key_id IS NULL OR keys.key_session = accounts.session_id)
        AND accounts.owner = $1
"""

ACCOUNT = f"{_ACCOUNTS} AND accounts.account_id = $2"

ACCOUNTS = f"{_ACCOUNTS} AND accounts.account_id > $2 ORDER BY accounts.account_id LIMIT $3"

# The latest wish counts, in whichever order they come.
CONFIGURE = """
    UPDATE accounts SET signers = $3, configured_at = $4
    WHERE owner = $1 AND account_id = $2 AND coalesce(configured_at, 0) <= $4
"""

ADD_ENTRY = f"""
    INSERT INTO api_key_entries ({ENTRY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
"""

ENTRY = f"""
    SELECT {ENTRY_COLUMNS} FROM api_key_entries
    WHERE owner = $1 AND authority = $2 AND number = $3
"""

ENTRIES = f"""
    SELECT {ENTRY_COLUMNS} FROM api_key_entries
    WHERE owner = $1 AND authority = $2 AND number > $3
    ORDER BY number
    LIMIT $4
"""

HIGHEST = """
    SELECT coalesce(max(number), 0) AS highest FROM api_key_entries
    WHERE owner = $1 AND authority = $2
"""

UNSIGNED = f"""
    SELECT {API_KEY_COLUMNS} FROM api_keys
    WHERE owner = $1 AND revoked_at IS NULL AND (valid_until IS NULL OR valid_until > $2)
        AND NOT EXISTS (
            SELECT 1 FROM api_key_entries
            WHERE api_key_entries.owner = api_keys.owner
                AND api_key_entries.api_key_id = api_keys.api_key_id
        )
    ORDER BY api_key_id
    LIMIT $3
"""


class SharedAccounts(SharedStore):
    """What a coordinator's store knows of accounts and API keys."""

    async def account(self, owner: str, account_id: str) -> StoredAccount | None:
        found = await self._database.fetch(ACCOUNT, owner, account_id)
        return rows.stored_account(found[0]) if found else None

    async def accounts(self, owner: str, *, after: str, limit: int) -> list[StoredAccount]:
        found = await self._database.fetch(ACCOUNTS, owner, after, limit)
        return [rows.stored_account(row) for row in found]

    async def configure_account(
        self, owner: str, account_id: str, signers: tuple[str, ...] | None, *, asked_at: int
    ) -> bool:
        named = None if signers is None else rows.words(signers)
        return bool(await self._database.execute(CONFIGURE, owner, account_id, named, asked_at))

    async def add_api_key_entry(self, entry: ApiKeyEntryRecord, previous: bytes) -> bool:
        # Entries are neither changed nor taken out, so what is there before stays there.
        if entry.number > 1 and await self._digest(entry, entry.number - 1) != previous:
            return False
        if await self._database.execute(ADD_ENTRY, *rows.entry_values(entry)):
            return True
        return await self._digest(entry, entry.number) == entry.digest

    async def _digest(self, entry: ApiKeyEntryRecord, number: int) -> bytes | None:
        """Of the entry of this number in the same chain."""
        found = await self._database.fetch(ENTRY, entry.owner, entry.authority, number)
        return rows.entry(found[0]).digest if found else None

    async def api_key_entries(
        self, owner: str, authority: bytes, *, after: int, limit: int
    ) -> list[ApiKeyEntryRecord]:
        found = await self._database.fetch(ENTRIES, owner, authority, after, limit)
        return [rows.entry(row) for row in found]

    async def highest_api_key_entry(self, owner: str, authority: bytes) -> int:
        (row,) = await self._database.fetch(HIGHEST, owner, authority)
        return int(row["highest"])

    async def unsigned_api_keys(self, owner: str, *, now: int, limit: int) -> list[ApiKeyRecord]:
        found = await self._database.fetch(UNSIGNED, owner, now, limit)
        return [rows.api_key(row) for row in found]
