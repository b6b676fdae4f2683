"""What the commands about API keys say to the coordinator and to gateways, and how they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import typer

from contracts.api_keys import Action, Chain, SignedApiKeyEntry
from contracts.client import (
    BrokerUnavailableError,
    Client,
    ClientError,
    ClientSettings,
    RequestFailedError,
    ResultTimeoutError,
    SettingsError,
    TopologyError,
)
from contracts.errors import ContractError
from contracts.views import ApiKeyView

from .authority import Authority, AuthorityError, send
from .console import (
    EXIT_CONFIGURATION,
    EXIT_FAILED,
    EXIT_TIMED_OUT,
    EXIT_UNAVAILABLE,
    leave,
    load,
)
from .ledger import Ledger, LedgerError
from .revocations import REVOCATIONS

T = TypeVar("T")

AT_GATEWAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the commands reach for; a test passes its own as the context's object."""

    connect: Callable[[ClientSettings], AbstractAsyncContextManager[Client]] = Client.connect
    transport: httpx.BaseTransport | None = None
    """To gateways."""


class Talk:
    """Between an authority and those who are to believe it. What goes wrong ends the command.

    What was signed and could not be sent is sent by the next command.
    """

    def __init__(
        self, surroundings: Surroundings, client: ClientSettings, authority: Authority
    ) -> None:
        self._surroundings = surroundings
        self._client = client
        self.authority = authority

    @classmethod
    def of(cls, context: typer.Context, config: Path, file: Path) -> Talk:
        """
        Arguments:
            file: The authority's private key.
        """
        settings = load(config)
        with known_errors():
            pinned = settings.ledger().chain
            authority = Authority(file, pinned.client_id, pinned=pinned.authority)
        return cls(context.find_object(Surroundings) or Surroundings(), settings.client, authority)

    def put(self, name: str, **fields: Any) -> None:
        """Sign a key and send it."""
        self.add(Action.PUT, api_key_id=name, **fields)

    def add(self, action: Action, **fields: Any) -> None:
        """Sign an entry and send it, when all before it are sent."""

        async def conversation(client: Client) -> None:
            await self.authority.catch_up(client)
            await send(client, self.authority.sign(action, **fields))

        self._ask(conversation)

    def revoke(self, name: str, urls: Sequence[str]) -> None:
        """Sign it unless that was done, then tell these gateways and the coordinator."""
        with known_errors():
            signed = self.authority.revocation(name)
        untold = [url for url in urls if not self._told(url, signed)]
        self._ask(self.authority.catch_up)
        if untold:
            leave(f"not told: {', '.join(untold)}; do it again", EXIT_UNAVAILABLE)

    def unsigned(self) -> list[ApiKeyView]:
        """API keys from before there was an authority, a page of them."""

        async def conversation(client: Client) -> list[ApiKeyView]:
            await self.authority.catch_up(client)
            page = await client.api_key_entries(
                self.authority.chain.authority, limit=1, unsigned=True
            )
            return page.unsigned

        return self._ask(conversation)

    def _told(self, url: str, signed: SignedApiKeyEntry) -> bool:
        try:
            with httpx.Client(
                transport=self._surroundings.transport, timeout=AT_GATEWAY_S
            ) as gateway:
                answer = gateway.post(
                    url.rstrip("/") + REVOCATIONS, json=signed.model_dump(mode="json")
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            typer.secho(f"{url}: {type(error).__name__}: {error}", fg="red", err=True)
            return False
        if answer.status_code != httpx.codes.OK:
            typer.secho(f"{url}: {answer.status_code}: {answer.text[:500]}", fg="red", err=True)
        return answer.status_code == httpx.codes.OK

    def _ask(self, conversation: Callable[[Client], Awaitable[T]]) -> T:
        return _asked(self._surroundings, self._client, conversation)


def listed(context: typer.Context, config: Path) -> list[ApiKeyView]:
    """All API keys that the coordinator tells of and the authority has signed."""
    settings = load(config)
    ledger = Ledger(settings.ledger().chain, None)

    async def conversation(client: Client) -> None:
        await _read(client, ledger)

    surroundings = context.find_object(Surroundings) or Surroundings()
    _asked(surroundings, settings.client, conversation)
    return ledger.chain.listed()


async def _read(client: Client, ledger: Ledger) -> None:
    chain: Chain = ledger.chain
    more = True
    while more:
        known = chain.number
        page = await client.api_key_entries(chain.authority, after=max(known - 1, 0))
        ledger.go_on(page.entries, known)
        more = page.more and chain.number > known


def _asked(
    surroundings: Surroundings,
    settings: ClientSettings,
    conversation: Callable[[Client], Awaitable[T]],
) -> T:
    async def connected() -> T:
        async with surroundings.connect(settings) as client:
            return await conversation(client)

    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # the errors tell it in a sentence
    with known_errors():
        return asyncio.run(connected())


@contextmanager
def known_errors() -> Iterator[None]:
    """Ends the command with a sentence and an exit code."""
    try:
        yield
    except (SettingsError, TopologyError, AuthorityError, LedgerError) as error:
        leave(str(error), EXIT_CONFIGURATION)
    except BrokerUnavailableError as error:
        leave(str(error), EXIT_UNAVAILABLE)
    except ResultTimeoutError as error:
        leave(f"{error}: does the coordinator run?", EXIT_TIMED_OUT)
    except RequestFailedError as error:
        leave(error.failure.message, EXIT_FAILED)
    except ClientError as error:
        leave(str(error), EXIT_FAILED)
    except ContractError as error:
        leave(f"not believed: {error}", EXIT_FAILED)
    except ValueError as error:  # how the client library calls impossible arguments
        leave(str(error), EXIT_CONFIGURATION)
