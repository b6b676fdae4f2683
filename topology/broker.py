"""RabbitMQ's management API: read what is there, make one change. The only I/O of this package.

The API of 3.10 and of 4.x is the same as far as it is used here. Two things it cannot do shape
the code: its counts are seconds old, and a quorum queue refuses a delete "if empty". So
`delete_queue` asks the queue itself before it deletes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from topology.access import (
    Credentials,
    delete_access,
    found_access,
    limit_vhost,
    make_access,
    make_user,
)
from topology.definitions import STREAM
from topology.importable import record_name, record_value, recorded
from topology.management import BrokerError, Management
from topology.model import (
    Binding,
    Depth,
    Exchange,
    Found,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    Topology,
    User,
    UserLimits,
    VhostLimits,
    table,
)
from topology.parameters import found_parameters
from topology.plan import Action, Change, Ownership, Vhost
from topology.problems import TopologyError


class QueueInUseError(TopologyError):
    """A queue was to be deleted and is not empty, or somebody consumes from it."""


class Broker:
    """One vhost of one broker."""

    def __init__(
        self, management: Management, *, vhost: str, credentials: Credentials | None = None
    ) -> None:
        """Arguments: credentials: What new users get; without them passwords nobody knows."""
        self._management = management
        self.vhost = vhost
        self._credentials = credentials or Credentials()

    async def found(self, users: Iterable[str] = ()) -> Found:
        """Everything of the vhost that can outlive a connection, and whoever may do something.

        Arguments:
            users: Those to look for although they may do nothing in it.
        """
        if await self._management.get("vhosts/{}", self.vhost, missing_ok=True) is None:
            # Only a broker says who we are; "not found" is what any web server answers.
            if await self._management.get("whoami", missing_ok=True) is None:
                raise BrokerError(f"{self._management.url} is not RabbitMQ's management API")
            return await self._found_without_vhost(users)
        bindings = await self._management.get("bindings/{}", self.vhost)
        queues = await self._management.get("queues/{}", self.vhost)
        exchanges = await self._management.get("exchanges/{}", self.vhost)
        policies = await self._management.get("policies/{}", self.vhost)
        record = await self._management.get("global-parameters/{}", self._record, missing_ok=True)
        operators = await self._management.get("operator-policies/{}", self.vhost)
        owned = frozenset() if record is None else recorded(record["value"])
        known = {*users, *(ref.parts[0] for ref in owned if ref.kind == "user")}
        access = await found_access(self._management, self.vhost, known)
        # Exclusive queues, such as a worker's for cancellations, go with their connection.
        lasting = [queue for queue in queues if not queue.get("exclusive")]
        names = {queue["name"] for queue in lasting}
        return Found(
            vhost=self.vhost,
            vhost_exists=True,
            topology=Topology.of(
                [
                    *_exchanges(exchanges),
                    *map(_queue, lasting),
                    *map(_policy, policies),
                    *_lasting(bindings, names),
                    *access.resources,
                ]
            ),
            owned=owned,
            depths={
                queue["name"]: Depth(
                    messages=queue["messages"],
                    consumers=queue["consumers"],
                    bytes=queue.get("message_bytes", 0),
                )
                for queue in lasting
                if "messages" in queue and "consumers" in queue
            },
            hashes=access.hashes,
            elsewhere=access.elsewhere,
            operator_policies=tuple(map(_policy, operators)),
            parameters=await found_parameters(self._management, self.vhost),
        )

    async def _found_without_vhost(self, users: Iterable[str]) -> Found:
        access = await found_access(self._management, self.vhost, users, vhost_exists=False)
        return Found(
            vhost=self.vhost,
            vhost_exists=False,
            topology=Topology.of(access.resources),
            owned=frozenset(),
            depths={},
            hashes=access.hashes,
            elsewhere=access.elsewhere,
        )

    async def make(self, change: Change) -> None:
        """Make one change. All of them can be made twice.

        Raises:
            QueueInUseError: A queue that was to be deleted holds messages or has consumers.
            UnavailableError, AccessError, BrokerError: Nothing is known to have changed.
        """
        target, delete = change.target, change.action is Action.DELETE
        match target:
            case Vhost():
                await self._management.send("PUT", "vhosts/{}", target.name, body={})
            case Ownership():
                body = {"name": self._record, "value": record_value(target.refs)}
                await self._management.send("PUT", "global-parameters/{}", self._record, body=body)
            case User() if delete:
                await self._management.send("DELETE", "users/{}", target.name)
            case User():
                await make_user(self._management, target, self._credentials)
            case UserLimits() | TopicPermission() | Permission() if delete:
                await delete_access(self._management, self.vhost, target)
            case UserLimits() | TopicPermission() | Permission():
                await make_access(self._management, self.vhost, target, change.before)
            case VhostLimits():
                limits = () if delete else target.limits
                before = target if delete else change.before
                await limit_vhost(self._management, self.vhost, limits, before)
            case Queue() if delete:
                await self.delete_queue(target.name, with_messages=change.loses)
            case Exchange() | Queue() | Policy() | Binding():
                await self._make_routing(target, delete=delete)

    async def _make_routing(
        self, target: Exchange | Queue | Policy | Binding, *, delete: bool
    ) -> None:
        body: dict[str, object]
        match target:
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

    async def delete_queue(self, name: str, *, with_messages: bool = False) -> None:
        """Delete a queue that is empty and that nobody consumes from.

        Arguments:
            with_messages: Somebody said that they may go.

        Raises:
            QueueInUseError: It is not, or not certainly.
        """
        where = (self.vhost, name)
        queue = await self._management.get("queues/{}/{}", *where, missing_ok=True)
        if queue is None:
            return
        if consumers := len(queue.get("consumer_details", ())) or queue.get("consumers", 0):
            raise QueueInUseError(f"queue {name} has {consumers} consumers; stop them first")
        if not with_messages:
            await self._require_empty(name, queue)
        await self._management.send("DELETE", "queues/{}/{}", *where)

    async def _require_empty(self, name: str, queue: dict[str, Any]) -> None:
        if messages := queue.get("messages", 0):
            raise QueueInUseError(f"queue {name} holds {messages} messages; drain it first")
        if queue.get("type") == STREAM:
            return  # Nothing can be taken out of one, and it is never empty again.
        # The statistics may be older than the last message. Taking one and putting it back is
        # exact; it costs a message one of its deliveries, but only if there is one after all.
        body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1}
        if await self._management.send("POST", "queues/{}/{}/get", self.vhost, name, body=body):
            raise QueueInUseError(f"queue {name} holds messages; drain it first")

    @property
    def _record(self) -> str:
        return record_name(self.vhost)


def _exchanges(exchanges: list[dict[str, Any]]) -> Iterator[Exchange]:
    for found in exchanges:
        if found["name"] and not found["name"].startswith("amq."):
            yield Exchange(
                name=found["name"],
                type=found["type"],
                durable=found["durable"],
                auto_delete=found["auto_delete"],
                internal=found["internal"],
                arguments=table(found["arguments"]),
            )


def _policy(found: dict[str, Any]) -> Policy:
    return Policy(
        name=found["name"],
        pattern=found["pattern"],
        applies_to=found["apply-to"],
        definition=table(found["definition"]),
        priority=found["priority"],
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
