"""Pages of API keys that let strangers in, or leave out that somebody is to stay out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest

from contracts.api_keys import DAY_MS, Action, ApiKeyEntry, SignedApiKeyEntry
from contracts.client import Client
from contracts.identity import Identity
from contracts.primitives import Scope
from gateway.authority import Authority, send
from gateway.entry.api_keys import digest
from gateway.settings import GatewaySettings
from ops.stack import gateways
from ops.stack.deployment import Deployment
from tests.patience import until
from tests.system.gateway.callers import calling, eventually

from .adversary import Adversary, Held, heard_request, is_request, is_result
from .forms import now_ms

ACCOUNTS = "/api/v1/accounts"
REVOCATIONS = "/api-keys/revocations"
KNOWN_S = 8.0
"""Within which a gateway knows what is new."""
FORGOTTEN_S = 25.0
"""After ten seconds without a page that proves itself nobody is let in."""
HIDDEN_S = 3.0

Page = Callable[[int], dict[str, Any]]
"""By the number of the entry behind which it begins."""


@contextlib.asynccontextmanager
async def forged_pages(adversary: Adversary, page: Page) -> AsyncIterator[None]:
    """While it is open, every query for API keys is answered with this page, and no other."""
    async with adversary.holding_requests(gateways.CLIENT, "query_api_keys") as held:
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
                "request_id": request.request_id,
                "finished_at": now_ms(),
                **page(wire.json()["after"]),
            }
            await adversary.publish(
                adversary.forms.result(content, request.reply_to, request=wire.body)
            )
        seen = len(heard)


def page_of(entries: Sequence[SignedApiKeyEntry], after: int) -> dict[str, Any]:
    """All that there are behind that one, as the coordinator says it."""
    return {
        "entries": [each.model_dump(mode="json") for each in entries[after:]],
        "after": after,
        "highest": len(entries),
        "more": False,
        "unsigned": [],
    }


@pytest.fixture
async def operator(stack: Deployment) -> AsyncIterator[Client]:
    assert stack.gateways is not None
    settings = GatewaySettings.load(stack.gateways.config).client
    async with Client.connect(settings) as connected:
        yield connected


@pytest.fixture
def authority(stack: Deployment) -> Authority:
    """The true one, to be asked for what operators ask it for."""
    assert stack.gateways is not None
    return Authority(stack.gateways.authority, gateways.CLIENT)


@pytest.fixture
def url(stack: Deployment) -> str:
    assert stack.gateways is not None
    return stack.gateways.urls[0]


@pytest.fixture
def log(stack: Deployment) -> Callable[[], str]:
    """What the gateway has written so far."""
    path = stack.directory / "logs" / "gateway.1.log"
    return path.read_text


def put(authority: Authority, name: str, secret: str) -> SignedApiKeyEntry:
    return authority.sign(
        Action.PUT,
        api_key_id=name,
        holder="alice",
        key_digest=digest(secret.encode()),
        scopes=list(Scope),
        valid_until=now_ms() + DAY_MS,
    )


def forged(entries: Sequence[SignedApiKeyEntry], secret: str) -> SignedApiKeyEntry:
    """The next entry in all but its signature, which is somebody's."""
    last, somebody = entries[-1].claimed(), Identity.generate()
    made = SignedApiKeyEntry.of(
        ApiKeyEntry(
            number=last.number + 1,
            previous=entries[-1].digest,
            authority=somebody.public.der,
            client_id=gateways.CLIENT,
            action=Action.PUT,
            api_key_id="mallory",
            holder="alice",
            key_digest=digest(secret.encode()),
            scopes=list(Scope),
            valid_until=now_ms() + DAY_MS,
            issued_at=now_ms(),
        ),
        somebody,
    )
    # In the name of the true one, whom its gateway has pinned.
    said = json.loads(made.body) | {"authority": base64.b64encode(last.authority).decode()}
    body = json.dumps(said).encode()
    return SignedApiKeyEntry(body=body, signature=somebody.sign(b"warren/api-key-entry/v1", body))


