"""One JSON object, two fields of one name: whoever approves reads one, and the other is done."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from contracts.keys import CertifiedKey
from contracts.signing import REQUEST_TAG, SignedRequest
from ops.stack.deployment import Deployment
from tests.system.gateway.callers import KEYGEN, calling

from . import asking
from .adversary import PATIENCE_S, Adversary, is_result, request_wire
from .false_coordinator import FalseCoordinator

FIRST, SECOND = "11" * 32, "22" * 32


def doubled(adversary: Adversary, signed: SignedRequest, field: str, first: str) -> SignedRequest:
    """Signed by the client itself, whose approver reads the first."""
    body = signed.body.replace(b"{", b'{"%s":"%s",' % (field.encode(), first.encode()), 1)
    identity = adversary.client_settings().private_identity
    return SignedRequest(
        request=signed.request, body=body, signature=identity.sign(REQUEST_TAG, body)
    )


@pytest.mark.parametrize(("field", "first"), [("message", SECOND), ("key_id", "another")])
async def test_a_request_with_a_field_twice_is_refused(
    key: CertifiedKey, stranger: Adversary, field: str, first: str
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id, message=FIRST)
    answered = is_result("sign", signed.request.request_id)
    await stranger.publish(request_wire(doubled(stranger, signed, field, first)))
    failure = (await stranger.recording.first(answered)).json()["failure"]
    assert failure["code"] == "invalid_request"
    assert f"field '{field}' stands twice" in failure["message"]
    await stranger.request(signed)
    _, once = await stranger.recording.count(answered, 2, PATIENCE_S)
    assert once.json()["status"] == "completed"


async def test_no_party_signs_a_request_with_a_field_twice(
    key: CertifiedKey, adversary: Adversary, false_coordinator: FalseCoordinator
) -> None:
    signed = asking.sign(adversary.client_settings(), key.facts.key_id, message=FIRST)
    twice = doubled(adversary, signed, "message", SECOND)
    await false_coordinator.refused(
        twice, key.facts, ["party-1", "party-2"], "field 'message' stands twice"
    )


@pytest.fixture
async def caller(stack: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    assert stack.gateways is not None
    async with calling(stack.gateways.urls[0], stack.gateways.api_key) as connected:
        yield connected


async def test_a_field_twice_over_http_is_refused(caller: httpx.AsyncClient) -> None:
    once = json.dumps(KEYGEN | {"user_id": f"user-{secrets.token_hex(4)}"})
    twice = once.replace("{", '{"threshold_t": 3, ', 1)
    for body, status in ((twice, 422), (once, 201)):
        answer = await caller.post(
            "/api/v1/accounts", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status, answer.text
        assert ("twice" in answer.text) == (body is twice), answer.text
