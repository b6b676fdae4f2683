"""Which parties gave a sign of life lately, as the coordinator chooses by."""

from __future__ import annotations

from collections.abc import Callable

from ..delivery.clock import now_ms
from ..store.interface import CoordinatorStore

KNOWN_FOR = 10
"""Times as long as makes a party silent."""


class Liveness:
    """What the coordinators' shared table said at the last look; a hint, never a promise."""

    def __init__(
        self,
        store: CoordinatorStore,
        *,
        silent_after_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._silent_after_ms = silent_after_ms
        self._clock = clock
        self._last_seen: dict[str, int] = {}

    async def seen(self, party_id: str) -> bool:
        """Whether the party was silent before."""
        now, was_silent = self._clock(), party_id not in self.alive()
        self._last_seen[party_id] = now
        await self._store.seen(party_id, now)
        return was_silent

    async def refresh(self) -> None:
        for party in await self._store.parties():
            self._last_seen[party.party_id] = party.last_seen

    def alive(self) -> frozenset[str]:
        return self._seen_within(self._silent_after_ms)

    def known(self) -> frozenset[str]:
        """Also those that are silent for now: busy, or started anew."""
        return self._seen_within(KNOWN_FOR * self._silent_after_ms)

    def _seen_within(self, milliseconds: int) -> frozenset[str]:
        oldest = self._clock() - milliseconds
        return frozenset(
            party_id for party_id, last_seen in self._last_seen.items() if last_seen >= oldest
        )
