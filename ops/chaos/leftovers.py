# ruff: noqa: S608  # what varies in a statement are numbers of ours
"""What is still there when all should be over: rows, queues, dead letters."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import asyncpg

from contracts import addresses
from contracts.connecting import connect
from ops.stack.deployment import Deployment
from topology.management import Management

from .facts import DeadLetter, Leftover
from .tap import QUEUE

PATIENCE_MS = 5_000
"""Sweeps come four times a second; what is owed is sent after a while."""
OWED_MS = 30_000
PARKED_SECONDS = 10
PURGE_MS = 45_000
"""Messages for sessions that never came are forgotten after `PARKED_SECONDS`, by a chore that
comes every half minute."""

_EITHER = {
    "sessions past their deadline": (
        "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND deadline < {now} - {patience}"
    ),
    "ended sessions with something to send": (
        "SELECT count(*) FROM sessions WHERE owed_since < {now} - {owed}"
    ),
}
_PARTY = _EITHER | {
    "inbox rows of sessions that are over": (
        "SELECT count(*) FROM inbox JOIN sessions USING (session_id) WHERE ended_at IS NOT NULL"
    ),
    "inbox rows without a session": (
        "SELECT count(*) FROM inbox LEFT JOIN sessions USING (session_id) "
        "WHERE sessions.session_id IS NULL"
    ),
    "sessions that are over and kept their state": (
        "SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL AND length(state) > 0"
    ),
    "messages parked though their session is there": (
        "SELECT count(*) FROM parked JOIN sessions USING (session_id) "
        "WHERE parked_at < {now} - {patience}"
    ),
    "messages parked for too long": (
        "SELECT count(*) FROM parked WHERE parked_at < {now} - {purge}"
    ),
    "epochs whose next step is due": (
        "SELECT count(*) FROM epochs WHERE due_at < {now} - {patience}"
    ),
    "shares of epochs that are over": (
        "SELECT count(*) FROM key_shares JOIN epochs USING (key_session, epoch) "
        "WHERE status = 'retired'"
    ),
}
_COORDINATOR = _EITHER | {
    f"{table} of sessions that are over": (
        f"SELECT count(*) FROM {table} LEFT JOIN sessions USING (session_id) "
        "WHERE sessions.session_id IS NULL OR ended_at IS NOT NULL"
    )
    for table in ("waiters", "presign_batches", "key_reservations")
}
_COORDINATOR["requests without a result whose session is over"] = (
    "SELECT count(*) FROM requests JOIN sessions USING (session_id) "
    "WHERE ended_at IS NOT NULL AND result_cause IS NULL"
)
_ENDED = "SELECT session_id FROM sessions WHERE ended_at IS NOT NULL"
_RUNNING = "SELECT session_id FROM sessions WHERE ended_at IS NULL"


async def look(deployment: Deployment) -> list[Leftover]:
    return [*await _rows(deployment.database_urls), *await _queues(deployment)]


async def dead_letters(deployment: Deployment) -> list[DeadLetter]:
    """Takes them off their queue."""
    found = []
    async with await connect(deployment.amqp_urls["operator"]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(addresses.DEAD_QUEUE)
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            deaths: Any = message.headers.get("x-death") or [{}]
            reason = message.headers.get("warren-reason") or deaths[0].get("reason")
            found.append(
                DeadLetter(
                    queue=str(message.headers.get("warren-queue") or deaths[0].get("queue")),
                    kind=message.type or "",
                    reason=str(reason),
                    message_id=message.message_id or "",
                )
            )
    return found


async def _rows(urls: dict[str, str]) -> list[Leftover]:
    found = []
    ended: set[bytes] = set()
    for name, url in urls.items():
        questions = _COORDINATOR if name == "coordinator" else _PARTY
        statements = [_filled(statement) for statement in questions.values()]
        lists = await _fetch(url, [*statements, _ENDED if name == "coordinator" else _RUNNING])
        *counts, sessions = lists
        found += [
            Leftover(where=f"{name}'s database", what=what, count=rows[0][0])
            for what, rows in zip(questions, counts, strict=True)
            if rows[0][0]
        ]
        # The coordinator comes first.
        ids = {bytes(row[0]) for row in sessions}
        if name == "coordinator":
            ended = ids
        elif orphans := ids & ended:
            what = "sessions that are over for the coordinator"
            found.append(Leftover(where=f"{name}'s database", what=what, count=len(orphans)))
    return found


def _filled(statement: str) -> str:
    return statement.format(
        now=time.time_ns() // 1_000_000, patience=PATIENCE_MS, owed=OWED_MS, purge=PURGE_MS
    )


async def _fetch(url: str, statements: Iterable[str]) -> list[Sequence[Any]]:
    if url.startswith("sqlite:///"):
        return await asyncio.to_thread(_fetch_sqlite, url.removeprefix("sqlite:///"), statements)
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetch(statement) for statement in statements]
    finally:
        await connection.close()


def _fetch_sqlite(path: str, statements: Iterable[str]) -> list[Sequence[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


async def _queues(deployment: Deployment) -> list[Leftover]:
    async with Management(deployment.monitor_url) as management:
        queues = await management.get("queues/{}", deployment.vhost)
    ours = {QUEUE, addresses.DEAD_QUEUE}
    return [
        Leftover(where=f"queue {queue['name']}", what="messages", count=queue["messages"])
        for queue in queues
        if queue.get("messages")
        and queue["name"] not in ours
        and not queue["name"].startswith(f"{addresses.CANCEL}.")
    ]
