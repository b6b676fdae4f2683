from __future__ import annotations

from typing import Any

import pytest

from contracts.client import trust as trust_module
from contracts.client.trust import Trust
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme
from contracts.requests import QueryKeysRequest, QuerySessionRequest
from contracts.results import (
    KeygenResult,
    QueryKeysResult,
    QuerySessionResult,
    SignResult,
    Status,
)
from contracts.signing import SignedRequest, sign_request

from . import samples
from .samples import (
    CLIENT,
    PINNED,
    SingleKey,
    keygen_request,
    keygen_result,
    session_view,
    sign_result,
)

ED25519, SECP256K1 = (SingleKey(curve) for curve in Curve)
TAPROOT: dict[str, Any] = {
    "scheme": Scheme.BIP340,
    "message": bytes(32),
    "taproot_merkle_root": b"",
}


async def fetches_nothing(tenant: str | None, key_id: str) -> None:
    pass


def trust(client_id: str | None = "svcA") -> Trust:
    return Trust(client_id, PINNED, fetches_nothing)


async def trust_with_key(key: SingleKey) -> Trust:
    knowing = trust()
    request = keygen_request(curve=key.curve)
    await knowing.check(keygen_result(request, key.certified()), sign_request(request, CLIENT))
    return knowing


@pytest.mark.parametrize("client_id", ["svcB", None])
async def test_another_clients_result_is_not_believed_even_if_nobody_waits_for_it(
    client_id: str | None,
) -> None:
    failure = Failure.of(FailureCode.EXPIRED, "too late")
    result = sign_result(samples.sign_request(), ED25519, status=Status.FAILED, failure=failure)
    await trust().check(result, None)
    with pytest.raises(ContractError, match="another client's"):
        await trust(client_id).check(result, None)


async def test_the_requests_own_taproot_root_decides_whatever_the_result_says() -> None:
    knowing = await trust_with_key(SECP256K1)
    request = samples.sign_request(**TAPROOT)
    signed = sign_request(request, CLIENT)
    await knowing.check(sign_result(request, SECP256K1, taproot_merkle_root=None), signed)
    untweaked = samples.sign_request(**{**TAPROOT, "taproot_merkle_root": None})
    with pytest.raises(ContractError, match="public_key"):
        await knowing.check(sign_result(untweaked, SECP256K1), signed)


async def test_without_its_request_a_result_says_which_output_key_it_is_for() -> None:
    knowing = await trust_with_key(SECP256K1)
    request = samples.sign_request(**TAPROOT)
    await knowing.check(sign_result(request, SECP256K1), None)
    with pytest.raises(ContractError, match="public_key"):
        await knowing.check(sign_result(request, SECP256K1, taproot_merkle_root=None), None)


async def test_a_signature_by_a_key_that_does_not_exist_is_not_believed() -> None:
    with pytest.raises(ContractError, match="there is no key treasury"):
        await trust().check(sign_result(samples.sign_request(), ED25519), None)
    with pytest.raises(ContractError, match="names no key"):
        await trust().check(sign_result(samples.sign_request(), ED25519, key_id=None), None)


async def test_a_key_keeps_its_public_key_and_gets_newer_parties() -> None:
    knowing = await trust_with_key(ED25519)
    other = SingleKey(Curve.ED25519, secret=bytes([1]) * 32)
    with pytest.raises(ContractError, match="another public key before"):
        await knowing.check(keygen_result(keygen_request(), other.certified()), None)
    # After a reshare of threshold 3, two signers are too few.
    reshared = ED25519.certified(epoch=1, threshold=3)
    await knowing.check(keygen_result(keygen_request(), reshared), None)
    await knowing.check(keygen_result(keygen_request(), ED25519.certified()), None)
    with pytest.raises(ContractError, match="threshold is 3"):
        await knowing.check(sign_result(samples.sign_request(), ED25519), None)


