"""Does this completed result answer that request? One check for each operation.

Each raises ContractError unless the fields that say what was done are those that were asked for.
Whether keys and signatures are true comes after it, see `proofs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from pydantic import ValidationError

from .errors import ContractError
from .identity import PublicIdentity
from .keys import EpochBundle, KeyFacts, Origin, Resharing
from .primitives import Status
from .requests import (
    ADAPTER,
    CancelRequest,
    ConfigureAccountRequest,
    JoinSessionRequest,
    KeygenRequest,
    PutApiKeyRequest,
    QueryAccountsRequest,
    QueryApiKeysRequest,
    QueryKeyHistoryRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    RehearseRequest,
    ReshareRequest,
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
    QueryKeyHistoryResult,
    QueryKeysResult,
    QuerySessionResult,
    RehearseResult,
    ReshareResult,
    RevokeApiKeyResult,
    SessionAnnounced,
    SessionResult,
    SignedItem,
    SignResult,
)
from .terms import ReshareTerms, SessionTerms
from .views import SessionView

T = TypeVar("T")


def made_key(request: KeygenRequest, result: KeygenResult) -> None:
    facts = present("key", result.key).facts
    if facts.version == 1:
        raise ContractError("the result's key says neither tenant nor request, as all new ones do")
    same("epoch", facts.epoch, 0)
    same("tenant", facts.tenant, request.tenant)
    same("schemes", facts.schemes, request.schemes)
    same("origin", facts.origin, Origin.GENERATED)
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


def made_epoch(request: ReshareRequest, result: ReshareResult) -> None:
    """That it is the key, the epoch, the threshold and the parties of the request, its bundle says
    itself, see `epochs.check`: here, that it is this request."""
    bundle = present("bundle", result.bundle)
    same("key_id", result.key_id, request.key_id)
    same("request", hashlib.sha256(bundle.request).digest(), result.request_digest)
    made_by = _resharing_of(bundle).session_id
    if not request.announce:  # or else it may be a later try than the one that was announced
        same("session_id", made_by, result.session_id)
    present("signs_from", result.signs_from)


def made_signatures(request: SignRequest, result: SignResult) -> None:
    same("key_id", result.key_id, request.key_id)
    same("scheme", result.scheme, request.scheme)
    same("form", result.items is None, request.items is None)
    same("messages", _wanted(result.signed), _wanted(request.tasks))
    if request.signers is not None:
        same("signers", sorted(result.signers), sorted(request.signers))


def ended_session(request: CancelRequest, result: CancelResult) -> None:
    same("target", result.target, request.target)


def rehearsed(request: RehearseRequest, result: RehearseResult) -> None:
    same("key_id", result.key_id, request.key_id)


def listed_keys(request: QueryKeysRequest, result: QueryKeysResult) -> None:
    key_ids = [key.facts.key_id for key in result.keys]
    _only(request.only, key_ids)
    _page(key_ids, more=result.more)


def told_history(request: QueryKeyHistoryRequest, result: QueryKeyHistoryResult) -> None:
    """That one epoch's facts are those that the next one's name, and none is left out between. On
    the first page the newest is the key's own; `client.histories` joins the pages."""
    newest = present("key", result.key).facts
    if request.key_id is not None:
        same("key_id", newest.key_id, request.key_id)
    else:
        same("key_session", newest.session_id, request.key_session)
    _page(result.epochs, more=result.more)
    facts = [epoch.facts for epoch in result.epochs]
    if request.before is None:
        same("newest epoch", facts[:1], [newest])
    elif facts and facts[0].epoch >= request.before:
        raise ContractError("the page begins at an epoch that was on the one before")
    for later, earlier in pairwise(facts):
        followed(later, earlier)
    if facts and (facts[-1].reshared is not None) != result.more:
        raise ContractError("the history ends before the first epoch, or goes on behind it")


def followed(later: KeyFacts, earlier: KeyFacts) -> None:
    """Raises ContractError unless the shares of one epoch were made from those of the other."""
    if later.reshared is None or later.reshared.predecessor != earlier.digest():
        raise ContractError(
            f"epoch {later.epoch} was not made from what is told of {earlier.epoch}"
        )


