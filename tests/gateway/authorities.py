"""Runs `warren gateway api-keys`, with a client that answers by script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx
from typer.testing import CliRunner, Result

from contracts.api_keys import Action, Chain, SignedApiKeyEntry
from contracts.client import (
    Client,
    ClientSettings,
)
from contracts.identity import PublicIdentity
from contracts.primitives import Status
from contracts.results import QueryApiKeysResult
from contracts.views import ApiKeyView
from gateway.cli import app
from gateway.key_talks import Surroundings
from tests.contracts.chains import AUTHORITY, Scribe
from tests.gateway.test_settings import written


@dataclass
class FakeClient:
    """Keeps entries as a coordinator does, from whoever sends them."""

    trouble: Exception | None = None
    entries: list[SignedApiKeyEntry] = field(default_factory=list)
    unsigned: list[ApiKeyView] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        assert settings.client_id == "gateway"
        if self.trouble is not None:
            raise self.trouble
        yield cast("Client", self)

    async def put_api_key(self, entry: SignedApiKeyEntry) -> None:
        assert entry.claimed().action is not Action.REVOKE
        self.entries.append(entry)

    async def revoke_api_key(self, entry: SignedApiKeyEntry) -> None:
        assert entry.claimed().action is Action.REVOKE
        self.entries.append(entry)

    async def api_key_entries(
        self, authority: PublicIdentity, *, after: int = 0, limit: int = 2, unsigned: bool = False
    ) -> QueryApiKeysResult:
        signed = {each.claimed().api_key_id for each in self.entries}
        left = [key for key in self.unsigned if key.api_key_id not in signed]
        return QueryApiKeysResult(
            request_id="r",
            client_id="gateway",
            session_id=None,
            request_digest=bytes(32),
            status=Status.COMPLETED,
            finished_at=1,
            entries=self.entries[after : after + limit],
            after=after,
            highest=len(self.entries),
            more=len(self.entries) > after + limit,
            unsigned=left if unsigned else [],
        )

    def told(self) -> Chain:
        """What a gateway makes of it."""
        chain = Scribe().chain()
        for entry in self.entries:
            chain.take(entry)
        return chain

    def key(self, name: str) -> ApiKeyView:
        found = self.told().key(name)
        assert found is not None
        return found


class Run:
    """Runs `warren gateway api-keys` with an authority whose files are in the folder."""

    def __init__(self, folder: Path) -> None:
        self.client = FakeClient()
        self.config = written(folder)
        self.authority = folder / "authority.key"
        self.entries = folder / "authority.key.gateway.entries"
        self.posted: list[tuple[str, bytes]] = []
        self.status = 200
        self.authority.write_text(AUTHORITY.to_base64())
        self.entries.touch()

    def __call__(self, word: str, *words: str, given: str | None = None) -> Result:
        files = ["--config", str(self.config)]
        if word != "list":
            files += ["--authority", str(self.authority)]
        surroundings = Surroundings(
            connect=self.client.connect, transport=httpx.MockTransport(self._gateway)
        )
        return CliRunner().invoke(
            app, ["api-keys", word, *words, *files], obj=surroundings, input=given
        )

    def _gateway(self, request: httpx.Request) -> httpx.Response:
        self.posted.append((str(request.url), request.content))
        return httpx.Response(self.status)
