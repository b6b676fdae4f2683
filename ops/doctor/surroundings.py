"""What doctor was given to look at, and what is opened for it: each thing once, by whoever needs it
first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from contracts.absence import is_missing
from contracts.client import ClientSettings
from contracts.client import SettingsError as ClientSettingsError
from contracts.confirming import AWAY
from contracts.errors import ContractError
from contracts.hosts import AddressError
from contracts.party_list import KnownParties, PartyList
from contracts.peers import Peer
from gateway.settings import GatewaySettings
from ops.configurations import Role, Tables, read, role_of, section
from topology.access import Credentials
from topology.broker import Broker
from topology.files import declared
from topology.management import Management
from topology.model import VHOST, Found, Members, Topology
from topology.passwords import referenced
from topology.plan import Plan, difference
from workers.delivery.lists import ListFollower, UnusableListError
from workers.delivery.publisher import NoAdmissionError, admitted
from workers.settings import CoordinatorSettings, PartySettings, SettingsError
from workers.store.interface import (
    CoordinatorStore,
    PartyStore,
    SchemaError,
    StoreUnavailableError,
)
from workers.store.opening import open_coordinator_store
from workers.store.sealing import SealError

T = TypeVar("T")

WAIT_S = 10.0
CLOSES_S = 5.0
"""What is not closed by then, is closed by the end of the process."""
CONNECTIONS = 2
"""Of one store."""

Settings: TypeAlias = PartySettings | CoordinatorSettings | GatewaySettings | ClientSettings


class NotLookedError(Exception):
    """It takes what is not given, or something else has to be mended first. The text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A configuration file.

    Attributes:
        name: Whose it is.
        settings: None where it cannot be used; then `refusal` says why.
    """

    role: Role
    name: str
    path: Path
    tables: Tables
    settings: Settings | None
    refusal: str | None = None

    @classmethod
    def load(cls, path: Path) -> Subject:
        """Raises SettingsError if it cannot be told whose file it is."""
        tables = read(path)
        role = role_of(path, tables)
        settings, refusal = _loaded(role, path)
        return cls(
            role=role,
            name=_name(role, path, tables),
            path=path,
            tables=tables,
            settings=settings,
            refusal=refusal,
        )

    @property
    def amqp_url(self) -> str:
        """With a password."""
        if isinstance(self.settings, GatewaySettings):
            return self.settings.client.amqp_url
        assert self.settings is not None
        return self.settings.amqp_url

    @property
    def party(self) -> PartySettings:
        assert isinstance(self.settings, PartySettings)
        return self.settings

    @property
    def coordinator(self) -> CoordinatorSettings:
        assert isinstance(self.settings, CoordinatorSettings)
        return self.settings

    @property
    def worker(self) -> PartySettings | CoordinatorSettings:
        """Of whoever has a database."""
        assert isinstance(self.settings, PartySettings | CoordinatorSettings)
        return self.settings

    @property
    def client(self) -> ClientSettings:
        """A gateway is a client, too."""
        if isinstance(self.settings, GatewaySettings):
            return self.settings.client
        assert isinstance(self.settings, ClientSettings)
        return self.settings


def _loaded(role: Role, path: Path) -> tuple[Settings | None, str | None]:
    try:
        match role:
            case Role.PARTY:
                return PartySettings.load(path), None
            case Role.COORDINATOR:
                return CoordinatorSettings.load(path), None
            case Role.GATEWAY:
                return GatewaySettings.load(path), None
            case Role.CLIENT:
                return ClientSettings.load(path), None
    except (SettingsError, ClientSettingsError, AddressError, ContractError) as error:
        return None, str(error)


def _name(role: Role, path: Path, tables: Tables) -> str:
    if role is Role.COORDINATOR:
        return "coordinator"
    own, key = ("party", "party_id") if role is Role.PARTY else ("client", "client_id")
    told = section(tables, own).get(key)
    return told if isinstance(told, str) else path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The topology as it is declared."""

    directory: Path | None = None
    members: Path | None = None
    overlays: tuple[Path, ...] = ()
    vhost: str = VHOST

    def declared(self) -> Topology:
        """Raises TopologyError."""
        return declared(self.members, self.directory, overlays=self.overlays, vhost=self.vhost)


class Queue(NamedTuple):
    """How it is at this moment: messages that nobody has in hand, and who reads it."""

    messages: int
    consumers: int


