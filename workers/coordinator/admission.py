"""How much unfinished work the coordinator takes on, of one client and of all."""

from __future__ import annotations

from collections import Counter

from contracts.failures import Failure, FailureCode

from ..store.interface import CoordinatorStore
from .gates import UNKNOWN_RETRY_MS, named


class Admission:
    """Counts by the store's last look and what this process has begun since: with several
    processes the limits are soft by what the others began in that second.

    Arguments:
        per_owner: Unfinished sessions of one client, or of each tenant of one that has tenants.
        in_all: Of all clients. However many tenants a client has, they leave room for another.
    """

    def __init__(self, store: CoordinatorStore, *, per_owner: int, in_all: int) -> None:
        self._store = store
        self._per_owner = per_owner
        self._in_all = in_all
        self._of_tenants = max(per_owner, in_all - per_owner)
        self._owners: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()

    async def refresh(self) -> None:
        self._owners, self._clients = Counter(), Counter()
        for owner, count in (await self._store.unfinished()).items():
            self._count(owner, count)

    def refusal(self, owner: str) -> Failure | None:
        """Why a new session of this owner cannot begin now; None if it can."""
        if self._owners[owner] >= self._per_owner:
            return _overloaded(
                f"{named(owner)} has {self._owners[owner]} unfinished requests, and may have "
                f"{self._per_owner}: wait for results before you ask for more"
            )
        if self._clients[_client_of(owner)] >= self._of_tenants:
            return _overloaded(
                f"{self._of_tenants} requests of this client's tenants are unfinished, as many as "
                f"may be, {self._owners[owner]} of them of {named(owner)}: try again in a moment"
            )
        if self._owners.total() >= self._in_all:
            return _overloaded(
                f"{self._in_all} requests of all clients are unfinished, as many as may be, "
                f"{self._owners[owner]} of them of {named(owner)}: try again in a moment"
            )
        return None

    def began(self, owner: str) -> None:
        self._count(owner, 1)

    def _count(self, owner: str, sessions: int) -> None:
        self._owners[owner] += sessions
        self._clients[_client_of(owner)] += sessions


def _client_of(owner: str) -> str:
    """See `contracts.requests.RequestBase.owner`."""
    return owner.partition("/")[0]


def _overloaded(why: str) -> Failure:
    return Failure.of(FailureCode.OVERLOADED, why, retry_after_ms=UNKNOWN_RETRY_MS)
