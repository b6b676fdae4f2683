"""`warren dead-letters`: what nobody could handle, and what nobody took."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.asking import AsJson
from ops.cli.exits import IN_WORDS, ExitCode, leave, print_json
from ops.cli.letter_options import (
    LOOK_AT,
    All,
    AmqpUrl,
    From,
    Ids,
    Kind,
    LookAt,
    QueueChoice,
    ReasonContains,
    Which,
)
from ops.cli.letters import (
    broker_url,
    end,
    letter_as_json,
    print_entries,
    print_letter,
    print_notes,
    run,
)
from ops.deadletters.files import FileError, appending, write_new
from ops.deadletters.handling import Outcome, Place, Survey, read, survey
from ops.deadletters.handling import discard as throw_away
from ops.deadletters.handling import replay as send_back
from ops.deadletters.selection import (
    AmbiguousIdError,
    Entry,
    Filter,
    NoSuchLetterError,
    by_ids,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Messages that nobody could handle, and results that nobody took: look at them, send "
    "them where they came from, throw them away.",
)


@app.command("list", epilog=IN_WORDS)
def list_(
    queue: Which = QueueChoice.DEAD,
    limit: Annotated[int, typer.Option(min=1, help="Show no more than so many.")] = 50,
    from_: From = None,
    kind: Kind = None,
    reason_contains: ReasonContains = None,
    look_at: LookAt = LOOK_AT,
    amqp_url: AmqpUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the letters, the newest first. Looking at them takes nothing away.

    \b
    Example:
      warren dead-letters list --from 'warren.inbox.*' --reason-contains signature
    """
    wanted = Filter(source=from_, kind=kind, reason=reason_contains)
    place = _place(amqp_url, queue, look_at, as_json=as_json)
    found = run(survey(place), as_json=as_json)
    passing = [entry for entry in found.entries if wanted.passes(entry)]
    if as_json:
        print_json(
            {
                "queue": place.queue,
                "looked_at": len(found.entries),
                "not_looked_at": found.beyond,
                "in_use_elsewhere": found.elsewhere,
                "matching": len(passing),
                "letters": [entry.as_json() for entry in passing[:limit]],
            }
        )
        return
    if not found.entries:
        typer.echo(f"Nothing in {place.queue}.")
    elif not passing:
        typer.echo(f"None of the {len(found.entries)} letters in {place.queue} is like that.")
    else:
        print_entries(passing[:limit])
    print_notes(found, hidden=len(passing[limit:]))


@app.command(epilog=IN_WORDS)
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Or the beginning of one.")],
    raw_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the body, as it is, to a new file that only you can read.",
            show_default=False,
        ),
    ] = None,
    queue: Which = QueueChoice.DEAD,
    look_at: LookAt = LOOK_AT,
    amqp_url: AmqpUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show all about one letter. Its body is only shown where it can hold no secret.

    \b
    Example:
      warren dead-letters show 5f0c6a
    """
    place = _place(amqp_url, queue, look_at, as_json=as_json)
    found = run(survey(place), as_json=as_json)
    entry = _by_ids([id_], found, as_json=as_json)[0]
    letter = run(read(place, entry), as_json=as_json)
    if letter is None:
        text = f"Letter {entry.id} was there a moment ago, and is not now."
        leave(ExitCode.FAILED, "gone", text, as_json=as_json)
    if raw_to is not None:
        try:
            write_new(raw_to, letter.body)
        except FileError as error:
            leave(ExitCode.USAGE, "file", str(error), as_json=as_json)
    if as_json:
        print_json(letter_as_json(letter))
    else:
        print_letter(letter)


@app.command(epilog=IN_WORDS)
def replay(
    ids: Ids = None,
    all_: All = False,
    from_: From = None,
    kind: Kind = None,
    reason_contains: ReasonContains = None,
    to_queue: Annotated[
        str | None,
        typer.Option(
            metavar="QUEUE",
            help="Straight into this queue, rather than to where it came from. The coordinator "
            "does not take requests that come so.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --all: do not ask.")] = False,
    queue: Which = QueueChoice.DEAD,
    look_at: LookAt = LOOK_AT,
    amqp_url: AmqpUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send letters where they came from, as if they had never died.

    A letter is taken out when the broker has confirmed the message, never before. Twice is no harm.

    \b
    Examples:
      warren dead-letters replay 5f0c6a 9b3d41
      warren dead-letters replay --all --from warren.inbox.party-2
    """
    wanted = Filter(source=from_, kind=kind, reason=reason_contains)
    _check(ids, all_, wanted, asks=all_ and not yes, as_json=as_json)
    place = _place(amqp_url, queue, look_at, as_json=as_json)
    chosen = _choose(place, ids, wanted, as_json=as_json)
    if chosen and all_ and not yes:
        print_entries(chosen)
        _ask(f"Replay {_count(chosen)}?")
    outcome = Outcome()
    if chosen:
        run(send_back(place, chosen, outcome, to=to_queue), as_json=as_json, so_far=outcome)
    end("replayed", outcome, chosen, as_json=as_json)


