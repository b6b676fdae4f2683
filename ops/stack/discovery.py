"""Where the broker and the database come from.

Facts are gathered in one place (`probe`), the choice is a pure function of them. What already
listens on the standard ports is no fact here, on purpose: a broker or database is used when its URL
says so, and never because it was found.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from contracts import hosts
from ops.stack import containers
from ops.stack.errors import MissingServiceError, StackError

AMQP_URL = "WARREN_AMQP_URL"
MANAGEMENT_URL = "WARREN_MANAGEMENT_URL"
DATABASE_URL = "WARREN_DATABASE_URL"

RABBITMQ_PROGRAMS = "WARREN_RABBITMQ_SBIN"
"""The folder of rabbitmq-server, for another release than the installed one."""
POSTGRES_PROGRAMS = "WARREN_POSTGRES_BIN"
"""The folder of postgres and initdb, likewise."""


class Source(Enum):
    """The places to take a service from, best first."""

    GIVEN = "given by URL"
    CONTAINER = "in a container"
    LOCAL = "a private node"
    INSTALL = "a private node, to be installed first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What this machine offers. Holds no URL, so it may be shown."""

    amqp_url: bool = False
    management_url: bool = False
    database_url: bool = False
    docker: bool = False
    rabbitmq: Path | None = None
    postgres: Path | None = None
    apt: bool = False
    """We are root on a machine with apt."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where broker and database come from."""

    broker: Source
    database: Source


def choose(facts: Facts, *, nodes: int = 1, tls: bool = False) -> Choice:
    """The first source that works, for each service by itself.

    Arguments:
        nodes: Of the broker; several are private ones in any case.
        tls: Both are private ones in any case, which speak nothing else.

    Raises:
        StackError: The environment contradicts itself.
        MissingServiceError: No source works; the message says what to install.
    """
    if tls and (facts.amqp_url or facts.database_url):
        raise StackError(
            f"A stack with TLS has services of its own, and {AMQP_URL} or {DATABASE_URL} names "
            f"others: leave these and {MANAGEMENT_URL} out."
        )
    if tls:  # an engine's containers have no certificates of ours
        facts = replace(facts, docker=False)
    return Choice(broker=_choose_broker(facts, nodes), database=_choose_database(facts))


def probe(environment: Mapping[str, str] = os.environ) -> Facts:
    """Look around. Starts nothing, and talks to nobody but the Docker engine.

    Raises StackError for what is given and cannot be meant.
    """
    given = {name for name in (AMQP_URL, MANAGEMENT_URL, DATABASE_URL) if environment.get(name)}
    for name in sorted(given):
        _check_url(name, environment[name])
    return Facts(
        amqp_url=AMQP_URL in given,
        management_url=MANAGEMENT_URL in given,
        database_url=DATABASE_URL in given,
        # Asking the engine costs a third of a second; nobody needs the answer if all is given.
        docker=len(given) < 3 and containers.engine_answers(),
        rabbitmq=rabbitmq_programs(environment),
        postgres=postgres_programs(environment),
        apt=os.geteuid() == 0 and shutil.which("apt-get") is not None,
    )


def rabbitmq_programs(environment: Mapping[str, str]) -> Path | None:
    """The folder of the real `rabbitmq-server`.

    Packages put a wrapper on the PATH that changes the user and reads /etc: not for a private node.
    """
    if override := environment.get(RABBITMQ_PROGRAMS):
        return _required(RABBITMQ_PROGRAMS, Path(override), "rabbitmq-server")
    candidates = [Path("/usr/lib/rabbitmq/bin")]
    if found := shutil.which("rabbitmq-server", path=environment.get("PATH")):
        program = Path(found).resolve()
        if program.name == "rabbitmq-server" and program.parent != Path("/usr/sbin"):
            candidates.append(program.parent)
    return next((place for place in candidates if _is_program(place / "rabbitmq-server")), None)


def postgres_programs(environment: Mapping[str, str]) -> Path | None:
    """The folder of `postgres` and `initdb`, the newest release first."""
    if override := environment.get(POSTGRES_PROGRAMS):
        return _required(POSTGRES_PROGRAMS, Path(override), "postgres")
    releases = Path("/usr/lib/postgresql").glob("*/bin")
    candidates = sorted(releases, key=lambda place: _release(place.parent.name), reverse=True)
    if found := shutil.which("initdb", path=environment.get("PATH")):
        candidates.append(Path(found).resolve().parent)
    return next(
        (
            place
            for place in candidates
            if _is_program(place / "postgres") and _is_program(place / "initdb")
        ),
        None,
    )


def _choose_broker(facts: Facts, nodes: int) -> Source:
    if facts.amqp_url != facts.management_url:
        missing = MANAGEMENT_URL if facts.amqp_url else AMQP_URL
        raise StackError(
            f"{AMQP_URL} and {MANAGEMENT_URL} belong together, and {missing} is not set: "
            "messages go through the one, exchanges and queues are made through the other."
        )
    if facts.amqp_url and nodes > 1:
        raise StackError(
            f"A cluster of {nodes} nodes is made here, and {AMQP_URL} names a broker that is not "
            f"ours: leave {AMQP_URL} and {MANAGEMENT_URL} out."
        )
    if facts.amqp_url:
        return Source.GIVEN
    if facts.docker and nodes == 1:
        return Source.CONTAINER
    if facts.rabbitmq is not None:
        return Source.LOCAL
    if facts.apt:
        return Source.INSTALL
    raise MissingServiceError(
        "No RabbitMQ here: install the package rabbitmq-server (it need not run), "
        f"or start a Docker engine, or set {AMQP_URL} and {MANAGEMENT_URL}."
    )


def _choose_database(facts: Facts) -> Source:
    if facts.database_url:
        return Source.GIVEN
    if facts.docker:
        return Source.CONTAINER
    if facts.postgres is not None:
        return Source.LOCAL
    if facts.apt:
        return Source.INSTALL
    raise MissingServiceError(
        "No PostgreSQL here: install the package postgresql (it need not run), "
        f"or start a Docker engine, or set {DATABASE_URL}."
    )


def _check_url(variable: str, url: str) -> None:
    """Says what a URL has to look like, and never what it is: it may hold a password."""
    if variable == AMQP_URL:
        try:
            hosts.check(url)
        except hosts.AddressError as error:
            raise StackError(f"{variable}: {error}.") from None
        return
    schemes, example = {
        MANAGEMENT_URL: ({"http", "https"}, "http://user:password@host:15672"),
        DATABASE_URL: ({"postgresql", "postgres"}, "postgresql://user:password@host/database"),
    }[variable]
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and parts.port != 0 and bool(parts.hostname)
    except ValueError:
        fits = False
    if not fits:
        raise StackError(f"{variable}: not like {example}.")


def _required(variable: str, place: Path, program: str) -> Path:
    if not _is_program(place / program):
        raise StackError(f"{variable} is {place}, where there is no program {program}.")
    return place


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _release(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(".") if part.isdigit())
