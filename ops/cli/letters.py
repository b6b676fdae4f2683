"""What the commands of `warren dead-letters` share: the broker, and how letters look."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer

from contracts import hosts
from contracts.client import ClientSettings, SettingsError
from contracts.tls import TlsFiles
from ops.cli import current
from ops.cli.exits import ExitCode, leave, print_json
from ops.cli.text import print_fields, print_table
from ops.deadletters import contents
from ops.deadletters.errors import AccessError, BrokerAwayError
from ops.deadletters.handling import Outcome, Survey, plain
from ops.deadletters.letter import Letter
from ops.deadletters.origin import UnknownOriginError, origin
from ops.deadletters.selection import Entry

T = TypeVar("T")

_REASON_WIDTH = 90


def broker_url(given: str | None, *, as_json: bool) -> str:
    """The one given, or that of the stack here; ends the command if there is neither."""
    if given:
        try:
            return hosts.with_files(given, TlsFiles.named(Path(), "WARREN_AMQP"))
        except hosts.AddressError as error:
            text = f"The broker's URL is {error}."
            leave(ExitCode.USAGE, "configuration", text, as_json=as_json)
    if (operators := current.operator_url()) is not None:
        return operators
    client = current.client_file()
    if client is None:
        text = "No broker: set WARREN_AMQP_URL, or start a stack here with `warren up`."
        leave(ExitCode.USAGE, "configuration", text, as_json=as_json)
    try:
        return ClientSettings.load(client).amqp_url
    except SettingsError as error:
        leave(ExitCode.USAGE, "configuration", f"{error}.", as_json=as_json)


def run(work: Coroutine[Any, Any, T], *, as_json: bool, so_far: Outcome | None = None) -> T:
    """Do it; trouble with the broker ends the command.

    Arguments:
        so_far: What was done by then, to be told.
    """
    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # the errors tell it in a sentence

    def stop(code: ExitCode, kind: str, text: str) -> NoReturn:
        details = {} if so_far is None else {"done": [entry.id for entry in so_far.done]}
        leave(code, kind, f"{text[0].upper()}{text[1:]}.", as_json=as_json, **details)

    try:
        return asyncio.run(work)
    except AccessError as error:
        stop(ExitCode.USAGE, "configuration", str(error))
    except BrokerAwayError as error:
        stop(ExitCode.UNREACHABLE, "unreachable", str(error))
    except KeyboardInterrupt:
        stop(ExitCode.INTERRUPTED, "interrupted", "Interrupted")


def end(verb: str, outcome: Outcome, chosen: Sequence[Entry], *, as_json: bool) -> None:
    """Tell what was done; exit code 1 unless it was all that was to be done."""
    missing = max(0, len(chosen) - len(outcome.done) - len(outcome.stayed))
    if as_json:
        stayed = [{**entry.as_json(), "why": why} for entry, why in outcome.stayed]
        done = [entry.as_json() for entry in outcome.done]
        print_json({verb: done, "stayed": stayed, "missing": missing})
    else:
        typer.echo(f"{len(outcome.done)} of {len(chosen)} {verb}.")
        for entry, why in outcome.stayed:
            typer.secho(f"{entry.id} stays: {printable(why)}.", fg="red", err=True)
        if missing:
            typer.secho(f"{missing} had gone, or are in use elsewhere.", fg="red", err=True)
    if outcome.stayed or missing:
        raise typer.Exit(ExitCode.FAILED)


def print_entries(entries: Sequence[Entry]) -> None:
    """A table of letters, newest first."""
    rows = [
        (
            entry.id,
            (entry.died_at or "unknown").replace("T", " ").rstrip("Z"),
            printable(entry.source or "-"),
            _kind(entry),
            str(entry.size),
            _shortened(printable(entry.reason)),
        )
        for entry in entries
    ]
    print_table(("ID", "DIED (UTC)", "FROM", "KIND", "BYTES", "REASON"), rows)


def _kind(entry: Entry) -> str:
    if not entry.parts:
        return printable(entry.kind)
    return printable(f"{len(entry.parts)} in one: {', '.join(sorted({*entry.parts}))}")


def print_notes(found: Survey, *, hidden: int = 0) -> None:
    """Say what the list does not show, lest it be taken for all."""
    if hidden:
        typer.echo(f"{hidden} more are not shown: see --limit.", err=True)
    if found.beyond:
        typer.echo(f"{found.beyond} more were not looked at: see --look-at.", err=True)
    if found.elsewhere:
        typer.echo(f"{found.elsewhere} are in use elsewhere, and not seen here.", err=True)


def letter_as_json(letter: Letter) -> dict[str, Any]:
    """All there is to know of a letter, for programs."""
    try:
        route = origin(letter)
    except UnknownOriginError as error:
        to: dict[str, Any] = {"unknown": str(error)}
    else:
        to = {"exchange": route.exchange, "routing_key": route.routing_key, "queue": route.queue}
    return {
        **Entry.of(letter).as_json(),
        "digest": letter.digest(),
        "queue": letter.queue,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "replay_to": to,
        "properties": plain(letter.properties),
        "headers": plain({n: v for n, v in letter.headers.items() if n != "x-death"}),
        "deaths": plain(letter.headers.get("x-death", [])),
        "body": contents.shown(letter.body),
    }


def print_letter(letter: Letter) -> None:
    """All there is to know of a letter, for people."""
    told = letter_as_json(letter)
    body = told.pop("body")
    print_fields({name.replace("_", " "): _line(value) for name, value in told.items()})
    typer.echo()
    if body["form"] == contents.UNREADABLE:
        typer.echo("The body is neither an envelope nor readable JSON: see --raw-to.")
        return
    # As JSON with escapes only: a body must not talk to the terminal.
    typer.echo("The body, which nobody verified:")
    typer.echo(json.dumps(body, indent=2))


def printable(text: str) -> str:
    """Without what would make a terminal do something."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _shortened(text: str) -> str:
    return text if len(text) <= _REASON_WIDTH else f"{text[: _REASON_WIDTH - 1]}…"


def _line(value: object) -> str:
    if value is None:
        return "unknown"
    return printable(value) if isinstance(value, str) else json.dumps(value)
