"""A whole Warren that is looked at, and what a fault may lay its hands on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import asyncpg
import httpx

import topology
from contracts.connecting import connect
from ops.stack.deployment import Deployment
from tests.system.field.brokers import Broker
from topology.apply import apply
from topology.broker import Broker as AtBroker
from topology.management import Management

OLD, LATE = "party-1", "party-3"
CLIENT, IDLE = "svcA", "svcB"
KEPT = 20
"""Messages that a queue of results takes, by the overlay."""
OVERLAY = f"policies:\n  warren-results:\n    definition:\n      max-length: {KEPT}\n"


@dataclass
class Ward:
    """What is looked at, and what a fault may lay its hands on.

    Attributes:
        files: Those that doctor is given, by whose they are.
        full: Whether all disks are.
        back_up: Of all parties.
    """

    crew: Deployment
    broker: Broker
    files: dict[str, Path]
    back_up: Callable[[], None]
    full: bool = False

    @property
    def directory(self) -> Path:
        return self.crew.directory

    def secrets(self) -> Iterator[str]:
        """That must stand in no report."""
        for url in (*self.crew.amqp_urls.values(), *self.crew.database_urls.values()):
            if password := urlsplit(url).password:
                yield unquote(password)
        for file in self.directory.glob("*.master"):
            yield file.read_text().split('"')[1]
        for file in self.directory.glob("*.key"):
            yield file.read_text().strip()

    async def manage(self, method: str, path: str, *names: str, body: object = None) -> None:
        parts = urlsplit(self.crew.services.management_url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        auth = (unquote(parts.username or ""), unquote(parts.password or ""))
        quoted = (quote(name, safe="") for name in (self.crew.vhost, *names))
        async with httpx.AsyncClient(base_url=bare, auth=auth, timeout=30) as http:
            answer = await http.request(method, f"/api/{path.format(*quoted)}", json=body)
        answer.raise_for_status()

    async def apply(self) -> None:
        overlays = [self.directory / "overlay.yaml"]
        members, vhost = self.crew.plan.members, self.crew.vhost
        wanted = topology.declared(members, overlays=overlays, vhost=vhost)
        async with Management(self.crew.services.management_url) as management:
            at = AtBroker(management, vhost=vhost)
            found = await at.found(user.name for user in wanted.users)
            await apply(topology.difference(wanted, found), at)

    async def execute(self, owner: str, *statements: str) -> Any:
        """In the database of a party or the coordinator; what the last one returns."""
        url = self.crew.database_urls[owner]
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
                rows = [file.execute(statement).fetchone() for statement in statements]
            return None if rows[-1] is None else rows[-1][0]
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def publish(self, queue: str, count: int = 1) -> None:
        async with await connect(self.crew.amqp_url) as connection:
            channel = await connection.channel()
            for _ in range(count):
                await channel.default_exchange.publish(aio_pika.Message(b"{}"), queue)

    async def purge(self, queue: str) -> None:
        await self.manage("DELETE", "queues/{}/{}/contents", queue)