@app.command(epilog=IN_WORDS)
def discard(
    ids: Ids = None,
    all_: All = False,
    from_: From = None,
    kind: Kind = None,
    reason_contains: ReasonContains = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Append each letter to this file before: a line of JSON, the body in base64. Made "
            "so that only you can read it.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    queue: Which = QueueChoice.DEAD,
    look_at: LookAt = LOOK_AT,
    amqp_url: AmqpUrl = None,
    as_json: AsJson = False,
) -> None:
    """Throw letters away, for good.

    \b
    Example:
      warren dead-letters discard --all --kind 'presign/*' --save poison.jsonl
    """
    wanted = Filter(source=from_, kind=kind, reason=reason_contains)
    _check(ids, all_, wanted, asks=not yes, as_json=as_json)
    place = _place(amqp_url, queue, look_at, as_json=as_json)
    chosen = _choose(place, ids, wanted, as_json=as_json)
    if chosen and not as_json:
        print_entries(chosen)
    if chosen and not yes:
        _ask(f"Discard {_count(chosen)} for good?")
    outcome = Outcome()
    if chosen:
        try:
            keep = None if save is None else appending(save)
            run(throw_away(place, chosen, outcome, save=keep), as_json=as_json, so_far=outcome)
        except FileError as error:
            details = {"discarded": [entry.id for entry in outcome.done]}
            leave(ExitCode.FAILED, "file", str(error), as_json=as_json, **details)
    end("discarded", outcome, chosen, as_json=as_json)


def _place(url: str | None, queue: QueueChoice, most: int, *, as_json: bool) -> Place:
    return Place(url=broker_url(url, as_json=as_json), queue=queue.queue, most=most)


def _check(ids: list[str] | None, all_: bool, wanted: Filter, *, asks: bool, as_json: bool) -> None:
    """What can be said before anything is looked at."""
    trouble = None
    if bool(ids) == all_:
        trouble = "Give either ids or --all."
    elif ids and wanted:
        trouble = "Filters go with --all, not with ids."
    elif asks and as_json:
        trouble = "With --json nobody can be asked: add --yes."
    if trouble is not None:
        leave(ExitCode.USAGE, "usage", trouble, as_json=as_json)


def _choose(
    place: Place, ids: list[str] | None, wanted: Filter, *, as_json: bool
) -> Sequence[Entry]:
    found = run(survey(place), as_json=as_json)
    if ids:
        return _by_ids(ids, found, as_json=as_json)
    if not as_json:
        print_notes(found)
    return [entry for entry in found.entries if wanted.passes(entry)]


def _by_ids(ids: list[str], found: Survey, *, as_json: bool) -> Sequence[Entry]:
    try:
        return by_ids(ids, found.entries)
    except NoSuchLetterError as error:
        details = {"not_looked_at": found.beyond, "in_use_elsewhere": found.elsewhere}
        leave(ExitCode.FAILED, "not_found", f"{error}.", as_json=as_json, **details)
    except AmbiguousIdError as error:
        leave(ExitCode.USAGE, "ambiguous", f"{error}.", as_json=as_json)


def _ask(question: str) -> None:
    if not typer.confirm(question, err=True):
        leave(ExitCode.FAILED, "declined", "Nothing was done.", as_json=False)


def _count(entries: Sequence[Entry]) -> str:
    return "1 letter" if len(entries) == 1 else f"{len(entries)} letters"
