"""A connection to whichever host of the broker answers."""

from __future__ import annotations

import logging

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPConnectionError

from .frames import TlsError, TolerantConnection
from .hosts import Hosts

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
"""For one host. A machine that is gone says nothing, and the kernel would wait for two minutes."""
AWAY = (OSError, AMQPConnectionError, TlsError)


async def connect(address: str) -> AbstractConnection:
    """Try each host once. Raises what the last one made of it: one of `AWAY`, or a refusal."""
    hosts = Hosts(address)
    for _ in range(len(hosts) - 1):
        try:
            return await _connect(hosts)
        except AWAY as error:
            logger.warning(
                "a host of the broker is away",
                extra={"host": hosts.current.host, "reason": _reason(error)},
            )
            hosts.go_on()
    return await _connect(hosts)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TlsError) else type(error).__name__


async def _connect(hosts: Hosts) -> AbstractConnection:
    return await aio_pika.connect(
        hosts.current, timeout=CONNECT_TIMEOUT_S, connection_class=TolerantConnection
    )
