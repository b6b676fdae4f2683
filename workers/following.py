"""Whom a worker knows: by its configuration and, where operators are pinned there, by their
lists."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faststream.rabbit import RabbitBroker

from contracts import addresses
from contracts.client_list import ClientList, KnownClients
from contracts.confirming import AWAY, answered
from contracts.numbered_lists import NumberedList
from contracts.party_list import KnownParties, PartyList

from .delivery.consuming import subscribe_log
from .delivery.lists import BEHIND_S, ListFollower, UnusableListError, catch_up
from .patience import patiently
from .session.peers import Peer
from .settings import CoordinatorSettings, PartySettings
from .store.floors import Floor
from .store.interface import CoordinatorStore, PartyStore, StoreUnavailableError

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
"""For the rest of a list that was known here before."""


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a worker knows at each moment."""

    clients: KnownClients
    parties: KnownParties


@dataclass(frozen=True, slots=True)
class Followed(Known):
    """
    Attributes:
        of_clients, of_parties: None where nobody is pinned who could sign a list: then there is
            none.
    """

    of_clients: ListFollower | None = None
    of_parties: ListFollower | None = None

    @property
    def followers(self) -> tuple[ListFollower, ...]:
        both = (self.of_clients, self.of_parties)
        return tuple(follower for follower in both if follower is not None)

    def listen(self, broker: RabbitBroker) -> None:
        """Hear what is said from now on, once the broker is started."""
        if self.followers:
            subscribe_log(broker, addresses.LISTS_QUEUE, self._hear)

    async def _hear(self, name: str, body: bytes) -> None:
        for follower in self.followers:
            await follower.hear_patiently(name, body)

    def when_clients_change(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Arguments: tell: Called after each change."""
        if self.of_clients is not None:
            self.of_clients.changed = tell

    async def look(self) -> None:
        """At what others have stored, which may have heard more."""
        for follower in self.followers:
            await follower.load()


async def of_party(settings: PartySettings, store: PartyStore, url: str) -> Followed:
    """Raises as `_followed` does."""
    return await _followed(_partys(settings, store), url, pinned=bool(settings.list_operators))


async def stored_of_party(settings: PartySettings, store: PartyStore) -> Known:
    """As far as the party's processes have heard, for whoever has no broker. Raises
    UnusableListError, or StoreUnavailableError."""
    followed = _partys(settings, store)
    for follower in followed.followers:
        await follower.load()
        follower.require_reached()
    return followed


async def stored_parties(settings: PartySettings, store: PartyStore) -> Mapping[str, Peer]:
    """Who is and was a party, as far as the party's processes have heard and stored: to check what
    was certified. Raises StoreUnavailableError."""
    followed = _partys(settings, store)
    if not settings.list_operators or followed.of_parties is None:
        return settings.peers
    try:
        await followed.of_parties.load()
    except UnusableListError as error:
        logger.warning("the list of parties is not used to its end", extra={"reason": str(error)})
    return followed.parties


def _partys(settings: PartySettings, store: PartyStore) -> Followed:
    clients, parties = ClientList(settings.list_operators), PartyList(settings.list_operators)
    # What the coordinator let in a moment ago is still on its way to us.
    lenience_ms = 2 * int(settings.limits.clock_tolerance_seconds * 1000)

    def follower(listed: NumberedList[Any]) -> ListFollower:
        floor = Floor(_beside(settings.incarnation_file, listed.name))
        return ListFollower(store, listed, floor)

    return Followed(
        KnownClients(settings.clients, clients, lenience_ms=lenience_ms),
        KnownParties(settings.peers, parties, lenience_ms=lenience_ms),
        follower(clients),
        follower(parties),
    )


async def of_coordinator(
    settings: CoordinatorSettings, store: CoordinatorStore, url: str
) -> Followed:
    """Raises as `_followed` does."""
    clients, parties = ClientList(settings.list_operators), PartyList(settings.list_operators)
    # What a party has signed by a key that is over meanwhile is still on its way to us.
    lenience_ms = 2 * int(settings.limits.clock_tolerance_seconds * 1000)
    followed = Followed(
        KnownClients(settings.clients, clients),
        KnownParties(settings.parties, parties, lenience_ms=lenience_ms),
        ListFollower(store, clients),
        ListFollower(store, parties),
    )
    return await _followed(followed, url, pinned=bool(settings.list_operators))


async def _followed(followed: Followed, url: str, *, pinned: bool) -> Followed:
    """Up to what was said so far.

    Raises:
        UnusableListError: What is stored does not check out, or more was known here before.
        TopologyError, ForbiddenError: The stream is missing, or not to be read by us.
    """
    async for attempt in patiently(StoreUnavailableError):
        with attempt:
            await followed.look()
    if not pinned:
        return Followed(followed.clients, followed.parties)
    give_up = time.monotonic() + PATIENCE_S
    while True:
        async for attempt in patiently(*AWAY, StoreUnavailableError):
            with attempt:
                async with answered():
                    await catch_up(url, *followed.followers)
        try:
            for follower in followed.followers:
                follower.require_reached()
        except UnusableListError:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(BEHIND_S)
        else:
            return followed


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name}")