def looked_at_session(request: QuerySessionRequest, result: QuerySessionResult) -> None:
    session = present("session", result.session)
    if request.session_id is not None:
        same("session_id", session.session_id, request.session_id)
        if request.tenant is not None:
            same("owner", (session.client_id, session.tenant), (request.client_id, request.tenant))
    else:
        same("target", session.request_id, request.target)
        same("owner", (session.client_id, session.tenant), (request.client_id, request.tenant))
    _named_session(session, result)
    if result.outcome is not None:
        # Its session may be another one: a request goes on with other signers when some fail.
        same("outcome's request_id", result.outcome.request_id, session.request_id)
        same("outcome's client_id", result.outcome.client_id, request.client_id)
        same("outcome", result.outcome.result, session.operation)
        same("outcome's key_id", result.outcome.key_id, session.key_id)
        _answers(result, result.outcome)


def announced_session(digest: bytes, announced: SessionAnnounced) -> None:
    """Raises ContractError unless the session is one of the request with this digest."""
    _names(announced.terms, announced.session_id, digest)


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
    same("number", result.number, request.entry.claimed().number)


def revoked_api_key(request: RevokeApiKeyRequest, result: RevokeApiKeyResult) -> None:
    same("number", result.number, request.entry.claimed().number)


def listed_api_keys(request: QueryApiKeysRequest, result: QueryApiKeysResult) -> None:
    same("after", result.after, request.after)
    if len(result.entries) > request.limit:
        raise ContractError("the result is a longer page than was asked for")
    _page(result.entries, more=result.more)
    authority = PublicIdentity(request.authority)
    for number, signed in enumerate(result.entries, start=request.after + 1):
        entry = signed.verified(authority)
        same("entry's number", entry.number, number)
        same("entry's client_id", entry.client_id, request.client_id)


def present(name: str, value: T | None) -> T:
    if value is None:
        raise ContractError(f"the result is completed and has no {name}")
    return value


def same(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise ContractError(f"the result's {name} is not what was asked for")


def _resharing_of(bundle: EpochBundle) -> Resharing:
    return present("epoch", bundle.key.facts.reshared)


def _named_session(session: SessionView, result: QuerySessionResult) -> None:
    """The session is one of the request whose bytes come with it: the coordinator could name
    another one, which nobody ever answered, to somebody who cancels the session. Whose bytes they
    are is still to be asked."""
    present("terms", result.terms)
    assert result.terms is not None
    body = present("request", result.request)
    _names(result.terms, session.session_id, hashlib.sha256(body).digest())
    try:
        request = ADAPTER.validate_json(body)
    except ValidationError:
        raise ContractError("the session's request is none") from None
    same("session's request_id", session.request_id, request.request_id)
    same(
        "session's owner", (session.client_id, session.tenant), (request.client_id, request.tenant)
    )


def _answers(result: QuerySessionResult, outcome: SessionResult) -> None:
    """What came of the session is the answer to the request that it is one of. Of a key, its facts
    say so."""
    body = present("request", result.request)
    same("outcome's request_digest", outcome.request_digest, hashlib.sha256(body).digest())
    request = ADAPTER.validate_json(body)
    if outcome.status is not Status.COMPLETED:
        return
    if isinstance(request, SignRequest) and isinstance(outcome, SignResult):
        made_signatures(request, outcome)
    if isinstance(request, ReshareRequest) and isinstance(outcome, ReshareResult):
        made_epoch(request, outcome)


def _names(terms: SessionTerms | ReshareTerms, session_id: bytes, digest: bytes) -> None:
    same("session_id", session_id, terms.session_id())
    same("terms' request", terms.request_digest, digest)


def _wanted(items: Iterable[SignItem | SignedItem]) -> list[tuple[bytes, str | None]]:
    return [(item.message, item.derivation_path) for item in items]


def _only(asked: str | None, found: list[str]) -> None:
    if asked is not None and found != [asked]:
        raise ContractError("the result lists something else than the one that was asked for")


def _page(found: Sequence[object], *, more: bool) -> None:
    if more and not found:
        raise ContractError("the result is an empty page and says that there are more")
