"""`warren client add|rotate|remove|list|publish`: clients of a running system."""

from collections.abc import Callable, Coroutine, Iterable
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
    moment,
    number_at,
)

if TYPE_CHECKING:
    from contracts.client_list import ClientEntry
    from ops.registrar.desk import Desk, Given, Wish
    from topology import Members

T = TypeVar("T")

_SETTLE_S = 11.0
"""Until the broker's statistics have caught up: see `topology.apply.SETTLE_S`."""
ROLES = {"client": "clients", "tenant-client": "tenant_clients", "gateway": "gateways"}

app = typer.Typer(
    no_args_is_help=True,
    help="Let clients in, change their keys, show them out, while everything runs.",
    epilog=EXIT_CODES,
)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT", help="Its id, compared exactly.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Where the client's files go, which are for it alone.", file_okay=False
    ),
]
PublicKey = Annotated[
    str | None,
    typer.Option(
        help="The client's own public key (base64); without it a key is made and handed over.",
        show_default=False,
    ),
]
Operations = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="What it may ask, and nothing else; several if given several times. Such as reshare "
        "has to be named.",
        show_default="all that need not be named",
    ),
]
NewOperations = Annotated[
    list[str] | None,
    typer.Option(
        "--operation",
        metavar="NAME",
        help="What it may ask from now on, with either key, and nothing else; several if given "
        "several times. Such as reshare has to be named.",
        show_default="what it may ask already",
    ),
]


