"""Does this completed result answer that request? One check for each operation.

Each raises ContractError unless the fields that say what was done are those that were asked for.
Whether keys and signatures are true comes after it, see `proofs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from .errors import ContractError
from .requests import (
    CancelRequest,
    ConfigureAccountRequest,
    JoinSessionRequest,
    KeygenRequest,
    PutApiKeyRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    RevokeApiKeyRequest,
    SignItem,
    SignRequest,
)
from .results import (
    CancelResult,
    ConfigureAccountResult,
    JoinSessionResult,
    KeygenResult,
    PutApiKeyResult,
    QueryAccountsResult,
    QueryApiKeysResult,
    QueryKeysResult,
    QuerySessionResult,
    RevokeApiKeyResult,
    SignedItem,
    SignResult,
)

T = TypeVar("T")


def made_key(request: KeygenRequest, result: KeygenResult) -> None:
    facts = present("key", result.key).facts
    same("key_id", facts.key_id, request.key_id)
    same("key_id", result.key_id, request.key_id)
    same("client_id", facts.client_id, request.client_id)
    same("session_id", facts.session_id, result.session_id)
    same("curve", facts.curve, request.curve)
    same("threshold", facts.threshold, request.threshold)
    same("party_count", facts.party_count, request.party_count)
    if request.parties is not None:
        parties = sorted(holder.party_id for holder in facts.holders)
        same("parties", parties, sorted(request.parties))


def made_signatures(request: SignRequest, result: SignResult) -> None:
    same("key_id", result.key_id, request.key_id)
    same("scheme", result.scheme, request.scheme)
    same("form", result.items is None, request.items is None)
    same("messages", _wanted(result.signed), _wanted(request.tasks))
    if request.signers is not None:
        same("signers", sorted(result.signers), sorted(request.signers))


def ended_session(request: CancelRequest, result: CancelResult) -> None:
    if request.target is not None:
        same("target", result.target, request.target)


def listed_keys(request: QueryKeysRequest, result: QueryKeysResult) -> None:
    key_ids = [key.facts.key_id for key in result.keys]
    _only(request.only, key_ids)
    _page(key_ids, more=result.more)


def looked_at_session(request: QuerySessionRequest, result: QuerySessionResult) -> None:
    session = present("session", result.session)
    if request.session_id is not None:
        same("session_id", session.session_id, request.session_id)
    else:
        same("target", session.request_id, request.target)
    if result.outcome is not None:
        # Its session may be another one: a request goes on with other signers when some fail.
        same("outcome's request_id", result.outcome.request_id, session.request_id)
        same("outcome's client_id", result.outcome.client_id, request.client_id)
        same("outcome", result.outcome.result, session.operation)
        same("outcome's key_id", result.outcome.key_id, session.key_id)


def joined_party(request: JoinSessionRequest, result: JoinSessionResult) -> None:
    session = present("session", result.session)
    same("session_id", session.session_id, request.session_id)
    party_id = present("party_id", result.party_id)
    if request.party_id is not None:
        same("party_id", party_id, request.party_id)


def listed_accounts(request: QueryAccountsRequest, result: QueryAccountsResult) -> None:
    account_ids = [account.account_id for account in result.accounts]
    _page(account_ids, more=result.more)
    _only(request.only, account_ids)


def configured_account(request: ConfigureAccountRequest, result: ConfigureAccountResult) -> None:
    account = present("account", result.account)
    same("account_id", account.account_id, request.account_id)
    same("signers", sorted(account.signers or ()), sorted(request.signers or ()))


def kept_api_key(request: PutApiKeyRequest, result: PutApiKeyResult) -> None:
    api_key = present("api_key", result.api_key)
    same("api_key_id", api_key.api_key_id, request.api_key_id)
    same("holder", api_key.holder, request.holder)
    same("key_digest", api_key.key_digest, request.key_digest)
    same("scopes", set(api_key.scopes), set(request.scopes))
    same("valid_until", api_key.valid_until, request.valid_until)


def revoked_api_key(request: RevokeApiKeyRequest, result: RevokeApiKeyResult) -> None:
    api_key = present("api_key", result.api_key)
    same("api_key_id", api_key.api_key_id, request.api_key_id)
    present("revoked_at", api_key.revoked_at)


def listed_api_keys(_: QueryApiKeysRequest, result: QueryApiKeysResult) -> None:
    _page([api_key.api_key_id for api_key in result.api_keys], more=result.more)


def present(name: str, value: T | None) -> T:
    if value is None:
        raise ContractError(f"the result is completed and has no {name}")
    return value


def same(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise ContractError(f"the result's {name} is not what was asked for")


def _wanted(items: Iterable[SignItem | SignedItem]) -> list[tuple[bytes, str | None]]:
    return [(item.message, item.derivation_path) for item in items]


def _only(asked: str | None, found: list[str]) -> None:
    if asked is not None and found != [asked]:
        raise ContractError("the result lists something else than the one that was asked for")


def _page(found: list[str], *, more: bool) -> None:
    if more and not found:
        raise ContractError("the result is an empty page and says that there are more")
