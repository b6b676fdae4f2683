"""Whether a worker could work: what is wrong is said as who looks after it has to hear it."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

import pytest

import topology
from ops.chaos.wires import Wire
from ops.stack.services import Services
from tests.patience import until
from workers import abilities
from workers.delivery.consuming import make_broker
from workers.delivery.publisher import Publisher
from workers.health import NotAbleError
from workers.store.interface import (
    PoolerError,
    ReadOnlyError,
    SchemaError,
    SessionStore,
    StoreUnavailableError,
    TlsRefusedError,
)


class Unable:
    """A store that cannot be worked with."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def require_able(self) -> None:
        raise self._error


async def ask(error: Exception) -> None:
    await abilities.database(cast("SessionStore", Unable(error)))


@pytest.mark.parametrize("kind", [SchemaError, PoolerError, TlsRefusedError])
async def test_what_somebody_has_to_change_at_the_database_is_told_in_its_own_words(
    kind: type[Exception],
) -> None:
    with pytest.raises(NotAbleError, match=r"^do this$"):
        await ask(kind("do this"))


async def test_a_read_only_database_is_told_with_what_to_do() -> None:
    with pytest.raises(NotAbleError, match="target_session_attrs=read-write"):
        await ask(ReadOnlyError("standby"))


async def test_a_database_that_is_away_is_no_matter_of_what_it_can_do() -> None:
    with pytest.raises(StoreUnavailableError, match="away"):
        await ask(StoreUnavailableError("away"))


@pytest.fixture
async def applied(services: Services, vhost: str) -> str:
    members = topology.Members(parties=("party-1",))
    name = urlsplit(vhost).path[1:]
    await topology.apply_all(services.management_url, members=members, vhost=name)
    return vhost


@pytest.mark.parametrize("knocks", [False, True])
async def test_both_connections_have_to_be_up(applied: str, *, knocks: bool) -> None:
    async with (
        Wire(applied) as consuming,
        Wire(applied) as publishing,
        make_broker(consuming.url) as broker,
        Publisher(publishing.url, name="test") as publisher,
    ):
        await abilities.broker(broker, publisher, knocks=knocks)

        await publishing.cut()
        await until(lambda: not publisher.connected)
        with pytest.raises(ConnectionError, match="the publishing connection is down"):
            await abilities.broker(broker, publisher, knocks=knocks)

        await consuming.cut()
        await until(lambda: not broker.connection.connected.is_set())
        with pytest.raises(ConnectionError, match="the consuming connection is down"):
            await abilities.broker(broker, publisher, knocks=knocks)

        await publishing.mend()
        await consuming.mend()
        await until(lambda: publisher.connected and broker.connection.connected.is_set())
        await abilities.broker(broker, publisher, knocks=knocks)


async def test_a_worker_without_queues_misses_none(applied: str) -> None:
    async with make_broker(applied) as broker:
        await abilities.consumers(broker)
