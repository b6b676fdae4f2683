"""A broker and a database for as long as somebody needs them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import ClassVar, Protocol

from ops.stack import apt, children, containers, discovery, postgres, rabbitmq
from ops.stack.certificates import TestingCa
from ops.stack.discovery import Choice, Facts, Source
from ops.stack.errors import StackError
from ops.stack.workspace import Workspace, workspace

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where broker and database are. The URLs hold passwords, so they stay out of `repr`."""

    amqp_url: str = field(repr=False)
    """A user who may do everything, in the broker's default vhost. With all hosts of a cluster."""
    management_url: str = field(repr=False)
    database_url: str = field(repr=False)
    """A user who may create databases."""
    directory: Path
    """For logs and files of this run; gone with it, unless it is kept."""
    broker_pids: tuple[int, ...] = ()
    """Our own nodes' processes. Empty if they are not ours to measure."""
    database_pid: int | None = None
    """Our own server's first process, the parent of the others."""
    tls: Path | None = None
    """Where everything is encrypted: the folder of the CA whose certificates are the logins."""

    @property
    def broker_pid(self) -> int | None:
        """Of the first node."""
        return next(iter(self.broker_pids), None)


class Broker(Protocol):
    """A broker that was found or started."""

    @property
    def amqp_url(self) -> str:
        """With user and password."""

    @property
    def management_url(self) -> str:
        """Of the HTTP API, with user and password."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes on this machine; none where they cannot be told."""

    def wait_ready(self) -> None:
        """Return once it answers. Raises StartError."""

    def stop(self, *, keep: bool) -> None:
        """Stop it, if it was started here; `keep` leaves its data."""


class Database(Protocol):
    """A database server that was found or started."""

    @property
    def database_url(self) -> str:
        """With user and password."""

    @property
    def pid(self) -> int | None:
        """Its process on this machine; None where it cannot be told."""

    def wait_ready(self) -> None:
        """Return once it answers. Raises StartError."""

    def stop(self, *, keep: bool) -> None:
        """Stop it, if it was started here; `keep` leaves its data."""


@contextlib.contextmanager
def running_services(
    directory: Path,
    *,
    progress: Progress = lambda _: None,
    keep: bool = False,
    nodes: int = 1,
    tls: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Services]:
    """Find or start both services; stop on the way out whatever was started here.

    Ctrl-C and SIGTERM are ways out like any other; after a SIGKILL the kernel stops the private
    nodes. Call it on a thread that lives as long as the services should, best the main one. Data
    are thrown away at the end, unless `keep`: then private nodes find them again next time.

    Arguments:
        nodes: Of the broker; several are a cluster, always of private nodes.
        tls: Private nodes that speak nothing else, with a CA of this run's own.

    Raises:
        StackError: With a sentence for the person at the terminal.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_termination_is_an_exit())
        choice, facts = prepare(nodes=nodes, tls=tls, progress=progress, environment=environment)
        private_database = choice.database is Source.LOCAL
        account = children.unprivileged_account() if private_database else None
        place = stack.enter_context(workspace(directory, keep=keep, account=account))

        ca = TestingCa.make(place.run / "tls") if tls else None
        started = time.monotonic()
        # Both start before either is waited for: one boots while the other is being initialised.
        broker = _start_broker(choice.broker, place, facts, environment, nodes, ca)
        stack.callback(broker.stop, keep=keep)
        database = _start_database(choice.database, place, facts, environment, account, ca)
        stack.callback(database.stop, keep=keep)
        progress(f"RabbitMQ: {choice.broker.value}; PostgreSQL: {choice.database.value} ...")
        database.wait_ready()
        broker.wait_ready()
        if keep:
            stack.callback(progress, "Stopping broker and database, their data are kept ...")
        progress(f"Both are ready after {time.monotonic() - started:.1f} s.")
        yield Services(
            amqp_url=broker.amqp_url,
            management_url=broker.management_url,
            database_url=database.database_url,
            directory=place.run,
            broker_pids=broker.pids,
            database_pid=database.pid,
            tls=None if ca is None else ca.certificate.parent,
        )


def prepare(
    *,
    nodes: int = 1,
    tls: bool = False,
    progress: Progress = lambda _: None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Choice, Facts]:
    """Choose the sources, and install what the choice needs."""
    facts = discovery.probe(environment)
    choice = discovery.choose(facts, nodes=nodes, tls=tls)
    wanted = [
        package
        for package, source in ((apt.RABBITMQ, choice.broker), (apt.POSTGRES, choice.database))
        if source is Source.INSTALL
    ]
    if wanted:
        apt.install(wanted, progress=progress)
        facts = replace(
            facts,
            rabbitmq=discovery.rabbitmq_programs(environment),
            postgres=discovery.postgres_programs(environment),
        )
        choice = discovery.choose(facts, nodes=nodes, tls=tls)
    return choice, facts


def _start_broker(
    source: Source,
    place: Workspace,
    facts: Facts,
    environment: Mapping[str, str],
    nodes: int,
    ca: TestingCa | None,
) -> Broker:
    if source is Source.GIVEN:
        return _GivenBroker(
            environment[discovery.AMQP_URL], environment[discovery.MANAGEMENT_URL].rstrip("/")
        )
    if source is Source.CONTAINER:
        return containers.start_broker()
    if facts.rabbitmq is None:
        raise StackError("RabbitMQ was installed, but its programs are not where they should be.")
    # Nodes know their own names, so a cluster that is kept cannot become a single node.
    name = "rabbitmq" if nodes == 1 else f"rabbitmq-{nodes}"
    return rabbitmq.start(place.run / name, facts.rabbitmq, nodes=nodes, ca=ca)


def _start_database(
    source: Source,
    place: Workspace,
    facts: Facts,
    environment: Mapping[str, str],
    account: children.Account | None,
    ca: TestingCa | None,
) -> Database:
    if source is Source.GIVEN:
        return _GivenDatabase(environment[discovery.DATABASE_URL])
    if source is Source.CONTAINER:
        return containers.start_database()
    if facts.postgres is None:
        raise StackError("PostgreSQL was installed, but its programs are not where they should be.")
    directory = place.run / "postgres"
    return postgres.start(directory, facts.postgres, cache=place.cache, account=account, ca=ca)


@dataclass(frozen=True, slots=True)
class _GivenBroker:
    pids: ClassVar[tuple[int, ...]] = ()
    amqp_url: str = field(repr=False)
    management_url: str = field(repr=False)

    def wait_ready(self) -> None:
        """Whoever gave the URL answers for it."""

    def stop(self, *, keep: bool) -> None:
        """It is not ours to stop."""


@dataclass(frozen=True, slots=True)
class _GivenDatabase:
    pid: ClassVar[None] = None
    database_url: str = field(repr=False)

    def wait_ready(self) -> None:
        """Whoever gave the URL answers for it."""

    def stop(self, *, keep: bool) -> None:
        """It is not ours to stop."""


@contextlib.contextmanager
def _termination_is_an_exit() -> Iterator[None]:
    """Unwind on SIGTERM and on a closed terminal too, where nobody else has a say in that."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
