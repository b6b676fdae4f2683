"""One client's requests in the queue of another, past the bindings."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import aio_pika
import pytest

from contracts import addresses
from contracts.keys import CertifiedKey

from . import asking
from .adversary import QUIET_S, Adversary, is_result, request_wire

OTHER = addresses.request_key("sign", "svcB")
ELSEWHERE = "mpc.zzz_request.svcA"
"""A key that a client without other rights may write, and that leads to none of its queues."""


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_a_copy_in_anothers_queue_is_not_served(
    key: CertifiedKey, stranger: Adversary, header: str
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id)
    wire = request_wire(signed)
    # The copy alone, or nobody could tell which of the two was served.
    own = addresses.request_key("sign", "svcA")
    async with stranger.holding(f"{addresses.SIGNING_QUEUE}.svcA", (addresses.REQUESTS, own)):
        await stranger.publish(replace(wire, headers={**wire.headers, header: [OTHER]}))
        answered = is_result("sign", signed.request.request_id)
        assert await stranger.recording.count(answered, 1, QUIET_S) == []


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_a_key_that_leads_nowhere_leads_nowhere_with_a_copy(
    key: CertifiedKey, stranger: Adversary, header: str
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id)
    wire = request_wire(signed)
    with contextlib.suppress(aio_pika.exceptions.PublishError):
        await stranger.publish(
            replace(wire, routing_key=ELSEWHERE, headers={**wire.headers, header: [OTHER]})
        )
    answered = is_result("sign", signed.request.request_id)
    assert await stranger.recording.count(answered, 1, QUIET_S) == []


async def test_what_is_put_straight_into_anothers_queue_is_not_served(
    key: CertifiedKey, stranger: Adversary
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id)
    wire = request_wire(signed)
    await stranger.channel.default_exchange.publish(
        aio_pika.Message(wire.body, message_id=wire.message_id, headers=dict(wire.headers)),
        f"{addresses.SIGNING_QUEUE}.svcB",
    )
    answered = is_result("sign", signed.request.request_id)
    assert await stranger.recording.count(answered, 1, QUIET_S) == []


async def test_a_header_that_contradicts_the_body_is_not_served(
    key: CertifiedKey, stranger: Adversary
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id)
    wire = request_wire(signed)
    for headers in ({"client_id": "svcB"}, {"request_id": "another"}, {"operation": "keygen"}):
        await stranger.publish(replace(wire, headers={**wire.headers, **headers}))
    await stranger.publish(replace(wire, message_id="another"))
    answered = is_result("sign", signed.request.request_id)
    heard = await stranger.recording.count(answered, 1, QUIET_S)
    assert [json.loads(each.body)["status"] for each in heard] == []
