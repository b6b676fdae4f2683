"""Requests cancelled in the moment in which they are made, through the whole of Warren."""

from __future__ import annotations

import asyncio
import os
import secrets

import pytest

from contracts.client import Client, RequestFailedError, Settlement
from contracts.failures import FailureCode
from contracts.primitives import Scheme, Status
from contracts.results import SignResult

TIMES = int(os.environ.get("WARREN_CANCELS", "50"))
"""Set it to 1000 where it is to be made sure."""
AT_ONCE = 50
"""More would wait in the queues for longer than a cancel lives, and show nothing else."""


async def at_once(client: Client, key_id: str) -> tuple[FailureCode | None, Settlement]:
    """How a request ends whose cancel was sent with it; None: with a signature."""
    name = secrets.token_hex(8)

    async def sign() -> SignResult:
        return await client.sign(
            key_id, message=name.encode(), scheme=Scheme.ED25519, request_id=name
        )

    signing = asyncio.create_task(sign())
    await asyncio.sleep(0)
    settlement = await client.cancel(name)
    try:
        await signing
    except RequestFailedError as error:
        return error.failure.code, settlement
    return None, settlement


async def test_what_is_cancelled_at_once_is_never_final_and_signed(
    client: Client, key_id: str
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> tuple[FailureCode | None, Settlement]:
        async with turns:
            return await at_once(client, key_id)

    ends = await asyncio.gather(*(one() for _ in range(TIMES)))
    for code, settlement in ends:
        assert code in {None, FailureCode.CANCELLED}
        assert (code is None) == (settlement.target_status is Status.COMPLETED)
        if settlement.final:
            assert code is FailureCode.CANCELLED
    assert any(settlement.final for _, settlement in ends)


async def test_a_cancel_before_its_request_is_final_at_once(client: Client, key_id: str) -> None:
    name = secrets.token_hex(8)
    early = await client.cancel(name)
    assert (early.target_status, early.final) == (None, False)  # of what, nobody has said
    with pytest.raises(RequestFailedError) as caught:
        await client.sign(key_id, message=b"late", scheme=Scheme.ED25519, request_id=name)
    assert caught.value.failure.code is FailureCode.CANCELLED
    again = await client.cancel(name)
    assert (again.target_status, again.liars_tolerated) == (Status.CANCELLED, 1)
    assert again.final
