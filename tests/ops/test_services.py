"""The private broker and database from outside: who gets in, and what is left afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import aio_pika
import asyncpg
import httpx
import psutil
import pytest

from ops.stack import databases, vhosts
from ops.stack.errors import StackError
from ops.stack.services import Services, running_services

OWNER = """
import json, sys, time
from pathlib import Path
from ops.stack.services import running_services
nodes = 3 if "cluster" in sys.argv else 1
with running_services(Path(sys.argv[1]), keep="keep" in sys.argv, nodes=nodes) as services:
    names = (*services.__slots__, "broker_pid")
    shown = {name: str(getattr(services, name)) for name in names}
    print(json.dumps(shown), flush=True)
    time.sleep(60)
"""

GIVEN_BROKER = {
    "WARREN_AMQP_URL": "amqp://nobody:asks@127.0.0.1/",
    "WARREN_MANAGEMENT_URL": "http://nobody:asks@127.0.0.1",
}
"""A broker that nobody starts or calls, where only the database matters: that one starts faster."""


@pytest.fixture
def private(services: Services) -> Services:
    """The services, where they are private nodes."""
    if services.broker_pid is None or services.database_pid is None:
        pytest.skip("broker and database are not private nodes here")
    return services


@pytest.fixture
def bystanders() -> Iterator[None]:
    """Servers on the standard ports, as far as those are free, that want to be left alone."""
    with ExitStack() as stack:
        listeners = []
        for port in (4369, 5432, 5672, 15672):
            listener = stack.enter_context(socket.socket())
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                listener.listen()
                listener.setblocking(False)
                listeners.append(listener)
        yield
        for listener in listeners:
            with pytest.raises(BlockingIOError):
                listener.accept()


async def test_the_fixtures_give_a_broker_and_a_database_that_work(
    vhost: str, database: str
) -> None:
    connection = await aio_pika.connect(vhost)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue("hello", exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"!"), routing_key="hello")
        message = await queue.get(timeout=60)
        assert message is not None
        assert message.body == b"!"

    store = await asyncpg.connect(database)
    assert await store.fetchval("SHOW fsync") == "on"
    await store.close()


async def test_a_vhost_and_a_database_are_made_once_and_deleted_whole(services: Services) -> None:
    for _ in range(2):
        vhosts.create(services.management_url, "once")
        url = await databases.create(services.database_url, "once")
    vhosts.delete(services.management_url, "once")
    await databases.drop(services.database_url, "once")

    with pytest.raises(aio_pika.exceptions.AMQPError):
        await aio_pika.connect(vhosts.address(services.amqp_url, "once"))
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


async def test_nobody_enters_without_the_password(services: Services) -> None:
    wrong = {
        name: url.replace(httpx.URL(url).password, "guess")
        for name, url in (
            ("amqp", services.amqp_url),
            ("management", services.management_url),
            ("database", services.database_url),
        )
    }
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(wrong["amqp"])
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong["database"])
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        vhosts.create(wrong["management"], "intruder")
    assert "guess" not in str(refusal.value)


def test_private_nodes_listen_on_loopback_only(private: Services) -> None:
    listening = {
        (pid, connection.laddr.ip)
        for pid in own_pids(private)
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {(pid, "127.0.0.1") for pid in own_pids(private)}


def test_passwords_are_neither_shown_nor_given_as_arguments(private: Services) -> None:
    passwords = [httpx.URL(url).password for url in (private.amqp_url, private.database_url)]
    seen = repr(private)
    for pid in own_pids(private):
        seen += " ".join(psutil.Process(pid).cmdline())
    assert not [password for password in passwords if password in seen]


def test_the_folders_of_private_nodes_are_closed_to_others(private: Services) -> None:
    for name in ("rabbitmq", "postgres"):
        assert (private.directory / name).stat().st_mode & 0o077 == 0


def test_a_second_run_beside_the_first_disturbs_nothing(
    private: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    environment = {**os.environ, **GIVEN_BROKER}
    stack = private.directory.parent
    with running_services(stack, progress=lines.append, environment=environment) as second:
        assert second.directory != private.directory
        assert second.database_pid is not None
        pids = family(second.database_pid)
        password = httpx.URL(second.database_url).password
    assert not second.directory.exists()
    assert gone(pids)
    assert not any(gone_now(pid) for pid in own_pids(private))
    shown = "".join(lines) + "".join(capfd.readouterr())
    assert "PostgreSQL" in shown
    assert password not in shown
    assert GIVEN_BROKER["WARREN_AMQP_URL"] not in shown


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_everything_stops_with_its_owner(how: signal.Signals, private: Services) -> None:
    # Of its own: in the others' place, a test beside this one would tidy up after the kill.
    stack = private.directory / f"owned-{how.name}"
    environment = {**os.environ, **GIVEN_BROKER}
    with owner(stack, environment=environment) as (process, shown):
        pids = family(int(shown["database_pid"]))
        process.send_signal(how)
    assert gone(pids)
    directory = Path(shown["directory"])
    # After SIGKILL nobody can tidy up but the next run.
    assert directory.exists() == (how is signal.SIGKILL)
    with running_services(stack, environment=environment):
        assert not directory.exists()


@pytest.mark.usefixtures("bystanders")
async def test_what_is_kept_is_found_again_even_after_a_kill(private: Services) -> None:
    stack = private.directory / "another"
    with owner(stack, "keep") as (process, shown):
        pids = family(int(shown["broker_pid"])) + family(int(shown["database_pid"]))
        vhosts.create(shown["management_url"], "kept")
        await databases.create(shown["database_url"], "kept")
        with pytest.raises(StackError, match="Another process"), running_services(stack, keep=True):
            pass
        process.kill()
    assert gone(pids)

    with running_services(stack, keep=True) as again:
        connection = await aio_pika.connect(vhosts.address(again.amqp_url, "kept"))
        await connection.close()
        store = await asyncpg.connect(again.database_url, database="kept")
        await store.close()


@contextmanager
def owner(
    stack: Path, *options: str, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Another process that runs the services, and what it says of them. Waits for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(stack), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        except BaseException:
            process.kill()
            raise


def own_pids(services: Services) -> list[int]:
    assert services.broker_pid is not None
    assert services.database_pid is not None
    return [services.broker_pid, services.database_pid]


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def gone(pids: list[int]) -> bool:
    """Have all ended? They get the moment that a signal takes."""
    deadline = time.monotonic() + 60
    while not all(gone_now(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone_now(pid: int) -> bool:
    """Ended, even if nobody has collected its status yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
