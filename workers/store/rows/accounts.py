"""Accounts and API keys as rows and back."""

from __future__ import annotations

from ..database import Row
from ..records import AccountRecord, ApiKeyRecord, StoredAccount

ACCOUNT_COLUMNS = (
    "owner, account_id, user_id, session_id, curve, threshold, parties, created_at, signers, "
    "configured_at"
)
API_KEY_COLUMNS = (
    "owner, api_key_id, holder, key_digest, scopes, created_at, asked_at, valid_until, revoked_at"
)


def account_values(account: AccountRecord) -> tuple[object, ...]:
    """In the order of `ACCOUNT_COLUMNS`."""
    return (
        account.owner,
        account.account_id,
        account.user_id,
        account.session_id,
        account.curve,
        account.threshold,
        words(account.parties),
        account.created_at,
        None if account.signers is None else words(account.signers),
        account.configured_at,
    )


def stored_account(row: Row) -> StoredAccount:
    """Of an account joined with its session's status and the key's certificates."""
    return StoredAccount(
        account=AccountRecord(
            owner=row["owner"],
            account_id=row["account_id"],
            user_id=row["user_id"],
            session_id=row["session_id"],
            curve=row["curve"],
            threshold=row["threshold"],
            parties=_split(row["parties"]),
            created_at=row["created_at"],
            signers=None if row["signers"] is None else _split(row["signers"]),
            configured_at=row["configured_at"],
        ),
        status=row["status"],
        certified=row["certified"],
    )


def api_key_values(api_key: ApiKeyRecord) -> tuple[object, ...]:
    """In the order of `API_KEY_COLUMNS`."""
    return (
        api_key.owner,
        api_key.api_key_id,
        api_key.holder,
        api_key.key_digest,
        words(api_key.scopes),
        api_key.created_at,
        api_key.asked_at,
        api_key.valid_until,
        api_key.revoked_at,
    )


def api_key(row: Row) -> ApiKeyRecord:
    return ApiKeyRecord(
        owner=row["owner"],
        api_key_id=row["api_key_id"],
        holder=row["holder"],
        key_digest=row["key_digest"],
        scopes=_split(row["scopes"]),
        created_at=row["created_at"],
        asked_at=row["asked_at"],
        valid_until=row["valid_until"],
        revoked_at=row["revoked_at"],
    )


def words(names: tuple[str, ...]) -> str:
    """Ids and scopes have no spaces."""
    return " ".join(names)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())
