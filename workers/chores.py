"""What a worker does again and again beside its deliveries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from . import metrics
from .delivery.publisher import PublishError
from .settings import PartyLimits
from .store.interface import PartyStore, SessionStore, StoreUnavailableError

logger = logging.getLogger(__name__)


async def every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    """Repeat a chore; while store or broker are away, ever more slowly."""
    pause = seconds
    while True:
        try:
            await chore()
            pause = seconds
        except (StoreUnavailableError, PublishError) as error:
            pause = min(2 * pause, max(seconds, 10.0))
            metrics.CHORES_PUT_OFF.labels(chore.__name__).inc()
            logger.warning("chore put off", extra={"reason": str(error)})
        except Exception:
            # Whatever it is: a chore that ended would be done by nobody any more.
            pause = min(2 * pause, max(seconds, 10.0))
            metrics.CHORES_PUT_OFF.labels(chore.__name__).inc()
            logger.exception("chore failed")
        await asyncio.sleep(pause)


async def for_each(work: Callable[[bytes], Awaitable[None]], sessions: Iterable[bytes]) -> None:
    """One session that cannot be worked on must not keep the others behind it from it."""
    for session_id in sessions:
        try:
            await work(session_id)
        except (StoreUnavailableError, PublishError):
            raise
        except Exception:
            logger.exception("session put off", extra={"session_id": session_id.hex()})


async def forget(store: SessionStore, retention_seconds: float) -> None:
    """By the clock that says when sessions end: a process whose own is ahead would forget those
    whose requests live."""
    ended_before = await store.now() - int(retention_seconds * 1000)
    while await store.purge(ended_before=ended_before):
        pass


async def forget_requests(store: PartyStore, limits: PartyLimits) -> None:
    """By the store's clock too: what a cancellation forbids is refused by it for its age, in the
    transaction that would commit it, before the cancellation goes.

    Answers stay longer than statements look back, for workers whose clock is behind.
    """
    now, kept_seconds = await store.now(), limits.statements_seconds
    answered_before = now - int((kept_seconds + limits.clock_tolerance_seconds) * 1000)
    while await store.purge_answers(before=answered_before):
        pass
    await store.purge_cancellations(before=now)
