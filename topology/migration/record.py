"""How far a migration is: a global parameter of the broker, so whoever runs it again goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from topology.management import Management
from topology.model import Binding, Queue, table

_SEEN_S: Final = 15.0
"""By so much the moment in which a node was started may seem to change: how long it runs is a
statistic, up to ten seconds old. Which process it is tells those that are younger."""
_POLL_S: Final = 0.5
_TRIES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    Attributes:
        new: What the old queue becomes.
        bindings: Those of the old queue at the beginning.
        done: The steps that are.
        nodes: The broker's nodes as they were when messages began to be moved: process and start.
        moved, distrusted: So many messages were moved; of so many the copy could not be trusted.
    """

    old: str
    new: Queue
    bindings: tuple[Binding, ...]
    done: tuple[str, ...] = ()
    nodes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    moved: int = 0
    distrusted: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the broker, and without objects that may be empty: it gives those back as lists."""
        return {
            "old": self.old,
            "new": {
                "name": self.new.name,
                "type": self.new.type,
                "arguments": [list(pair) for pair in self.new.arguments],
            },
            "bindings": [
                {
                    "source": one.source,
                    "key": one.key,
                    "arguments": [list(pair) for pair in one.arguments],
                }
                for one in self.bindings
            ],
            "done": list(self.done),
            "nodes": [[name, *told] for name, told in self.nodes.items()],
            "moved": self.moved,
            "distrusted": self.distrusted,
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """As the broker keeps it."""
        new = told["new"]
        return cls(
            old=told["old"],
            new=Queue(name=new["name"], type=new["type"], arguments=table(dict(new["arguments"]))),
            bindings=tuple(
                Binding(
                    source=one["source"],
                    destination=told["old"],
                    key=one["key"],
                    arguments=table(dict(one["arguments"])),
                )
                for one in told["bindings"]
            ),
            done=tuple(told["done"]),
            nodes={name: (str(pid), float(at)) for name, pid, at in told["nodes"]},
            moved=told["moved"],
            distrusted=told["distrusted"],
        )

    def with_step(self, name: str) -> Record:
        """One more is done."""
        return replace(self, done=(*self.done, name))

    def trusts(self, nodes: Mapping[str, tuple[str, float]]) -> bool:
        """Whether what arrived somewhere arrived everywhere: no node was lost since."""
        return all(
            name in nodes and nodes[name][0] == pid and abs(nodes[name][1] - at) < _SEEN_S
            for name, (pid, at) in self.nodes.items()
        )


class Records:
    """Where the records of a vhost are kept."""

    def __init__(self, management: Management, vhost: str, old: str) -> None:
        self._management = management
        self._name = f"warren_migration.{vhost}.{old}"

    async def read(self) -> Record | None:
        """None where no migration of this queue is under way."""
        kept = await self._management.get("global-parameters/{}", self._name, missing_ok=True)
        return None if kept is None else Record.of(kept["value"])

    async def write(self, record: Record) -> None:
        """Instead of what was kept."""
        body = {"name": self._name, "value": record.as_json()}
        await self._management.send("PUT", "global-parameters/{}", self._name, body=body)

    async def remove(self) -> None:
        """It is over."""
        await self._management.send("DELETE", "global-parameters/{}", self._name)


async def running_nodes(management: Management) -> dict[str, tuple[str, float]]:
    """The broker's nodes: which process each is, and since when it runs. That is a statistic, which
    a node has some seconds after its start; until then it would seem to be another one."""
    for _ in range(_TRIES):
        nodes = [node for node in await management.get("nodes") if node.get("running")]
        if all(node.get("os_pid") and node.get("uptime") for node in nodes):
            break
        await asyncio.sleep(_POLL_S)
    now = time.time()
    return {
        node["name"]: (str(node.get("os_pid", "")), now - node.get("uptime", 0) / 1000)
        for node in nodes
    }
