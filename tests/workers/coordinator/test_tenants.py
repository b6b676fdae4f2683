"""Of what one tenant of a client has, another one learns nothing."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.admission import ClientPolicy
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.primitives import Owner
from contracts.requests import KeygenRequest, Request
from contracts.results import (
    CancelResult,
    KeygenResult,
    QueryAccountsResult,
    QueryKeysResult,
    QuerySessionResult,
    SignResult,
    Status,
)
from contracts.signing import SignedRequest, sign_request
from tests.workers import crew
from tests.workers.callers import announced, answer, ask, refusal, refused, seen, view, wish
from tests.workers.simulate import CLIENT, LIMITS, World
from workers.coordinator.wiring import Coordinator

TENANTS = [None, "shop", "bank"]


async def made(world: World, **fields: Any) -> tuple[KeygenRequest, KeygenResult]:
    request = world.keygen_request(announce=True, **fields)
    await world.ask(request)
    await world.run()
    result = answer(world, request, KeygenResult)
    assert result.status is Status.COMPLETED
    return request, result


async def test_each_tenant_may_call_its_key_and_request_as_it_likes(shire: World) -> None:
    same: dict[str, Any] = {"key_id": "treasury", "request_id": "first"}
    keys = {}
    for tenant in TENANTS:
        _, result = await made(shire, tenant=tenant, **same)
        assert result.key is not None
        keys[tenant] = result.key
    assert len({key.facts.public_key for key in keys.values()}) == 3
    for tenant, key in keys.items():
        found = await ask(shire, QueryKeysResult, "query_keys", tenant=tenant)
        assert found.keys == [key]
        signed = shire.sign_request(key_id="treasury", tenant=tenant)
        await shire.ask(signed)
        await shire.run()
        assert answer(shire, signed, SignResult).public_key == key.facts.public_key
    again = shire.keygen_request(tenant="shop", key_id="treasury")
    assert await refused(shire, wished(shire, again)) is FailureCode.KEY_EXISTS


def wished(world: World, request: Request) -> SignedRequest:
    return sign_request(request, world.client)


@pytest.mark.parametrize(("owner", "other"), [("shop", "bank"), ("shop", None), (None, "shop")])
async def test_what_one_has_the_other_cannot_see_use_or_end(
    shire: World, owner: str | None, other: str | None
) -> None:
    request, _ = await made(shire, tenant=owner, user_id="Zoë")
    running = shire.keygen_request(tenant=owner, announce=True)
    await shire.ask(running)
    told = announced(shire, running)
    signing = shire.sign_request(key_id=request.key_id, tenant=other)
    assert await refused(shire, wished(shire, signing)) is FailureCode.UNKNOWN_KEY
    unknown = FailureCode.UNKNOWN_REQUEST
    refusals: list[tuple[str, dict[str, Any], FailureCode]] = [
        ("query_keys", {"only": request.key_id}, FailureCode.UNKNOWN_KEY),
        ("query_session", {"target": running.request_id}, unknown),
        ("query_session", {"session_id": told.session_id}, unknown),
        (
            "join_session",
            {"session_id": told.session_id, "join_token": told.join_tokens["party-1"]},
            unknown,
        ),
        ("query_accounts", {"only": request.key_id}, FailureCode.UNKNOWN_ACCOUNT),
        ("configure_account", {"account_id": request.key_id}, FailureCode.UNKNOWN_ACCOUNT),
    ]
    for operation, fields, code in refusals:
        assert await refusal(shire, operation, tenant=other, **fields) is code
    assert (await ask(shire, QueryKeysResult, "query_keys", tenant=other)).keys == []
    cancelled = await ask(shire, CancelResult, "cancel", tenant=other, target=running.request_id)
    assert cancelled.target_status is None
    accounts = await ask(shire, QueryAccountsResult, "query_accounts", tenant=other)
    assert accounts.accounts == []
    assert (await view(shire, tenant=owner, session_id=told.session_id)).joined == []
    await shire.run()
    over = await seen(shire, tenant=owner, target=running.request_id)
    assert over.outcome is not None
    assert over.outcome.status is Status.COMPLETED


async def test_another_client_s_tenant_of_the_same_name_is_another(shire: World) -> None:
    request, _ = await made(shire, tenant="shop")
    other = Identity.generate()
    allow(shire, ClientPolicy(identity=other.public, client_id="svcB"))
    theirs: dict[str, Any] = {"by": other, "client_id": "svcB", "tenant": "shop"}
    assert (await ask(shire, QueryKeysResult, "query_keys", **theirs)).keys == []
    code = await refusal(shire, "query_keys", only=request.key_id, **theirs)
    assert code is FailureCode.UNKNOWN_KEY


def allow(world: World, *policies: ClientPolicy) -> None:
    """More clients from now on."""
    network: Any = world.network
    made = Coordinator.over(
        world.coordinator_store,
        network,
        identities=[world.coordinator],
        parties=crew.peers(world),
        clients=(*crew.clients(world), *policies),
        limits=LIMITS,
        pool_limits=world.pool_limits,
        clock=world.clock,
    )
    world.requests, world.reports, world.pools = made.requests, made.reports, made.pools


###
### Operators
###


@pytest.fixture
async def running(shire: World) -> tuple[KeygenRequest, bytes]:
    request = shire.keygen_request(tenant="shop", announce=True)
    await shire.ask(request)
    return request, announced(shire, request).session_id


@pytest.mark.parametrize("client_id", ["ops", None])
async def test_an_operator_ends_anybodys_request(
    shire: World, running: tuple[KeygenRequest, bytes], client_id: str | None
) -> None:
    request, session_id = running
    operator = Identity.generate()
    allow(shire, ClientPolicy(identity=operator.public, client_id=client_id, operator=True))
    by: dict[str, Any] = {"by": operator, "client_id": client_id}
    own = await ask(shire, CancelResult, "cancel", target=request.request_id, **by)
    assert own.target_status is None
    of = request.owned_by
    result = await ask(shire, CancelResult, "cancel", target=request.request_id, of=of, **by)
    assert result.target_status is Status.CANCELLED
    await shire.run()
    over = answer(shire, request, KeygenResult)
    assert over.failure is not None
    assert (over.status, over.failure.message) == (Status.CANCELLED, "cancelled by an operator")
    # It may look, and gets nothing in hand by which others are joined, nor what was made.
    looked = await ask(shire, QuerySessionResult, "query_session", session_id=session_id, **by)
    assert looked.session is not None
    assert (looked.session.client_id, looked.session.tenant) == (CLIENT, "shop")
    assert (looked.session.join_tokens, looked.session.session_token) == ({}, None)
    assert looked.outcome is None
    code = await refusal(shire, "query_session", target=request.request_id, **by)
    assert code is FailureCode.UNKNOWN_REQUEST


async def test_an_operators_client_has_other_keys_that_are_none(
    shire: World, running: tuple[KeygenRequest, bytes]
) -> None:
    """It is the key that is trusted, not the client's name."""
    request, _ = running
    operator, clerk = Identity.generate(), Identity.generate()
    allow(
        shire,
        ClientPolicy(identity=operator.public, client_id="ops", operator=True),
        ClientPolicy(identity=clerk.public, client_id="ops"),
        ClientPolicy(identity=operator.public, client_id="elsewhere"),
    )
    for by, client_id in [(clerk, "ops"), (operator, "elsewhere")]:
        named = {"target": request.request_id, "of": request.owned_by}
        signed = wish(shire, "cancel", by=by, client_id=client_id, **named)
        assert await refused(shire, signed) is FailureCode.UNKNOWN_REQUEST


async def test_an_operator_ends_its_own_requests_as_any_client_does(shire: World) -> None:
    policy = ClientPolicy(identity=shire.client.public, client_id=CLIENT, operator=True)
    allow(shire, policy)
    for of in (None, Owner(client_id=CLIENT)):
        request = shire.keygen_request(announce=True)
        await shire.ask(request)
        result = await ask(shire, CancelResult, "cancel", target=request.request_id, of=of)
        assert result.target_status is Status.CANCELLED
        await shire.run()
        over = answer(shire, request, KeygenResult)
        assert over.failure is not None
        assert over.failure.message == "cancelled by its client"
