"""`warren party`: a party's own processes, and `card|add|rotate|drain|retire|lost|list|publish`, by
which parties of a running system come and go."""

import json
import os
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ops.cli.exits import ExitCode, leave, print_json
from ops.cli.registering import (
    EXIT_CODES,
    AsJson,
    Config,
    at_registrar,
    errors,
    metric_at,
    moment,
    number_at,
)
from workers.cli import party as app

if TYPE_CHECKING:
    from contracts.party_list import ListedParty
    from ops.registrar.parties import Let, PartyDesk

__all__ = ["app"]

T = TypeVar("T")

WAIT_S = 300.0
LOOKS_S = 0.5
SESSIONS = "warren_party_sessions"

PartyId = Annotated[str, typer.Argument(metavar="PARTY", help="Its id, compared exactly.")]
Card = Annotated[
    Path, typer.Option("--card", help="What `warren party card` made.", dir_okay=False)
]
Workers = Annotated[
    list[str] | None,
    typer.Option("--worker", help="Of a worker's --health; several if given several times."),
]
_PANEL = "Parties of a running system"


def _command(name: str) -> "Callable[[Callable[..., None]], Callable[..., None]]":
    return app.command(name, epilog=EXIT_CODES, rich_help_panel=_PANEL)


@app.command("card", rich_help_panel=_PANEL)
def card(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The party's own file.", dir_okay=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the card goes.", dir_okay=False)],
    key: Annotated[
        Path | None,
        typer.Option(
            help="Another private key of the party's than the configured one: the next one.",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        str,
        typer.Option(help="persistent; recovery, which is asked only where a request names it."),
    ] = "persistent",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="Such as zone=b; several if given several times."),
    ] = None,
) -> None:
    """Make this party's card, for an operator: id, index, role, labels, and proof of its key.

    \b
    Example:
      warren party card -c party-4.toml --label zone=b --out party-4.card
    """
    from contracts.errors import ContractError
    from contracts.party_card import PartyCard, SignedCard
    from contracts.peers import Role
    from workers import private_keys
    from workers.settings import SettingsError, party_in

    try:
        own, configured = party_in(config, os.environ)
        identity = configured if key is None else private_keys.read(key, "--key")
        made = PartyCard(
            party_id=own.party_id,
            index=own.index,
            role=Role(role),
            labels=_labels(label or []),
            public_key=identity.public.der,
            made_at=_now_ms(),
        )
        data = SignedCard.of(made, identity).to_bytes()
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        leave(ExitCode.USAGE, "usage", f"{out}: {error.strerror}", as_json=False)
    except (SettingsError, ContractError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=False)
    except ValueError as error:
        leave(ExitCode.USAGE, "usage", _brief(error), as_json=False)
    typer.echo(f"{out} is the card of {made.party_id}; nothing in it is secret")


