"""What in a result can be proven, however far the coordinator is trusted.

`client.trust` verifies it: keys by their parties' certificates, signatures under such a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from .checks import same
from .errors import ContractError
from .keys import CertifiedKey, EpochBundle
from .primitives import Status
from .results import (
    CancelResult,
    ConfigureAccountResult,
    KeygenResult,
    QueryAccountsResult,
    QueryApiKeysResult,
    QueryKeyHistoryResult,
    QueryKeysResult,
    QuerySessionResult,
    RehearseResult,
    ReshareResult,
    ResultBase,
    SignResult,
)
from .views import AccountView

Proof = CertifiedKey | EpochBundle | QueryKeyHistoryResult | SignResult


def nothing(_: ResultBase) -> Sequence[Proof]:
    """Of results that are as the coordinator tells them."""
    return ()


def statements(_: CancelResult) -> Sequence[Proof]:
    """None is refused for them: those that hold are counted, in `client.settlement`."""
    return ()


def readiness(_: RehearseResult) -> Sequence[Proof]:
    """None is refused for it: those answers that hold are counted, in `client.rehearsals`."""
    return ()


def made_key(result: KeygenResult) -> Sequence[Proof]:
    if result.status is not Status.COMPLETED:
        return ()
    if result.key is None or result.key.facts.key_id != result.key_id:
        raise ContractError("the result is completed and has not its key")
    if result.key.facts.version != 1:
        # Of the very bytes that asked for it, not of another request with its fields.
        same("key's request_digest", result.key.facts.request_digest, result.request_digest)
    return (result.key,)


def made_epoch(result: ReshareResult) -> Sequence[Proof]:
    if result.status is not Status.COMPLETED:
        return ()
    if result.bundle is None or result.bundle.key.facts.key_id != result.key_id:
        raise ContractError("the result is completed and has not its key's epoch")
    return (result.bundle,)


def made_signatures(result: SignResult) -> Sequence[Proof]:
    return (result,) if result.status is Status.COMPLETED else ()


def listed_keys(result: QueryKeysResult) -> Sequence[Proof]:
    return result.keys


def told_history(result: QueryKeyHistoryResult) -> Sequence[Proof]:
    """The newest epoch; what is told of those before it follows from that, see
    `checks.told_history`. None is refused for what parties are said to have told: what holds is
    counted, in `client.histories`."""
    return (result,) if result.status is Status.COMPLETED else ()


def signed_entries(_: QueryApiKeysResult) -> Sequence[Proof]:
    """Nothing is left: `checks.listed_api_keys` verifies them under the authority that was asked
    for, and `api_keys.Chain` that none is missing."""
    return ()


def listed_accounts(result: QueryAccountsResult) -> Sequence[Proof]:
    return [key for account in result.accounts if (key := _account_key(account)) is not None]


def configured_account(result: ConfigureAccountResult) -> Sequence[Proof]:
    key = None if result.account is None else _account_key(result.account)
    return () if key is None else (key,)


def outcome(result: QuerySessionResult) -> Sequence[Proof]:
    """Those of the session's own result."""
    match result.outcome:
        case None:
            return ()
        case KeygenResult() as made:
            return made_key(made)
        case ReshareResult() as made:
            return made_epoch(made)
        case SignResult() as made:
            return made_signatures(made)
        case other:
            assert_never(other)


def _account_key(account: AccountView) -> CertifiedKey | None:
    """The key, which is the account's own and says all that the account says of it: people pay to
    what they are shown here."""
    if account.key is None:
        if account.public_key is not None or account.status is Status.COMPLETED:
            raise ContractError(f"account {account.account_id} comes without what proves its key")
        return None
    facts = account.key.facts
    told = {
        "account_id": (account.account_id, facts.key_id),
        "session_id": (account.session_id, facts.session_id),
        "public_key": (account.public_key, facts.public_key),
        "curve": (account.curve, facts.curve),
        "threshold": (account.threshold, facts.threshold),
        "parties": (
            sorted(account.parties),
            sorted(holder.party_id for holder in facts.holders),
        ),
    }
    for name, (said, certified) in told.items():
        if said != certified:
            raise ContractError(f"account {account.account_id}: its {name} is not its key's")
    return account.key
