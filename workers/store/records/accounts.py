"""Accounts and API keys: what the coordinator keeps for clients that serve many."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """A key that was made, or is to be made, for a user. (owner, account_id) is unique.

    Attributes:
        account_id: Also the key's id.
        session_id: Of the session that makes the key.
        parties: Those that are to hold the key, in its order.
        signers: Those among whom signers are chosen; None: among all parties.
        configured_at: When its owner said so; None if never.
    """

    owner: str
    account_id: str
    user_id: str
    session_id: bytes
    curve: str
    threshold: int
    parties: tuple[str, ...]
    created_at: int
    signers: tuple[str, ...] | None = None
    configured_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAccount:
    """
    Attributes:
        status: Of the session; ``completed`` for good once there is the key, and ``failed`` if the
            session was forgotten without one.
        certified: Of the key, as in `KeyRecord`; None until there is one.
    """

    account: AccountRecord
    status: str
    certified: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyEntryRecord:
    """One link of an authority's chain. (owner, authority, number) is unique.

    Attributes:
        authority: Its public key.
        digest: What the next entry names.
        api_key_id: Which API key it is about; None if about none.
        body: As the authority signed it.
    """

    owner: str
    authority: bytes
    number: int
    digest: bytes
    api_key_id: str | None
    body: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """One from before there was an authority, not revoked; it opens nothing any more."""

    api_key_id: str
    holder: str
    key_digest: bytes
    scopes: tuple[str, ...]
    created_at: int
    valid_until: int | None
