"""The parties as a client knows them: by its settings and, where operators are pinned there, by the
list of parties, which it follows while it is connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Final

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from .. import addresses, list_log
from ..confirming import AWAY, answered
from ..connecting import connect
from ..list_following import FollowedList
from ..party_list import KnownParties, PartyList
from ..peers import Certifying, Peer, Speaking, identities
from .errors import BrokerUnavailableError, TopologyError
from .settings import ClientSettings

LENIENCE_MS: Final = 60_000
"""For so long what a party said by a key that has ended is still on its way to us."""


@contextlib.asynccontextmanager
async def followed(settings: ClientSettings) -> AsyncGenerator[ClientSettings]:
    """The same settings, with parties as the list has them at each moment.

    Raises TopologyError, BrokerUnavailableError, and ListFileError.
    """
    if not settings.list_operators:
        yield settings
        return
    listed = PartyList(settings.list_operators)
    base = {}
    for party_id, pinned in settings.parties.items():
        first, *others = identities(pinned)
        base[party_id] = Peer(0, first, others=tuple(others))
    parties = KnownParties(base, listed, lenience_ms=LENIENCE_MS)
    follows = FollowedList(listed, settings.party_list_file, changed=lambda: None)
    follows.load()
    await _catch_up(settings.amqp_url, follows)
    task = asyncio.create_task(
        list_log.follow(settings.amqp_url, follows.hear), name="list of parties"
    )
    try:
        yield replace(settings, parties=Certifying(parties), speaking=Speaking(parties))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _catch_up(url: str, follows: FollowedList[Any]) -> None:
    try:
        async with (
            await connect(url) as connection,
            answered(),
            contextlib.aclosing(list_log.read(connection)) as said,
        ):
            async for logged in said:
                follows.hear(logged)
    except (ChannelAccessRefused, ChannelNotFoundEntity) as error:
        raise TopologyError(
            f"the list of parties cannot be followed: {addresses.LISTS_QUEUE} is not there, or not "
            f"to be read by us ({error}); `warren topology apply` makes both so"
        ) from None
    except AWAY as error:
        raise BrokerUnavailableError(f"cannot follow the list of parties: {error}") from None
