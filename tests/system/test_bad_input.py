"""Bad input at the real queue: a clear error each time, and nothing changed.

What an authorised client has signed is answered with a failed result, which is kept where the
request could have been served at another time. What nobody authorised has
signed is answered by nobody; it stands among the dead letters with the reason.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from contracts.identity import Identity
from ops.stack.deployment import Deployment
from tests.system.producers import Producer

Counts = dict[str, int]
NO_SIGNER = "the body is no JSON object that names its signer"


async def count_rows(deployment: Deployment) -> Counts:
    connection = await asyncpg.connect(deployment.database_urls["coordinator"])
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'parties'"
        )
        return {
            name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') for (name,) in tables
        }
    finally:
        await connection.close()


@pytest.fixture
async def nothing_changes(deployment: Deployment, key_id: str) -> AsyncIterator[None]:
    assert key_id
    before = await count_rows(deployment)
    assert before["requests"] >= 1
    yield
    assert await count_rows(deployment) == before


@pytest.fixture
async def nothing_but_the_refusal_is_kept(
    deployment: Deployment, key_id: str
) -> AsyncIterator[None]:
    """The request, its result, and that no session came of it."""
    assert key_id
    before = await count_rows(deployment)
    yield
    kept = {name: before[name] + 1 for name in ("requests", "sessions", "outbox")}
    assert await count_rows(deployment) == before | kept


INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown field": ("keygen", {"colour": "red"}, "colour: Extra inputs"),
    "number as text": ("keygen", {"threshold": "2"}, "threshold: Input should be a valid integer"),
    "text as number": ("sign", {"message": 7}, "message: Input should be"),
    "fraction": ("keygen", {"party_count": 2.5}, "party_count: Input should be a valid integer"),
    "dot in key id": ("keygen", {"key_id": "svcA.mine"}, "key_id: String should match"),
    "space in key id": ("keygen", {"key_id": "my key"}, "key_id: String should match"),
    "65 characters": ("keygen", {"key_id": "k" * 65}, "key_id: String should match"),
    "empty key id": ("sign", {"key_id": ""}, "key_id: String should match"),
    "t > n": ("keygen", {"threshold": 4}, "threshold 4 is more than party_count 3"),
    "t < 2": ("keygen", {"threshold": 1}, "threshold: Input should be greater"),
    "n > 20": ("keygen", {"party_count": 21}, "party_count: Input should be less"),
    "unknown curve": ("keygen", {"curve": "p256"}, "curve: Input should be"),
    "short digest": ("sign", {"scheme": "bip340", "message": "00" * 31}, "exactly 32 bytes"),
    "long digest": ("sign", {"scheme": "bip340", "message": "00" * 33}, "exactly 32 bytes"),
    "no message": ("sign", {"message": ""}, "a message has 1 to 65536 bytes, this one 0"),
    "ecdsa digest": ("sign", {"scheme": "ecdsa", "message": "00" * 31}, "exactly 32 bytes"),
    "hardened path": (
        "sign",
        {"scheme": "ecdsa", "message": "00" * 32, "derivation_path": "m/0'"},
        "derivation_path",
    ),
    "two forms": (
        "sign",
        {"scheme": "ecdsa", "message": "00" * 32, "items": [{"message": "00" * 32}]},
        "either message or items",
    ),
    "long message": ("sign", {"message": "00" * 65_537}, "bytes, this one 65537"),
    "half a byte": ("sign", {"message": "0"}, "not an even number of hex digits"),
    "party twice": (
        "keygen",
        {"parties": ["party-1", "party-1", "party-2"]},
        "parties names a party twice",
    ),
    "another reply address": (
        "keygen",
        {"reply_to": "mpc.mpc_keygen_result.svcA.k"},
        "reply_to must be",
    ),
    "too long a life": ("sign", {"expires_at": 2**52}, "expires_at must be later"),
    "expires before it is issued": ("sign", {"expires_at": 1}, "expires_at must be later"),
}


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("case", INVALID)
async def test_a_signed_request_with_wrong_fields_gets_a_failed_result(
    producer: Producer, case: str
) -> None:
    operation, changes, expected = INVALID[case]
    fields = producer.body(operation, **changes)
    await producer.send(fields)
    result = await producer.result(fields["request_id"])
    assert result["status"] == "failed"
    assert result["failure"]["code"] == "invalid_request"
    assert expected in result["failure"]["message"]
    assert result["failure"]["retryable"] is False
    await producer.nothing_more()


VERSIONS = {
    "missing": "",
    "true": '"version": true, ',
    "text": '"version": "1", ',
    "fraction": '"version": 1.0, ',
    "exponent": '"version": 1e0, ',
    "null": '"version": null, ',
    "list": '"version": [1], ',
    "later": '"version": 2, ',
    "zero": '"version": 0, ',
    "twice": '"version": 1, "version": 1, ',
}


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("operation", ["keygen", "sign", "cancel", "query_keys"])
@pytest.mark.parametrize("written", VERSIONS)
async def test_a_request_of_no_version_or_another_gets_a_failed_result(
    producer: Producer, operation: str, written: str
) -> None:
    """Signed as it is written: the number 1, once, and nothing that is taken for it elsewhere."""
    fields = producer.body(operation, **CONTROL.get(operation, {}))
    text = json.dumps(fields)
    assert text.count('"version": 1, ') == 1
    body = text.replace('"version": 1, ', VERSIONS[written]).encode()
    await producer.send_bytes(body, operation=operation, message_id=fields["request_id"])
    result = await producer.result(fields["request_id"])
    assert result["status"] == "failed"
    assert result["failure"]["code"] == "invalid_request"
    assert "version" in result["failure"]["message"]
    assert result["failure"]["retryable"] is False
    await producer.nothing_more()


SEMANTIC: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "unknown key": ("sign", {"key_id": "nowhere"}, "unknown_key", "you have no key"),
    "key of another client": ("sign", {"key_id": "shared"}, "unknown_key", "you have no key"),
    "unknown party": (
        "keygen",
        {"parties": ["party-1", "party-2", "party-9"]},
        "unknown_party",
        "there is no party party-9",
    ),
    "more parties than there are": (
        "keygen",
        {"party_count": 4},
        "too_few_parties",
        "4 parties wanted, 3 exist",
    ),
    "expired": (
        "sign",
        {"issued_at": 1_700_000_000_000, "expires_at": 1_700_000_010_000},
        "unknown_key",
        "",
    ),
}


@pytest.mark.usefixtures("nothing_but_the_refusal_is_kept")
@pytest.mark.parametrize("case", SEMANTIC)
async def test_a_request_that_cannot_be_served_says_why_and_says_it_again(
    producer: Producer, case: str
) -> None:
    operation, changes, code, expected = SEMANTIC[case]
    fields = producer.body(operation, **changes)
    body = await producer.send(fields)
    result = await producer.result(fields["request_id"])
    await producer.send_bytes(body, operation=operation, message_id=fields["request_id"])
    assert await producer.result(fields["request_id"]) == result
    if case == "expired":
        code, expected = "expired", "s after its expires_at by the coordinator's clock"
        assert result["status"] == "expired"
    assert result["failure"]["code"] == code
    assert expected in result["failure"]["message"]
    await producer.nothing_more()


CONTROL: dict[str, dict[str, Any]] = {
    "query_keys": {},
    "query_session": {"target": "wanted"},
    "query_accounts": {},
    "query_api_keys": {"authority": base64.b64encode(Identity.generate().public.der).decode()},
    "cancel": {"target": "wanted"},
    "configure_account": {"account_id": "shared", "signers": None},
}


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("operation", CONTROL)
async def test_control_of_a_month_ago_is_not_obeyed(producer: Producer, operation: str) -> None:
    issued_at = time.time_ns() // 1_000_000 - 30 * 86_400_000
    fields = producer.body(
        operation, issued_at=issued_at, expires_at=issued_at + 60_000, **CONTROL[operation]
    )
    await producer.send(fields)
    result = await producer.result(fields["request_id"])
    assert result["status"] == "expired"
    assert "had expired when it arrived" in result["failure"]["message"]
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("operation", CONTROL)
async def test_control_from_the_future_is_invalid(producer: Producer, operation: str) -> None:
    await check_future(producer, operation, **CONTROL[operation])


@pytest.mark.usefixtures("nothing_but_the_refusal_is_kept")
@pytest.mark.parametrize("operation", ["keygen", "sign"])
async def test_a_session_from_the_future_is_invalid(producer: Producer, operation: str) -> None:
    await check_future(producer, operation)


async def check_future(producer: Producer, operation: str, **changes: Any) -> None:
    issued_at = time.time_ns() // 1_000_000 + 160_000
    fields = producer.body(operation, issued_at=issued_at, expires_at=issued_at + 60_000, **changes)
    await producer.send(fields)
    result = await producer.result(fields["request_id"])
    assert result["failure"]["code"] == "invalid_request"
    assert "ahead of the coordinator's clock" in result["failure"]["message"]
    assert result["failure"]["retryable"] is False
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("name", ["CC", "BCC"])
async def test_a_copy_in_another_clients_queue_is_not_served(producer: Producer, name: str) -> None:
    """The broker lets whoever may publish to an exchange put copies into all its queues."""
    fields = producer.body("query_keys")
    await producer.send(fields, headers={name: ["mpc.query_request.svcA"]})
    reason, _ = await producer.refusal()
    assert "queue 'warren.requests.control.svcA' is not where client 'svcB'" in reason
    assert (await producer.result(fields["request_id"]))["status"] == "completed"
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("request_id", ["a.b", "a b", "x" * 65, ""])
async def test_a_request_id_that_is_none_cannot_be_answered(
    producer: Producer, request_id: str
) -> None:
    await producer.send(producer.body("keygen", request_id=request_id))
    reason, _ = await producer.refusal()
    assert "no usable request_id" in reason
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"not json", NO_SIGNER),
        (b"", NO_SIGNER),
        (b"[1, 2]", NO_SIGNER),
        (b"123", NO_SIGNER),
        (b"null", NO_SIGNER),
        (b'{"operation": "keygen"}', NO_SIGNER),
        (b'{"signer": "x", "operation": "mint"}', "not authorised"),
        (b"\xff\xfe\x00", NO_SIGNER),
        (b"[" * 10_000, NO_SIGNER),
        (b'"' + b"x" * 300_000 + b'"', "300002 bytes; a request has at most 262144"),
    ],
)
async def test_what_is_no_request_is_refused_with_the_reason(
    producer: Producer, body: bytes, expected: str
) -> None:
    await producer.send_bytes(body, operation="keygen", message_id="m")
    reason, refused = await producer.refusal()
    assert expected in reason
    assert refused == body
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
async def test_a_stranger_s_signature_opens_nothing(producer: Producer) -> None:
    stranger = Identity.generate()
    own_name = producer.body("keygen", signer=stranger.public.to_base64())
    await producer.send(own_name, identity=stranger)
    assert "not authorised" in (await producer.refusal())[0]

    borrowed_name = producer.body("keygen")
    await producer.send(borrowed_name, identity=stranger)
    assert "wrong signature" in (await producer.refusal())[0]
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("client_id", ["svcA", None, "svcb", "svcB "])
async def test_a_client_s_key_signs_for_no_other_client(
    producer: Producer, client_id: str | None
) -> None:
    await producer.send(producer.body("keygen", client_id=client_id))
    assert "not authorised" in (await producer.refusal())[0]
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("signature", ["", "AAAA", "!!!", "MEUCIQ=="])
async def test_a_signature_that_is_none_is_refused(producer: Producer, signature: str) -> None:
    await producer.send(producer.body("keygen"), signature=signature)
    reason, _ = await producer.refusal()
    assert "signature" in reason
    await producer.nothing_more()


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"headers": {"client_id": "svcA"}}, "header 'client_id' contradicts"),
        ({"headers": {"operation": "sign"}}, "header 'operation' contradicts"),
        ({"headers": {"request_id": "other"}}, "header 'request_id' contradicts"),
        ({"message_id": "other"}, "message_id must be the request id"),
        ({"operation": "sign"}, "routing key 'mpc.signing_request.svcB' contradicts"),
    ],
)
async def test_what_stands_beside_the_body_must_not_contradict_it(
    producer: Producer, how: dict[str, Any], expected: str
) -> None:
    await producer.send(producer.body("keygen"), **how)
    assert expected in (await producer.refusal())[0]
    await producer.nothing_more()


async def test_the_same_request_id_with_other_bytes_is_a_conflict(
    deployment: Deployment, producer: Producer
) -> None:
    fields = producer.body("keygen")
    await producer.send(fields)
    assert (await producer.result(fields["request_id"]))["status"] == "completed"
    before = await count_rows(deployment)
    await producer.send(fields | {"threshold": 3})
    conflict = await producer.result(fields["request_id"])
    assert conflict["failure"]["code"] == "conflict"
    assert await count_rows(deployment) == before


async def test_a_message_with_leading_zeros_signs_as_itself(producer: Producer) -> None:
    key = producer.body("keygen")
    await producer.send(key)
    await producer.result(key["request_id"])
    fields = producer.body("sign", key_id=key["key_id"], message="0000000a")
    await producer.send(fields)
    result = await producer.result(fields["request_id"])
    assert result["message"] == "0000000a"
    verify_ed25519(result, bytes.fromhex("0000000a"))


def verify_ed25519(result: dict[str, Any], message: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(result["public_key"]))
    key.verify(bytes.fromhex(result["signature"]), message)


async def test_a_refused_message_keeps_its_headers_for_whoever_looks_at_it(
    producer: Producer,
) -> None:
    fields = producer.body("keygen")
    made = producer.identity.sign(b"warren/request/v1", b"other bytes")
    await producer.send(fields, signature=base64.b64encode(made).decode())
    reason, _ = await producer.refusal()
    assert reason == "wrong signature"
