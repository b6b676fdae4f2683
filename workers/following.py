"""Whom a worker knows: by its configuration and, where operators are pinned there, by their
list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faststream.rabbit import RabbitBroker

from contracts import addresses
from contracts.client_list import ClientList, KnownClients
from contracts.confirming import AWAY, answered

from .delivery.consuming import subscribe_log
from .delivery.lists import BEHIND_S, ListFollower, UnusableListError
from .patience import patiently
from .settings import CoordinatorSettings, PartySettings
from .store.floors import Floor
from .store.interface import CoordinatorStore, PartyStore, StoreUnavailableError

PATIENCE_S: Final = 60.0
"""For the rest of a list that was known here before."""


@dataclass(frozen=True, slots=True)
class Followed:
    """
    Attributes:
        follower: None where nobody is pinned who could sign a list: then there is none.
    """

    clients: KnownClients
    follower: ListFollower | None

    def listen(self, broker: RabbitBroker) -> None:
        """Hear what is said from now on, once the broker is started."""
        if self.follower is not None:
            subscribe_log(broker, addresses.LISTS_QUEUE, self.follower.hear_patiently)

    def when_changed(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Arguments: tell: Called after each change."""
        if self.follower is not None:
            self.follower.changed = tell

    async def look(self) -> None:
        """At what others have stored, which may have heard more."""
        if self.follower is not None:
            await self.follower.load()


async def of_party(settings: PartySettings, store: PartyStore, url: str) -> Followed:
    """Raises as `_followed` does."""
    known, follower = _partys(settings, store)
    return await _followed(known, follower, url, pinned=bool(settings.list_operators))


async def stored_of_party(settings: PartySettings, store: PartyStore) -> KnownClients:
    """As far as the party's processes have heard, for whoever has no broker. Raises
    UnusableListError, or StoreUnavailableError."""
    known, follower = _partys(settings, store)
    await follower.load()
    follower.require_reached()
    return known


def _partys(settings: PartySettings, store: PartyStore) -> tuple[KnownClients, ListFollower]:
    listed = ClientList(settings.list_operators)
    floor = Floor(_beside(settings.incarnation_file, listed.name))
    # What the coordinator let in a moment ago is still on its way to us.
    lenience_ms = 2 * int(settings.limits.clock_tolerance_seconds * 1000)
    known = KnownClients(settings.clients, listed, lenience_ms=lenience_ms)
    return known, ListFollower(store, listed, floor)


async def of_coordinator(
    settings: CoordinatorSettings, store: CoordinatorStore, url: str
) -> Followed:
    """Raises as `_followed` does."""
    listed = ClientList(settings.list_operators)
    known = KnownClients(settings.clients, listed)
    follower = ListFollower(store, listed)
    return await _followed(known, follower, url, pinned=bool(settings.list_operators))


async def _followed(
    clients: KnownClients, follower: ListFollower, url: str, *, pinned: bool
) -> Followed:
    """Up to what was said so far.

    Raises:
        UnusableListError: What is stored does not check out, or more was known here before.
        TopologyError, ForbiddenError: The stream is missing, or not to be read by us.
    """
    async for attempt in patiently(StoreUnavailableError):
        with attempt:
            await follower.load()
    if not pinned:
        return Followed(clients, None)
    give_up = time.monotonic() + PATIENCE_S
    while True:
        async for attempt in patiently(*AWAY, StoreUnavailableError):
            with attempt:
                async with answered():
                    await follower.catch_up(url)
        try:
            follower.require_reached()
        except UnusableListError:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(BEHIND_S)
        else:
            return Followed(clients, follower)


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name}")
