from __future__ import annotations

from typing import Any

import pytest

from contracts.answers import failed_result
from contracts.client import trust as trust_module
from contracts.client.trust import Trust
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts, Origin, Resharing
from contracts.operations import OPERATIONS
from contracts.primitives import Curve, Scheme
from contracts.requests import (
    KeygenRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    SignRequest,
)
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
    sign_result,
)
from .trusting import ED25519, OTHER, SECP256K1, heard, made, trust

TAPROOT: dict[str, Any] = {
    "scheme": Scheme.BIP340,
    "message": bytes(32),
    "taproot_merkle_root": b"",
}


def certified(facts: KeyFacts) -> CertifiedKey:
    certificates = {name: facts.certify(party) for name, party in samples.PARTIES.items()}
    return CertifiedKey(facts=facts, certificates=certificates)


async def trust_with_key(key: SingleKey) -> Trust:
    knowing = trust()
    request = keygen_request(curve=key.curve)
    await knowing.check(made(key, request), sign_request(request, CLIENT))
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
    await heard(knowing, sign_result(request, SECP256K1, taproot_merkle_root=None), signed)
    untweaked = samples.sign_request(**{**TAPROOT, "taproot_merkle_root": None})
    with pytest.raises(ContractError, match="public_key"):
        await heard(knowing, sign_result(untweaked, SECP256K1), signed)


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


async def test_a_key_that_was_verified_is_not_verified_again_unless_anything_of_it_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verified: list[CertifiedKey] = []
    verify = CertifiedKey.verify

    def noted(key: CertifiedKey, pinned: Any) -> None:
        verified.append(key)
        verify(key, pinned)

    monkeypatch.setattr(CertifiedKey, "verify", noted)
    knowing, result = trust(), made(ED25519)
    for _ in range(3):
        await knowing.check(result, None)
    assert len(verified) == 1
    assert result.key is not None
    forged = {**result.key.certificates, "p1": bytes(64)}
    unproven = result.key.model_copy(update={"certificates": forged})
    with pytest.raises(ContractError, match="wrong signature"):
        await knowing.check(result.model_copy(update={"key": unproven}), None)
    assert len(verified) == 2


async def test_a_key_keeps_its_public_key_and_gets_newer_parties() -> None:
    knowing = await trust_with_key(ED25519)
    other = SingleKey(Curve.ED25519, secret=bytes([1]) * 32)
    with pytest.raises(ContractError, match="another public key before"):
        await knowing.check(made(other), None)
    # After a reshare of threshold 3, two signers are too few.
    await knowing.check(made(ED25519, epoch=1, threshold=3), None)
    await knowing.check(made(ED25519), None)
    with pytest.raises(ContractError, match="threshold is 3"):
        await knowing.check(sign_result(samples.sign_request(), ED25519), None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        (
            {"public_key": SingleKey(Curve.ED25519, bytes(31) + b"\x09").public_key},
            "had another public key before",
        ),
        ({"chain_code": bytes(32)}, "had another chain code before"),
    ],
)
async def test_a_later_epoch_is_believed_for_a_key_that_stays_the_same(
    changes: dict[str, Any], reason: str | None
) -> None:
    knowing = await trust_with_key(ED25519)
    first = made(ED25519)
    assert first.key is not None
    came = Resharing(session_id=bytes([9]) * 32, predecessor=bytes(32), dealers=["p1", "p2"])
    update = {"version": 3, "epoch": 1, "reshared": came, **changes}
    facts = KeyFacts.model_validate(first.key.facts.model_copy(update=update).model_dump())
    later = first.model_copy(update={"key": certified(facts)})
    by_others = sign_result(samples.sign_request(), ED25519, signers=["p7", "p8", "p9"])
    with pytest.raises(ContractError, match="not parties of the key"):
        await knowing.check(by_others, None)
    if reason is None:
        await knowing.check(later, None)
        # Who signed before, or after, is the coordinator's word from now on; not that it is signed.
        await knowing.check(by_others, None)
        with pytest.raises(ContractError, match="not parties of the key"):
            await knowing.check(by_others.model_copy(update={"signers": ["p7", "p7"]}), None)
        return
    with pytest.raises(ContractError, match=reason):
        await knowing.check(later, None)


NEW = keygen_request(tenant="alice", curve=Curve.SECP256K1, schemes=[Scheme.ECDSA])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tenant": "mallory"}, "tenant is not what was asked for"),
        ({"tenant": None}, "tenant is not what was asked for"),
        ({"schemes": None}, "schemes is not what was asked for"),
        ({"schemes": [Scheme.BIP340]}, "schemes is not what was asked for"),
        ({"origin": Origin.IMPORTED}, "origin is not what was asked for"),
        ({"request_digest": bytes(32)}, "request_digest is not what was asked for"),
        (
            {
                "version": 1,
                "tenant": None,
                "request_digest": None,
                "schemes": None,
                "origin": None,
            },
            "says neither tenant nor request",
        ),
    ],
)
async def test_a_new_key_is_of_its_request_and_no_other(
    changes: dict[str, Any], reason: str
) -> None:
    signed = sign_request(NEW, CLIENT)
    await trust().check(made(SECP256K1, NEW), signed)
    with pytest.raises(ContractError, match=reason):
        await trust().check(made(SECP256K1, NEW, **changes), signed)


