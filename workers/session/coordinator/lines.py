"""A line of owners: who is next is whoever has been served least, and not whoever came first.

Start-time fair queueing: each place has a tag, the service that its owner will have had before it.
An owner who comes anew, or comes back, begins at what is being served now: nobody saves up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Generic[T]):
    """
    Attributes:
        weight: What serving it costs, in any unit; above 0.
        start: Its tag.
        number: Of the places with equal tags, the first one is served first.
    """

    item: T
    owner: str
    weight: float
    start: float
    number: int

    @property
    def order(self) -> tuple[float, int]:
        return self.start, self.number


class Line(Generic[T]):
    """Pure: it neither waits nor knows the time."""

    def __init__(self) -> None:
        self._places: dict[T, Place[T]] = {}
        self._waiting: Counter[str] = Counter()
        self._next_start: dict[str, float] = {}
        """Where an owner's next place starts, unless that is in the past."""
        self._now = 0.0
        self._number = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: T) -> bool:
        return item in self._places

    def waiting(self, owner: str) -> int:
        """How many places the owner has."""
        return self._waiting[owner]

    def join(self, item: T, owner: str, weight: float) -> None:
        """Behind the owner's own places, and beside those of others."""
        start = self._start(owner)
        self._number += 1
        self._places[item] = Place(
            item=item, owner=owner, weight=weight, start=start, number=self._number
        )
        self._waiting[owner] += 1
        self._next_start[owner] = start + weight

    def next(self, fits: Callable[[Place[T]], bool] = lambda _: True) -> Place[T] | None:
        """The first place in order that fits."""
        fitting = filter(fits, self._places.values())
        return min(fitting, key=lambda place: place.order, default=None)

    def places(self) -> list[Place[T]]:
        """All, in the order in which they would be served if nobody came any more."""
        return sorted(self._places.values(), key=lambda place: place.order)

    def serve(self, item: T) -> None:
        """The item's turn has come."""
        self._now = max(self._now, self._places[item].start)
        self.leave(item)
        self._next_start = {
            owner: start
            for owner, start in self._next_start.items()
            if start > self._now or self._waiting[owner]
        }

    def leave(self, item: T) -> None:
        """Without having been served, or after it; no matter if it has left before."""
        place = self._places.pop(item, None)
        if place is None:
            return
        self._waiting[place.owner] -= 1
        if not self._waiting[place.owner]:
            del self._waiting[place.owner]

    def ahead(self, owner: str) -> float:
        """What all places weigh that are served before one that the owner takes now."""
        start = self._start(owner)
        return sum(place.weight for place in self._places.values() if place.start <= start)

    def _start(self, owner: str) -> float:
        return max(self._now, self._next_start.get(owner, 0.0))
