"""Requests as they arrive from outside: what is believed, answered, or thrown away."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from contracts import admission
from contracts.addresses import REQUEST_KEYS
from contracts.admission import ClientPolicy, check_metadata, check_queue, open_request
from contracts.api_keys import Action, SignedApiKeyEntry
from contracts.errors import ContractError, InvalidRequestError, UnauthenticatedError
from contracts.identity import Identity
from contracts.operations import OPERATIONS, Lane
from contracts.primitives import MAX_BODY_BYTES, MAX_ITEMS, MAX_MESSAGE_BYTES
from contracts.requests import ADAPTER, MAX_JOIN_WINDOW_MS, MAX_LIFETIME_MS, SignRequest
from contracts.signing import REQUEST_TAG, SignedRequest, explain, sign_request, signature_of

from . import samples
from .chains import Scribe
from .samples import CLIENT, SCRIBE, STRANGER, fields, keygen_request, policies

ITEM = {"message": "00" * 32}
REVOKED, FOREIGN = SCRIBE.signed(Action.REVOKE, api_key_id="shop-1"), Scribe(client_id="svcB")
LIST = {"scheme": "ecdsa", "message": None, "items": [ITEM]}
CHILD = {"scheme": "ecdsa", "message": "00" * 32}
OWN_NAME = json.dumps({"signer": CLIENT.public.to_base64()}).encode()


def entry(signed: SignedApiKeyEntry) -> dict[str, Any]:
    return signed.model_dump(mode="json")


def opened(body: bytes, signer: Identity = CLIENT) -> SignedRequest:
    return open_request(body, signer.sign(REQUEST_TAG, body), policies())


def spoiled(operation: str, /, **changes: Any) -> bytes:
    """The body of a right request with some fields replaced by anything that JSON can say."""
    right = ADAPTER.dump_python(ADAPTER.validate_python(fields(operation)), mode="json")
    return json.dumps({**right, **changes}).encode()


@pytest.mark.parametrize("operation", sorted(REQUEST_KEYS))
def test_a_signed_request_opens_as_itself(operation: str) -> None:
    signed = sign_request(ADAPTER.validate_python(fields(operation)), CLIENT)
    (policy,) = policies()
    right = OPERATIONS[operation].right_of or operation
    named = replace(policy, operations=frozenset({right}))
    found = open_request(signed.body, signature_of(signed.headers()), [named])
    assert found == signed
    check_metadata(
        found,
        headers=signed.headers(),
        routing_key=REQUEST_KEYS[operation],
        message_id="r1",
    )


@pytest.mark.parametrize("operation", sorted(REQUEST_KEYS))
def test_who_has_no_list_of_operations_may_ask_for_all_that_need_not_be_named(
    operation: str,
) -> None:
    signed = sign_request(ADAPTER.validate_python(fields(operation)), CLIENT)
    if operation not in {"reshare", "rehearse"}:
        open_request(signed.body, signed.signature, policies())
        return
    with pytest.raises(UnauthenticatedError, match="not authorised"):
        open_request(signed.body, signed.signature, policies())


def test_who_may_ask_for_a_reshare_may_rehearse_it_and_nobody_else() -> None:
    signed = sign_request(ADAPTER.validate_python(fields("rehearse")), CLIENT)
    (policy,) = policies()
    for operations, allowed in (({"reshare"}, True), ({"rehearse", "sign"}, False)):
        own = [replace(policy, operations=frozenset(operations))]
        if allowed:
            assert open_request(signed.body, signed.signature, own) == signed
        else:
            with pytest.raises(UnauthenticatedError, match="not authorised"):
                open_request(signed.body, signed.signature, own)


def test_a_request_may_live_as_long_as_any() -> None:
    lasting = samples.sign_request(issued_at=10, expires_at=10 + MAX_LIFETIME_MS)
    assert opened(sign_request(lasting, CLIENT).body).request == lasting


def test_leading_zero_bytes_of_a_message_stay() -> None:
    for message in (b"\x00", bytes(32), b"\x00\x00\x01", bytes(MAX_MESSAGE_BYTES)):
        signed = sign_request(samples.sign_request(message=message), CLIENT)
        request = opened(signed.body).request
        assert isinstance(request, SignRequest)
        assert request.message == message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "names its signer"),
        (b"\xff\xfe", "names its signer"),
        (b"[" * 100_000, "names its signer"),
        (b"null", "names its signer"),
        (b"{}", "names its signer"),
        (spoiled("sign", signer=7), "names its signer"),
        (b'{"signer": "\\x"}', "signer is no text"),
        (OWN_NAME[:-1], "not JSON"),
        (OWN_NAME[:-1] + b', "operation": NaN}', "not JSON"),
        (OWN_NAME[:-1] + b', "a":' + b"[" * 100_000, "not JSON"),
        (b"[" + OWN_NAME + b"]", "not a JSON object"),
        (b'{"a": ' + OWN_NAME + b"}", "several signers"),
        (OWN_NAME[:-1] + b', "signer": "x"}', "several signers"),
        (spoiled("sign", operation="withdraw"), "no operation that exists"),
        (spoiled("sign", operation=["sign"]), "no operation that exists"),
        (spoiled("sign", operation={}), "no operation that exists"),
        (spoiled("sign", client_id="svcB"), "not authorised"),
        (spoiled("sign", client_id=None), "not authorised"),
        (spoiled("sign", client_id=["svcA"]), "not authorised"),
        (spoiled("sign", signer=STRANGER.public.to_base64()), "not authorised"),
        (spoiled("sign", request_id=7), "no usable request_id"),
        (spoiled("sign", request_id="a.b"), "no usable request_id"),
        (spoiled("sign", request_id="x" * 65), "no usable request_id"),
        (spoiled("sign", request_id="r1\n"), "no usable request_id"),
        (b" " * (MAX_BODY_BYTES + 1), "at most"),
        (b" " * MAX_BODY_BYTES, "names its signer"),
    ],
)
def test_what_cannot_be_believed_is_answered_to_nobody(body: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason) as caught:
        opened(body)
    assert not isinstance(caught.value, InvalidRequestError)


def test_an_unauthorised_key_is_refused_however_well_it_signs() -> None:
    request = samples.sign_request(signer=STRANGER.public.der)
    with pytest.raises(ContractError, match="not authorised"):
        opened(sign_request(request, STRANGER).body, STRANGER)


def test_a_key_may_ask_only_for_its_operations() -> None:
    signed = sign_request(keygen_request(), CLIENT)
    only_sign = ClientPolicy(
        identity=CLIENT.public, client_id="svcA", operations=frozenset({"sign"})
    )
    with pytest.raises(ContractError, match="not authorised"):
        open_request(signed.body, signed.signature, [only_sign])
    signed = sign_request(samples.sign_request(), CLIENT)
    assert open_request(signed.body, signed.signature, [only_sign]) == signed


def test_a_known_key_speaks_for_its_own_client_only() -> None:
    own, anothers = policies(), ClientPolicy(identity=STRANGER.public, client_id="svcB")
    signed = sign_request(samples.sign_request(), CLIENT)
    assert open_request(signed.body, signed.signature, [anothers, *own]) == signed
    signed = sign_request(samples.sign_request(client_id="svcB"), CLIENT)
    with pytest.raises(ContractError, match="not authorised"):
        open_request(signed.body, signed.signature, [anothers, *own])


def test_a_signature_by_another_key_or_under_another_tag_is_refused() -> None:
    body = spoiled("sign")
    for signature in (
        STRANGER.sign(REQUEST_TAG, body),
        CLIENT.sign(b"warren/envelope/v1", body),
        CLIENT.sign(REQUEST_TAG, body + b" "),
        b"",
        b"\x30\x00",
    ):
        with pytest.raises(ContractError, match="wrong signature"):
            open_request(body, signature, policies())


def test_what_nobody_known_has_signed_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost ten times as much, and more."""
    parsed: list[bytes] = []
    monkeypatch.setattr(admission, "_claims", parsed.append)
    strangers = spoiled("sign", signer=STRANGER.public.to_base64())
    for body, signer in ((b"{}", CLIENT), (strangers, STRANGER), (spoiled("sign"), STRANGER)):
        with pytest.raises(ContractError):
            opened(body, signer)
    assert parsed == []


