"""`python -m tests.system.faults.mutant WHAT ORDERS party run ...`: a worker that lacks one check.

What the harness is for shows when a promise is broken. Each of these breaks one, from outside.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from ops.chaos import worker
from workers.delivery.publisher import Publisher
from workers.session import inbox
from workers.store.postgres.party import PostgresPartyStore
from workers.store.sqlite.party import SqlitePartyStore

STORES: tuple[Any, ...] = (PostgresPartyStore, SqlitePartyStore)


def without_inbox_check() -> None:
    """A second message in a place that is taken passes for the first."""

    def repeats(*_: object) -> bool:
        return False

    anything: Any = inbox
    anything.repeats = repeats


def publishing_before_commit() -> None:
    publishers: list[Publisher] = []
    anything: Any = Publisher
    enter = anything.__aenter__

    async def enter_and_remember(self: Publisher) -> Publisher:
        publishers.append(self)
        entered: Publisher = await enter(self)
        return entered

    anything.__aenter__ = enter_and_remember
    for store in STORES:
        _publish_first(store, publishers)


def _publish_first(store: Any, publishers: list[Publisher]) -> None:
    commit = store.commit

    async def publish_and_commit(self: Any, change: Any) -> Any:
        await publishers[-1].publish_all(change.outgoing)
        return await commit(self, change)

    store.commit = publish_and_commit


def without_tombstone() -> None:
    """A party hears of a cancellation, and keeps no mark of it."""

    async def end(*_: object) -> bool:
        return True

    for store in STORES:
        store.end = end
        _forbid_nothing(store)


def _forbid_nothing(store: Any) -> None:
    commit = store.commit

    async def commit_without_mark(self: Any, change: Any) -> Any:
        unmarked = (
            dataclasses.replace(change, forbids=None) if hasattr(change, "forbids") else change
        )
        return await commit(self, unmarked)

    store.commit = commit_without_mark


def taking_without_deleting() -> None:
    """What has answered once may answer again."""
    for store in STORES:
        _keep_what_is_taken(store)


def _keep_what_is_taken(store: Any) -> None:
    commit = store.commit

    async def commit_and_keep(self: Any, change: Any) -> Any:
        kept = dataclasses.replace(change, take_nonce=None, take_presignatures=())
        return await commit(self, kept)

    store.commit = commit_and_keep


def without_parking() -> None:
    """What comes before its session is gone."""

    async def park(*_: object, **__: object) -> bool:
        return True

    for store in STORES:
        store.park = park


MUTATIONS: dict[str, Callable[[], None]] = {
    "inbox": without_inbox_check,
    "order": publishing_before_commit,
    "tombstone": without_tombstone,
    "once": taking_without_deleting,
    "parking": without_parking,
}


if __name__ == "__main__":
    worker.main(MUTATIONS[sys.argv.pop(1)])
