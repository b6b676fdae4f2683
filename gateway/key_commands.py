"""`warren gateway api-keys`: who may enter."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

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
from contracts.primitives import Scope
from contracts.views import ApiKeyView

from .console import (
    EXIT_CONFIGURATION,
    EXIT_FAILED,
    EXIT_TIMED_OUT,
    EXIT_UNAVAILABLE,
    Config,
    leave,
    load,
)
from .entry.api_keys import digest, new_secret

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Who may enter: make, list and revoke API keys.")

MIN_SECRET_CHARACTERS = 24
MAX_SECRET_CHARACTERS = 512
DAY_MS = 86_400_000

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
ApiKeyId = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of A-Z a-z 0-9 _ -")]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the commands reach for; a test passes its own as the context's object."""

    connect: Callable[[ClientSettings], AbstractAsyncContextManager[Client]] = Client.connect


@app.command("create")
def create(
    context: typer.Context,
    name: ApiKeyId,
    config: Config,
    tenant: Annotated[
        str,
        typer.Option(
            "--holder",
            metavar="TENANT",
            help="Whose keys, accounts and sessions it opens; a tenant may have several API keys.",
        ),
    ],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it lets do; once for each. All, unless given.", show_default=False),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(min=0.0001, max=36500, help="How long it is valid.", show_default="for ever"),
    ] = None,
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Take the secret that a caller has already, from standard input.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key. Its secret is printed once, here, and kept nowhere: only its SHA-256 is.

    To change a tenant's key, create a second one, have the tenant use it, revoke the first.

    \b
    Example:
      warren gateway api-keys create shop-1 --holder shop --scope sign --scope read -c gateway.toml
    """
    secret = _secret_from_stdin() if secret_stdin else new_secret()
    valid_until = None if days is None else round(time.time() * 1000 + days * DAY_MS)
    made = _ask(
        context,
        config,
        lambda client: client.put_api_key(
            name,
            holder=tenant,
            key_digest=digest(secret.encode()),
            scopes=list(scope or Scope),
            valid_until=valid_until,
        ),
    )
    if as_json:
        shown = {} if secret_stdin else {"secret": secret}
        typer.echo(json.dumps(_as_json(made) | shown, indent=2))
        return
    allowed = ", ".join(made.scopes)
    typer.echo(f"API key {made.api_key_id} of {made.holder}: {allowed}.", err=True)
    if not secret_stdin:
        typer.echo("Its secret, for the header X-API-Key; it is not shown again:", err=True)
        typer.echo(secret)


@app.command("list")
def list_(context: typer.Context, config: Config, as_json: AsJson = False) -> None:
    """List the API keys: whose they are and what they let do, never what they are."""
    found = _ask(context, config, lambda client: client.api_keys())
    if as_json:
        typer.echo(json.dumps({"api_keys": [_as_json(key) for key in found]}, indent=2))
        return
    if not found:
        typer.echo("Nobody may enter yet: warren gateway api-keys create NAME --holder TENANT")
    for row in _table(found):
        typer.echo("  ".join(row).rstrip())


@app.command("revoke")
def revoke(context: typer.Context, name: ApiKeyId, config: Config, as_json: AsJson = False) -> None:
    """End an API key: within seconds, no gateway lets it in any more."""
    ended = _ask(context, config, lambda client: client.revoke_api_key(name))
    if as_json:
        typer.echo(json.dumps(_as_json(ended), indent=2))
    else:
        typer.echo(f"API key {ended.api_key_id} of {ended.holder} is revoked.")


def _secret_from_stdin() -> str:
    secret = sys.stdin.readline().rstrip("\r\n")
    if not MIN_SECRET_CHARACTERS <= len(secret) <= MAX_SECRET_CHARACTERS:
        leave(
            f"a secret has {MIN_SECRET_CHARACTERS} to {MAX_SECRET_CHARACTERS} characters, "
            f"this one {len(secret)}",
            EXIT_CONFIGURATION,
        )
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        leave("a secret has printable ASCII only, no space at its ends", EXIT_CONFIGURATION)
    return secret


def _ask(context: typer.Context, config: Path, question: Callable[[Client], Awaitable[T]]) -> T:
    surroundings = context.find_object(Surroundings) or Surroundings()

    async def conversation() -> T:
        async with surroundings.connect(load(config).client) as client:
            return await question(client)

    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # the errors tell it in a sentence
    with _known_errors():
        return asyncio.run(conversation())


@contextmanager
def _known_errors() -> Iterator[None]:
    try:
        yield
    except (SettingsError, TopologyError) as error:
        leave(str(error), EXIT_CONFIGURATION)
    except BrokerUnavailableError as error:
        leave(str(error), EXIT_UNAVAILABLE)
    except ResultTimeoutError as error:
        leave(f"{error}: does the coordinator run?", EXIT_TIMED_OUT)
    except RequestFailedError as error:
        leave(error.failure.message, EXIT_FAILED)
    except ClientError as error:
        leave(str(error), EXIT_FAILED)
    except ValueError as error:  # how the client library calls impossible arguments
        leave(str(error), EXIT_CONFIGURATION)


def _as_json(key: ApiKeyView) -> dict[str, Any]:
    return key.model_dump(mode="json")


def _table(keys: Sequence[ApiKeyView]) -> Iterator[tuple[str, ...]]:
    rows = [
        ("API KEY", "HOLDER", "STATE", "SCOPES"),
        *((key.api_key_id, key.holder, _state(key), ", ".join(key.scopes)) for key in keys),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if keys else []
    for row in rows if keys else ():
        yield tuple(word.ljust(width) for word, width in zip(row, widths, strict=True))


def _state(key: ApiKeyView) -> str:
    if key.revoked_at is not None:
        return f"revoked {_moment(key.revoked_at)}"
    if key.valid_until is None:
        return "valid"
    word = "valid until" if key.valid_until > time.time() * 1000 else "expired"
    return f"{word} {_moment(key.valid_until)}"


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return "beyond all calendars"
