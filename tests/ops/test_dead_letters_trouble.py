"""Other operators, brokers that are away, wrong addresses, interruptions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from ops.cli import current
from ops.cli.main import app
from ops.deadletters import desk, handling
from ops.deadletters.letter import Letter
from ops.deadletters.selection import Entry
from ops.stack import vhosts
from tests.ops.letter_office import DEAD, PASSWORD, Office

pytestmark = pytest.mark.system


###
### Others at the same queue
###


async def test_what_another_operator_holds_is_counted_and_comes_back(office: Office) -> None:
    await office.rejected(b"0", b"1", b"2")
    letters = await office.listed()
    channel = await office.connection.channel()
    other = await channel.get_queue(DEAD, ensure=False)
    held = [await other.get(), await other.get()]
    assert len(held) == 2
    told = await office.told("list")
    assert (told["looked_at"], told["in_use_elsewhere"]) == (1, 2)
    assert "2 are in use elsewhere" in (await office.run("list")).stderr
    told = await office.told("replay", letters[2]["id"], code=1)
    assert told["error"]["in_use_elsewhere"] == 2
    await channel.close()
    await office.filled(DEAD, 3)
    assert {letter["id"] for letter in await office.listed()} == {each["id"] for each in letters}


async def test_a_letter_that_somebody_took_meanwhile_is_missed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0", b"1")
    look = desk.Desk.look
    looks: list[desk.Desk] = []

    @contextlib.asynccontextmanager
    async def late(
        self: desk.Desk, most: int | None = None
    ) -> AsyncIterator[AsyncIterator[desk.Held]]:
        looks.append(self)
        if len(looks) == 2:
            async with look(self, 1) as letters:
                async for held in letters:
                    await held.take_out()
        async with look(self, most) as letters:
            yield letters

    monkeypatch.setattr(desk.Desk, "look", late)
    told = await office.told("discard", "--all", "--yes", code=1)
    assert (len(told["discarded"]), told["missing"]) == (1, 1)


###
### Brokers
###


async def test_a_broker_that_is_away_is_said_to_be_and_the_password_is_not(
    office: Office,
) -> None:
    url = f"amqp://operator:{PASSWORD}@127.0.0.1:1/warren"
    for arguments in (["list"], ["show", "a"], ["replay", "a"], ["discard", "--all", "--yes"]):
        result = await office.run(*arguments, url=url)
        assert result.exit_code == 4
        assert "No connection to the broker at 127.0.0.1:1/warren" in result.stderr
        assert PASSWORD not in result.output


async def test_a_connection_that_breaks_during_a_look_is_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0")
    put_back: Callable[..., Awaitable[None]] = desk.Desk._put_back

    async def cut(self: desk.Desk, *arguments: Any) -> None:
        await self._connection.close()
        await put_back(self, *arguments)

    monkeypatch.setattr(desk.Desk, "_put_back", cut)
    assert (await office.told("list", code=4))["error"]["kind"] == "unreachable"
    await office.filled(DEAD, 1)


async def test_a_wrong_address_is_a_matter_of_configuration(office: Office) -> None:
    parts = urlsplit(office.url)
    stranger = parts._replace(netloc=f"stranger:{PASSWORD}@{parts.hostname}:{parts.port}")
    for url, said in (
        (stranger.geturl(), 'refuses the login of user "stranger"'),
        (vhosts.address(office.url, "nowhere"), "does not open this vhost"),
        (f"http://u:{PASSWORD}@h/", "not like amqp://"),
        (f"amqp://u:{PASSWORD}@h:port/", "not like amqp://"),
    ):
        result = await office.run("list", url=url)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert PASSWORD not in result.output


async def test_a_missing_queue_comes_with_the_remedy(office: Office) -> None:
    async with office.connection.channel() as channel:
        await channel.queue_delete(DEAD)
    result = await office.run("list")
    assert result.exit_code == 2
    assert "warren topology apply" in result.stderr


async def test_without_an_address_the_stack_that_runs_here_is_meant(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "client_file", lambda: None)
    monkeypatch.delenv("WARREN_AMQP_URL", raising=False)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", "list"])
    assert result.exit_code == 2
    assert "set WARREN_AMQP_URL" in result.stderr
    useless = tmp_path / "client.toml"
    useless.write_text("[client]\n")
    monkeypatch.setattr(current, "client_file", lambda: useless)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", "list"])
    assert result.exit_code == 2
    assert str(useless) in result.stderr


###
### Interruptions
###


async def test_an_interrupted_look_gives_everything_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0", b"1", b"2")
    seen: list[Entry] = []

    def interrupted(letter: Letter) -> Entry:
        seen.append(entry := Entry.of(letter))
        if len(seen) == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # as Ctrl-C does
        return entry

    monkeypatch.setattr(handling, "Entry", SimpleNamespace(of=interrupted))
    looking = asyncio.create_task(
        handling.survey(handling.Place(url=office.url, queue=DEAD, most=3))
    )
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert len(seen) == 2
    await office.filled(DEAD, 3)
