"""Calls of a store in one moment, and what became of their groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from workers.store.gathering import ALONE, Gathering, Told


class Groups:
    """
    Attributes:
        sizes: Of all groups so far.
        told: What each of their members was told, group by group.
    """

    def __init__(self) -> None:
        self.told: list[Sequence[Told[Any]]] = []

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.told]

    @property
    def apart(self) -> int:
        """How many went by themselves after all."""
        return sum(answer is ALONE for group in self.told for answer in group)


def watched(monkeypatch: pytest.MonkeyPatch) -> Groups:
    """The groups of all stores that are opened from now on; nobody goes past what is stuck."""
    groups = Groups()
    init = Gathering.__init__

    def watching(self: Any, alone: Any, together: Any, **settings: Any) -> None:
        async def and_noted(calls: Any) -> Any:
            told = await together(calls)
            groups.told.append(told)
            return told

        init(self, alone, and_noted, **settings, patience_s=3600)

    monkeypatch.setattr(Gathering, "__init__", watching)
    return groups


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    """Of one kind and one store: the first goes alone, and the others together. What each returns
    or raises."""
    return list(await asyncio.gather(*calls, return_exceptions=True))
