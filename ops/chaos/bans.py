"""Who has come to distrust whom, and how an operator ends that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ops.stack.deployment import Deployment
from workers.settings import PartySettings
from workers.store.interface import PartyStore

from .facts import Accusation

_QUARRELS = "SELECT DISTINCT accuser, accused FROM quarrels"


async def accusations(deployment: Deployment) -> set[Accusation]:
    """The parties' bans, and the quarrels that the coordinator has heard of."""
    found = set()
    for party_id in deployment.plan.party_ids:
        async with _store(deployment, party_id) as store:
            found |= {Accusation(party_id, ban.party_id) for ban in await store.bans()}
    connection = await asyncpg.connect(deployment.database_urls["coordinator"])
    try:
        rows = await connection.fetch(_QUARRELS)
    finally:
        await connection.close()
    return found | {Accusation(row["accuser"], row["accused"]) for row in rows}


async def lift_all(deployment: Deployment) -> None:
    """As `warren party bans --lift` does."""
    for party_id in deployment.plan.party_ids:
        async with _store(deployment, party_id) as store:
            for ban in await store.bans():
                await store.lift_ban(ban.party_id)


@asynccontextmanager
async def _store(deployment: Deployment, party_id: str) -> AsyncIterator[PartyStore]:
    settings = PartySettings.load(deployment.directory / f"{party_id}.toml")
    async with settings.opened() as store:
        yield store
