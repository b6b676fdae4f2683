"""Broker and database in containers, as far as they can be seen without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import docker
import pytest
import testcontainers.core.container

from ops.stack import containers, discovery
from ops.stack.discovery import Facts
from ops.stack.errors import StartError
from ops.stack.services import running_services


class Double:
    """A container that maps each port to itself plus 1."""

    made: list[Double]
    fails = False

    def __init__(self, image: str, *, env: dict[str, str], ports: list[int]) -> None:
        self.image, self.env, self.ports = image, env, ports
        self.state = "made"
        self.made.append(self)

    def start(self) -> Self:
        self.state = "started"
        if self.fails:
            raise docker.errors.APIError("no such image")
        return self

    def stop(self) -> None:
        self.state = "stopped"

    def get_container_host_ip(self) -> str:
        return "localhost"

    def get_exposed_port(self, port: int) -> int:
        return port + 1


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Double]:
    Double.made = []
    monkeypatch.setattr(testcontainers.core.container, "DockerContainer", Double)
    return Double.made


def answer_at_once(*_: Any, **__: Any) -> bool:
    return True


def test_an_engine_is_used_for_both_and_everything_stops(
    made: list[Double], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discovery, "probe", lambda _: Facts(docker=True))
    for question in ("speaks_amqp", "speaks_postgres", "listens"):
        monkeypatch.setattr(containers, question, answer_at_once)
    with running_services(tmp_path) as running:
        broker, database = made
        assert broker.image == containers.RABBITMQ_IMAGE
        assert "management" in broker.image
        assert database.image == containers.POSTGRES_IMAGE
        password = broker.env["RABBITMQ_DEFAULT_PASS"]
        assert running.amqp_url == f"amqp://warren:{password}@127.0.0.1:5673/"
        assert running.management_url == f"http://warren:{password}@127.0.0.1:15673"
        password = database.env["POSTGRES_PASSWORD"]
        assert running.database_url == f"postgresql://warren:{password}@127.0.0.1:5433/postgres"
        assert running.broker_pid is None
        assert running.database_pid is None
    assert [container.state for container in made] == ["stopped", "stopped"]


def test_a_container_that_cannot_start_is_reported_and_removed(
    made: list[Double], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Double, "fails", True)
    with pytest.raises(StartError, match=r"could not start rabbitmq.*no such image"):
        containers.start_broker()
    with pytest.raises(StartError, match=r"could not start postgres.*no such image"):
        containers.start_database()
    assert [container.state for container in made] == ["stopped", "stopped"]