async def test_an_unclaimed_result_has_to_hold_its_own_key() -> None:
    request = keygen_request()
    for spoiled in (
        keygen_result(request, None),
        keygen_result(request, ED25519.certified(), key_id="other"),
    ):
        with pytest.raises(ContractError, match="has not its key"):
            await trust().check(spoiled, None)


OTHER = SingleKey(Curve.ED25519, secret=bytes([1]) * 32)


def looked_at(outcome: KeygenResult | SignResult) -> QuerySessionResult:
    return QuerySessionResult(
        request_id="r1",
        client_id="svcA",
        session_id=outcome.session_id,
        status=Status.COMPLETED,
        finished_at=1,
        session=session_view(
            request_id=outcome.request_id,
            operation=outcome.result,
            session_id=outcome.session_id or bytes(32),
        ),
        outcome=outcome,
    )


def look(tenant: str | None) -> SignedRequest:
    asked = QuerySessionRequest(**samples.fields("query_session", target="r0", tenant=tenant))
    return sign_request(asked, CLIENT)


async def test_each_tenant_has_its_own_key_of_the_same_id() -> None:
    fetched: list[tuple[str | None, str]] = []
    knowing = trust()

    async def fetch(tenant: str | None, key_id: str) -> None:
        fetched.append((tenant, key_id))
        asked = QueryKeysRequest(**samples.fields("query_keys", only=key_id, tenant=tenant))
        key = {"shop": ED25519, "bank": OTHER}[tenant or ""]
        found = QueryKeysResult(
            request_id="r1",
            client_id="svcA",
            session_id=None,
            status=Status.COMPLETED,
            finished_at=1,
            keys=[key.certified()],
        )
        await knowing.check(found, sign_request(asked, CLIENT))

    knowing = Trust("svcA", PINNED, fetch)
    requests = {tenant: samples.sign_request(tenant=tenant) for tenant in ("shop", "bank")}
    for tenant, key in (("shop", ED25519), ("bank", OTHER), ("bank", OTHER)):
        result = sign_result(requests[tenant], key)
        await knowing.check(result, sign_request(requests[tenant], CLIENT))
    assert fetched == [("shop", "treasury"), ("bank", "treasury")]
    with pytest.raises(ContractError, match="not what was asked"):
        await knowing.check(
            sign_result(requests["bank"], ED25519), sign_request(requests["bank"], CLIENT)
        )


@pytest.mark.parametrize("tenant", [None, "shop"])
async def test_the_outcome_of_a_session_is_believed_like_any_result(tenant: str | None) -> None:
    knowing = trust()
    asked = keygen_request(request_id="r0")
    await knowing.check(looked_at(keygen_result(asked, ED25519.certified())), look(tenant))
    wish = samples.sign_request(request_id="r0")
    await knowing.check(looked_at(sign_result(wish, ED25519)), look(tenant))
    with pytest.raises(ContractError, match="public_key"):
        await knowing.check(looked_at(sign_result(wish, OTHER)), look(tenant))
    with pytest.raises(ContractError, match="another public key before"):
        await knowing.check(looked_at(keygen_result(asked, OTHER.certified())), look(tenant))
    with pytest.raises(ContractError, match="has not its key"):
        await knowing.check(looked_at(keygen_result(asked, None)), look(tenant))


async def test_the_key_that_was_used_longest_ago_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust_module, "KEPT", 2)
    knowing = trust()
    for at in range(2):
        made = keygen_request(key_id=f"key-{at}")
        await knowing.check(keygen_result(made, ED25519.certified(key_id=f"key-{at}")), None)
    await knowing.check(sign_result(samples.sign_request(key_id="key-0"), ED25519), None)
    made = keygen_request(key_id="key-2")
    await knowing.check(keygen_result(made, ED25519.certified(key_id="key-2")), None)
    await knowing.check(sign_result(samples.sign_request(key_id="key-0"), ED25519), None)
    with pytest.raises(ContractError, match="there is no key key-1"):
        await knowing.check(sign_result(samples.sign_request(key_id="key-1"), ED25519), None)
