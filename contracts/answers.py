"""Does this result answer that request? What `verification` asks about keys and signatures comes
after it."""

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
    Request,
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
    Result,
    RevokeApiKeyResult,
    SignedItem,
    SignResult,
    Status,
)

T = TypeVar("T")


def check_answer(request: Request, result: Result) -> None:
    """Raises ContractError unless the result answers this request, as far as ids and echoed
    fields tell; the key and the signature in it are still to be checked."""
    _same("request_id", result.request_id, request.request_id)
    _same("client_id", result.client_id, request.client_id)
    _same("result", result.result, request.operation)
    if result.status is not Status.COMPLETED:
        return
    match request, result:
        case KeygenRequest(), KeygenResult():
            _check_made_key(request, result)
        case SignRequest(), SignResult():
            _check_made_signatures(request, result)
        case CancelRequest(), CancelResult():
            if request.target is not None:
                _same("target", result.target, request.target)
        case QueryKeysRequest(), QueryKeysResult():
            key_ids = [key.facts.key_id for key in result.keys]
            _check_only(request.only, key_ids)
            _check_page(key_ids, more=result.more)
        case QuerySessionRequest(), QuerySessionResult():
            _check_looked_at(request, result)
        case JoinSessionRequest(), JoinSessionResult():
            session = _present("session", result.session)
            _same("session_id", session.session_id, request.session_id)
            party_id = _present("party_id", result.party_id)
            if request.party_id is not None:
                _same("party_id", party_id, request.party_id)
        case QueryAccountsRequest(), QueryAccountsResult():
            _check_page([account.account_id for account in result.accounts], more=result.more)
            _check_only(request.only, [account.account_id for account in result.accounts])
        case ConfigureAccountRequest(), ConfigureAccountResult():
            account = _present("account", result.account)
            _same("account_id", account.account_id, request.account_id)
            _same("signers", sorted(account.signers or ()), sorted(request.signers or ()))
        case PutApiKeyRequest(), PutApiKeyResult():
            api_key = _present("api_key", result.api_key)
            _same("api_key_id", api_key.api_key_id, request.api_key_id)
            _same("holder", api_key.holder, request.holder)
            _same("key_digest", api_key.key_digest, request.key_digest)
            _same("scopes", set(api_key.scopes), set(request.scopes))
            _same("valid_until", api_key.valid_until, request.valid_until)
        case RevokeApiKeyRequest(), RevokeApiKeyResult():
            api_key = _present("api_key", result.api_key)
            _same("api_key_id", api_key.api_key_id, request.api_key_id)
            _present("revoked_at", api_key.revoked_at)
        case QueryApiKeysRequest(), QueryApiKeysResult():
            _check_page([api_key.api_key_id for api_key in result.api_keys], more=result.more)


def _check_made_key(request: KeygenRequest, result: KeygenResult) -> None:
    facts = _present("key", result.key).facts
    _same("key_id", facts.key_id, request.key_id)
    _same("key_id", result.key_id, request.key_id)
    _same("client_id", facts.client_id, request.client_id)
    _same("session_id", facts.session_id, result.session_id)
    _same("curve", facts.curve, request.curve)
    _same("threshold", facts.threshold, request.threshold)
    _same("party_count", facts.party_count, request.party_count)
    if request.parties is not None:
        parties = sorted(holder.party_id for holder in facts.holders)
        _same("parties", parties, sorted(request.parties))


def _check_made_signatures(request: SignRequest, result: SignResult) -> None:
    _same("key_id", result.key_id, request.key_id)
    _same("scheme", result.scheme, request.scheme)
    _same("form", result.items is None, request.items is None)
    _same("messages", _wanted(result.signed), _wanted(request.tasks))
    if request.signers is not None:
        _same("signers", sorted(result.signers), sorted(request.signers))


def _check_looked_at(request: QuerySessionRequest, result: QuerySessionResult) -> None:
    session = _present("session", result.session)
    if request.session_id is not None:
        _same("session_id", session.session_id, request.session_id)
    else:
        _same("target", session.request_id, request.target)
    if result.outcome is not None:
        # Its session may be another one: a request goes on with other signers when some fail.
        _same("outcome's request_id", result.outcome.request_id, session.request_id)
        _same("outcome's client_id", result.outcome.client_id, request.client_id)
        _same("outcome", result.outcome.result, session.operation)
        _same("outcome's key_id", result.outcome.key_id, session.key_id)


def _wanted(items: Iterable[SignItem | SignedItem]) -> list[tuple[bytes, str | None]]:
    return [(item.message, item.derivation_path) for item in items]


def _check_only(asked: str | None, found: list[str]) -> None:
    if asked is not None and found != [asked]:
        raise ContractError("the result lists something else than the one that was asked for")


def _check_page(found: list[str], *, more: bool) -> None:
    if more and not found:
        raise ContractError("the result is an empty page and says that there are more")


def _present(name: str, value: T | None) -> T:
    if value is None:
        raise ContractError(f"the result is completed and has no {name}")
    return value


def _same(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise ContractError(f"the result's {name} is not what was asked for")