@app.command("add", epilog=EXIT_CODES)
def add(
    client: ClientId,
    config: Config = None,
    out: Out = Path(),
    public_key: PublicKey = None,
    role: Annotated[
        str, typer.Option(help="client; tenant-client, which serves many; gateway.")
    ] = "client",
    operation: Operations = None,
    again: Annotated[
        bool, typer.Option("--again", help="The id was removed before: its keys come with it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a client in: queues, a broker user, and its key in the list that all follow.

    Run it again if it was cut short.

    \b
    Example:
      warren client add svcC --out svcC
      warren client add keeper --operation query_keys --operation reshare --out keeper
    """
    if role not in ROLES:
        leave(ExitCode.USAGE, "usage", f"--role is one of {', '.join(ROLES)}", as_json=as_json)
    _check_operations(operation or (), as_json=as_json)
    with errors(as_json=as_json):
        wish = _wish(
            client,
            out,
            public_key,
            group=ROLES[role],
            operations=tuple(dict.fromkeys(operation)) if operation else None,
            again=again,
        )
        given = _at_desk(config, lambda desk: desk.add(wish), as_json=as_json)
    _show(given, as_json=as_json)


@app.command("rotate", epilog=EXIT_CODES)
def rotate(
    client: ClientId,
    config: Config = None,
    out: Out = Path(),
    public_key: PublicKey = None,
    operation: NewOperations = None,
    until: Annotated[
        datetime | None,
        typer.Option(help="Until when the old key counts; until --finish unless given. UTC."),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="The old key and login are none any more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give a client another key and another login at the broker, beside those that it has.

    Both count until you say --finish: time to move the client over, one process after another.

    \b
    Example:
      warren client rotate svcA --out svcA && warren client rotate svcA --finish
      warren client rotate keeper --operation query_keys --operation reshare --out keeper
    """
    _check_operations(operation or (), as_json=as_json)
    if finish and operation:
        text = "--operation goes with the new key, and not with --finish"
        leave(ExitCode.USAGE, "usage", text, as_json=as_json)
    with errors(as_json=as_json):
        _require_id(client)
        if finish:
            number = _at_desk(config, lambda desk: desk.finish(client), as_json=as_json)
            _done(f"{client} has one key and one login", number, as_json=as_json)
            return
        ends = None if until is None else _end(until.replace(tzinfo=UTC))
        named = tuple(dict.fromkeys(operation)) if operation else None
        wish = _wish(client, out, public_key, valid_until=ends, operations=named)
        given = _at_desk(config, lambda desk: desk.rotate(wish), as_json=as_json)
    _show(given, as_json=as_json)
    if not as_json:
        typer.echo(f"Both keys and logins count until `warren client rotate {client} --finish`.")


@app.command("remove", epilog=EXIT_CODES)
def remove(
    client: ClientId,
    config: Config = None,
    discard_results: Annotated[
        int | None,
        typer.Option(min=0, help="So many results that it has not read may be thrown away."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a client out: its key counts nowhere any more, its login and its queues are gone.

    Refused while results wait for it. Its keys at the parties stay; nobody may be called as it is
    unless that is said.
    """
    with errors(as_json=as_json):
        _require_id(client)
        number = _at_desk(
            config,
            lambda desk: desk.remove(client, discard_results=discard_results),
            as_json=as_json,
        )
    _done(f"{client} is no client any more", number, as_json=as_json)


@app.command("publish", epilog=EXIT_CODES)
def publish(config: Config = None, as_json: AsJson = False) -> None:
    """Bring the list back to a broker that has lost it, or the end of it."""
    with errors(as_json=as_json):
        number = _at_desk(config, lambda desk: desk.publish(), as_json=as_json)
    _done("the broker has the whole list", number, as_json=as_json)


@app.command("list", epilog=EXIT_CODES)
def list_clients(
    config: Config = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="Of a worker's --health, to be asked how far it follows."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the clients of the list, their keys, what they may ask; and who follows it how far."""
    with errors(as_json=as_json):
        listed, members, refused = _at_desk(config, lambda desk: desk.look(), as_json=as_json)
        followers = {url: number_at(url, "clients") for url in worker or ()}
    rows = [_row(entry, members) for entry in listed.clients()]
    if as_json:
        print_json(
            {
                "number": listed.number,
                "clients": rows,
                "refused": refused,
                "followers": followers,
            }
        )
        return
    for row in rows:
        keys = ", ".join(
            key["public_key"] + (f" until {key['until']}" if key["until"] else "")
            for key in row["keys"]
        )
        logins = " and ".join(map(str, row["logins"]))
        asks = _in_words(row["operations"])
        typer.echo(f"{row['client']}  {row['role']}  login {logins}  asks {asks}  {keys}")
    typer.echo(f"The list ends with entry {listed.number}.")
    for text in refused:
        typer.secho(f"! in the stream: {text}", fg="red")
    for url, number in followers.items():
        told = "does not answer" if number is None else f"follows up to entry {number}"
        typer.echo(f"{url}  {told}")


def _check_operations(names: Iterable[str], *, as_json: bool) -> None:
    from contracts.operations import known_right

    try:
        for name in names:
            known_right(name)
    except ValueError as error:
        leave(ExitCode.USAGE, "usage", str(error), as_json=as_json)


def _in_words(operations: Iterable[str] | None) -> str:
    """What a client may ask; `None` is said as it counts."""
    from contracts.operations import OPERATIONS

    if operations is not None:
        return ", ".join(operations) or "nothing"
    rights = (each.right_of or name for name, each in OPERATIONS.items() if each.named)
    return f"all but {', '.join(dict.fromkeys(rights))}"


def _row(entry: "ClientEntry", members: "Members") -> dict[str, Any]:
    from topology.registrar import group_of

    group = group_of(members, entry.client_id)
    role = next((role for role, name in ROLES.items() if name == group), None)
    return {
        "client": entry.client_id,
        "role": role,
        "logins": list(members.logins.get(entry.client_id, (1,))),
        "operations": entry.operations,
        "keys": [
            {
                "public_key": key.model_dump(mode="json")["public_key"],
                "until": None if key.valid_until is None else moment(key.valid_until),
            }
            for key in entry.keys or ()
        ],
    }


def _wish(client: str, out: Path, public_key: str | None, **more: Any) -> "Wish":
    from contracts.identity import PublicIdentity
    from ops.registrar.desk import Wish

    _require_id(client)
    own = None if public_key is None else PublicIdentity.from_base64(public_key)
    return Wish(client_id=client, out=out, public_key=own, **more)


def _require_id(client: str) -> None:
    from topology.model import ID_IN_WORDS, is_id

    if not is_id(client):
        raise typer.BadParameter(f"{client!r} is no client id: {ID_IN_WORDS}")


def _end(until: datetime) -> int:
    if until <= datetime.now(UTC):
        raise typer.BadParameter(
            f"--until {until.isoformat(timespec='seconds')} is over: to end the old key at once, "
            "say --finish afterwards"
        )
    return int(until.timestamp() * 1000)


def _at_desk(
    config: Path | None, work: "Callable[[Desk], Coroutine[Any, Any, T]]", *, as_json: bool
) -> T:
    from ops.registrar.desk import Desk

    return at_registrar(
        config,
        lambda settings, say: work(Desk(settings, say=say, settle_s=_SETTLE_S)),
        as_json=as_json,
    )


def _show(given: "Given", *, as_json: bool) -> None:
    if as_json:
        key = None if given.key is None else str(given.key)
        print_json({"number": given.number, "config": str(given.config), "private_key_file": key})
        return
    typer.echo(f"Done, by entry {given.number} of the list. Its file: {given.config}")


def _done(text: str, number: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"number": number})
    else:
        typer.echo(f"Done, by entry {number} of the list: {text}.")
