"""A cancel that is faster than its request."""

from __future__ import annotations

import asyncio

from contracts.client import Client, Settlement
from contracts.keys import CertifiedKey
from contracts.primitives import Status

from . import asking
from .adversary import Adversary, is_result

TIMES = 30


async def test_a_cancel_in_the_moment_of_its_request_is_kept_or_comes_too_late(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """Nobody attacks here: haste is enough."""

    async def one() -> tuple[str, Settlement]:
        signed = asking.sign(stranger.client_settings(), key.facts.key_id)
        await stranger.request(signed)
        return signed.request.request_id, await victim.cancel(
            signed.request.request_id,
            key_id=key.facts.key_id,
            issued_at=signed.request.issued_at,
        )

    for request_id, told in await asyncio.gather(*(one() for _ in range(TIMES))):
        (ended,) = await stranger.recording.count(is_result("sign", request_id), 1, 20)
        assert ended.json()["status"] in {"cancelled", "completed"}
        completed = ended.json()["status"] == "completed"
        assert completed == (told.target_status is Status.COMPLETED)
        assert not (told.final and completed)


async def test_a_cancel_before_its_request_is_kept(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    signed = asking.sign(stranger.client_settings(), key.facts.key_id)
    request_id = signed.request.request_id
    told = await victim.cancel(
        request_id, key_id=key.facts.key_id, issued_at=signed.request.issued_at
    )
    assert (told.target_status, told.final) == (None, True)
    await stranger.request(signed)
    ended = await stranger.recording.first(is_result("sign", request_id))
    assert ended.json()["status"] == "cancelled"
