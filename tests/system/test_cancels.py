"""Requests cancelled in the moment in which they are made, through the whole of Warren."""

from __future__ import annotations

import asyncio
import os
import secrets

from contracts.client import Client, RequestFailedError, Settlement
from contracts.failures import FailureCode
from contracts.primitives import Scheme, Status

TIMES = int(os.environ.get("WARREN_CANCELS", "50"))
"""Set it to 1000 where it is to be made sure."""
AT_ONCE = 50
"""More would wait in the queues for longer than a cancel lives, and show nothing else."""
CANCELLED_BEFORE = 5
"""Requests among them whose cancel was answered before they were made."""


async def failure(client: Client, key_id: str, name: str) -> FailureCode | None:
    """Of a request of this id. None: it is signed."""
    try:
        await client.sign(key_id, message=name.encode(), scheme=Scheme.ED25519, request_id=name)
    except RequestFailedError as error:
        return error.failure.code
    return None


async def at_once(client: Client, key_id: str) -> tuple[FailureCode | None, Settlement]:
    """How a request ends whose cancel was sent with it."""
    name = secrets.token_hex(8)
    signing = asyncio.create_task(failure(client, key_id, name))
    await asyncio.sleep(0)
    settlement = await client.cancel(name)
    return await signing, settlement


async def cancelled_before(client: Client, key_id: str) -> tuple[FailureCode | None, Settlement]:
    name = secrets.token_hex(8)
    early = await client.cancel(name)
    assert (early.target_status, early.final) == (None, False)  # of what, nobody has said
    return await failure(client, key_id, name), await client.cancel(name)


async def test_what_is_cancelled_at_once_is_never_final_and_signed(
    client: Client, key_id: str
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> tuple[FailureCode | None, Settlement]:
        async with turns:
            return await at_once(client, key_id)

    # A busy machine may sign each before it hears of its cancel: none of these has to be final.
    ends = await asyncio.gather(
        *(one() for _ in range(TIMES)),
        *(cancelled_before(client, key_id) for _ in range(CANCELLED_BEFORE)),
    )
    for code, settlement in ends:
        assert code in {None, FailureCode.CANCELLED}
        assert (code is None) == (settlement.target_status is Status.COMPLETED)
        if settlement.final:
            assert code is FailureCode.CANCELLED
    assert all(settlement.final for _, settlement in ends[TIMES:])
    assert {settlement.liars_tolerated for _, settlement in ends[TIMES:]} == {1}
