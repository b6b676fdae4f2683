"""Whether what a worker depends on can be worked with, and not only whether it is there.

Each function is a check for `health`.
"""

from __future__ import annotations

from faststream.rabbit import RabbitBroker

from .delivery.client_queues import ClientQueues
from .delivery.consuming import not_consumed
from .delivery.publisher import Publisher
from .health import NotAbleError
from .store.interface import (
    PoolerError,
    ReadOnlyError,
    SchemaError,
    SessionStore,
    TlsRefusedError,
)

PATIENCE_S = 1.0


async def database(store: SessionStore) -> None:
    """It answers, has the schema that we need, and takes changes."""
    try:
        await store.require_able()
    except (SchemaError, PoolerError, TlsRefusedError) as error:
        raise NotAbleError(str(error)) from None
    except ReadOnlyError:
        raise NotAbleError(
            "the database is read-only: a standby, or made so by somebody; where the address names "
            "several hosts, give it target_session_attrs=read-write"
        ) from None


async def broker(broker: RabbitBroker, publisher: Publisher, *, knocks: bool) -> None:
    """Both connections are up, as far as this side knows, and the broker takes what we publish.

    Arguments:
        knocks: Publish something, for a worker that may have nothing to publish for long.
    """
    if not await broker.ping(PATIENCE_S):
        raise ConnectionError("the consuming connection is down")
    if not publisher.connected:
        raise ConnectionError("the publishing connection is down")
    _require_open(publisher)
    if knocks:
        try:
            await publisher.knock()
        finally:
            _require_open(publisher)


async def consumers(broker: RabbitBroker, own: ClientQueues | None = None) -> None:
    """Each of our queues is there and consumed.

    Arguments:
        own: Those of clients.
    """
    missing = await not_consumed(broker)
    if own is not None:
        missing += await own.missing()
    if missing := sorted(missing):
        raise NotAbleError(
            f"not consumed: {', '.join(missing)}. If a queue is missing, apply the topology: "
            "`warren topology apply`"
        )


def _require_open(publisher: Publisher) -> None:
    if publisher.blocked is not None:
        raise NotAbleError(
            f"the broker takes no messages ({publisher.blocked}): see its memory and disk alarms"
        )
