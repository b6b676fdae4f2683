# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""Accounts and API keys, in words that both databases understand."""

from __future__ import annotations

from ..records import ApiKeyRecord, StoredAccount
from ..rows import accounts as rows
from ..rows.accounts import ACCOUNT_COLUMNS, API_KEY_COLUMNS
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

# Nothing if the id or the digest is there.
ADD_API_KEY = f"""
    INSERT INTO api_keys ({API_KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT DO NOTHING
"""

REPLACE_API_KEY = """
    UPDATE api_keys SET scopes = $5, asked_at = $6, valid_until = $7
    WHERE owner = $1 AND api_key_id = $2 AND holder = $3 AND key_digest = $4
        AND revoked_at IS NULL AND asked_at <= $6
"""

REVOKE = """
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE owner = $1 AND api_key_id = $2
"""

API_KEY = f"SELECT {API_KEY_COLUMNS} FROM api_keys WHERE owner = $1 AND api_key_id = $2"

API_KEYS = f"""
    SELECT {API_KEY_COLUMNS} FROM api_keys
    WHERE owner = $1 AND api_key_id > $2
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

    async def put_api_key(self, api_key: ApiKeyRecord) -> bool:
        if await self._database.execute(ADD_API_KEY, *rows.api_key_values(api_key)):
            return True
        return bool(
            await self._database.execute(
                REPLACE_API_KEY,
                api_key.owner,
                api_key.api_key_id,
                api_key.holder,
                api_key.key_digest,
                rows.words(api_key.scopes),
                api_key.asked_at,
                api_key.valid_until,
            )
        )

    async def revoke_api_key(self, owner: str, api_key_id: str, now: int) -> bool:
        return bool(await self._database.execute(REVOKE, owner, api_key_id, now))

    async def api_key(self, owner: str, api_key_id: str) -> ApiKeyRecord | None:
        found = await self._database.fetch(API_KEY, owner, api_key_id)
        return rows.api_key(found[0]) if found else None

    async def api_keys(self, owner: str, *, after: str, limit: int) -> list[ApiKeyRecord]:
        found = await self._database.fetch(API_KEYS, owner, after, limit)
        return [rows.api_key(row) for row in found]
