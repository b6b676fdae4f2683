"""A cancel that is faster than its request."""

from __future__ import annotations

import asyncio
import json

from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey

from . import asking
from .adversary import QUIET_S, Adversary, is_result

TIMES = 30


async def test_a_cancel_in_the_moment_of_its_request_is_kept_or_comes_too_late(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """Nobody attacks here: haste is enough."""

    async def one() -> tuple[str, object]:
        signed = asking.sign(stranger.client_settings(), key.facts.key_id)
        await stranger.request(signed)
        try:
            told: object = await victim.cancel(signed.request.request_id)
        except ClientError as error:
            told = error
        return signed.request.request_id, told

    answers = [await one() for _ in range(TIMES)]
    await asyncio.sleep(QUIET_S)
    wrong = []
    for request_id, told in answers:
        signed = any(
            json.loads(wire.body)["status"] == "completed"
            for wire in stranger.recording.all(is_result("sign", request_id))
        )
        knew = str(getattr(told, "target_status", told)) == "completed"
        if signed != knew:
            wrong.append((request_id, signed, told))
    assert wrong == []
