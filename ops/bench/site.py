"""Where the load goes: a stack of our own, or one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from pathlib import Path

import asyncpg

from contracts.client import ClientSettings
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.gateways import Gateways
from ops.stack.services import Progress, running_services
from topology.management import Management

from .accounts import UNTHROTTLED
from .measure import Group
from .supply import DEFAULT_SUPPLY, Supply

CLIENT = "bench"

CLIENT_GROUP = Group(name="client", pids={"client": os.getpid()}, descendants=False)
"""Ourselves. Our children are the stack."""


class Store(StrEnum):
    """Which databases the parties have."""

    POSTGRES = "postgres"
    SQLITE = "sqlite"
    MIXED = "mixed"
    """The last party on SQLite, the others on PostgreSQL."""

    def sqlite_parties(self, party_count: int) -> int:
        """How many of the parties are on SQLite."""
        return {Store.POSTGRES: 0, Store.SQLITE: party_count, Store.MIXED: 1}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """
    Attributes:
        party: Of each party, to sign.
        presigning: Of each party, to presign.
    """

    party: int = 1
    presigning: int = 1
    coordinator: int = 1


ONE_EACH = Processes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What ran, and how durable it was. Asked of the servers, not copied from a configuration.

    Attributes:
        store: Of the parties; the coordinator's is PostgreSQL always.
        keygen_processes: Of each party, beside those that sign.
        presigning_processes: The same.
        gateways: HTTP gateways.
        queues: The kinds of the durable queues, "classic" among them if there is one.
    """

    store: Store
    coordinator_processes: int
    processes_per_party: int
    keygen_processes: int
    presigning_processes: int
    gateways: int = 0
    rabbitmq: str
    postgresql: str
    queues: list[str]
    fsync: str
    synchronous_commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """
    Attributes:
        groups: The processes to measure, the client's own first.
        stack: None for one that runs already: it is not ours to look into.
        coordinator_url: Its database; None where `stack` is.
        gateways: None where it has none, or where `stack` is.
        files: Of a stack of our own: client -> its configuration file.
        check: Raises ChildDiedError if a worker of ours has ended.
    """

    client: ClientSettings
    groups: tuple[Group, ...]
    stack: Stack | None
    check: Callable[[], None]
    coordinator_url: str | None = field(default=None, repr=False)
    gateways: Gateways | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@contextlib.contextmanager
def own_site(directory: Path, plan: Plan, store: Store, progress: Progress) -> Iterator[Site]:
    """Start services and workers, and throw everything away afterwards."""
    with (
        running_services(directory, progress=progress) as services,
        running_deployment(services, plan, progress=progress) as deployment,
    ):
        yield site_of(deployment, store)


def plan_for(
    *,
    party_count: int,
    processes: Processes = ONE_EACH,
    store: Store = Store.POSTGRES,
    supply: Supply = DEFAULT_SUPPLY,
    gateways: int = 0,
    gateway_limits: Mapping[str, float] = UNTHROTTLED,
    others: tuple[str, ...] = (),
    bundles: bool = True,
) -> Plan:
    """A stack to measure on."""
    return Plan(
        party_count=party_count,
        clients=(CLIENT, *others),
        sqlite_parties=store.sqlite_parties(party_count),
        processes_per_party=processes.party,
        presigning_processes=processes.presigning,
        coordinator_processes=processes.coordinator,
        gateways=gateways,
        limits=supply.limits | ({"gateway": dict(gateway_limits)} if gateways else {}),
        pools=supply.pools,
        bundles=bundles,
    )


def site_of(deployment: Deployment, store: Store) -> Site:
    """What there is to measure at a stack that runs."""
    services = deployment.services
    groups = [CLIENT_GROUP, *worker_groups(deployment.supervisor.pids)]
    for name, pid in (("broker", services.broker_pid), ("database", services.database_pid)):
        if pid is not None:
            groups.append(Group(name=name, pids={name: pid}))
    return Site(
        client=ClientSettings.load(deployment.clients[CLIENT]),
        groups=tuple(groups),
        stack=asyncio.run(_describe(deployment, store)),
        check=deployment.supervisor.check,
        coordinator_url=deployment.database_urls["coordinator"],
        gateways=deployment.gateways,
        files=deployment.clients,
    )


@contextlib.contextmanager
def running_site(client_file: Path) -> Iterator[Site]:
    """The stack of which `client_file` is a client's configuration.

    Raises SettingsError.
    """
    yield Site(
        client=ClientSettings.load(client_file),
        groups=(CLIENT_GROUP,),
        stack=None,
        check=lambda: None,
    )


def worker_groups(pids: dict[str, int]) -> Iterator[Group]:
    """One group per role; its processes are called `role.1`, `role.2`, ... A party's that presign
    have a role of their own, as `party-1.presigning`."""

    def role(name: str) -> str:
        return name.rpartition(".")[0]

    for group, names in groupby(sorted(pids), key=role):
        yield Group(name=group, pids={name: pids[name] for name in names})


async def _describe(deployment: Deployment, store: Store) -> Stack:
    async with Management(deployment.monitor_url) as management:
        overview = await management.get("overview")
        queues = await management.get("queues/{}", deployment.vhost)
    database = await asyncpg.connect(deployment.services.database_url)
    try:
        settings = [
            str(await database.fetchval(f"SHOW {name}"))
            for name in ("server_version", "fsync", "synchronous_commit")
        ]
    finally:
        await database.close()
    version, fsync, synchronous_commit = settings
    return Stack(
        store=store,
        coordinator_processes=deployment.plan.coordinator_processes,
        processes_per_party=deployment.plan.processes_per_party,
        keygen_processes=deployment.plan.keygen_processes,
        presigning_processes=deployment.plan.presigning_processes,
        gateways=deployment.plan.gateways,
        rabbitmq=str(overview["rabbitmq_version"]),
        postgresql=version.partition(" ")[0],
        queues=sorted({str(queue["type"]) for queue in queues if queue["durable"]}),
        fsync=fsync,
        synchronous_commit=synchronous_commit,
    )