async def test_a_result_answers_the_very_bytes_that_asked_for_it() -> None:
    """Also one that proves nothing: else an old list of keys would answer every later question."""
    asked = QueryKeysRequest(**samples.fields("query_keys"))
    signed = sign_request(asked, CLIENT)
    listed = QueryKeysResult(
        request_id=asked.request_id,
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
    )
    await heard(trust(), listed, signed)
    with pytest.raises(ContractError, match="request_digest"):
        await trust().check(listed, signed)


async def test_a_new_key_that_nobody_waits_for_is_of_the_request_that_its_result_names() -> None:
    """Whoever compares the result's digest with its own request's has compared the key's."""
    await trust().check(made(ED25519), None)
    with pytest.raises(ContractError, match="key's request_digest"):
        await trust().check(made(ED25519, request_digest=bytes(32)), None)
    asked = keygen_request(request_id="r0")
    outcome = made(ED25519, asked, request_digest=bytes(32))
    with pytest.raises(ContractError, match="key's request_digest"):
        await heard(trust(), looked_at(outcome, asked), look(None))


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_failed_has_nothing_to_prove(operation: str) -> None:
    failed = failed_result(
        operation,
        Failure.of(FailureCode.EXPIRED, "too late"),
        request_id="r1",
        client_id="svcA",
        request_digest=bytes(32),
        finished_at=1,
    )
    await trust().check(failed, None)


async def test_of_a_key_of_before_nobody_knows_which_bytes_made_it() -> None:
    asked = keygen_request(request_id="r0")
    old = looked_at(keygen_result(asked, certified(ED25519.old_facts())), asked)
    await heard(trust(), old, look(None))


async def test_a_key_that_was_certified_with_its_owner_is_not_taken_without() -> None:
    knowing = await trust_with_key(ED25519)
    listed = QueryKeysResult(
        request_id="r1",
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
        keys=[certified(ED25519.old_facts())],
    )
    await trust().check(listed, None)
    with pytest.raises(ContractError, match="was certified with its tenant before"):
        await knowing.check(listed, None)


async def test_a_signature_in_a_scheme_that_its_key_does_not_serve_is_not_believed() -> None:
    knowing = trust()
    asked = keygen_request(curve=Curve.SECP256K1, schemes=[Scheme.BIP340])
    await knowing.check(made(SECP256K1, asked), sign_request(asked, CLIENT))
    await knowing.check(sign_result(samples.sign_request(**TAPROOT), SECP256K1), None)
    ecdsa = samples.sign_request(scheme=Scheme.ECDSA, message=bytes(32))
    with pytest.raises(ContractError, match="made for bip340 only"):
        await knowing.check(sign_result(ecdsa, SECP256K1), None)


async def test_an_unclaimed_result_has_to_hold_its_own_key() -> None:
    request = keygen_request()
    for spoiled in (
        keygen_result(request, None),
        keygen_result(request, ED25519.certified(), key_id="other"),
    ):
        with pytest.raises(ContractError, match="has not its key"):
            await trust().check(spoiled, None)


def looked_at(
    outcome: KeygenResult | SignResult, asked: KeygenRequest | SignRequest
) -> QuerySessionResult:
    return QuerySessionResult(
        request_id="r1",
        client_id="svcA",
        session_id=outcome.session_id,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
        outcome=outcome,
        **samples.looked_at(asked),
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
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=1,
            keys=[key.certified(tenant=tenant)],
        )
        await heard(knowing, found, sign_request(asked, CLIENT))

    knowing = Trust("svcA", PINNED, [CLIENT.public], fetch)
    requests = {tenant: samples.sign_request(tenant=tenant) for tenant in ("shop", "bank")}
    for tenant, key in (("shop", ED25519), ("bank", OTHER), ("bank", OTHER)):
        result = sign_result(requests[tenant], key)
        await heard(knowing, result, sign_request(requests[tenant], CLIENT))
    assert fetched == [("shop", "treasury"), ("bank", "treasury")]
    with pytest.raises(ContractError, match="not what was asked"):
        await heard(
            knowing, sign_result(requests["bank"], ED25519), sign_request(requests["bank"], CLIENT)
        )


@pytest.mark.parametrize("tenant", [None, "shop"])
async def test_the_outcome_of_a_session_is_believed_like_any_result(tenant: str | None) -> None:
    knowing = trust()
    asked = keygen_request(request_id="r0", tenant=tenant)
    await heard(knowing, looked_at(made(ED25519, asked), asked), look(tenant))
    wish = samples.sign_request(request_id="r0", tenant=tenant)
    await heard(knowing, looked_at(sign_result(wish, ED25519), wish), look(tenant))
    with pytest.raises(ContractError, match="public_key"):
        await heard(knowing, looked_at(sign_result(wish, OTHER), wish), look(tenant))
    with pytest.raises(ContractError, match="another public key before"):
        await heard(knowing, looked_at(made(OTHER, asked), asked), look(tenant))
    with pytest.raises(ContractError, match="has not its key"):
        await heard(knowing, looked_at(keygen_result(asked, None), asked), look(tenant))


async def test_the_key_that_was_used_longest_ago_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust_module, "KEPT", 2)
    knowing = trust()
    for at in range(2):
        await knowing.check(made(ED25519, keygen_request(key_id=f"key-{at}")), None)
    await knowing.check(sign_result(samples.sign_request(key_id="key-0"), ED25519), None)
    await knowing.check(made(ED25519, keygen_request(key_id="key-2")), None)
    await knowing.check(sign_result(samples.sign_request(key_id="key-0"), ED25519), None)
    with pytest.raises(ContractError, match="there is no key key-1"):
        await knowing.check(sign_result(samples.sign_request(key_id="key-1"), ED25519), None)
