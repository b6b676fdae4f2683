"""A gate before a queue that refuses, which falls open when whoever hung it is gone.

The queue itself must not be what goes: RabbitMQ confirms what is on its way to a queue that is
deleted, and that would be lost. So the queue stays, and in front of it is an exchange that deletes
itself with its last binding. It has one, to the exclusive queue of our connection, by a key that no
message has; what comes takes the alternate exchange, to the queue that refuses. When the connection
ends, its queue goes, with that the binding, with that the gate, and the stream is where it was.

The broker does these three at once, but not in one: for some microseconds a message may be led to a
gate that is no more, and so to no queue. With `mandatory` it is returned. This happens to who is
killed only; otherwise one binding is taken away while the gate is there.
"""

from __future__ import annotations

import secrets

import aiormq

from topology.migration.parts import Parts


async def hung(connection: aiormq.Connection, parts: Parts) -> None:
    """Have a gate that lasts as long as the connection, which has the lock. It can be hung again.

    Nothing leads to it yet.
    """
    channel = await connection.channel()
    await channel.exchange_declare(
        parts.gate,
        exchange_type="direct",
        auto_delete=True,
        arguments={"alternate-exchange": parts.refusal},
    )
    await channel.queue_bind(parts.lock, parts.gate, routing_key=secrets.token_urlsafe(32))
    await channel.close()