async def stays_out(caller: httpx.AsyncClient, within_s: float) -> None:
    ending = time.monotonic() + within_s
    while time.monotonic() < ending:
        assert (await caller.get(ACCOUNTS)).status_code in {401, 503}
        await asyncio.sleep(0.3)


async def test_a_forged_page_lets_nobody_in(
    url: str, authority: Authority, adversary: Adversary, log: Callable[[], str]
) -> None:
    """The chain as it is, and one entry more. The true authority's next one lets its holder in by
    the same way, if the coordinator says so."""
    entries, secret, before = authority.ledger.entries(), secrets.token_hex(16), len(log())
    false = [*entries, forged(entries, secret)]
    assert forged(entries, secret).claimed().api_key_id == "mallory"
    async with calling(url, secret) as caller:
        async with forged_pages(adversary, lambda after: page_of(false, after)):
            if adversary.is_coordinator:
                async with asyncio.timeout(KNOWN_S):
                    await until(lambda: "not signed by the API-key authority" in log()[before:])
            await stays_out(caller, 2.0)
        name, true = f"true-{secrets.token_hex(4)}", secrets.token_hex(16)
        longer = [*entries, put(authority, name, true)]
        async with (
            calling(url, true) as honest,
            forged_pages(adversary, lambda after: page_of(longer, after)),
        ):
            if adversary.is_coordinator:
                await eventually(lambda: honest.get(ACCOUNTS), 200, within_s=KNOWN_S)
            else:
                await stays_out(honest, 2.0)


async def test_a_page_of_before_a_revoke_keeps_nobody_in(
    url: str, operator: Client, authority: Authority, adversary: Adversary
) -> None:
    """The newest end of the chain can be hidden, by the coordinator alone: then the entry's own end
    is the bound, and a revocation that is brought straight to the gateway counts all the same.

    Others have only pages that the coordinator has signed before, and those answer old queries."""
    await authority.catch_up(operator)
    name, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(16)
    await send(operator, put(authority, name, secret))
    entries = authority.ledger.entries()
    async with calling(url, secret) as caller:
        await eventually(lambda: caller.get(ACCOUNTS), 200, within_s=KNOWN_S)
        recorded = await adversary.recording.first(is_result("query_api_keys"))
        async with forged_pages(adversary, lambda after: page_of(entries, after)):
            revocation = authority.revocation(name)
            await send(operator, revocation)
            if adversary.is_coordinator:
                await asyncio.sleep(HIDDEN_S)
                assert (await caller.get(ACCOUNTS)).status_code == 200
            else:
                await adversary.publish(recorded)
                await eventually(lambda: caller.get(ACCOUNTS), 503, within_s=FORGOTTEN_S)
            brought = await caller.post(REVOCATIONS, json=revocation.model_dump(mode="json"))
            assert brought.status_code == 200, brought.text
            assert (await caller.get(ACCOUNTS)).status_code in {401, 503}
        await stays_out(caller, 1.0)


async def test_a_revoke_left_out_before_later_entries_keeps_nobody_in(
    url: str,
    operator: Client,
    authority: Authority,
    insider: Adversary,
    log: Callable[[], str],
) -> None:
    await authority.catch_up(operator)
    name, secret = f"key-{secrets.token_hex(4)}", secrets.token_hex(16)
    await send(operator, put(authority, name, secret))
    async with calling(url, secret) as caller:
        await eventually(lambda: caller.get(ACCOUNTS), 200, within_s=KNOWN_S)
        kept = authority.ledger.entries()
        known = len(kept)
        authority.revocation(name)
        later = put(authority, f"later-{secrets.token_hex(4)}", secrets.token_hex(16))
        before = len(log())

        def page(after: int) -> dict[str, Any]:
            return page_of([*kept, later], after)

        async with forged_pages(insider, page):
            async with asyncio.timeout(KNOWN_S):
                await until(lambda: "entry's number is not what was" in log()[before:])
            await eventually(lambda: caller.get(ACCOUNTS), 503, within_s=FORGOTTEN_S)
        assert known == later.claimed().number - 2
        await authority.catch_up(operator)
        await eventually(lambda: caller.get(ACCOUNTS), 401, within_s=KNOWN_S)
