"""Results that nobody takes: more of them than a process has ever had in hand, for longer than the
broker lets anybody keep one; and the command that looks at them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from typer.testing import CliRunner

from contracts import addresses, bundles
from contracts.answers import failed_result
from contracts.client import Client, mailbox
from contracts.coordinators import result_headers
from contracts.failures import Failure, FailureCode
from contracts.primitives import Status
from contracts.results import Result
from ops.cli.main import app
from ops.stack import rabbitmq, vhosts
from ops.stack.discovery import probe
from tests.patience import until

from .fakes import FakeCoordinator, honest
from .producers import settings, sign
from .samples import CLIENT, COORDINATOR, PINNED, announcement, sign_request

pytestmark = pytest.mark.system

MANY = 1_050


def forgotten(number: int, client_id: str | None = "svcA") -> Result:
    """The answer to a question of a process that is gone."""
    return failed_result(
        "query_session",
        Failure.of(FailureCode.UNKNOWN_REQUEST, "nothing of that id"),
        request_id=f"forgotten-{number}",
        client_id=client_id,
        request_digest=number.to_bytes(32),
        finished_at=1_700_000_000_000 + number,
    )


async def pile_up(coordinator: FakeCoordinator, count: int, client_id: str | None = "svcA") -> None:
    for begin in range(0, count, 50):
        numbers = range(begin, min(begin + 50, count))
        await asyncio.gather(
            *(
                coordinator.publish(
                    forgotten(number, client_id),
                    addresses.result_key(
                        "query_session", client_id=client_id, request_id=f"forgotten-{number}"
                    ),
                )
                for number in numbers
            )
        )


###
### More than anybody takes
###


@pytest.mark.parametrize("client_id", ["svcA", None])
async def test_what_nobody_reads_keeps_no_call_waiting_and_stays(
    vhost: str, client_id: str | None
) -> None:
    async with FakeCoordinator.running(vhost, client_id) as coordinator:
        await pile_up(coordinator, MANY, client_id)
        async with Client.connect(settings(vhost, client_id)) as client:
            assert (await sign(client)).status is Status.COMPLETED
        queue = addresses.results_queue(client_id)
        await until(lambda: _holds(coordinator, queue, MANY))


async def _holds(coordinator: FakeCoordinator, queue: str, count: int) -> bool:
    """Besides those that answer a request which came twice."""
    return count <= await coordinator.waiting(queue) <= count + twice(coordinator)


def twice(coordinator: FakeCoordinator) -> int:
    """Requests that came again: after a loss of connection, or as the answer was long in coming."""
    return len(coordinator.asked) - len({each.message_id for each in coordinator.asked})


async def test_a_process_that_waits_for_nothing_lets_go_of_all_and_then_takes_its_own(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "HELD_FOR_S", 0.5)
    await pile_up(coordinator, 20)
    queue = addresses.results_queue("svcA")
    async with Client.connect(settings(vhost)) as client:
        for _ in range(3):
            await sign(client)
            await until(lambda: _holds(coordinator, queue, 20))
            # It is left alone: nobody has any of it in hand, even a moment later.
            await asyncio.sleep(0.3)
            assert await _holds(coordinator, queue, 20)


async def test_a_reader_that_comes_later_gets_what_was_left_alone(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "HELD_FOR_S", 0.5)
    await pile_up(coordinator, 3)
    async with Client.connect(settings(vhost)) as client:
        await until(lambda: _holds(coordinator, addresses.results_queue("svcA"), 3))
        read = set()
        async with contextlib.aclosing(client.results()) as results:
            async for result in results:
                read.add(result.request_id)
                if len(read) == 3:
                    break
    assert read == {f"forgotten-{number}" for number in range(3)}


async def test_processes_that_share_a_pile_get_their_own(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "HELD_FOR_S", 0.5)
    await pile_up(coordinator, 50)
    queue = addresses.results_queue("svcA")
    given = settings(vhost, ask_again_s=2)
    async with Client.connect(given) as one, Client.connect(given) as other:
        for _ in range(2):
            calls = [sign(each, bytes([at])) for at in range(10) for each in (one, other)]
            done = await asyncio.gather(*calls)
            assert [each.message for each in done] == [
                bytes([at]) for at in range(10) for _ in "ab"
            ]
            await until(lambda: _holds(coordinator, queue, 50))


###
### Longer than the broker allows
###

TIMEOUT_S = 2.0


@pytest.fixture
def impatient_broker(tmp_path: Path) -> Iterator[str]:
    """The AMQP URL of a broker that ends the channel of whoever keeps a delivery for two seconds,
    as others do after half an hour."""
    programs = probe({}).rabbitmq
    if programs is None:
        pytest.skip("no RabbitMQ to start a node of our own")
    directory = tmp_path / "impatient"
    directory.mkdir(mode=0o700)
    limits = f"{{consumer_timeout, {TIMEOUT_S * 1000:.0f}}}, {{channel_tick_interval, 200}}"
    (directory / "advanced.config").write_text(f"[{{rabbit, [{limits}]}}].\n")
    broker = rabbitmq.start(directory, programs)
    try:
        broker.wait_ready()
        name = f"test-{secrets.token_hex(4)}"
        vhosts.create(broker.management_url, name)
        yield vhosts.address(broker.amqp_url, name)
    finally:
        broker.stop(keep=False)


@pytest.mark.parametrize("busy", [True, False])
async def test_nothing_is_kept_for_longer_than_the_broker_allows(
    impatient_broker: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    busy: bool,
) -> None:
    monkeypatch.setattr(mailbox, "HELD_FOR_S", TIMEOUT_S / 4)
    async with FakeCoordinator.running(impatient_broker, "svcA") as coordinator:
        await pile_up(coordinator, 30)
        async with Client.connect(settings(impatient_broker)) as client:
            ends = time.monotonic() + 3 * TIMEOUT_S
            while time.monotonic() < ends:
                if busy:
                    await sign(client)
                await asyncio.sleep(0.1)
            await sign(client)
            assert client.connected
        await until(lambda: _holds(coordinator, addresses.results_queue("svcA"), 30))
    assert "connection to the broker lost" not in caplog.text


async def test_a_broker_ends_the_channel_of_whoever_keeps_a_result(impatient_broker: str) -> None:
    """So that the test before proves something."""
    async with FakeCoordinator.running(impatient_broker, "svcA") as coordinator:
        await pile_up(coordinator, 1)
        async with await aio_pika.connect(impatient_broker) as connection:
            channel = await connection.channel()
            await (await channel.get_queue(addresses.results_queue("svcA"))).consume(_keep)
            await until(lambda: channel.is_closed)


async def _keep(_: object) -> None: ...


###
### The command
###


@pytest.fixture
async def terminal(vhost: str, coordinator: FakeCoordinator, tmp_path: Path) -> Terminal:
    assert coordinator
    return Terminal(configuration(tmp_path, vhost))


def configuration(directory: Path, url: str) -> Path:
    (directory / "own.key").write_text(CLIENT.to_base64())
    parties = "".join(
        f'[[parties]]\nparty_id = "{name}"\npublic_key = "{party.to_base64()}"\n'
        for name, party in PINNED.items()
    )
    path = directory / "client.toml"
    path.write_text(
        f'[client]\nclient_id = "svcA"\namqp_url = "{url}"\nprivate_key_file = "own.key"\n'
        f'[[coordinators]]\npublic_key = "{COORDINATOR.public.to_base64()}"\n{parties}'
    )
    return path


class Terminal:
    """An operator's, with the client's configuration."""

    def __init__(self, config: Path) -> None:
        self._config = config

    async def run(self, *arguments: str, answer: str | None = None) -> Any:
        # The commands have event loops of their own.
        environment = {"WARREN_CLIENT_CONFIG": str(self._config)}
        return await asyncio.to_thread(
            CliRunner().invoke, app, arguments, input=answer, env=environment
        )

    async def told(self, *arguments: str, code: int = 0) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


async def test_a_command_line_is_not_kept_waiting(
    coordinator: FakeCoordinator, terminal: Terminal
) -> None:
    await pile_up(coordinator, MANY)
    assert (await terminal.told("key", "show", "ed25519"))["key_id"] == "ed25519"
    told = await terminal.told("results", "list", "--operation", "query_session")
    assert (told["matching"], len(told["results"])) == (MANY, MANY)
    assert MANY <= told["looked_at"] <= MANY + twice(coordinator)


async def test_results_are_listed_shown_and_discarded(
    coordinator: FakeCoordinator, terminal: Terminal
) -> None:
    await pile_up(coordinator, 2)
    request = sign_request()
    (result,) = honest(request)
    await coordinator.publish(result, request.reply_to)
    await coordinator.publish(announcement(request), "")

    told = await terminal.told("results", "list")
    assert [each["result"] for each in told["results"]] == [
        *("query_session", "query_session", "sign", "session_announced")
    ]
    assert told["results"][0] | {"id": "", "bytes": 0} == {
        "id": "",
        "result": "query_session",
        "request_id": "forgotten-0",
        "session_id": None,
        "key_id": None,
        "status": "failed",
        "finished_at": 1_700_000_000_000,
        "bytes": 0,
        "returns": 0,
    }
    shown = await terminal.told("results", "show", told["results"][2]["id"])
    assert shown["content"]["signature"] == result.model_dump(mode="json")["signature"]
    announced = await terminal.told("results", "show", told["results"][3]["id"])
    assert announced["content"]["session_token"] == "not shown"  # it lets into the session

    gone = await terminal.told("results", "discard", "forgotten-1", "--yes")
    assert [each["request_id"] for each in gone["discarded"]] == ["forgotten-1"]
    gone = await terminal.told("results", "discard", "--all", "--operation", "sign", "--yes")
    assert [each["result"] for each in gone["discarded"]] == ["sign"]
    left = await terminal.told("results", "list", "--operation", "query_session")
    assert [each["request_id"] for each in left["results"]] == ["forgotten-0"]
    assert left["looked_at"] == 2


async def test_results_of_one_message_are_shown_each_and_go_together(
    coordinator: FakeCoordinator, terminal: Terminal
) -> None:
    parts = []
    for number in range(2):
        body = forgotten(number).model_dump_json().encode()
        parts.append(
            bundles.Part(
                message_id="",
                kind="query_session",
                content_type="application/json",
                headers=result_headers(body, COORDINATOR),
                body=body,
            )
        )
    exchange = await coordinator._channel.get_exchange(addresses.RESULTS, ensure=False)
    message = aio_pika.Message(bundles.pack(parts), content_type=bundles.CONTENT_TYPE)
    await exchange.publish(message, addresses.bundled_key("svcA"))
    await pile_up(coordinator, 1)

    told = await terminal.told("results", "list")
    names = [each["request_id"] for each in told["results"]]
    assert names == ["forgotten-0", "forgotten-1", "forgotten-0"]
    shown = await terminal.told("results", "show", "forgotten-1")
    assert shown["content"]["request_id"] == "forgotten-1"
    gone = await terminal.told("results", "discard", "forgotten-1", "--yes")
    names = [each["request_id"] for each in gone["discarded"]]
    assert names == ["forgotten-0", "forgotten-1", "forgotten-0"]
    assert (await terminal.told("results", "list"))["looked_at"] == 0


async def test_only_what_the_coordinator_says_to_this_client_is_shown_or_discarded(
    coordinator: FakeCoordinator, terminal: Terminal
) -> None:
    body = forgotten(1).model_dump_json().encode()
    key = addresses.result_key("query_session", client_id="svcA", request_id="forgotten-1")
    await coordinator.publish_raw(body, key, headers={})
    await coordinator.publish(forgotten(2, "svcB"), key)
    await coordinator.publish(forgotten(3), key)
    told = await terminal.told("results", "list")
    assert [each["request_id"] for each in told["results"]] == ["forgotten-3"]
    assert told["not_the_coordinators"] == 2
    gone = await terminal.told("results", "discard", "--all", "--yes")
    assert [each["request_id"] for each in gone["discarded"]] == ["forgotten-3"]
    assert (await terminal.told("results", "list"))["not_the_coordinators"] == 2


async def test_the_command_says_what_it_needs_and_asks_before(
    coordinator: FakeCoordinator, terminal: Terminal
) -> None:
    await pile_up(coordinator, 2)
    for arguments, said in (
        (["discard"], "Give either ids or --all."),
        (["discard", "a", "--all"], "Give either ids or --all."),
        (["discard", "a", "--operation", "sign"], "--operation goes with --all, not with ids."),
    ):
        ended = await terminal.run("results", *arguments)
        assert (ended.exit_code, said in ended.stderr) == (2, True)
    assert (await terminal.told("results", "discard", "--all", code=2))["error"]["kind"] == "usage"
    told = await terminal.told("results", "show", "nobody", code=1)
    assert told["error"]["message"] == "There is no result 'nobody' among the 2 here."
    declined = await terminal.run("results", "discard", "--all", answer="n\n")
    assert (declined.exit_code, "Nothing was done." in declined.stderr) == (1, True)
    listed = await terminal.run("results", "list", "--limit", "1")
    assert "forgotten-0" in listed.stdout
    assert "1 more are not shown" in listed.stderr
    agreed = await terminal.run("results", "discard", "--all", answer="y\n")
    assert (agreed.exit_code, "2 of 2 discarded." in agreed.stdout) == (0, True)
    assert "Nothing that nobody has taken." in (await terminal.run("results", "list")).stdout


async def test_a_broker_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    away = Terminal(configuration(tmp_path, "amqp://svcA:hunter2@127.0.0.1:1/warren"))
    for arguments in (["list"], ["show", "a"], ["discard", "--all", "--yes"]):
        ended = await away.run("results", *arguments)
        assert ended.exit_code == 4
        assert "127.0.0.1:1" in ended.stderr
        assert "hunter2" not in ended.output