@_command("add")
def add(
    card: Card,
    config: Config = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where its address goes.", file_okay=False)
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Let a party in: queues, a broker user, and its key in the list that all follow.

    Run it again if it was cut short.

    \b
    Example:
      warren party add --card party-4.card --out party-4
    """
    from ops.registrar.parties import card_in

    with errors(as_json=as_json):
        read = card_in(card)
        _show(_at_desk(config, lambda desk: desk.add(read, out), as_json=as_json), as_json=as_json)


@_command("rotate")
def rotate(
    config: Config = None,
    card: Annotated[
        Path | None,
        typer.Option(help="The party's card with its new key.", dir_okay=False),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(help="Until when the old key counts; until --finish unless given. UTC."),
    ] = None,
    finish: Annotated[
        str | None, typer.Option(metavar="PARTY", help="Its old keys speak no more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a party another key, beside the one that it has. Both count until you say --finish.

    The party's processes have to have both private keys before: see other_private_key_files.

    \b
    Example:
      warren party rotate --card party-2.card && warren party rotate --finish party-2
    """
    from ops.registrar.parties import card_in

    if (card is None) == (finish is None):
        leave(ExitCode.USAGE, "usage", "say --card, or --finish PARTY", as_json=as_json)
    with errors(as_json=as_json):
        if card is None:
            assert finish is not None
            number = _at_desk(config, lambda desk: desk.finish(finish), as_json=as_json)
            _done(f"{finish} has one key", number, as_json=as_json)
            return
        read = card_in(card)
        ends = None if until is None else int(until.replace(tzinfo=UTC).timestamp() * 1000)
        if ends is not None and ends <= _now_ms():
            raise typer.BadParameter("--until is over: say --finish afterwards")
        given = _at_desk(config, lambda desk: desk.rotate(read, valid_until=ends), as_json=as_json)
        _show(given, as_json=as_json)


@_command("drain")
def drain(
    party: PartyId,
    config: Config = None,
    worker: Workers = None,
    undo: Annotated[bool, typer.Option("--undo", help="It gets new work again.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until its workers say that nothing is under way there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give a party nothing new while others can do it; what runs there ends.

    Its shares stay: reshare its keys to others before it retires (`warren key reshare`).
    """
    if wait and not worker:
        text = "--wait asks the workers: name each with --worker"
        leave(ExitCode.USAGE, "usage", text, as_json=as_json)
    with errors(as_json=as_json):
        number = _at_desk(config, lambda desk: desk.drain(party, undo=undo), as_json=as_json)
    empty = _empty(worker or [], number, wait=wait)
    if as_json:
        print_json({"number": number, "empty": empty})
        return
    told = "gets new work again" if undo else "gets nothing new"
    typer.echo(f"Done, by entry {number} of the list: {party} {told}.")
    if worker:
        typer.echo("Nothing is under way there." if empty else "Something is under way there.")


@_command("retire")
def retire(party: PartyId, config: Config = None, as_json: AsJson = False) -> None:
    """Make a drained party none any more, for ever: its id, index and keys go to nobody else.

    What it certified stays valid. Its queues and broker user stay until it is taken out of the
    members and `warren topology apply --prune` runs.
    """
    with errors(as_json=as_json):
        number = _at_desk(config, lambda desk: desk.retire(party), as_json=as_json)
    _done(f"{party} is no party any more", number, as_json=as_json)


@_command("lost")
def lost(
    party: PartyId,
    public_key: Annotated[str, typer.Option(help="The key that was lost or stolen (base64).")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let a party's key say nothing any more, at once and for ever.

    What it certified before stays valid. The party is none until another key is given to it by
    `warren party rotate`.
    """
    from contracts.identity import PublicIdentity

    with errors(as_json=as_json):
        key = PublicIdentity.from_base64(public_key)
        number = _at_desk(config, lambda desk: desk.lose(party, key), as_json=as_json)
    _done(f"that key of {party} counts no more", number, as_json=as_json)


@_command("publish")
def publish(config: Config = None, as_json: AsJson = False) -> None:
    """Bring the list of parties back to a broker that has lost it, or the end of it."""
    with errors(as_json=as_json):
        number = _at_desk(config, lambda desk: desk.publish(), as_json=as_json)
    _done("the broker has the whole list of parties", number, as_json=as_json)


@_command("list")
def list_parties(config: Config = None, worker: Workers = None, as_json: AsJson = False) -> None:
    """Show the parties of list and configuration, and who follows the list how far."""
    with errors(as_json=as_json):
        parties, number, refused = _at_desk(config, lambda desk: desk.look(), as_json=as_json)
    rows = [_row(party) for party in parties]
    followers = {url: number_at(url, "parties") for url in worker or ()}
    if as_json:
        told = {"number": number, "parties": rows, "refused": refused, "followers": followers}
        print_json(told)
        return
    for row in rows:
        keys = ", ".join(
            key["public_key"] + (f" until {key['until']}" if key["until"] else "")
            for key in row["keys"]
        )
        labels = "".join(f"  {name}={text}" for name, text in row["labels"].items())
        typer.echo(f"{row['index']}  {row['party']}  {row['role']}  {row['state']}{labels}  {keys}")
    typer.echo(f"The list ends with entry {number}.")
    for text in refused:
        typer.secho(f"! in the stream: {text}", fg="red")
    for url, reached in followers.items():
        said = "does not answer" if reached is None else f"follows up to entry {reached}"
        typer.echo(f"{url}  {said}")


def _row(party: "ListedParty") -> dict[str, Any]:
    state = "retired" if party.retired else "drained" if party.drained else "active"
    if not party.keys and not party.retired:
        state = "without a key"
    return {
        "party": party.party_id,
        "index": party.index,
        "role": party.role,
        "state": state,
        "labels": dict(party.labels),
        "keys": [
            {
                "public_key": key.identity.to_base64(),
                "from": None if key.valid_from is None else moment(key.valid_from),
                "until": None if key.valid_until is None else moment(key.valid_until),
            }
            for key in party.keys
        ],
    }


def _empty(workers: list[str], number: int, *, wait: bool) -> bool | None:
    """Whether all workers have heard of it and have nothing under way; None if none was named."""
    if not workers:
        return None
    give_up = time.monotonic() + (WAIT_S if wait else 0)
    while True:
        heard = all((number_at(url, "parties") or 0) >= number for url in workers)
        if heard and all(metric_at(url, SESSIONS) == 0 for url in workers):
            return True
        if time.monotonic() >= give_up:
            return False
        time.sleep(LOOKS_S)


def _at_desk(
    config: Path | None, work: "Callable[[PartyDesk], Coroutine[Any, Any, T]]", *, as_json: bool
) -> T:
    from ops.registrar.parties import PartyDesk

    return at_registrar(
        config, lambda settings, say: work(PartyDesk(settings, say=say)), as_json=as_json
    )


def _show(given: "Let", *, as_json: bool) -> None:
    address = None if given.address is None else str(given.address)
    if as_json:
        print_json({"party": given.party_id, "number": given.number, "address": address})
        return
    typer.echo(f"Done, by entry {given.number} of the list: {given.party_id}.")
    if address is not None:
        typer.echo(f"{address} has its address, for [party] of its file")


def _done(text: str, number: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"number": number})
    else:
        typer.echo(f"Done, by entry {number} of the list: {text}.")


def _labels(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if wrong := next((text for text, pair in zip(texts, pairs, strict=True) if not pair[1]), None):
        raise ValueError(f"{json.dumps(wrong)} is no label: say NAME=TEXT")
    return {name: text for name, _, text in pairs}


def _brief(error: ValueError) -> str:
    from pydantic import ValidationError

    from contracts.signing import explain

    return explain(error) if isinstance(error, ValidationError) else str(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
