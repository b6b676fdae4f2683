"""Who starts while broker or database come up waits for them, whatever they say meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity

from contracts import list_log
from contracts.list_log import Logged
from contracts.numbered_lists import ListOperator
from tests.workers.delivery.test_absence import UNREACHABLE
from tests.workers.delivery.test_following_lists import say
from tests.workers.delivery.test_lists import OPERATOR, Store, entries
from tests.workers.examples_of_settings import coordinator_file
from workers import following, patience
from workers.delivery.publisher import TopologyError
from workers.settings import CoordinatorSettings
from workers.store.interface import CoordinatorStore, StoreUnavailableError

pytestmark = pytest.mark.system


async def followed(folder: Path, store: Store, url: str) -> following.Followed:
    settings = dataclasses.replace(
        CoordinatorSettings.load(coordinator_file(folder)),
        list_operators=(ListOperator(OPERATOR.public),),
    )
    return await following.of_coordinator(settings, cast("CoordinatorStore", store), url)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_S", 0.1)


@pytest.mark.parametrize(
    "trouble",
    [
        ChannelNotFoundEntity(UNREACHABLE[0]),
        ChannelInvalidStateError("it went away"),
        ConnectionResetError("it went away"),
        StoreUnavailableError("starting"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_a_list_is_read_once_it_can_be(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    await say(broker, *entries(2))
    troubles, read = [trouble] * 3, list_log.read

    async def reads(connection: AbstractConnection) -> AsyncGenerator[Logged]:
        if troubles:
            raise troubles.pop()
        async for logged in read(connection):
            yield logged

    monkeypatch.setattr(list_log, "read", reads)
    known = await followed(tmp_path, Store(), broker)
    assert known.of_clients is not None
    assert (known.of_clients.number, troubles) == (2, [])


async def test_a_list_that_is_not_there_is_told_at_once(vhost: str, tmp_path: Path) -> None:
    with pytest.raises(TopologyError):
        await followed(tmp_path, Store(), vhost)


async def test_patience_ends(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    store = Store()
    store.away = 10_000
    await say(broker, *entries(1))
    with pytest.raises(StoreUnavailableError):
        await followed(tmp_path, store, broker)