@pytest.mark.parametrize("space", [b"", b" ", b"\n\t "])
def test_a_signer_may_be_written_with_escapes(space: bytes) -> None:
    """Writers of JSON for browsers do so with + and /."""
    body = spoiled("sign")
    name = CLIENT.public.to_base64().encode()
    escaped = name.replace(b"+", b"\\u002B").replace(b"/", b"\\/").replace(b"=", b"\\u003d")
    field = b'"signer"' + space + b":" + space + b'"' + escaped
    written = body.replace(b'"signer": "' + name, field)
    assert written != body
    assert opened(written).request.signer == CLIENT.public.der


@pytest.mark.parametrize("operation", OPERATIONS)
def test_requests_come_by_the_queues_of_their_client_or_of_everybody(operation: str) -> None:
    lane = OPERATIONS[operation].lane
    for queue in (f"warren.requests.{lane}", f"warren.requests.{lane}.svcA"):
        check_queue(queue, operation=operation, client_id="svcA")
    others = [f"warren.requests.{other}.svcA" for other in Lane if other is not lane]
    for queue in (f"warren.requests.{lane}.svcB", f"warren.requests.{lane}.", "", *others):
        with pytest.raises(ContractError, match=f"queue '{queue}' is not where client 'svcA'"):
            check_queue(queue, operation=operation, client_id="svcA")