@dataclass(kw_only=True)
class Surroundings:
    """
    Attributes:
        management: Of the broker, with a login that may look at it; None: not given.
        wanted: None where the broker is not to be compared with files.
        operator_url: Of the broker, with the operator's login; None: dead letters are counted only.
        wait_s: For one check.
        clock: Unix seconds.
    """

    subjects: tuple[Subject, ...] = ()
    management: Management | None = None
    wanted: Wanted | None = None
    operator_url: str | None = field(default=None, repr=False)
    wait_s: float = WAIT_S
    clock: Callable[[], float] = time.time
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    _tasks: dict[tuple[str, object], asyncio.Task[Any]] = field(default_factory=dict)
    _opened: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Surroundings]:
        """At the end all that was opened is closed."""
        try:
            yield self
        finally:
            for task in self._tasks.values():
                task.cancel()
            with contextlib.suppress(TimeoutError, *AWAY):
                async with asyncio.timeout(CLOSES_S):
                    await asyncio.gather(*self._tasks.values(), return_exceptions=True)
                    await self._opened.aclose()
            self._tasks.clear()

    async def _once(self, kind: str, of: object, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One check's end must not be another's, so nobody's time limit ends the work."""
        if (kind, of) not in self._tasks:
            self._tasks[kind, of] = asyncio.create_task(make())
        return cast("T", await asyncio.shield(self._tasks[kind, of]))

    ###
    ### Stores
    ###

    async def party_store(self, subject: Subject) -> PartyStore:
        """Without its witness, as it changes with each look. Raises NotLookedError."""
        try:
            return await self.sealed_store(subject)
        except SealError:
            raise NotLookedError("the master keys do not fit: see keys.opens") from None

    async def sealed_store(self, subject: Subject) -> PartyStore:
        """The same. Raises SealError, too, where the master keys do not fit."""
        settings = subject.party
        return await self._store(subject, lambda: settings.opened(max_connections=CONNECTIONS))

    async def coordinator_store(self, subject: Subject) -> CoordinatorStore:
        """Raises NotLookedError."""
        url = subject.coordinator.database_url
        return await self._store(
            subject, lambda: open_coordinator_store(url, max_connections=CONNECTIONS)
        )

    async def store_of(self, subject: Subject) -> PartyStore | CoordinatorStore:
        """Raises NotLookedError."""
        if subject.role is Role.PARTY:
            return await self.party_store(subject)
        return await self.coordinator_store(subject)

    async def parties_of(self, subject: Subject) -> Mapping[str, Peer]:
        """Those that a worker's file pins, and what operators' list makes of them as far as it is
        stored; the file's alone where the store cannot be looked at."""
        worker = subject.worker
        pinned = worker.peers if isinstance(worker, PartySettings) else worker.parties
        listed = PartyList(worker.list_operators)
        if worker.list_operators:
            with contextlib.suppress(NotLookedError, StoreUnavailableError, UnusableListError):
                await ListFollower(await self.store_of(subject), listed).load()
        return KnownParties(pinned, listed)

    async def _store(
        self, subject: Subject, make: Callable[[], contextlib.AbstractAsyncContextManager[T]]
    ) -> T:
        async def enter() -> T:
            _require_file(subject.worker.database_url)
            return await self._opened.enter_async_context(make())

        try:
            return await self._once("store", subject.path, enter)
        except (SchemaError, StoreUnavailableError, FileNotFoundError):
            raise NotLookedError("the database cannot be worked with: see store") from None

    ###
    ### The broker
    ###

    async def connected(self, subject: Subject) -> AbstractConnection:
        """With the login of its file. Raises NotLookedError."""

        async def enter() -> AbstractConnection:
            return await self._opened.enter_async_context(await admitted(subject.amqp_url))

        try:
            return await self._once("connection", subject.path, enter)
        except (*AWAY, NoAdmissionError):
            raise NotLookedError("the broker lets nobody in: see broker.reachable") from None

    async def queue(self, connection: AbstractConnection, name: str) -> Queue | None:
        """None if it is missing. Nothing is taken out of it."""
        channel = await connection.channel(publisher_confirms=False)
        try:
            found = await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity as error:
            if not is_missing(error):
                raise
            return None
        told = found.declaration_result
        await channel.close()
        return Queue(told.message_count or 0, told.consumer_count or 0)

    def managed(self) -> Management:
        """Raises NotLookedError."""
        if self.management is None:
            raise NotLookedError("no management API was given: --management-url")
        return self.management

    async def asked(self, path: str) -> Any:
        """Of the management API. Raises NotLookedError, or as that does."""
        management = self.managed()
        return await self._once("management", path, lambda: management.get(path))

    async def found(self) -> tuple[Topology, Found]:
        """What is declared, and what the broker has. Raises NotLookedError, TopologyError."""
        management, wanted = self.managed(), self.wanted
        if wanted is None:
            raise NotLookedError("no topology was given: --members, --directory")

        async def look() -> tuple[Topology, Found]:
            topology = wanted.declared()
            broker = Broker(management, vhost=wanted.vhost, credentials=Credentials())
            return topology, await broker.found(user.name for user in topology.users)

        return await self._once("found", None, look)

    async def plan(self) -> Plan:
        """What apply would do. Raises NotLookedError, TopologyError."""
        topology, found = await self.found()
        return difference(topology, found, passwords=referenced(topology.users))

    def policies(self) -> Topology:
        """What is declared of any queue, whoever the members are. Raises TopologyError."""
        if self.wanted is not None:
            return self.wanted.declared()
        return declared(Members())


def _require_file(url: str) -> None:
    """SQLite makes a file that is not there."""
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise FileNotFoundError(path)


def sqlite_path(url: str) -> Path | None:
    """None for PostgreSQL."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None


def load_all(paths: Iterable[Path]) -> tuple[Subject, ...]:
    """Raises SettingsError."""
    return tuple(map(Subject.load, paths))
