"""Pools as a measurement wants them: full before it begins, or never full while it lasts."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable

from contracts.client import Client
from contracts.primitives import Curve, Scheme
from ops.stack.errors import StackError

from .load import Operation
from .stock import Stock
from .work import DIGEST_BYTES, Work, make_key

POLL_S = 0.05
IDLE_S = 5.0
"""Time for a coordinator to begin a batch that is wanted."""


class FillError(StackError):
    """The presignatures that were wanted are not made."""


async def key_in_use(client: Client, work: Work) -> bytes:
    """Make a key that can sign ECDSA, and sign once: a pool that nobody uses is not filled."""
    facts = (await make_key(client, work, Curve.SECP256K1)).facts
    digest = secrets.token_bytes(DIGEST_BYTES)
    await client.sign(facts.key_id, message=digest, scheme=Scheme.ECDSA)
    return facts.session_id


async def prime(operate: Operation) -> None:
    """Use the pool once, for the same reason. Raises FillError."""
    failure = await operate()
    if failure is not None:
        raise FillError(f"The first request, which the pool is filled for, failed: {failure}.")


async def fill(
    stock: Stock,
    key_session: bytes,
    wanted: int,
    *,
    filled: Callable[[int], None] = lambda _: None,
    idle_s: float = IDLE_S,
) -> None:
    """Wait until so many are in stock and no more in the making.

    Arguments:
        filled: Called with the stock as it grows.

    Raises:
        FillError: nothing was in the making for `idle_s`, and there were not enough.
    """
    busy_at = time.monotonic()
    while True:
        level = await stock.level(key_session)
        filled(level.stock)
        if level.making:
            busy_at = time.monotonic()
        elif level.stock >= wanted:
            return
        elif time.monotonic() - busy_at > idle_s:
            raise FillError(
                f"The pool has {level.stock} presignatures of {wanted}, "
                "and no more are being made; the workers' logs may say why."
            )
        await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def refilling(
    client: Client, stock: Stock, work: Work, *, idle_s: float = IDLE_S
) -> AsyncGenerator[bytes, None]:
    """Keep a stack at filling another key's pool, by throwing away whatever it made.

    Yields the key's session, once its first batch is in the making.

    Raises:
        FillError: that took longer than `idle_s`.
    """
    key_session = await key_in_use(client, work)

    async def keep_empty() -> None:
        while True:
            await stock.empty(key_session)
            await asyncio.sleep(POLL_S)

    emptying = asyncio.create_task(keep_empty())
    try:
        await _begun(stock, key_session, idle_s)
        yield key_session
        if emptying.done():
            emptying.result()
    finally:
        emptying.cancel()
        await asyncio.gather(emptying, return_exceptions=True)


async def _begun(stock: Stock, key_session: bytes, idle_s: float) -> None:
    for _ in range(1 + round(idle_s / POLL_S)):
        if (await stock.level(key_session)).making:
            return
        await asyncio.sleep(POLL_S)
    raise FillError("No presignatures are being made for the other key.")
