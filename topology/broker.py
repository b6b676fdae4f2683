"""RabbitMQ's management API: read what is there, make one change. The only I/O of this package.

The API of 3.10 and of 4.x is the same as far as it is used here. Two things it cannot do shape
the code: its counts are seconds old, and a quorum queue refuses a delete "if empty". So
`delete_queue` asks the queue itself before it deletes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from topology.management import BrokerError, Management
from topology.model import (
    Binding,
    Depth,
    Exchange,
    Found,
    Policy,
    Queue,
    Ref,
    Topology,
    table,
)
from topology.plan import Action, Change, Ownership, Vhost
from topology.problems import TopologyError

_OWNERSHIP: Final = "warren_topology"
"""A global parameter per vhost; vhosts then neither share a record nor race for one."""


class QueueInUseError(TopologyError):
    """A queue was to be deleted and is not empty, or somebody consumes from it."""


class Broker:
    """One vhost of one broker."""

    def __init__(self, management: Management, *, vhost: str) -> None:
        self._management = management
        self.vhost = vhost

    async def found(self) -> Found:
        """Everything of the vhost that can outlive a connection."""
        if await self._management.get("vhosts/{}", self.vhost, missing_ok=True) is None:
            # Only a broker says who we are; "not found" is what any web server answers.
            if await self._management.get("whoami", missing_ok=True) is None:
                raise BrokerError(f"{self._management.url} is not RabbitMQ's management API")
            return Found(
                vhost=self.vhost,
                vhost_exists=False,
                topology=Topology(),
                owned=frozenset(),
                depths={},
            )
        bindings = await self._management.get("bindings/{}", self.vhost)
        queues = await self._management.get("queues/{}", self.vhost)
        exchanges = await self._management.get("exchanges/{}", self.vhost)
        policies = await self._management.get("policies/{}", self.vhost)
        record = await self._management.get("global-parameters/{}", self._record, missing_ok=True)
        # Exclusive queues, such as a worker's for cancellations, go with their connection.
        lasting = [queue for queue in queues if not queue.get("exclusive")]
        names = {queue["name"] for queue in lasting}
        return Found(
            vhost=self.vhost,
            vhost_exists=True,
            topology=_topology(exchanges, lasting, policies, _lasting(bindings, names)),
            owned=_owned(record),
            depths={
                queue["name"]: Depth(messages=queue["messages"], consumers=queue["consumers"])
                for queue in lasting
                if "messages" in queue and "consumers" in queue
            },
        )

    async def make(self, change: Change) -> None:
        """Make one change. All of them can be made twice.

        Raises:
            QueueInUseError: A queue that was to be deleted holds messages or has consumers.
            UnavailableError, AccessError, BrokerError: Nothing is known to have changed.
        """
        body: dict[str, object]
        target, delete = change.target, change.action is Action.DELETE
        match target:
            case Vhost():
                await self._management.send("PUT", "vhosts/{}", target.name, body={})
            case Ownership():
                refs = [[ref.kind, *ref.parts] for ref in sorted(target.refs)]
                body = {"name": self._record, "value": {"owned": refs}}
                await self._management.send("PUT", "global-parameters/{}", self._record, body=body)
            case Exchange() if delete:
                # if-unused: a binding that was made since the plan keeps the exchange.
                await self._management.send(
                    "DELETE", "exchanges/{}/{}?if-unused=true", self.vhost, target.name
                )
            case Exchange():
                body = {"type": target.type, "durable": True, "arguments": dict(target.arguments)}
                await self._management.send(
                    "PUT", "exchanges/{}/{}", self.vhost, target.name, body=body
                )
            case Queue() if delete:
                await self.delete_queue(target.name)
            case Queue():
                arguments = {"x-queue-type": target.type, **dict(target.arguments)}
                body = {"durable": True, "arguments": arguments}
                await self._management.send(
                    "PUT", "queues/{}/{}", self.vhost, target.name, body=body
                )
            case Policy() if delete:
                await self._management.send("DELETE", "policies/{}/{}", self.vhost, target.name)
            case Policy():
                await self._management.send(
                    "PUT",
                    "policies/{}/{}",
                    self.vhost,
                    target.name,
                    body={
                        "pattern": target.pattern,
                        "apply-to": target.applies_to,
                        "definition": dict(target.definition),
                        "priority": target.priority,
                    },
                )
            case Binding():
                await self._make_binding(target, delete=delete)

    async def _make_binding(self, binding: Binding, *, delete: bool) -> None:
        path = f"bindings/{{}}/e/{{}}/{binding.destination_type[0]}/{{}}"
        ends = (self.vhost, binding.source, binding.destination)
        if not delete:
            body: dict[str, object] = {
                "routing_key": binding.key,
                "arguments": dict(binding.arguments),
            }
            await self._management.send("POST", path, *ends, body=body)
            return
        for found in await self._management.get(path, *ends, missing_ok=True) or []:
            if _binding(found) == binding:
                await self._management.send(
                    "DELETE", f"{path}/{{}}", *ends, found["properties_key"]
                )

    async def delete_queue(self, name: str) -> None:
        """Delete a queue that is empty and that nobody consumes from.

        Raises:
            QueueInUseError: It is not, or not certainly.
        """
        where = (self.vhost, name)
        queue = await self._management.get("queues/{}/{}", *where, missing_ok=True)
        if queue is None:
            return
        if consumers := len(queue.get("consumer_details", ())) or queue.get("consumers", 0):
            raise QueueInUseError(f"queue {name} has {consumers} consumers; stop them first")
        if messages := queue.get("messages", 0):
            raise QueueInUseError(f"queue {name} holds {messages} messages; drain it first")
        # The statistics may be older than the last message. Taking one and putting it back is
        # exact; it costs a message one of its deliveries, but only if there is one after all.
        body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1}
        if await self._management.send("POST", "queues/{}/{}/get", *where, body=body):
            raise QueueInUseError(f"queue {name} holds messages; drain it first")
        await self._management.send("DELETE", "queues/{}/{}", *where)

    @property
    def _record(self) -> str:
        return f"{_OWNERSHIP}.{self.vhost}"


def _topology(
    exchanges: list[dict[str, Any]],
    queues: list[dict[str, Any]],
    policies: list[dict[str, Any]],
    bindings: Iterator[Binding],
) -> Topology:
    return Topology(
        exchanges=tuple(
            sorted(
                (
                    Exchange(
                        name=found["name"],
                        type=found["type"],
                        durable=found["durable"],
                        auto_delete=found["auto_delete"],
                        internal=found["internal"],
                        arguments=table(found["arguments"]),
                    )
                    for found in exchanges
                    if found["name"] and not found["name"].startswith("amq.")
                ),
                key=lambda exchange: exchange.ref,
            )
        ),
        queues=tuple(sorted((_queue(found) for found in queues), key=lambda queue: queue.ref)),
        policies=tuple(
            sorted(
                (
                    Policy(
                        name=found["name"],
                        pattern=found["pattern"],
                        applies_to=found["apply-to"],
                        definition=table(found["definition"]),
                        priority=found["priority"],
                    )
                    for found in policies
                ),
                key=lambda policy: policy.ref,
            )
        ),
        bindings=tuple(sorted(bindings, key=lambda binding: binding.ref)),
    )


def _queue(found: dict[str, Any]) -> Queue:
    arguments = dict(found["arguments"])
    kind = arguments.pop("x-queue-type", None) or found.get("type", "classic")
    return Queue(
        name=found["name"],
        type=kind,
        durable=found["durable"],
        auto_delete=found["auto_delete"],
        arguments=table(arguments),
    )


def _lasting(bindings: list[dict[str, Any]], queues: set[str]) -> Iterator[Binding]:
    for found in bindings:
        # Every queue is bound to the default exchange, whose name is empty.
        to_queue = found["destination_type"] == "queue"
        if found["source"] and (not to_queue or found["destination"] in queues):
            yield _binding(found)


def _binding(found: dict[str, Any]) -> Binding:
    return Binding(
        source=found["source"],
        destination=found["destination"],
        key=found["routing_key"],
        destination_type=found["destination_type"],
        arguments=table(found["arguments"]),
    )


def _owned(record: dict[str, Any] | None) -> frozenset[Ref]:
    refs = record["value"].get("owned", []) if record else []
    return frozenset(Ref(kind, tuple(parts)) for kind, *parts in refs)
