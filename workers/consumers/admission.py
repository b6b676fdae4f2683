"""How much unfinished work the coordinator takes on, of one client and of all."""

from __future__ import annotations

from collections import Counter

from contracts.failures import Failure, FailureCode

from ..store.interface import CoordinatorStore


class Admission:
    """Counts by the store's last look and what this process has begun since: with several
    processes the limits are soft by what the others began in that second.

    Arguments:
        per_client: Unfinished sessions of one client.
        in_all: Of all clients.
    """

    def __init__(self, store: CoordinatorStore, *, per_client: int, in_all: int) -> None:
        self._store = store
        self._per_client = per_client
        self._in_all = in_all
        self._unfinished: Counter[str] = Counter()

    async def refresh(self) -> None:
        self._unfinished = Counter(await self._store.unfinished())

    def refusal(self, owner: str) -> Failure | None:
        """Why a new session of this client cannot begin now; None if it can."""
        if self._unfinished[owner] >= self._per_client:
            return Failure.of(
                FailureCode.OVERLOADED,
                f"you have {self._unfinished[owner]} unfinished requests, and may have "
                f"{self._per_client}: wait for results before you ask for more",
            )
        if self._unfinished.total() >= self._in_all:
            return Failure.of(
                FailureCode.OVERLOADED,
                f"{self._in_all} requests of all clients are unfinished: try again in a moment",
            )
        return None

    def began(self, owner: str) -> None:
        self._unfinished[owner] += 1