def test_who_has_no_id_asks_in_everybodys_queue_only() -> None:
    check_queue("warren.requests.signing", operation="sign", client_id=None)
    for queue in ("warren.requests.signing.svcA", "warren.requests.signing.None"):
        with pytest.raises(ContractError, match="lead nowhere"):
            check_queue(queue, operation="sign", client_id=None)


@pytest.mark.parametrize("reply_to", ["mpc.mpc_signing_result.svcB.complete", ""])
def test_a_request_that_asks_for_its_result_elsewhere_is_not_signed(reply_to: str) -> None:
    request = ADAPTER.validate_python(fields("sign", reply_to=reply_to))
    with pytest.raises(ValueError, match="reply_to must be 'mpc"):
        sign_request(request, CLIENT)


def test_naming_another_signer_than_oneself_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="another signer"):
        sign_request(keygen_request(), STRANGER)


def test_each_client_and_each_of_its_tenants_is_an_owner_of_its_own() -> None:
    owners = {
        samples.sign_request(client_id=client_id, tenant=tenant).owner
        for client_id in (None, "a", "b", "a-b")
        for tenant in (None, "a", "b", "a-b")
    }
    assert len(owners) == 16
    assert {"", "a", "/a", "a/b"} <= owners


BAD_IDS = ["", "a.b", "a b", "x" * 65, "ä", "a\n", "a/b", "*", "#", 7, None, ["a"]]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_ids_are_64_letters_digits_underscores_and_hyphens_at_most(bad: Any) -> None:
    for body in (spoiled("keygen", key_id=bad), spoiled("sign", key_id=bad)):
        with pytest.raises(InvalidRequestError, match="key_id"):
            opened(body)
    with pytest.raises(InvalidRequestError, match="target"):
        opened(spoiled("cancel", target=bad))
    if bad is not None:
        with pytest.raises(InvalidRequestError, match="parties"):
            opened(spoiled("keygen", parties=["p1", "p2", bad]))


