"""Accounts: keys that were made for a user, with a say in which parties sign."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import JSONResponse
from pydantic import model_validator

from contracts.client import RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Id, Scope, Status, Words
from contracts.views import AccountView

from ..entry.api_keys import Caller, require
from ..problems import LOOK_RESPONSES, PROBLEM_RESPONSES
from ..sessions import Desk
from . import examples, views
from .beginning import CREATED, ABeginner, Beginner
from .bodies import BoundedRoute
from .fields import AccountId, Parties, PartyCount, Patient, Wait
from .fields import Body as RequestBody
from .mpc import MpcCreated
from .names import PartyNames
from .rehearsals import documented, rehearse
from .reshares import Rehearsable, Reshare
from .service import DeskAtHand, Names
from .wishes import NewKey, Signature, check_thresholds

PAGE = 100
LONGEST_PAGE = 200
LOOKED_THROUGH = 10
"""Pages at most for one answer to who looks for a user's; the next answer goes on from there."""
REPLAYED = "Idempotent-Replayed"
ATTEMPTS = 5
"""Accounts at most whose making has failed, until the last one of them is told."""

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"], route_class=BoundedRoute)


class NewAccount(NewKey):
    """Make a key for a user; of 2 of 3 parties unless told otherwise."""

    user_id: Words
    """Whose it is, in your words: 1 to 128 characters."""
    threshold_n: PartyCount = 3
    """How many parties hold a share of the key. Left out: 3."""
    threshold_t: PartyCount = 2
    """How many of them sign. Left out: 2."""

    @model_validator(mode="after")
    def _fits(self) -> NewAccount:
        check_thresholds(self.threshold_n, self.threshold_t, self.participants)
        return self


class AccountSign(Signature):
    """Sign with the account's key, by the parties that it is configured with."""


class AccountReshare(Reshare, Rehearsable):
    """Give the account's key other shares; its public key stays. What is left out stays as it is:
    nothing at all is a refresh."""


class Account(views.Answer):
    """A key that was made for a user, and how it can be used."""

    account_id: str
    """Also its key's `key_id`."""
    user_id: str
    status: Status
    """How far the making of its key is; when `completed`, it can sign."""
    session_id: views.HexDigits
    """The session that makes the key."""
    threshold_n: int
    threshold_t: int
    curve: Curve
    public_key: views.HexDigits | None = None
    """Compressed; once it is made."""
    epoch: int | None = None
    """How often the key's shares were made anew; once it is made."""
    parties: list[str]
    """Who holds a share."""
    created_at: views.Moment


class Accounts(views.Answer):
    """One page of the accounts."""

    accounts: list[Account]
    next: str | None = None
    """The `after` of the next page; missing on the last one."""


class NewSigningConfig(RequestBody):
    """Let these parties sign."""

    parties: Parties
    """From threshold_t of the account's parties to all of them."""


class SigningConfig(views.Answer):
    """Which parties sign with an account's key where a request names none."""

    account_id: str
    configured: bool
    """False: the default, which is that any of the account's parties sign."""
    threshold_t: int
    """How many of them sign, whoever is up."""
    parties: list[str]


@router.post(
    "",
    operation_id="create_account",
    summary="Make an account",
    status_code=201,
    response_model=Account,
    response_model_exclude_none=True,
    responses=examples.answer(CREATED, 201, examples.ACCOUNT),
)
async def create(
    caller: Annotated[Caller, Depends(require(Scope.KEYGEN))],
    begin: ABeginner,
    wish: Annotated[NewAccount, Body(openapi_examples=examples.NEW_ACCOUNT)],
    wait: Wait = 0,
) -> Account:
    """Its key is made at once; `wait` for it, or look at the account until it is completed. The
    same `user_id` with the same wishes again is answered with the account that is there. Whoever
    wants another one for the same user says so by an `Idempotency-Key` of its own."""
    if not begin.attempt.fresh:
        return await _made(caller, begin, wish, wait)
    normal = wish.model_dump_json()
    for number in range(ATTEMPTS):
        mine = replace(begin, attempt=begin.attempt.of_wish(normal, number))
        account = await _made(caller, mine, wish, wait)
        over = account.status.final and account.status is not Status.COMPLETED
        if not over or REPLAYED not in begin.response.headers:
            break
        del begin.response.headers[REPLAYED]
    return account


