"""Accounts: keys that clients have made for users of theirs, and who signs with them."""

from __future__ import annotations

from dataclasses import replace

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import MAX_BODY_BYTES, Curve
from contracts.requests import ConfigureAccountRequest, KeygenRequest, QueryAccountsRequest
from contracts.results import (
    AccountView,
    ConfigureAccountResult,
    QueryAccountsResult,
    Status,
)
from contracts.signing import SignedRequest

from ..session.coordinator.conduct import Conduct
from ..store.interface import CoordinatorStore
from ..store.records import AccountRecord, StoredAccount
from .answers import Answers, that_fit
from .desks import Service

PAGE_BYTES = MAX_BODY_BYTES - 4_096
"""Of views on one page; the rest is for what is around them."""


class Accounts:
    def __init__(self, store: CoordinatorStore, answers: Answers) -> None:
        self._store = store
        self._answers = answers

    def services(self) -> tuple[Service, ...]:
        return (
            Service.of(QueryAccountsRequest, self._query),
            Service.of(ConfigureAccountRequest, self._configure),
        )

    async def _query(self, signed: SignedRequest, request: QueryAccountsRequest) -> None:
        if request.only is not None:
            one = await self._store.account(request.owner, request.only)
            if one is None:
                return await self._answers.fail(signed, _unknown(request.only))
            found, more = [one], False
        else:
            found = await self._store.accounts(
                request.owner, after=request.after or "", limit=request.limit + 1
            )
            more = len(found) > request.limit
        views = [_view(each) for each in found[: request.limit]]
        fitting = that_fit(views, PAGE_BYTES)
        content = QueryAccountsResult(
            **self._answers.head(signed),
            accounts=fitting,
            more=more or len(fitting) < len(views),
        )
        return await self._answers.give(request, content)

    async def _configure(self, signed: SignedRequest, request: ConfigureAccountRequest) -> None:
        stored = await self._store.account(request.owner, request.account_id)
        if stored is None:
            return await self._answers.fail(signed, _unknown(request.account_id))
        account = _as_it_is(stored)
        if (unfit := _unfit(request, account)) is not None:
            return await self._answers.fail(signed, unfit)
        heeded = await self._store.configure_account(
            request.owner,
            request.account_id,
            _in_order(request.signers, account),
            asked_at=request.issued_at,
        )
        stored = await self._store.account(request.owner, request.account_id)
        if not heeded or stored is None:
            overtaken = Failure.of(
                FailureCode.CONFLICT,
                f"account {request.account_id} was configured by a later request",
            )
            return await self._answers.fail(signed, overtaken)
        content = ConfigureAccountResult(
            **self._answers.head(signed),
            account=_view(stored),
        )
        return await self._answers.give(request, content)


def account_of(request: KeygenRequest, conduct: Conduct, now: int) -> AccountRecord | None:
    """The account that a new key is for, if it is for one."""
    if request.user_id is None:
        return None
    return AccountRecord(
        owner=request.owner,
        account_id=request.key_id,
        user_id=request.user_id,
        session_id=conduct.session_id,
        curve=request.curve.value,
        threshold=request.threshold,
        parties=tuple(member.party_id for member in conduct.terms.members),
        created_at=now,
    )


def configured_among(account: AccountRecord, facts: KeyFacts) -> tuple[str, ...] | None:
    """Whom the account's owner wants signers chosen from. Where so many shares went to others
    meanwhile that too few of these are left, nobody is configured."""
    if account.signers is None:
        return None
    holders = {holder.party_id for holder in facts.holders}
    among = tuple(party_id for party_id in account.signers if party_id in holders)
    return among if len(among) >= facts.threshold else None


def _key(stored: StoredAccount) -> CertifiedKey | None:
    certified = stored.certified
    return None if certified is None else CertifiedKey.model_validate_json(certified)


def _as_it_is(stored: StoredAccount) -> AccountRecord:
    """With the holders and the threshold that the key has now."""
    account, key = stored.account, _key(stored)
    if key is None:
        return account
    return replace(
        account,
        parties=tuple(holder.party_id for holder in key.facts.holders),
        threshold=key.facts.threshold,
        signers=configured_among(account, key.facts),
    )


def _view(stored: StoredAccount) -> AccountView:
    account, key = _as_it_is(stored), _key(stored)
    return AccountView(
        account_id=account.account_id,
        user_id=account.user_id,
        status=Status(stored.status),
        session_id=account.session_id,
        created_at=account.created_at,
        curve=Curve(account.curve),
        threshold=account.threshold,
        parties=list(account.parties),
        signers=None if account.signers is None else list(account.signers),
        public_key=None if key is None else key.facts.public_key,
        key=key,
    )


def _in_order(signers: list[str] | None, account: AccountRecord) -> tuple[str, ...] | None:
    if signers is None:
        return None
    return tuple(party_id for party_id in account.parties if party_id in signers)


def _unfit(request: ConfigureAccountRequest, account: AccountRecord) -> Failure | None:
    if request.signers is None:
        return None
    strangers = [party_id for party_id in request.signers if party_id not in account.parties]
    if strangers:
        return Failure.of(
            FailureCode.UNKNOWN_PARTY,
            f"{', '.join(strangers)} holds no share of account {account.account_id}; "
            f"{', '.join(account.parties)} do"[:2000],
        )
    if len(request.signers) < account.threshold:
        return Failure.of(
            FailureCode.INVALID_REQUEST,
            f"{len(request.signers)} signers are too few: {account.threshold} sign for account "
            f"{account.account_id}",
        )
    return None


def _unknown(account_id: str) -> Failure:
    return Failure.of(FailureCode.UNKNOWN_ACCOUNT, f"you have no account {account_id!r}")