@pytest.mark.parametrize(
    ("operation", "changes", "reason"),
    [
        ("sign", {"extra": 1}, "extra: Extra inputs"),
        ("sign", {"version": 2}, "version"),
        ("sign", {"message": 7}, "message"),
        ("sign", {"message": "abc"}, "hex digits"),
        ("sign", {"message": "AB"}, "lower case"),
        ("sign", {"message": ""}, "message"),
        ("sign", {"message": "00" * (MAX_MESSAGE_BYTES + 1)}, "message"),
        ("sign", {"scheme": "schnorr"}, "scheme"),
        ("sign", {"scheme": "ecdsa", "message": "00" * 31}, "exactly 32 bytes"),
        ("sign", {"message": None}, "either message or items"),
        ("sign", {"items": [{"message": "00"}]}, "either message or items"),
        ("sign", {"message": None, "items": [{"message": "00"}]}, "items go with ecdsa only"),
        ("sign", {**LIST, "items": []}, "items"),
        ("sign", {**LIST, "items": [ITEM] * (MAX_ITEMS + 1)}, "items"),
        ("sign", {**LIST, "items": [ITEM, {"message": "00"}]}, "items.1.message has 1"),
        ("sign", {**LIST, "derivation_path": "m/0"}, "path of its own"),
        ("sign", {**LIST, "items": [{**ITEM, "derivation_path": "m/0'"}]}, "derivation_path"),
        ("sign", {"derivation_path": "m/0"}, "no standard derivation"),
        ("sign", {**CHILD, "derivation_path": "m"}, "derivation_path"),
        ("sign", {**CHILD, "derivation_path": "m/00"}, "derivation_path"),
        ("sign", {**CHILD, "derivation_path": "0/1"}, "derivation_path"),
        ("sign", {**CHILD, "derivation_path": "m/2147483648"}, "derivation_path"),
        ("sign", {**CHILD, "derivation_path": "m" + "/0" * 17}, "derivation_path"),
        ("sign", {"scheme": "bip340", "message": "00" * 31}, "exactly 32 bytes"),
        ("sign", {"scheme": "bip340", "message": "00" * 33}, "exactly 32 bytes"),
        ("sign", {"taproot_merkle_root": ""}, "bip340 only"),
        (
            "sign",
            {"scheme": "bip340", "message": "00" * 32, "taproot_merkle_root": "00"},
            "empty or 32 bytes",
        ),
        ("sign", {"signers": ["p1"]}, "signers"),
        ("sign", {"signers": ["p1", "p1"]}, "names a party twice"),
        ("sign", {"issued_at": "1"}, "issued_at"),
        ("sign", {"issued_at": 1.5}, "issued_at"),
        ("sign", {"issued_at": -1}, "issued_at"),
        ("sign", {"issued_at": 10, "expires_at": 10}, "later than issued_at"),
        ("sign", {"issued_at": 10, "expires_at": 9}, "later than issued_at"),
        ("sign", {"issued_at": 10, "expires_at": 11 + MAX_LIFETIME_MS}, "later than issued_at"),
        ("sign", {"expires_at": 2**53}, "expires_at"),
        ("sign", {"reply_to": "mpc.mpc_signing_result.svcB.complete"}, "reply_to must be"),
        ("sign", {"reply_to": "mpc.mpc_signing_result.complete"}, "reply_to must be"),
        ("keygen", {"threshold": 4}, "threshold 4 is more than party_count 3"),
        ("keygen", {"threshold": 1}, "threshold"),
        ("keygen", {"threshold": "2"}, "threshold"),
        ("keygen", {"threshold": True}, "threshold"),
        ("keygen", {"party_count": 21}, "party_count"),
        ("keygen", {"threshold": 21, "party_count": 21}, "threshold"),
        ("keygen", {"curve": "p256"}, "curve"),
        ("keygen", {"schemes": ["ecdsa"]}, "schemes names ecdsa, and a key on ed25519"),
        ("keygen", {"schemes": []}, "at least one"),
        ("keygen", {"parties": ["p1", "p2"]}, "names 2 of party_count 3"),
        ("keygen", {"parties": ["p1", "p2", "p2"]}, "names a party twice"),
        ("keygen", {"user_id": ""}, "user_id"),
        ("keygen", {"user_id": "a\nb"}, "user_id"),
        ("keygen", {"user_id": "a" * 129}, "user_id"),
        ("keygen", {"announce": 1}, "announce"),
        ("keygen", {"join_window_ms": 0}, "join_window_ms"),
        ("sign", {"join_window_ms": MAX_JOIN_WINDOW_MS + 1}, "join_window_ms"),
        ("sign", {"tenant": "a/b"}, "tenant"),
        ("sign", {"tenant": ""}, "tenant"),
        ("sign", {"reference": "a\x7f"}, "reference"),
        ("cancel", {"target": None}, "target"),
        ("cancel", {"session_id": "00" * 32}, "session_id"),
        ("cancel", {"target_issued_at": 2**53 - 1}, "target_issued_at is later than issued_at"),
        ("cancel", {"of": {"tenant": "shop"}}, "of.client_id"),
        ("join_session", {"join_token": "00" * 31}, "join_token"),
        ("join_session", {"party_id": "a.b"}, "party_id"),
        ("query_accounts", {"limit": 0}, "limit"),
        ("query_accounts", {"limit": 201}, "limit"),
        ("configure_account", {"signers": ["p1"]}, "signers"),
        ("configure_account", {"signers": ["p1", "p1"]}, "names a party twice"),
        ("put_api_key", {"entry": entry(REVOKED)}, "the entry revokes"),
        ("put_api_key", {"entry": entry(FOREIGN.signed_put())}, "another client's gateways"),
        ("put_api_key", {"entry": {"body": "e30=", "signature": "AA=="}}, "no entry"),
        ("revoke_api_key", {"entry": entry(SCRIBE.signed_put())}, "the entry does not revoke"),
        ("revoke_api_key", {"entry": entry(FOREIGN.revoke())}, "another client's gateways"),
        ("query_api_keys", {"limit": 501}, "limit"),
        ("query_session", {"target": None}, "either session_id or target"),
        ("query_session", {"session_id": "00" * 32}, "either session_id or target"),
        ("query_session", {"session_id": "00" * 31, "target": None}, "session_id"),
    ],
)
def test_an_authorised_request_that_does_not_fit_is_told_why(
    operation: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        opened(spoiled(operation, **changes))
    error = caught.value
    assert (error.operation, error.request_id, error.client_id) == (operation, "r1", "svcA")


@pytest.mark.parametrize("missing", ["version", "operation"])
def test_fields_with_one_possible_value_may_not_be_left_out_either(missing: str) -> None:
    body = json.loads(spoiled("sign"))
    del body[missing]
    with pytest.raises(ContractError, match=rf"no {missing}|{missing} is missing"):
        opened(json.dumps(body).encode())


@pytest.mark.parametrize("missing", [*SignRequest.model_json_schema()["required"]])
def test_a_request_without_a_required_field_is_refused(missing: str) -> None:
    body = json.loads(spoiled("sign"))
    del body[missing]
    with pytest.raises(ContractError):
        opened(json.dumps(body).encode())


def test_an_unusable_key_id_does_not_stand_in_the_answer() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        opened(spoiled("keygen", key_id="a.b"))
    assert caught.value.key_id is None
    with pytest.raises(InvalidRequestError) as caught:
        opened(spoiled("keygen", threshold=1))
    assert caught.value.key_id == "treasury"


def test_the_reason_never_repeats_the_input() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        opened(spoiled("sign", message="hunter2", key_id="hunter2 ", extra="hunter2"))
    assert "hunter2" not in str(caught.value)


def test_the_signature_covers_the_tag_and_the_body_as_sent() -> None:
    """The encoding that clients in other languages have to reproduce."""
    signed = sign_request(samples.sign_request(), CLIENT)
    signature = base64.b64decode(signed.headers()["signature"])
    tag = b"\x00\x00\x00\x11warren/request/v1"
    statement = tag + len(signed.body).to_bytes(4) + signed.body
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    CLIENT.public.key.verify(signature, statement, ec.ECDSA(hashes.SHA256()))


class _Checked(BaseModel):
    small: int = 0
    name: str = ""

    @field_validator("small")
    @classmethod
    def _small(cls, value: int) -> int:
        raise AssertionError("must be less than three")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        raise ValueError("is not what it should be")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"small": 7}, "small: must be less than three"),
        ({"name": "s3cret"}, "name: is not what it should be"),
    ],
)
def test_what_a_check_says_is_told_in_its_own_words(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Checked.model_validate(body)
    assert explain(caught.value) == said


def test_an_operation_that_there_is_not_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_json(json.dumps({"operation": "s3cret" * 1000}))
    said = explain(caught.value)
    assert said.startswith("must be one of 'keygen', 'reshare', 'sign', 'cancel'")
    assert "s3cret" not in said
