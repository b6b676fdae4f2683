"""What several of these tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
import pytest

from contracts.identity import Identity
from ops.bench import site as sites
from ops.cli.asking import Surroundings
from ops.cli.main import app
from ops.stack.services import Services
from tests.contracts.samples import COORDINATOR, PINNED
from tests.ops.letter_office import MEMBERS, Office
from tests.ops.terminals import RUNNER, Ended, FakeClient, Run
from topology import apply_all


@pytest.fixture
async def office(services: Services, vhost: str) -> AsyncIterator[Office]:
    name = unquote(urlsplit(vhost).path[1:])
    await apply_all(services.management_url, members=MEMBERS, vhost=name)
    connection = await aio_pika.connect(vhost)
    async with connection:
        yield Office(vhost, services.management_url, connection)


@pytest.fixture
def fake() -> FakeClient:
    return FakeClient()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    identity = Identity.generate()
    (tmp_path / "own.key").write_text(identity.to_base64())
    parties = "".join(
        f'[[parties]]\nparty_id = "{name}"\npublic_key = "{party.to_base64()}"\n'
        for name, party in PINNED.items()
    )
    path = tmp_path / "client.toml"
    path.write_text(
        '[client]\nclient_id = "svcA"\namqp_url = "amqp://svcA:hunter2@127.0.0.1/warren"\n'
        f'private_key_file = "own.key"\n'
        f'[[coordinators]]\npublic_key = "{COORDINATOR.public.to_base64()}"\n{parties}'
    )
    return path


@pytest.fixture
def run(fake: FakeClient, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("WARREN_CLIENT_CONFIG", raising=False)

    def invoke(*arguments: str, stack: Path | None = config, **options: Any) -> Ended:
        surroundings = Surroundings(connect=fake.connect, current_client=lambda: stack)
        result = RUNNER.invoke(app, arguments, obj=surroundings, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def own_stack(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broker and database are there already; the rest is begun by the command."""

    @contextmanager
    def shared(*_: Any, **__: Any) -> Iterator[Services]:
        yield services

    monkeypatch.setattr(sites, "running_services", shared)
