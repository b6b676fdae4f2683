"""Pages of API keys that let strangers in, or leave out that somebody is to stay out."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest

from contracts import addresses
from contracts.client import Client
from contracts.primitives import Scope
from gateway.settings import GatewaySettings
from ops.stack import gateways
from ops.stack.deployment import Deployment
from tests.system.gateway.callers import calling, eventually

from .adversary import Adversary, Held, heard_request, is_request, is_result
from .forms import api_key_page, now_ms, unrevoked

ACCOUNTS = "/api/v1/accounts"
REFRESHED_S = 5.0
"""A gateway asks every two seconds, and for a secret that it does not know after one."""
FORGOTTEN_S = 12.0
"""After ten seconds without a page that proves itself nobody is let in."""
OUT = {401, 503}

Page = Callable[[], Mapping[str, Any]]


@contextlib.asynccontextmanager
async def forged_pages(adversary: Adversary, page: Page) -> AsyncIterator[None]:
    """While it is open, every query for API keys is answered with this page, and no other."""
    async with adversary.holding_requests(
        gateways.CLIENT, addresses.CONTROL_QUEUE, "query_api_keys"
    ) as held:
        answering = asyncio.create_task(answer(adversary, held, page))
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            await held.let_through(held.recording.all(is_request("query_api_keys")))


async def answer(adversary: Adversary, held: Held, page: Page) -> None:
    """Other queries go on to whom they are for."""
    seen = 0
    while True:
        heard = await held.recording.count(lambda _: True, seen + 1, 60)
        for wire in heard[seen:]:
            if not is_request("query_api_keys")(wire):
                await held.let_through([wire])
                continue
            request = heard_request(wire).request
            content = {
                "result": "query_api_keys",
                "version": 1,
                "client_id": request.client_id,
                "session_id": None,
                "status": "completed",
                **page(),
                "request_id": request.request_id,
                "finished_at": now_ms(),
            }
            await adversary.publish(
                adversary.forms.result(content, request.reply_to, request=wire.body)
            )
        seen = len(heard)


async def entered(caller: httpx.AsyncClient, within_s: float) -> bool:
    ending = time.monotonic() + within_s
    while time.monotonic() < ending:
        if (await caller.get(ACCOUNTS)).status_code == 200:
            return True
        await asyncio.sleep(0.3)
    return False


@pytest.fixture
async def operator(stack: Deployment) -> AsyncIterator[Client]:
    assert stack.gateways is not None
    settings = GatewaySettings.load(stack.gateways.config).client
    async with Client.connect(settings) as connected:
        yield connected


@pytest.fixture
def url(stack: Deployment) -> str:
    assert stack.gateways is not None
    return stack.gateways.urls[0]


async def test_a_forged_page_lets_nobody_in(url: str, adversary: Adversary) -> None:
    secret = secrets.token_hex(16)
    digest = hashlib.sha256(secret.encode()).digest()
    async with (
        calling(url, secret) as caller,
        forged_pages(adversary, lambda: api_key_page("mallory", "alice", digest)),
    ):
        assert not await entered(caller, REFRESHED_S)


async def test_a_page_of_before_a_revoke_keeps_nobody_in(
    url: str, operator: Client, stranger: Adversary
) -> None:
    api_key_id, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(16)
    await operator.put_api_key(
        api_key_id,
        holder="alice",
        key_digest=hashlib.sha256(secret.encode()).digest(),
        scopes=list(Scope),
    )
    async with calling(url, secret) as caller:
        await eventually(lambda: caller.get(ACCOUNTS), 200)
        page = await stranger.recording.first(
            lambda wire: is_result("query_api_keys")(wire) and api_key_id.encode() in wire.body
        )
        async with forged_pages(stranger, lambda: json.loads(page.body)):
            await operator.revoke_api_key(api_key_id)
            await asyncio.sleep(FORGOTTEN_S)
            assert (await caller.get(ACCOUNTS)).status_code in OUT


async def test_a_revoke_left_out_before_later_entries_keeps_nobody_in(
    url: str, operator: Client, insider: Adversary
) -> None:
    """The newest end of the chain can be hidden for a while; nothing else of it."""
    api_key_id, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(16)
    later = f"later-{secrets.token_hex(4)}"
    for name, shown in ((api_key_id, secret), (later, secrets.token_hex(16))):
        await operator.put_api_key(
            name,
            holder="alice",
            key_digest=hashlib.sha256(shown.encode()).digest(),
            scopes=list(Scope),
        )
        if name == api_key_id:
            await operator.revoke_api_key(api_key_id)
    page = await insider.recording.first(
        lambda wire: is_result("query_api_keys")(wire) and later.encode() in wire.body
    )
    async with (
        calling(url, secret) as caller,
        forged_pages(insider, lambda: unrevoked(json.loads(page.body), api_key_id)),
    ):
        assert not await entered(caller, REFRESHED_S)