async def _made(caller: Caller, begin: Beginner, wish: NewAccount, wait: float) -> Account:
    """The account of this attempt, which is made unless it is there."""
    try:
        await begin.key(
            caller,
            wish,
            threshold_n=wish.threshold_n,
            threshold_t=wish.threshold_t,
            wait=wait,
            user_id=wish.user_id,
        )
    except RequestFailedError as error:
        # The key is remembered for longer than the request that made it.
        if error.failure.code is not FailureCode.KEY_EXISTS:
            raise
        begin.response.headers[REPLAYED] = "true"
    # The coordinator's word for it: a repeated request finds the account as it is now.
    account_id = begin.attempt.key_id(caller.tenant)
    return _account(await begin.desk.account(caller.tenant, account_id), begin.names)


@router.get(
    "",
    operation_id="list_accounts",
    dependencies=[Patient],
    summary="List accounts",
    response_model=Accounts,
    response_model_exclude_none=True,
    responses=examples.answer(LOOK_RESPONSES, 200, examples.ACCOUNTS),
)
async def page(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    after: Annotated[
        Id | None, Query(description="The `next` of the page before; none for the first.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=LONGEST_PAGE, description="How many, at most, on this page.")
    ] = PAGE,
    user_id: Annotated[
        Words | None,
        Query(
            description="Only this user's. A page may have fewer than `limit` or none, and a "
            "`next` all the same: go on until there is none."
        ),
    ] = None,
) -> Accounts:
    """In the order of their ids."""
    if user_id is not None:
        return await _of_user(caller, desk, names, user_id, after, limit)
    found = await desk.accounts(caller.tenant, after=after, limit=limit)
    return Accounts(
        accounts=[_account(each, names) for each in found.accounts],
        next=found.accounts[-1].account_id if found.more and found.accounts else None,
    )


async def _of_user(
    caller: Caller, desk: Desk, names: PartyNames, user_id: str, after: str | None, limit: int
) -> Accounts:
    theirs: list[AccountView] = []
    more = True
    for _ in range(LOOKED_THROUGH):
        found = await desk.accounts(caller.tenant, after=after, limit=LONGEST_PAGE)
        theirs += [each for each in found.accounts if each.user_id == user_id]
        after = found.accounts[-1].account_id if found.accounts else after
        more = found.more
        if not more or len(theirs) > limit:
            break
    if len(theirs) > limit:
        theirs, more = theirs[:limit], True
        after = theirs[-1].account_id
    return Accounts(
        accounts=[_account(each, names) for each in theirs], next=after if more else None
    )


@router.get(
    "/{id}",
    operation_id="get_account",
    summary="Look at an account",
    response_model=Account,
    response_model_exclude_none=True,
    responses=examples.answer(LOOK_RESPONSES, 200, examples.ACCOUNT),
)
async def look(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    account_id: AccountId,
    wait: Wait = 0,
) -> Account:
    """With `wait`, once its key is made."""
    found = await desk.account(caller.tenant, account_id)
    if wait and not found.status.final:
        await desk.wait(caller.tenant, found.session_id, wait)
        found = await desk.account_after(caller.tenant, found)
    return _account(found, names)


@router.post(
    "/{id}/sign",
    operation_id="account_sign",
    summary="Sign with an account",
    status_code=201,
    response_model=MpcCreated,
    response_model_exclude_none=True,
    responses=examples.answer(CREATED, 201, examples.MPC_SIGN_CREATED),
)
async def sign(
    caller: Annotated[Caller, Depends(require(Scope.SIGN))],
    begin: ABeginner,
    account_id: AccountId,
    wish: Annotated[AccountSign, Body(openapi_examples=examples.ACCOUNT_SIGN)],
    wait: Wait = 0,
) -> MpcCreated:
    """The signature comes with `wait`, or from the session."""
    begun = await begin.signature(caller, wish, key_id=account_id, parties=None, wait=wait)
    return MpcCreated(**begun.told(), join_tokens=begun.join_tokens)


@router.post(
    "/{id}/reshare",
    operation_id="account_reshare",
    summary="Give an account's key other shares",
    status_code=201,
    response_model=MpcCreated,
    response_model_exclude_none=True,
    responses=documented(examples.answer(CREATED, 201, examples.MPC_RESHARE_CREATED)),
)
async def reshare(
    caller: Annotated[Caller, Depends(require(Scope.RESHARE))],
    begin: ABeginner,
    account_id: AccountId,
    wish: Annotated[AccountReshare, Body(openapi_examples=examples.ACCOUNT_RESHARE)],
    wait: Wait = 0,
) -> MpcCreated | JSONResponse:
    """As `POST /api/v1/mpc/reshare`. Who is configured to sign stays so, as far as those still hold
    a share and are enough; else any of the account's parties sign."""
    if wish.dry_run:
        return await rehearse(begin.desk, begin.names, caller, wish, key_id=account_id)
    begun = await begin.reshare(caller, wish, key_id=account_id, wait=wait)
    return MpcCreated(**begun.told(), join_tokens=begun.join_tokens)


_CONFIG: dict[str, Any] = {
    "response_model": SigningConfig,
    "response_model_exclude_none": True,
}


@router.get(
    "/{id}/signing-config",
    operation_id="get_signing_config",
    dependencies=[Patient],
    summary="Who signs for an account",
    responses=examples.answer(LOOK_RESPONSES, 200, examples.SIGNING_CONFIG),
    **_CONFIG,
)
async def signing_config(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    account_id: AccountId,
) -> SigningConfig:
    """For signatures that name no parties themselves."""
    return _signing_config(await desk.account(caller.tenant, account_id), names)


@router.put(
    "/{id}/signing-config",
    operation_id="put_signing_config",
    dependencies=[Patient],
    summary="Say who signs for an account",
    responses=examples.answer(PROBLEM_RESPONSES, 200, examples.SIGNING_CONFIG),
    **_CONFIG,
)
async def configure(
    caller: Annotated[Caller, Depends(require(Scope.CONFIGURE))],
    desk: DeskAtHand,
    names: Names,
    account_id: AccountId,
    wish: Annotated[NewSigningConfig, Body(openapi_examples=examples.NEW_SIGNING_CONFIG)],
) -> SigningConfig:
    """It counts for signatures that name no parties themselves, from the next one on."""
    parties = names.party_ids(wish.parties, "parties")
    configured = await desk.configure_account(caller.tenant, account_id, parties)
    return _signing_config(configured, names.spoken(wish.parties))


@router.delete(
    "/{id}/signing-config",
    operation_id="delete_signing_config",
    dependencies=[Patient],
    summary="Let any of an account's parties sign",
    responses=examples.answer(PROBLEM_RESPONSES, 200, examples.DEFAULT_SIGNING_CONFIG),
    **_CONFIG,
)
async def unconfigure(
    caller: Annotated[Caller, Depends(require(Scope.CONFIGURE))],
    desk: DeskAtHand,
    names: Names,
    account_id: AccountId,
) -> SigningConfig:
    """Back to the default, which is answered."""
    return _signing_config(await desk.configure_account(caller.tenant, account_id, None), names)


def _account(view: AccountView, names: PartyNames) -> Account:
    """With the public key that was certified, and no other: somebody will pay to it."""
    key = view.key
    return Account(
        account_id=view.account_id,
        user_id=view.user_id,
        status=view.status,
        session_id=view.session_id.hex(),
        threshold_n=len(view.parties),
        threshold_t=view.threshold,
        curve=view.curve,
        public_key=None if key is None else key.facts.public_key.hex(),
        epoch=None if key is None else key.facts.epoch,
        parties=names.names(view.parties),
        created_at=views.moment(view.created_at),
    )


def _signing_config(view: AccountView, names: PartyNames) -> SigningConfig:
    return SigningConfig(
        account_id=view.account_id,
        configured=view.signers is not None,
        threshold_t=view.threshold,
        parties=names.names(view.signers or view.parties),
    )
