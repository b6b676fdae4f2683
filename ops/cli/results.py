"""`warren results`: what lies in a client's queue and nobody has taken."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.client import ClientSettings
from contracts.results import SessionAnnounced
from ops.cli.asking import AsJson, Config, settings_of
from ops.cli.exits import IN_WORDS, ExitCode, clients_errors, leave, print_json
from ops.cli.letters import run
from ops.cli.text import print_table
from ops.deadletters.unread import Pile, UnknownResultError, Unread, by_ids, look, with_company
from ops.deadletters.unread import discard as throw_away

app = typer.Typer(
    no_args_is_help=True,
    help="Results in a client's own queue that no process of its has taken: look at them, throw "
    "them away.",
)

LOOK_AT = 5_000

LookAt = Annotated[
    int,
    typer.Option(
        "--look-at",
        min=1,
        metavar="N",
        help="Look at no more results than so many, from the oldest on.",
    ),
]
Operation = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only those of such requests, e.g. query_session."),
]


@app.command("list", epilog=IN_WORDS)
def list_(
    context: typer.Context,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Show no more than so many; 50 unless as JSON.", metavar="N"),
    ] = None,
    operation: Operation = None,
    look_at: LookAt = LOOK_AT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the results, the newest last. Looking at them takes nothing away.

    Each was verified to be the coordinator's word to this client.

    \b
    Example:
      warren results list --operation sign
    """
    pile = _look(_settings(context, config, as_json=as_json), look_at, as_json=as_json)
    passing = [each for each in pile.results if operation in (None, each.operation)]
    if as_json:
        print_json(
            {
                "looked_at": len(pile.results) + pile.disbelieved,
                "not_looked_at": pile.beyond,
                "not_the_coordinators": pile.disbelieved,
                "consumers": pile.consumers,
                "matching": len(passing),
                "results": [each.as_json() for each in passing[:limit]],
            }
        )
        return
    shown = passing[: limit or 50]
    if shown:
        _print(shown)
    else:
        typer.echo("Nothing that nobody has taken.")
    _print_notes(pile, hidden=len(passing) - len(shown))


@app.command(epilog=IN_WORDS)
def show(
    context: typer.Context,
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="Of a result, or its beginning; or of a request.")
    ],
    look_at: LookAt = LOOK_AT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a result says, as the coordinator signed it; nothing else about it was verified.

    \b
    Example:
      warren results show 5f0c6a
    """
    pile = _look(_settings(context, config, as_json=as_json), look_at, as_json=as_json)
    found = _by_ids([id_], pile, as_json=as_json)[0]
    print_json(found.in_full())


@app.command(epilog=IN_WORDS)
def discard(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="As of `show`.", show_default=False),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Instead of ids: all that --operation leaves.")
    ] = False,
    operation: Operation = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    look_at: LookAt = LOOK_AT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Throw results away. A process that still waits for one asks again, and gets it again. What
    came in one message with it goes along.

    \b
    Example:
      warren results discard --all --operation query_session
    """
    _check(ids, all_, operation, asks=not yes, as_json=as_json)
    settings = _settings(context, config, as_json=as_json)
    pile = _look(settings, look_at, as_json=as_json)
    if ids:
        chosen: Sequence[Unread] = _by_ids(ids, pile, as_json=as_json)
    else:
        chosen = [each for each in pile.results if operation in (None, each.operation)]
    chosen = with_company(chosen, pile.results)
    if chosen and not yes:
        _print(chosen)
        if not typer.confirm(f"Discard {len(chosen)} for good?", err=True):
            leave(ExitCode.FAILED, "declined", "Nothing was done.", as_json=False)
    done: list[Unread] = []
    if chosen:
        run(throw_away(settings, chosen, done), as_json=as_json)
    missing = len(chosen) - len(done)
    if as_json:
        print_json({"discarded": [each.as_json() for each in done], "missing": missing})
    else:
        typer.echo(f"{len(done)} of {len(chosen)} discarded.")
        _print_notes(pile, hidden=0)
    if missing:
        raise typer.Exit(ExitCode.FAILED)


def _settings(context: typer.Context, config: Config, *, as_json: bool) -> ClientSettings:
    with clients_errors(as_json=as_json):
        return settings_of(context, config)


def _look(settings: ClientSettings, most: int, *, as_json: bool) -> Pile:
    return run(look(settings, most), as_json=as_json)


def _check(
    ids: list[str] | None, all_: bool, operation: str | None, *, asks: bool, as_json: bool
) -> None:
    """What can be said before anything is looked at."""
    trouble = None
    if bool(ids) == all_:
        trouble = "Give either ids or --all."
    elif ids and operation:
        trouble = "--operation goes with --all, not with ids."
    elif asks and as_json:
        trouble = "With --json nobody can be asked: add --yes."
    if trouble is not None:
        leave(ExitCode.USAGE, "usage", trouble, as_json=as_json)


def _by_ids(ids: list[str], pile: Pile, *, as_json: bool) -> Sequence[Unread]:
    try:
        return by_ids(ids, pile.results)
    except UnknownResultError as error:
        details = {"not_looked_at": pile.beyond, "consumers": pile.consumers}
        text = f"{str(error)[0].upper()}{str(error)[1:]}."
        leave(ExitCode.FAILED, "not_found", text, as_json=as_json, **details)


def _print(shown: Sequence[Unread]) -> None:
    rows = [
        (each.id, each.operation, each.request_id, *_end(each), str(each.size)) for each in shown
    ]
    print_table(("ID", "RESULT", "REQUEST", "STATUS", "FINISHED (UTC)", "BYTES"), rows)


def _end(unread: Unread) -> tuple[str, str]:
    content = unread.content
    if isinstance(content, SessionAnnounced):
        return "-", "-"
    return content.status.value, f"{datetime.fromtimestamp(content.finished_at / 1000, UTC):%F %T}"


def _print_notes(pile: Pile, *, hidden: int) -> None:
    """Say what the list does not show, lest it be taken for all."""
    if hidden:
        typer.echo(f"{hidden} more are not shown: see --limit.", err=True)
    if pile.beyond:
        typer.echo(f"{pile.beyond} more were not looked at: see --look-at.", err=True)
    if pile.disbelieved:
        text = "are not the coordinator's word to this client: running clients refuse them."
        typer.echo(f"{pile.disbelieved} more {text}", err=True)
    if pile.consumers:
        text = "processes read this queue, and may have others in hand."
        typer.echo(f"{pile.consumers} {text}", err=True)
