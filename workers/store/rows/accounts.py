"""Accounts and API keys as rows and back."""

from __future__ import annotations

from ..database import Row
from ..records import AccountRecord, ApiKeyEntryRecord, ApiKeyRecord, StoredAccount

ACCOUNT_COLUMNS = (
    "owner, account_id, user_id, session_id, curve, threshold, parties, created_at, signers, "
    "configured_at"
)
API_KEY_COLUMNS = "api_key_id, holder, key_digest, scopes, created_at, valid_until"
ENTRY_COLUMNS = "owner, authority, number, digest, api_key_id, body, signature"


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


def entry_values(entry: ApiKeyEntryRecord) -> tuple[object, ...]:
    """In the order of `ENTRY_COLUMNS`."""
    return (
        entry.owner,
        entry.authority,
        entry.number,
        entry.digest,
        entry.api_key_id,
        entry.body,
        entry.signature,
    )


def entry(row: Row) -> ApiKeyEntryRecord:
    return ApiKeyEntryRecord(
        owner=row["owner"],
        authority=row["authority"],
        number=row["number"],
        digest=row["digest"],
        api_key_id=row["api_key_id"],
        body=row["body"],
        signature=row["signature"],
    )


def api_key(row: Row) -> ApiKeyRecord:
    return ApiKeyRecord(
        api_key_id=row["api_key_id"],
        holder=row["holder"],
        key_digest=row["key_digest"],
        scopes=_split(row["scopes"]),
        created_at=row["created_at"],
        valid_until=row["valid_until"],
    )


def words(names: tuple[str, ...]) -> str:
    """Ids and scopes have no spaces."""
    return " ".join(names)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())
