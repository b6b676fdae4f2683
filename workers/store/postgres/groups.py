"""What several callers ask of PostgreSQL, as one transaction in one round trip.

asyncpg sends a statement with the values of each in one go and lets the server commit once, at the
end. Where the server refuses one, or gives one up, it has undone all of them: then each goes by
itself. Where nobody knows whether it has committed, nobody tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg

from migrations import connections
from migrations.connections import Connection

from ..database import Row
from ..gathering import ALONE, Gathering, Told
from .pool import HANGING_UP, Pool

LOCK_PATIENCE_MS = 200
"""For whatever a member waits for, with all others behind it. Alone it waits as ever."""

IMPATIENT = f"set_config('lock_timeout', '{LOCK_PATIENCE_MS}', true) IS NOT NULL"
"""True, in a group's statement where it is asked before anything is locked."""


@dataclass(frozen=True, slots=True)
class Call:
    """
    Attributes:
        order: By what it locks, alike in all processes: two groups wait for each other one way.
    """

    values: tuple[object, ...]
    order: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A statement that returns rows, whoever it goes with. Its last placeholder is its caller's
    place, which each row repeats in the column `place`; there is a row for each caller.

    Attributes:
        text: For one caller.
        together: For one of several; the same, unless it locks something.
    """

    text: str
    together: str = field(default="", kw_only=True)


Done: TypeAlias = bool | None
Statement: TypeAlias = Callable[[Connection, bool], tuple[str, tuple[object, ...]]]
"""Its text on a connection, alone or together, and what it takes behind the callers' values. It
returns a row for each caller, with the column `done`; alone perhaps none."""


class Groups:
    """Of one pool: a gathering for each statement."""

    def __init__(self, pool: Pool, width: int) -> None:
        self._pool = pool
        self._width = width
        self._calls: dict[object, Gathering[Call, Done]] = {}
        self._questions: dict[Question, Gathering[Call, Sequence[Row]]] = {}

    async def call(self, name: object, statement: Callable[[], Statement], call: Call) -> Done:
        """
        Arguments:
            name: Of the statement, by which it is known again.
        """
        gathering = self._calls.get(name)
        if gathering is None:
            gathering = self._calls[name] = self._calling(statement())
        return await gathering.ask(call)

    async def ask(self, question: Question, call: Call) -> Sequence[Row]:
        """The rows that it returns for this caller."""
        gathering = self._questions.get(question)
        if gathering is None:
            gathering = self._questions[question] = self._asking(question)
        return await gathering.ask(call)

    def _calling(self, statement: Statement) -> Gathering[Call, Done]:
        async def alone(call: Call) -> Done:
            async with self._pool.connection() as connection:
                text, behind = statement(connection, False)
                done: Done = await connection.fetchval(text, *call.values, *behind)
                if done is None:
                    await connections.require_own(connection)
                return done

        async def together(calls: Sequence[Call]) -> Sequence[Told[Done]]:
            places = _in_order(calls)
            async with self._pool.connection() as connection:
                text, behind = statement(connection, True)
                asked = [(*calls[place].values, *behind) for place in places]
                found = await _as_one(connection, text, asked)
                if found is None:
                    return [ALONE] * len(calls)
                if any(row["done"] is None for row in found):
                    await connections.require_own(connection)
            done = dict(zip(places, found, strict=True))
            return [done[place]["done"] for place in range(len(calls))]

        return Gathering(alone, together, width=self._width)

    def _asking(self, question: Question) -> Gathering[Call, Sequence[Row]]:
        async def alone(call: Call) -> Sequence[Row]:
            async with self._pool.connection() as connection:
                return await connection.fetch(question.text, *call.values, 0)

        async def together(calls: Sequence[Call]) -> Sequence[Told[Sequence[Row]]]:
            text = question.together or question.text
            asked = [(*calls[place].values, place) for place in _in_order(calls)]
            async with self._pool.connection() as connection:
                found = await _as_one(connection, text, asked)
            if found is None:
                return [ALONE] * len(calls)
            rows: list[list[Row]] = [[] for _ in calls]
            for row in found:
                rows[row["place"]].append(row)
            return rows

        return Gathering(alone, together, width=self._width)


def _in_order(calls: Sequence[Call]) -> list[int]:
    return sorted(range(len(calls)), key=lambda place: calls[place].order)


async def _as_one(
    connection: Connection, text: str, asked: Sequence[Sequence[object]]
) -> Sequence[Row] | None:
    """The rows of all; None if nothing of any has happened. Raises where that is not known."""
    try:
        return await connection.fetchmany(text, asked)
    except asyncpg.PostgresError as error:
        if not _has_undone(error):
            raise
    except asyncpg.InterfaceError as error:
        if not isinstance(error, ValueError):
            raise
        connection.terminate()  # a value of a wrong type: the rest was called back
    return None


def _has_undone(error: asyncpg.PostgresError) -> bool:
    """Whether it is the server's word on a transaction that it has ended, or asyncpg's on a value
    that it has not sent. The last word on a connection may come after a commit."""
    state = error.sqlstate or HANGING_UP[0]
    return error.severity_en in {"ERROR", None} and not state.startswith(HANGING_UP)
