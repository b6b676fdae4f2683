"""One client's requests in the queue of another, past the bindings."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import aio_pika
import pytest

from contracts import addresses
from contracts.keys import CertifiedKey
from contracts.signing import SignedRequest

from . import asking
from .adversary import Adversary, is_dead, is_result, request_wire

OTHER = addresses.request_key("sign", "svcB")
ELSEWHERE = "mpc.zzz_request.svcA"
"""A key that a client without other rights may write, and that leads to none of its queues."""


def another(adversary: Adversary, key: CertifiedKey) -> SignedRequest:
    return asking.sign(adversary.client_settings(), key.facts.key_id)


async def refused(adversary: Adversary, signed: SignedRequest, *words: str) -> None:
    """A dead letter says why, and the same request in its own queue is served afterwards: it was
    right in all but the way that it came."""
    letter = await adversary.recording.first(is_dead(*words))
    assert letter.body == signed.body
    answered = is_result("sign", signed.request.request_id)
    assert await adversary.until_now(answered) == []
    await adversary.request(signed)
    assert (await adversary.recording.first(answered)).json()["status"] == "completed"


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_a_copy_in_anothers_queue_is_not_served(
    key: CertifiedKey, stranger: Adversary, header: str
) -> None:
    signed = another(stranger, key)
    wire = request_wire(signed)
    # The copy alone, or nobody could tell which of the two was served.
    async with stranger.holding_requests("svcA", "sign"):
        await stranger.publish(replace(wire, headers={**wire.headers, header: [OTHER]}))
        await stranger.recording.first(is_dead("is not where client 'svcA' asks"))
    await refused(stranger, signed, "is not where client 'svcA' asks", "CC and BCC lead nowhere")


@pytest.mark.parametrize("header", ["CC", "BCC"])
async def test_a_key_that_leads_nowhere_leads_nowhere_with_a_copy(
    key: CertifiedKey, stranger: Adversary, header: str
) -> None:
    signed = another(stranger, key)
    wire = request_wire(signed)
    with contextlib.suppress(aio_pika.exceptions.PublishError):
        await stranger.publish(
            replace(wire, routing_key=ELSEWHERE, headers={**wire.headers, header: [OTHER]})
        )
    await refused(stranger, signed, f"routing key '{ELSEWHERE}' contradicts")


async def test_what_is_put_straight_into_anothers_queue_is_not_served(
    key: CertifiedKey, stranger: Adversary
) -> None:
    signed = another(stranger, key)
    wire = request_wire(signed)
    await stranger.channel.default_exchange.publish(
        aio_pika.Message(wire.body, message_id=wire.message_id, headers=dict(wire.headers)),
        addresses.request_queue("sign", "svcB"),
    )
    await refused(stranger, signed, "routing key", "contradicts operation 'sign'")


async def test_another_lane_of_ones_own_is_none_of_the_others(
    key: CertifiedKey, stranger: Adversary
) -> None:
    """Signatures among the cancellations, which everybody would have to wait for."""
    signed = another(stranger, key)
    wire = request_wire(signed)
    lane = addresses.request_key("cancel", "svcA")
    async with stranger.holding_requests("svcA", "sign"):
        await stranger.publish(replace(wire, headers={**wire.headers, "CC": [lane]}))
        await stranger.recording.first(is_dead("is not where client 'svcA' asks"))
    await refused(stranger, signed, "is not where client 'svcA' asks")


@pytest.mark.parametrize(
    "claim", [{"client_id": "svcB"}, {"request_id": "another"}, {"operation": "keygen"}]
)
async def test_a_header_that_contradicts_the_body_is_not_served(
    key: CertifiedKey, stranger: Adversary, claim: dict[str, str]
) -> None:
    signed = another(stranger, key)
    wire = request_wire(signed)
    await stranger.publish(replace(wire, headers={**wire.headers, **claim}))
    (name,) = claim
    await refused(stranger, signed, f"header '{name}' contradicts the body")


async def test_a_message_id_that_contradicts_the_body_is_not_served(
    key: CertifiedKey, stranger: Adversary
) -> None:
    signed = another(stranger, key)
    await stranger.publish(replace(request_wire(signed), message_id="another"))
    await refused(stranger, signed, "message_id must be the request id")
