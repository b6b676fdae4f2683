"""API keys through the real stack: what their authority signs opens doors, nothing else does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from contracts.api_keys import Action, ApiKeyEntry, SignedApiKeyEntry
from contracts.identity import Identity
from contracts.primitives import Scope
from gateway.authority import now_ms
from gateway.cli import app
from gateway.entry.api_keys import digest
from ops.stack.deployment import Deployment
from ops.stack.gateways import CLIENT, Gateways

from .callers import KEYGEN, calling, code, eventually, made, told
from .conftest import Letting

LIST = "/api/v1/accounts"
SECONDS = 8
"""Within which all gateways know what is new."""
STALE_S = 20
Command = Callable[..., Awaitable[str]]
SECRET = "what eve would like to enter with"


@pytest.fixture
def command(gateways: Gateways) -> Command:
    """`warren gateway api-keys`, as an operator types it."""

    async def run(*words: str) -> str:
        files = ["--config", str(gateways.config)]
        if words[0] != "list":
            files += ["--authority", str(gateways.authority)]
        arguments = ["api-keys", *words, *files]
        ended = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    return run


async def test_a_key_is_made_renewed_and_revoked(gateways: Gateways, command: Command) -> None:
    wish = ("create", "clerk-1", "--holder", "clerk", "--scope", "read", "--days", "1", "--json")
    made = json.loads(await command(*wish))
    async with calling(gateways.urls[0], made["secret"]) as clerk:
        told(await clerk.get(LIST))
        assert code(await clerk.post(LIST, json={"user_id": "x"}), 403) == "scope_missing"
        await command("renew", "clerk-1", "--scope", "read", "--scope", "keygen")
        await eventually(lambda: clerk.post(LIST, json={"user_id": "x"}), 201, within_s=SECONDS)
        assert "clerk-1" in await command("list")

        await command("revoke", "clerk-1", "--at", gateways.urls[0])
        assert code(await clerk.get(LIST), 401) == "unauthenticated"
        async with calling(gateways.urls[1], made["secret"]) as at_another:
            await eventually(lambda: at_another.get(LIST), 401, within_s=SECONDS)
    assert "revoked" in await command("list")


async def test_what_somebody_else_puts_into_the_database_opens_nothing(
    stack: Deployment, gateways: Gateways, caller: httpx.AsyncClient, letting: Letting
) -> None:
    """As a coordinator that lies: it has all but the authority's private key."""
    database = await asyncpg.connect(stack.database_urls["coordinator"])
    try:
        async with letting("honest"):
            pass
        last = await database.fetchrow("SELECT * FROM api_key_entries ORDER BY number DESC LIMIT 1")
        assert last is not None
        forged = _forged(last)
        async with calling(gateways.urls[0], SECRET) as eve:
            await database.execute(
                "INSERT INTO api_key_entries VALUES ($1, $2, $3, $4, 'eve', $5, $6)",
                last["owner"],
                last["authority"],
                last["number"] + 1,
                forged.digest,
                forged.body,
                forged.signature,
            )
            assert (await eve.get(LIST)).status_code in {401, 503}
            # Nobody can tell any more what was revoked since.
            refused = await eventually(lambda: caller.get(LIST), 503, within_s=STALE_S)
            assert code(refused, 503) == "keys_unknown"
            assert (await eve.get(LIST)).status_code == 503
            await database.execute("DELETE FROM api_key_entries WHERE number > $1", last["number"])
            await eventually(lambda: caller.get(LIST), 200, within_s=STALE_S)
            assert (await eve.get(LIST)).status_code == 401

        await database.execute("DELETE FROM api_key_entries WHERE number = $1", last["number"])
        await eventually(lambda: caller.get(LIST), 503, within_s=STALE_S)
    finally:
        await database.close()
    async with letting("after", Scope.READ) as after:  # which sends what the coordinator lacks
        await eventually(lambda: after.get(LIST), 200, within_s=STALE_S)
    told(await caller.get(LIST))


def _forged(last: asyncpg.Record) -> SignedApiKeyEntry:
    """Continues the chain in all but its signature."""
    stranger = Identity.generate()
    entry = ApiKeyEntry(
        number=last["number"] + 1,
        previous=last["digest"],
        authority=stranger.public.der,
        client_id=CLIENT,
        action=Action.PUT,
        api_key_id="eve",
        holder="demo",
        key_digest=digest(SECRET.encode()),
        scopes=list(Scope),
        valid_until=now_ms() + 60_000,
        issued_at=now_ms(),
    )
    return SignedApiKeyEntry.of(entry, stranger)


async def test_who_waits_or_follows_is_told_when_his_key_is_revoked(
    stack: Deployment, gateways: Gateways, command: Command
) -> None:
    """At the gateway that was told, and at one that has to hear of it."""
    wish = ("create", "guest-1", "--holder", "guest", "--scope", "read", "--scope", "keygen")
    secret = json.loads(await command(*wish, "--days", "1", "--json"))["secret"]
    os.kill(stack.supervisor.pids["party-1.keygen.1"], signal.SIGSTOP)
    try:
        async with (
            calling(gateways.urls[0], secret) as here,
            calling(gateways.urls[1], secret) as elsewhere,
        ):
            begun = await made(here, "/api/v1/mpc/keygen", KEYGEN)
            session = f"/api/v1/sessions/{begun['session_id']}"
            followed = [asyncio.create_task(_last(who, session)) for who in (here, elsewhere)]
            waiting = [
                asyncio.create_task(who.get(session, params={"wait": 60}))
                for who in (here, elsewhere)
            ]
            await asyncio.sleep(0.5)
            assert not any(each.done() for each in (*followed, *waiting))
            await command("revoke", "guest-1", "--at", gateways.urls[0])
            async with asyncio.timeout(SECONDS):
                for answer in await asyncio.gather(*waiting):
                    assert code(answer, 401) == "unauthenticated"
                    assert "guest-1 was revoked" in answer.json()["detail"]
                for event, told in await asyncio.gather(*followed):
                    assert (event, told["code"]) == ("problem", "unauthenticated")
                    assert "guest-1 was revoked" in told["detail"]
    finally:
        os.kill(stack.supervisor.pids["party-1.keygen.1"], signal.SIGCONT)


async def _last(caller: httpx.AsyncClient, session: str) -> tuple[str, dict[str, Any]]:
    """Of the session's events, when the stream has ended."""
    last: tuple[str, dict[str, Any]] = ("", {})
    async with caller.stream("GET", f"{session}/events") as stream:
        event = ""
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                last = (event, json.loads(line.removeprefix("data: ")))
    return last
