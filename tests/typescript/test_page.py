"""The HTTP half of the TypeScript client in a page, where there is a Chromium."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from contracts.client import ClientSettings
from contracts.peers import Pinned, identities
from contracts.primitives import Scheme
from contracts.verification import check_signature
from ops.stack.deployment import Deployment
from ops.stack.gateways import CLIENT as GATEWAY
from ops.stack.gateways import HOLDER, programs
from ops.stack.sockets import free_ports
from tests.npm import Npm

pytestmark = pytest.mark.xdist_group("typescript")

OPENED = "gateway.opened"
ANSWER_S = 120
PAGE = b'<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>'
PROGRAM = """
import { WarrenHttpClient } from "warren-client/http";

async function signed({ message, ...settings }) {
  const client = new WarrenHttpClient(settings);
  const key = await client.createKey({ curve: "ed25519", threshold: 2, partyCount: 3 });
  const begun = await client.beginSignature({
    keyId: key.keyId,
    scheme: "ed25519",
    message: new TextEncoder().encode(message),
  });
  const states = [];
  for await (const { status } of client.events({ sessionId: begun.sessionId })) states.push(status);
  const made = await begun.result();
  const hex = (bytes) => Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return { publicKey: hex(made.publicKey), signature: hex(made.signature), states };
}

const settings = await (await fetch("/settings")).json();
const told = await signed(settings).catch((error) => ({ error: String(error) }));
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
"""


@dataclass
class Site:
    """A page, what it is to know, and what it tells."""

    program: bytes
    settings: dict[str, Any] = field(default_factory=dict)
    told: asyncio.Future[Any] = field(default_factory=lambda: asyncio.Future())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body, kind = b"", "text/html"
        match head.split(maxsplit=2)[:2]:
            case ["get", "/"]:
                body = PAGE
            case ["get", "/page.js"]:
                body, kind = self.program, "text/javascript"
            case ["get", "/settings"]:
                body, kind = json.dumps(self.settings).encode(), "application/json"
            case ["post", "/told"]:
                size = int(head.partition("content-length:")[2].split()[0])
                self.told.set_result(json.loads(await reader.readexactly(size)))
        headers = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no Chromium here")
    return found


@pytest.fixture
async def site(npm: Npm, built: Path) -> AsyncIterator[tuple[Site, str]]:
    written = built.parent / "build" / "page.mjs"
    written.parent.mkdir(exist_ok=True)
    written.write_text(PROGRAM)
    bundle = written.with_name("page.bundle.js")
    options = ("--bundle", "--platform=browser", "--format=esm", f"--outfile={bundle}")
    made = await asyncio.to_thread(npm, "exec", "--", "esbuild", str(written), *options)
    assert made.returncode == 0, made.stderr
    served = Site(bundle.read_bytes())
    server = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    async with server:
        yield served, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def gateway(stack: Deployment, site: tuple[Site, str]) -> str:
    """The URL of one that lets that page in."""
    assert stack.gateways is not None
    door = f"[gateway]\ncors_origins = [{json.dumps(site[1])}]"
    config = stack.gateways.config.with_name("gateway-opened.toml")
    config.touch(mode=0o600)
    config.write_text(stack.gateways.config.read_text().replace("[gateway]", door, 1))
    (port,) = free_ports(1)
    (program,) = programs(config, [port], stack.plan.entry)
    stack.supervisor.start(replace(program, name=OPENED))
    stack.supervisor.wait_ready()
    return f"http://127.0.0.1:{port}"


async def test_a_page_makes_a_key_and_signs_with_it(
    chromium: str, stack: Deployment, site: tuple[Site, str], gateway: str, tmp_path: Path
) -> None:
    assert stack.gateways is not None
    served, origin = site
    parties = ClientSettings.load(stack.clients["svcA"]).parties
    served.settings = {
        "url": gateway,
        "apiKey": stack.gateways.api_key,
        "owner": {"clientId": GATEWAY, "tenant": HOLDER},
        "parties": {name: _first(each) for name, each in parties.items()},
        "message": "from a page",
    }
    # Chromium's own sandbox does not start for root, as whom images of a CI run.
    rights = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    browser = await asyncio.create_subprocess_exec(
        chromium,
        *quiet,
        *rights,
        f"--user-data-dir={tmp_path}",
        origin,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        told = await asyncio.wait_for(served.told, ANSWER_S)
    finally:
        browser.terminate()
        await browser.wait()
    assert "error" not in told, told
    public_key, signature = (bytes.fromhex(told[name]) for name in ("publicKey", "signature"))
    check_signature(Scheme.ED25519, public_key, b"from a page", signature)
    assert told["states"][-1] == "completed"


def _first(pinned: Pinned) -> str:
    return next(iter(identities(pinned))).to_base64()
