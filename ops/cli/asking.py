"""What the commands for people share: the configuration, the connection, the wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from contracts.client import Client, ClientSettings, SettingsError
from contracts.errors import ContractError
from contracts.requests import MAX_LIFETIME_MS
from ops.cli import current
from ops.cli.exits import ExitCode, clients_errors, leave

T = TypeVar("T")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="WARREN_CLIENT_CONFIG",
        help="The client's TOML configuration. Unless given: that of the stack that `warren up` "
        "or `warren demo --keep` runs here.",
        show_default=False,
        dir_okay=False,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0.1,
        max=MAX_LIFETIME_MS / 1000,
        metavar="SECONDS",
        help="How long the session may take; else what the configuration says.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
RequestId = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="A new id of your own for the request, to ask for it later; else a random one.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command reaches for; a test passes its own as the context's object."""

    connect: Callable[[ClientSettings], AbstractAsyncContextManager[Client]] = Client.connect
    current_client: Callable[[], Path | None] = current.client_file


def ask(
    context: typer.Context,
    question: Callable[[Client], Awaitable[T]],
    *,
    config: Path | None,
    as_json: bool,
    waiting: str,
    request_id: str | None = None,
) -> T:
    """Connect, ask, and wait for the answer; every known trouble ends the command.

    Arguments:
        waiting: What stands beside the spinner.
        request_id: As `clients_errors` takes it.
    """
    surroundings = context.find_object(Surroundings) or Surroundings()

    async def conversation() -> T:
        async with surroundings.connect(settings_of(context, config)) as client:
            return await question(client)

    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # the errors tell it in a sentence
    with clients_errors(as_json=as_json, request_id=request_id):
        try:
            with _spinner(waiting):
                return asyncio.run(conversation())
        except ContractError as error:  # a ValueError, too
            text = f"What came does not check out: {error}."
            leave(ExitCode.FAILED, "failed", text, as_json=as_json)
        except ValueError as error:  # how the client library calls impossible arguments
            text = str(error)
            leave(ExitCode.USAGE, "usage", f"{text}.", as_json=as_json)


def settings_of(context: typer.Context, config: Path | None) -> ClientSettings:
    """Of the file that was named, or of the stack here. Raises SettingsError."""
    surroundings = context.find_object(Surroundings) or Surroundings()
    path = config or surroundings.current_client()
    if path is None:
        raise SettingsError(
            "No client configuration: give --config FILE or set WARREN_CLIENT_CONFIG, or start a "
            "stack here with `warren up`."
        )
    return ClientSettings.load(path)


@contextlib.contextmanager
def _spinner(text: str) -> Iterator[None]:
    console = Console(stderr=True)
    with console.status(text) if console.is_terminal else contextlib.nullcontext():
        yield
