"""What is done with letters: looked over, read, sent where they came from, thrown away.

Whoever decides does so between two looks, with all letters back in their queue meanwhile: nobody
holds one while thinking.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.deadletters.desk import Desk, Held
from ops.deadletters.errors import NotTakenError
from ops.deadletters.letter import Letter
from ops.deadletters.origin import Route, UnknownOriginError, origin
from ops.deadletters.selection import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which letters are looked at.

    Attributes:
        url: Holds a password; not in the repr.
        most: How many, at most.
    """

    url: str = field(repr=False)
    queue: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """
    Attributes:
        entries: The last in the queue, which are the newest, first.
        beyond: How many more there are.
        elsewhere: How many others have in hand; invisible until they go back.
    """

    entries: tuple[Entry, ...]
    beyond: int
    elsewhere: int


@dataclass(slots=True)
class Outcome:
    """Filled while it happens, so that it is true also of what was cut short.

    Attributes:
        stayed: With the reason.
    """

    done: list[Entry] = field(default_factory=list)
    stayed: list[tuple[Entry, str]] = field(default_factory=list)


async def survey(place: Place) -> Survey:
    """Look at the newest letters of a queue, and put all of them back."""
    async with Desk.open(place.url, place.queue) as desk, desk.look(place.most) as letters:
        entries = [Entry.of(held.letter) async for held in letters]
    return Survey(entries=tuple(reversed(entries)), beyond=desk.beyond, elsewhere=desk.elsewhere)


async def read(place: Place, entry: Entry) -> Letter | None:
    """None if it is no longer there."""
    async with _again(place, [entry]) as (_, found):
        async for held, _ in found:
            return held.letter
    return None


async def replay(
    place: Place, chosen: Sequence[Entry], outcome: Outcome, *, to: str | None
) -> None:
    """Send the letters where they came from, or to queue `to`; then, and only then, take them out.

    Ended between the two, a letter is in both places. That does no harm: whoever handles it knows
    what it has handled before.
    """
    async with _again(place, chosen) as (desk, found):
        async for held, entry in found:
            try:
                route = origin(held.letter) if to is None else Route.straight_to(to)
                # A bundle's messages one by one: what ended one of them ends no other this time.
                for letter in held.letter.one_by_one():
                    await desk.send(letter, route)
            except UnknownOriginError as error:
                outcome.stayed.append((entry, f"{error}; give --to-queue"))
            except NotTakenError as error:
                outcome.stayed.append((entry, str(error)))
            else:
                await held.take_out()
                outcome.done.append(entry)


async def discard(
    place: Place, chosen: Sequence[Entry], outcome: Outcome, *, save: Callable[[str], None] | None
) -> None:
    """Take the letters out.

    Arguments:
        save: Is given each as a line of JSON before.
    """
    async with _again(place, chosen) as (_, found):
        async for held, entry in found:
            if save is not None:
                save(json.dumps(as_saved(held.letter)))
            await held.take_out()
            outcome.done.append(entry)


@contextlib.asynccontextmanager
async def _again(
    place: Place, chosen: Sequence[Entry]
) -> AsyncIterator[tuple[Desk, AsyncIterator[tuple[Held, Entry]]]]:
    """The letters of a survey, wherever in the queue they are by now."""
    async with Desk.open(place.url, place.queue) as desk, desk.look() as letters:
        yield desk, _those(chosen, letters)


async def _those(
    chosen: Sequence[Entry], letters: AsyncIterator[Held]
) -> AsyncIterator[tuple[Held, Entry]]:
    wanted = Counter(entry.digest for entry in chosen)
    if not wanted:
        return
    async for held in letters:
        entry = Entry.of(held.letter)
        if wanted[entry.digest] > 0:
            wanted[entry.digest] -= 1
            yield held, entry
            if not wanted.total():
                return


def as_saved(letter: Letter) -> dict[str, Any]:
    """A letter as JSON, with all that it takes to publish it again."""
    return {
        **Entry.of(letter).as_json(),
        "queue": letter.queue,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "properties": plain(letter.properties),
        "headers": plain(letter.headers),
        "body": base64.b64encode(letter.body).decode(),
    }


def plain(value: Any) -> Any:
    """An AMQP table as JSON has it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bytes() | bytearray():
            return value.hex()
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)
