"""Connections that come back at another host of the cluster.

aio-pika and faststream come back by themselves, but know only one address each, and would wait for
the host that is gone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aio_pika import RobustConnection
from faststream.rabbit import RabbitBroker
from yarl import URL

from contracts.frames import TolerantConnection
from contracts.hosts import Hosts


def roaming(hosts: Hosts) -> type[RobustConnection]:
    """A class of connections; to be used for one at a time."""

    class RoamingConnection(TolerantConnection, RobustConnection):
        async def _on_connection_close(self, closing: asyncio.Future[Any]) -> None:
            """Called once for each connection that was lost and each attempt that failed."""
            hosts.go_on()
            self.url = hosts.here(self.url)
            await super()._on_connection_close(closing)

    return RoamingConnection


class RoamingBroker(RabbitBroker):
    def __init__(self, hosts: Hosts, **options: Any) -> None:
        super().__init__(str(hosts.current), **options)
        self._hosts = hosts

    @property
    def connection(self) -> RobustConnection:
        """The one that is consumed on, once it was made."""
        assert self._connection is not None
        return self._connection

    async def _connect(self) -> RobustConnection:
        """May be called again after it has failed, and then begins at the next host."""
        given = self._connection_kwargs
        url = str(self._hosts.here(URL(given["url"])))
        self._connection_kwargs = {**given, "url": url, "connection_class": roaming(self._hosts)}
        return await super()._connect()
