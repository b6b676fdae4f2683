"""Reshares in whose every step somebody is killed, and the same kills without any."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.client import Client
from contracts.keys import CertifiedKey
from contracts.results import ReshareResult
from ops.chaos.tap import Tap
from ops.stack.deployment import Deployment
from tests.patience import until

COORDINATOR, LEAVES, STAYS, RECEIVES, COMES = "coordinator", "leaves", "stays", "receives", "comes"
ROLES = (COORDINATOR, LEAVES, STAYS, RECEIVES, COMES)
"""Of those that deal one leaves and one stays; of those that receive one was there, one comes."""
STEPS = (
    "reshare_created",
    "reshare/1",
    "reshare/2",
    "reshare/3",
    "reshare/4",
    "reshare/5",
    "epoch_certified",
    "epoch_proven",
)
"""The messages whose first one is the moment."""
ALL = tuple(itertools.product(ROLES, STEPS))
SOME = ((STAYS, "reshare/4"), (COMES, "reshare/5"), (COORDINATOR, "epoch_certified"))
"""Before a share is stored, after it is, and before its proof is."""
HEARD_WITHIN_S = 20.0
PAUSE_S = 0.5
WITHIN_S = 60.0


@dataclass(frozen=True)
class Moves:
    """A key that goes back and forth between two committees.

    Attributes:
        here, there: Each has one that the other has not.
    """

    crew: Deployment
    client: Client
    tap: Tap
    here: Sequence[str]
    there: Sequence[str]

    async def kill_at_each(
        self, key: CertifiedKey, moments: Iterable[tuple[str, str]]
    ) -> list[ReshareResult]:
        """Each in a reshare of its own, and all of them come to their ends."""
        made = []
        for role, step in moments:
            holders = {holder.party_id for holder in key.facts.holders}
            result = await self._killed(key, holders, role, step)
            assert result.bundle is not None
            key = result.bundle.key
            made.append(result)
        return made

    async def only_kill(self, roles: Iterable[str]) -> None:
        for role in roles:
            self._kill(self.worker(role, set(self.here)))
            await self._back(self.worker(role, set(self.here)))

    async def _killed(
        self, key: CertifiedKey, holders: set[str], role: str, step: str
    ) -> ReshareResult:
        new = self.there if holders == set(self.here) else self.here
        (leaves,), stays = holders - set(new), sorted(holders & set(new))
        victim = self.worker(role, holders)
        heard = asyncio.create_task(self.tap.hears(step, HEARD_WITHIN_S))
        await asyncio.sleep(0)
        asking = asyncio.create_task(
            self.client.reshare(
                key.facts.key_id, parties=new, dealers=[leaves, stays[0]], timeout_s=WITHIN_S
            )
        )
        assert await heard, f"nobody has sent {step}"
        self._kill(victim)
        await self._back(victim)
        return await asking

    def worker(self, role: str, holders: set[str]) -> str:
        new = self.there if holders == set(self.here) else self.here
        (leaves,), (comes,) = holders - set(new), set(new) - holders
        stays = sorted(holders & set(new))
        who = {LEAVES: leaves, STAYS: stays[0], RECEIVES: stays[1], COMES: comes}
        return "coordinator.1" if role == COORDINATOR else f"{who[role]}.keygen.1"

    def _kill(self, name: str) -> None:
        os.kill(self.crew.supervisor.pids[name], signal.SIGKILL)

    async def _back(self, name: str) -> None:
        self.crew.supervisor.start(self.crew.programs[name])
        ready = self.crew.directory / "logs" / f"{name}.ready"

        async def there() -> bool:
            return ready.exists()

        await until(there)
        await asyncio.sleep(PAUSE_S)


def longest_gap(times: Sequence[float], began: float, ended: float) -> float:
    """Between two things of which each has its moment, of those that came in between."""
    within = [began, *(each for each in times if began <= each <= ended), ended]
    return max(later - earlier for earlier, later in itertools.pairwise(within))
