"""`warren gateway api-keys`: who may enter."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.api_keys import DAY_MS, MAX_DAYS, Action, valid
from contracts.primitives import Scope
from contracts.views import ApiKeyView

from . import key_talks
from .authority import new_authority, now_ms
from .console import EXIT_CONFIGURATION, EXIT_FAILED, Config, leave
from .entry.api_keys import new_secret
from .entry.secrets import digest, weakness
from .key_talks import known_errors

app = typer.Typer(no_args_is_help=True, help="Who may enter: make, list and revoke API keys.")
authority_app = typer.Typer(no_args_is_help=True, help="Who says which API keys there are.")
app.add_typer(authority_app, name="authority")

HOUR_MS = DAY_MS // 24

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
ApiKeyId = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of A-Z a-z 0-9 _ -")]
AuthorityFile = Annotated[
    Path,
    typer.Option(
        "--authority",
        metavar="FILE",
        envvar="WARREN_API_KEY_AUTHORITY",
        dir_okay=False,
        help="The API-key authority's private key. What it signs is kept beside it.",
    ),
]
Days = Annotated[
    float, typer.Option(min=0.0001, max=MAX_DAYS, help="How long it is valid; renew it before.")
]
Scopes = Annotated[
    list[Scope] | None,
    typer.Option("--scope", help="What it lets do; once for each.", show_default=False),
]
NamedScopes = Annotated[
    list[Scope], typer.Option("--scope", help="What it lets do; once for each.")
]


@authority_app.command("new")
def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="For the private key; must not exist.")
    ],
    client_id: Annotated[
        str, typer.Option("--client-id", help="Of the gateways that it is for.")
    ] = "gateway",
    as_json: AsJson = False,
) -> None:
    """Make an API-key authority. Keep its two files where no gateway can read them, and a copy."""
    with known_errors():
        made = new_authority(file, client_id).public.to_base64()
    if as_json:
        typer.echo(json.dumps({"public_key": made, "private_key_file": str(file)}))
        return
    typer.echo("Put this into the file of every gateway, under [gateway]:", err=True)
    typer.echo(f'api_key_authority = "{made}"')


@app.command("create")
def create(
    context: typer.Context,
    name: ApiKeyId,
    config: Config,
    authority: AuthorityFile,
    tenant: Annotated[
        str,
        typer.Option(
            "--holder",
            metavar="TENANT",
            help="Whose keys, accounts and sessions it opens; a tenant may have several API keys.",
        ),
    ],
    scope: NamedScopes,
    days: Days = MAX_DAYS,
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Take the secret that a caller has already, from standard input.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key with the scopes that are given: keygen, sign, reshare, join, cancel,
    configure, read.
    Its secret is printed once, here, and kept nowhere: only its SHA-256 is.

    To change a tenant's key, create a second one, have the tenant use it, revoke the first.

    \b
    Example:
      warren gateway api-keys create shop-1 --holder shop --scope sign --scope read \\
        -c gateway.toml --authority authority.key
    """
    secret = _secret_from_stdin() if secret_stdin else new_secret()
    talk = key_talks.Talk.of(context, config, authority)
    _check_is_new(talk, name)
    shown = {} if secret_stdin else {"secret": secret}
    fields = {
        "holder": tenant,
        "key_digest": digest(secret.encode()),
        "scopes": scope,
        "valid_until": _in_days(days),
    }
    try:
        talk.put(name, **fields)
    finally:  # Once it is signed it will be sent: if not now, with the next command.
        if (made := talk.authority.chain.key(name)) is not None:
            _show_new(made, shown, as_json=as_json)


def _check_is_new(talk: key_talks.Talk, name: str) -> None:
    if (there := talk.authority.chain.key(name)) is not None:
        remedy = "choose another id, or renew it"
        if there.revoked_at is not None:
            remedy = "it is revoked for good; choose another id"
        leave(f"API key {name} is there: {remedy}", EXIT_FAILED)


def _show_new(made: ApiKeyView, shown: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_json(made) | shown, indent=2))
        return
    allowed = ", ".join(made.scopes)
    typer.echo(f"API key {made.api_key_id} of {made.holder}: {allowed}; {_state(made)}.", err=True)
    if shown:
        typer.echo("Its secret, for the header X-API-Key; it is not shown again:", err=True)
        typer.echo(shown["secret"])


