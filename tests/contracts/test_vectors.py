"""The Python client is held to the vectors that clients in other languages are held to."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError

from contracts import addresses, results, strict_json, vectors
from contracts.checks import announced_session, same
from contracts.client.histories import joined, successions
from contracts.client.rehearsals import Rehearsal
from contracts.client.settlement import Group, settle
from contracts.client.trust import Trust
from contracts.coordinators import Coordinators, Pin
from contracts.derivation import derive, parse_path
from contracts.encoding import digest, optional, pack, unpack
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity, PublicIdentity
from contracts.json_schema import json_schema
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Curve, Owner, Scheme, Status
from contracts.readiness import READINESS_TAG, Readiness
from contracts.requests import ADAPTER, KeygenRequest, RehearseRequest
from contracts.results import (
    CancelResult,
    EcdsaForms,
    QueryKeyHistoryResult,
    RehearseResult,
    SessionAnnounced,
)
from contracts.retirements import RETIREMENT_TAG, Retirement
from contracts.signing import reopen, sign_request
from contracts.terms import ReshareTerms, SessionTerms
from contracts.vectors.refusals import reason, reason_of
from contracts.verification import check_key, check_point, check_signature, verifying_key
from contracts.views import EpochView

FOLDER = Path(vectors.__file__).parent
BEYOND_SCHEMA = {
    "a deadline before its beginning",
    "a deadline too far away",
    "more signers than parties",
    "a rehearsal for a threshold that no parties reach",
    "a rehearsal for an epoch that is not later",
    "a rehearsal for an epoch too far ahead",
    "parties that are not as many",
    "schemes out of order",
    "an empty message",
    "a step that would be hardened",
    "a target later than the cancel",
    "a threshold that no parties reach",
    "an epoch that is not later",
    "an epoch too far ahead",
}
"""What JSON Schema has no words for."""


@functools.cache
def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


@functools.cache
def schema(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json_schema(name))


def cases(name: str, part: str = "cases") -> Any:
    return [pytest.param(each, id=each["name"]) for each in read(name)[part]]


def pinned(told: Mapping[str, str]) -> dict[str, PublicIdentity]:
    return {name: PublicIdentity.from_base64(key) for name, key in told.items()}


def test_there_are_enough_results_to_accept_and_to_refuse() -> None:
    told = read("results")["cases"]
    assert len(told) >= 60
    assert {each["refused"] for each in told} == {
        None,
        "unauthenticated",
        "malformed",
        "disbelieved",
    }
    assert len({each["name"] for each in told}) == len(told)


@pytest.mark.parametrize("case", cases("packing", "packed"))
def test_packing(case: dict[str, Any]) -> None:
    parts = tuple(bytes.fromhex(each) for each in case["parts"])
    assert pack(parts).hex() == case["packed"]
    assert unpack(bytes.fromhex(case["packed"]), len(parts)) == parts


def test_the_rest_of_packing() -> None:
    told = read("packing")
    for case in told["refused"]:
        with pytest.raises(ContractError, match=case["reason"]):
            unpack(bytes.fromhex(case["packed"]), case["count"])
    for case in told["optional"]:
        assert optional(case["name"]).hex() == case["packed"]
    for case in told["digests"]:
        parts = [bytes.fromhex(each) for each in case["parts"]]
        assert digest(case["tag"].encode(), *parts).hex() == case["digest"]


@pytest.mark.parametrize("case", cases("strict_json"))
def test_strict_json(case: dict[str, Any]) -> None:
    found = reason_of(lambda: strict_json.parse(bytes.fromhex(case["bytes"])))
    assert (found is None) == case["read"]


@pytest.mark.parametrize("case", cases("requests", "asked"))
def test_requests(case: dict[str, Any]) -> None:
    told = read("requests")["identity"]
    identity = Identity.from_base64(told["private_key"])
    assert identity.public.to_base64() == told["public_key"]
    body = case["body"].encode()
    opened = reopen(body, base64.b64decode(case["signature"]), identity.public)
    assert sign_request(opened.request, identity).body == body
    assert opened.digest.hex() == case["digest"]
    assert dict(opened.headers()) == case["headers"]
    client_id = opened.request.client_id
    assert addresses.request_key(opened.request.operation, client_id) == case["routing_key"]
    assert addresses.results_queue(client_id) == case["results_queue"]
    schema("request").validate(json.loads(case["body"]))


@pytest.mark.parametrize("case", cases("requests", "refused"))
def test_requests_that_are_none(case: dict[str, Any]) -> None:
    body = case["body"].encode()
    assert reason_of(lambda: strict_json.validated(ADAPTER, body)) == case["reason"]
    by_schema = schema("request").is_valid(json.loads(body))
    assert by_schema == (case["name"] in BEYOND_SCHEMA)


@pytest.mark.parametrize("case", cases("coordinators"))
def test_coordinators(case: dict[str, Any]) -> None:
    told = read("coordinators")
    pins = [
        Pin(PublicIdentity.from_base64(each["public_key"]), each["valid_from"], each["valid_until"])
        for each in case["coordinators"]
    ]
    check = Coordinators(pins).check_result
    body, now = told["body"].encode(), told["now"]
    if case["refused"] is None:
        check(body, case["headers"], now=now)
        return
    with pytest.raises(UnauthenticatedError) as caught:
        check(body, case["headers"], now=now)
    found = {"kind": caught.value.kind, "reason": str(caught.value)}
    assert found == case["refused"]


@pytest.mark.parametrize("case", cases("sessions"))
def test_sessions(case: dict[str, Any]) -> None:
    form: type[SessionTerms | ReshareTerms] = (
        ReshareTerms if "predecessor" in case["terms"] else SessionTerms
    )
    terms = form.model_validate_json(json.dumps(case["terms"]))
    assert terms.session_id().hex() == case["session_id"]


def test_children() -> None:
    told = read("children")
    key, chain_code = bytes.fromhex(told["public_key"]), bytes.fromhex(told["chain_code"])
    for case in told["children"]:
        child = derive(key, chain_code, parse_path(case["path"]))
        assert child.public_key.hex() == case["public_key"]
        assert child.chain_code.hex() == case["chain_code"]
        assert child.tweak.hex() == case["tweak"]
    for case in told["refused"]:
        with pytest.raises(ContractError) as caught:
            parse_path(case["path"])
        assert str(caught.value) == case["reason"]


@pytest.mark.parametrize("case", cases("certificates"))
def test_certificates(case: dict[str, Any]) -> None:
    told = read("certificates")
    key = CertifiedKey.model_validate_json(json.dumps(case["key"]))
    assert key.facts.statement().hex() == case["statement"]
    parties = pinned(told["parties"])
    check = {"pinned": parties, "client_id": told["client_id"], "tenant": told["tenant"]}
    assert reason_of(lambda: check_key(key, **check)) == case["reason"]


@pytest.mark.parametrize("case", cases("certificates", "points"))
def test_points(case: dict[str, Any]) -> None:
    point = bytes.fromhex(case["point"])
    assert reason_of(lambda: check_point(Curve(case["curve"]), point)) == case["reason"]


@pytest.mark.parametrize("case", cases("signatures"))
def test_signatures(case: dict[str, Any]) -> None:
    scheme, root = Scheme(case["scheme"]), case["taproot_merkle_root"]
    key, message = bytes.fromhex(case["public_key"]), bytes.fromhex(case["message"])
    signature = bytes.fromhex(case["signature"])
    if case["name"] != "a key of small order":
        own = None if root is None else bytes.fromhex(root)
        assert verifying_key(bytes.fromhex(case["key"]), scheme, own) == key
    assert reason_of(lambda: check_signature(scheme, key, message, signature)) == case["reason"]
    if case["ecdsa"] is not None:
        assert EcdsaForms.of(signature).model_dump(mode="json") == case["ecdsa"]


@pytest.mark.parametrize("case", cases("statements"))
def test_statements(case: dict[str, Any]) -> None:
    told = read("statements")
    parties = pinned(told["parties"])
    group = None
    result = CancelResult.model_validate_json(json.dumps(case["result"]))
    if case["key"] is not None:
        facts = KeyFacts.model_validate_json(json.dumps(case["key"]))
        group = Group.of_key(facts, parties, result.epochs)
    elif case["keygen"] is not None:
        asked = KeygenRequest.model_validate_json(json.dumps(case["keygen"]))
        group = Group.of_new_key(asked, parties)
    settled = settle(
        result,
        group,
        Owner(**told["owner"]),
        issued_at=told["issued_at"],
        liars=case["liars"],
    )
    assert [each.party_id for each in settled.statements] == case["counted"]
    assert list(settled.already_signed) == case["already_signed"]
    assert list(settled.silent) == case["silent"]
    assert settled.liars_tolerated == case["liars_tolerated"]
    assert settled.final == case["final"]


@pytest.mark.parametrize("case", cases("retirements", "words"))
def test_retirements(case: dict[str, Any]) -> None:
    told = read("retirements")
    assert told["tag"].encode() == RETIREMENT_TAG
    said = Retirement.model_validate_json(json.dumps(case["retirement"]))
    assert said.content().hex() == case["content"]
    party_id, key_session = case["party_id"], bytes.fromhex(case["key_session"])
    whose = {"party_id": party_id, "key_session": key_session, "epoch": case["epoch"]}
    identity = pinned(told["parties"])[party_id]
    assert reason_of(lambda: said.verify(identity, **whose)) == case["reason"]


@pytest.mark.parametrize("case", cases("rehearsals", "words"))
def test_readiness(case: dict[str, Any]) -> None:
    told = read("rehearsals")
    assert told["tag"].encode() == READINESS_TAG
    said = Readiness.model_validate_json(json.dumps(case["readiness"]))
    assert said.content().hex() == case["content"]
    identity = pinned(told["parties"])[case["party_id"]]
    digest = bytes.fromhex(case["request_digest"])
    assert reason_of(lambda: said.verify(identity, request_digest=digest)) == case["reason"]


@pytest.mark.parametrize("case", cases("rehearsals", "rehearsals"))
def test_rehearsals(case: dict[str, Any]) -> None:
    told = read("rehearsals")
    body = case["request"].encode()
    request = strict_json.validated(ADAPTER, body)
    assert isinstance(request, RehearseRequest)
    result = RehearseResult(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=None,
        request_digest=hashlib.sha256(body).digest(),
        status=Status.COMPLETED,
        finished_at=1,
        key_id=request.key_id,
        answers=[Readiness.model_validate_json(json.dumps(each)) for each in case["answers"]],
    )
    before = KeyFacts.model_validate_json(json.dumps(told["before"]))
    found = Rehearsal.of(request, body, before, result, pinned(told["parties"]))
    counted = [json.loads(each.model_dump_json()) for each in found.answers.values()]
    assert counted == case["counted"]
    assert (found.ready, found.lacking) == (case["ready"], case["lacking"])
    assert (found.dealers, found.receivers) == (case["dealers"], case["receivers"])
    assert (found.missing, found.silent) == (case["missing"], case["silent"])
    assert [
        {"party_id": party_id, "code": code, "message": message}
        for party_id, (code, message) in found.refusals.items()
    ] == case["refusals"]


@pytest.mark.parametrize("case", cases("retirements", "histories"))
def test_whose_word_counts_in_a_keys_history(case: dict[str, Any]) -> None:
    epochs = [EpochView.model_validate_json(json.dumps(each)) for each in case["epochs"]]
    made = successions(epochs, pinned(read("retirements")["parties"]))
    assert [
        {
            "epoch": each.facts.epoch,
            "from_epoch": each.before.epoch,
            "made_at": each.made_at,
            "signs_from": each.signs_from,
            "retired": [json.loads(word.model_dump_json()) for word in each.retired.values()],
            "still_to_delete": each.still_to_delete,
            "deleters": each.deleters,
        }
        for each in made
    ] == case["successions"]


@pytest.mark.parametrize("case", cases("retirements", "pages"))
def test_pages_of_a_keys_history(case: dict[str, Any]) -> None:
    last = KeyFacts.model_validate_json(json.dumps(case["last"]))
    page = QueryKeyHistoryResult.model_validate_json(json.dumps(case["result"]))
    assert reason_of(lambda: joined(last, page)) == case["reason"]


@pytest.mark.parametrize("case", cases("results"))
async def test_results(case: dict[str, Any]) -> None:
    assert await verdict(read("results"), case) == (case["refused"], case["reason"])


async def verdict(told: dict[str, Any], case: dict[str, Any]) -> tuple[str | None, str | None]:
    body = case["body"].encode()
    coordinators = Coordinators.of(PublicIdentity.from_base64(told["coordinator"]))
    try:
        coordinators.check_result(body, case["headers"], now=told["now"])
    except UnauthenticatedError as error:
        return "unauthenticated", str(error)
    try:
        content = strict_json.validated(results.DELIVERED, body)
    except (ValidationError, ContractError) as error:
        return "malformed", reason(error)
    schema("result").validate(json.loads(body))
    try:
        await believe(told, case, content)
    except ContractError as error:
        return "disbelieved", str(error)
    return None, None


async def believe(told: dict[str, Any], case: dict[str, Any], content: results.Delivered) -> None:
    identity = Identity.from_base64(read("requests")["identity"]["private_key"])
    asked = sign_request(ADAPTER.validate_json(case["request"]), identity)
    assert asked.body.decode() == case["request"]
    if isinstance(content, SessionAnnounced):
        same("client_id", content.client_id, told["client_id"])
        announced_session(asked.digest, content)
        return
    known = results.QueryKeysResult.model_validate_json(
        json.dumps(
            {
                "result": "query_keys",
                "version": 1,
                "request_id": "r0",
                "client_id": told["client_id"],
                "session_id": None,
                "request_digest": "00" * 32,
                "status": "completed",
                "finished_at": told["now"],
                "keys": told["known_keys"],
            }
        )
    )

    async def nothing_more(tenant: str | None, key_id: str) -> None: ...

    owners = [PublicIdentity.from_base64(told["signer"])]
    trust = Trust(told["client_id"], pinned(told["parties"]), owners, nothing_more)
    await trust.check(known, None)
    await trust.check(content, asked)
