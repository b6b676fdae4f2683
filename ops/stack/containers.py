"""Broker and database in containers. testcontainers removes them even after a SIGKILL of ours."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ops.stack.errors import StartError
from ops.stack.sockets import (
    LOOPBACK,
    listens,
    listens_at,
    speaks_amqp,
    speaks_postgres,
    wait_until,
)

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

RABBITMQ_IMAGE = "rabbitmq:4-management-alpine"
POSTGRES_IMAGE = "postgres:17-alpine"

_USER = "warren"
_AMQP = 5672
_MANAGEMENT = 15672
_POSTGRES = 5432


def engine_answers() -> bool:
    """Is there a Docker engine that we may use?"""
    import docker
    from testcontainers.core.docker_client import DockerClient, get_docker_host

    place = get_docker_host() or "unix:///var/run/docker.sock"
    # The client leaves a socket open when nobody listens, and nobody listening is the usual case.
    if place.startswith("unix://") and not listens_at(Path(place.removeprefix("unix://"))):
        return False
    try:
        engine = DockerClient(timeout=5).client
        try:
            return bool(engine.ping())
        finally:
            engine.close()
    except (docker.errors.DockerException, OSError):
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainedBroker:
    """RabbitMQ with its management plugin."""

    pids: ClassVar[tuple[int, ...]] = ()
    container: DockerContainer
    password: str = field(repr=False)

    @property
    def amqp_url(self) -> str:
        return f"amqp://{_USER}:{self.password}@{_address(self.container, _AMQP)}/"

    @property
    def management_url(self) -> str:
        return f"http://{_USER}:{self.password}@{_address(self.container, _MANAGEMENT)}"

    def wait_ready(self) -> None:
        """Until it speaks AMQP and its management API listens."""
        host, amqp = _host_and_port(self.container, _AMQP)
        _, management = _host_and_port(self.container, _MANAGEMENT)
        wait_until(
            lambda: speaks_amqp(amqp, host) and listens(management, host),
            what="RabbitMQ's container",
        )

    def stop(self, *, keep: bool) -> None:  # it has nothing to keep
        self.container.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainedDatabase:
    """PostgreSQL."""

    pid: ClassVar[None] = None
    container: DockerContainer
    password: str = field(repr=False)

    @property
    def database_url(self) -> str:
        return (
            f"postgresql://{_USER}:{self.password}@{_address(self.container, _POSTGRES)}/postgres"
        )

    def wait_ready(self) -> None:
        """Until it speaks PostgreSQL's protocol."""
        host, port = _host_and_port(self.container, _POSTGRES)
        wait_until(lambda: speaks_postgres(port, host), what="PostgreSQL's container")

    def stop(self, *, keep: bool) -> None:  # it has nothing to keep
        self.container.stop()


def start_broker() -> ContainedBroker:
    """RabbitMQ with a password of this run's own; it may not be ready yet."""
    password = secrets.token_hex(20)
    environment = {"RABBITMQ_DEFAULT_USER": _USER, "RABBITMQ_DEFAULT_PASS": password}
    container = _start(RABBITMQ_IMAGE, environment, (_AMQP, _MANAGEMENT))
    return ContainedBroker(container=container, password=password)


def start_database() -> ContainedDatabase:
    """PostgreSQL with a password of this run's own; it may not be ready yet."""
    password = secrets.token_hex(20)
    environment = {"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": password, "POSTGRES_DB": "postgres"}
    container = _start(POSTGRES_IMAGE, environment, (_POSTGRES,))
    return ContainedDatabase(container=container, password=password)


def _start(image: str, environment: dict[str, str], ports: tuple[int, ...]) -> DockerContainer:
    import docker
    from testcontainers.core.container import DockerContainer

    try:
        container = DockerContainer(image, env=environment, ports=list(ports))
        try:
            return container.start()
        except BaseException:
            container.stop()
            raise
    except (docker.errors.DockerException, OSError) as error:
        raise StartError(f"Docker could not start {image}: {error}") from error


def _address(container: DockerContainer, port: int) -> str:
    host, mapped = _host_and_port(container, port)
    return f"{host}:{mapped}"


def _host_and_port(container: DockerContainer, port: int) -> tuple[str, int]:
    host = container.get_container_host_ip()
    # "localhost" may mean ::1 first, where the mapped port need not listen.
    return LOOPBACK if host == "localhost" else host, container.get_exposed_port(port)