@app.command("renew")
def renew(
    context: typer.Context,
    name: ApiKeyId,
    config: Config,
    authority: AuthorityFile,
    scope: Scopes = None,
    days: Days = MAX_DAYS,
    as_json: AsJson = False,
) -> None:
    """Let an API key be valid for longer. Its secret stays, and so do its scopes unless some are
    given."""
    talk = key_talks.Talk.of(context, config, authority)
    before = _there(talk, name)
    if before.revoked_at is not None:
        leave(f"API key {name} is revoked for good; make another one", EXIT_FAILED)
    talk.put(
        name,
        holder=before.holder,
        key_digest=before.key_digest,
        scopes=list(scope or before.scopes),
        valid_until=_in_days(days),
    )
    _say(_there(talk, name), as_json=as_json)


@app.command("revoke")
def revoke(
    context: typer.Context,
    name: ApiKeyId,
    config: Config,
    authority: AuthorityFile,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="URL",
            help="A gateway that is told directly; once for each. Works without the queue.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """End an API key for good: within seconds, no gateway lets it in any more. Do it again if
    somebody could not be told."""
    talk = key_talks.Talk.of(context, config, authority)
    _there(talk, name)
    try:
        talk.revoke(name, at or ())
    finally:
        _say(_there(talk, name), as_json=as_json)


@app.command("adopt")
def adopt(
    context: typer.Context,
    config: Config,
    authority: AuthorityFile,
    days: Days = MAX_DAYS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Sign the API keys from before there was an authority: they open nothing until then. Look at
    the list, for nothing else proves that the operators made them."""
    talk = key_talks.Talk.of(context, config, authority)
    while found := talk.unsigned():
        for row in _table(found):
            typer.echo("  ".join(row).rstrip())
        if not yes and not typer.confirm(f"Sign these {len(found)}?"):
            leave("nothing was signed", EXIT_FAILED)
        end = _in_days(days)
        for key in found:
            talk.put(
                key.api_key_id,
                holder=key.holder,
                key_digest=key.key_digest,
                scopes=key.scopes,
                valid_until=end if key.valid_until is None else min(end, key.valid_until),
            )
    typer.echo("No API key is left without a signature.")


@app.command("nothing-after")
def nothing_after(
    context: typer.Context,
    config: Config,
    authority: AuthorityFile,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * MAX_DAYS, help="Until when.")],
) -> None:
    """Say that nothing was signed after this, and until when gateways may go by that. From then on
    they let nobody in before they are told anew, so that nothing can be hidden from them longer.

    Say it again in time, always: without it they take what they have for the newest.
    """
    talk = key_talks.Talk.of(context, config, authority)
    talk.add(Action.NOTHING_AFTER, until=now_ms() + round(hours * HOUR_MS))
    typer.echo(f"Gateways go by entry {talk.authority.chain.number} for {hours:g} h.")


@app.command("list")
def list_(context: typer.Context, config: Config, as_json: AsJson = False) -> None:
    """List the API keys: whose they are and what they let do, never what they are. Only what the
    authority has signed; whether the coordinator hides the newest, this cannot tell."""
    found = key_talks.listed(context, config)
    if as_json:
        typer.echo(json.dumps({"api_keys": [_as_json(key) for key in found]}, indent=2))
        return
    if not found:
        typer.echo(
            "Nobody may enter yet: warren gateway api-keys create NAME --holder TENANT "
            "--scope read --authority FILE"
        )
    for row in _table(found):
        typer.echo("  ".join(row).rstrip())


def _there(talk: key_talks.Talk, name: str) -> ApiKeyView:
    found = talk.authority.chain.key(name)
    if found is None:
        leave(f"the authority has signed no API key {name}", EXIT_FAILED)
    return found


def _in_days(days: float) -> int:
    return now_ms() + round(days * DAY_MS)


def _secret_from_stdin() -> str:
    secret = sys.stdin.readline().rstrip("\r\n")
    if (reason := weakness(secret)) is not None:
        leave(reason, EXIT_CONFIGURATION)
    return secret


def _say(key: ApiKeyView, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_json(key), indent=2))
    else:
        typer.echo(f"API key {key.api_key_id} of {key.holder} is {_state(key)}.")


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
        return "unsigned"
    word = "valid until" if valid(key, now_ms()) else "expired"
    return f"{word} {_moment(key.valid_until)}"


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return "beyond all calendars"
