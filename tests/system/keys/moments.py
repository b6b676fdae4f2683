"""Reshares in whose every step somebody is killed, and the same kills without any."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from contracts.client import Client
from contracts.keys import CertifiedKey
from contracts.results import ReshareResult
from ops.chaos.tap import Tap
from ops.stack.deployment import Deployment
from tests.patience import until
from tests.system.keys.party_rows import PASSED, has_passed

COORDINATOR, LEAVES, STAYS, RECEIVES, COMES = "coordinator", "leaves", "stays", "receives", "comes"
PARTIES = (LEAVES, STAYS, RECEIVES, COMES)
"""Of those that deal one leaves and one stays; of those that receive one was there, one comes."""
KEYS, SIGNS = "keygen", "signing"
"""Lanes: of who makes the shares, and of who signs with those of before and after."""
VICTIMS = ((COORDINATOR, ""), *itertools.product(PARTIES, (KEYS, SIGNS)))
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
Moment = tuple[str, str, str]
"""Who is killed, in which lane, when which message is the first of its kind."""
BOTH_WAYS = 2
ALL: tuple[Moment, ...] = tuple(
    (*victim, step) for victim, step in itertools.product(VICTIMS, STEPS) for _ in range(BOTH_WAYS)
)
"""There and back: of those two that have a role one keeps its shares in PostgreSQL, and the other
one in SQLite."""
SOME: tuple[Moment, ...] = (
    (STAYS, KEYS, "reshare/4"),
    (COMES, SIGNS, "reshare/5"),
    (STAYS, SIGNS, "reshare/2"),
    (LEAVES, SIGNS, "reshare/4"),
    (COORDINATOR, "", "epoch_certified"),
    (STAYS, SIGNS, "epoch_proven"),
    (COMES, KEYS, "reshare/5"),
)
"""Before a share is stored, after it is, and before its proof is."""
HEARD_WITHIN_S = 20.0
PAUSE_S = 0.5
WITHIN_S = 60.0


@dataclass(frozen=True)
class Move:
    """From one committee to another."""

    old: Sequence[str]
    new: Sequence[str]

    @property
    def leaves(self) -> str:
        (leaves,) = set(self.old) - set(self.new)
        return leaves

    @property
    def stays(self) -> list[str]:
        return [name for name in self.old if name in self.new]

    def worker(self, role: str, lane: str) -> str:
        if role == COORDINATOR:
            return "coordinator.1"
        (comes,) = set(self.new) - set(self.old)
        first, second = self.stays
        name = {LEAVES: self.leaves, STAYS: first, RECEIVES: second, COMES: comes}[role]
        return f"{name}.1" if lane == SIGNS else f"{name}.{lane}.1"


@dataclass(frozen=True)
class Moves:
    """A key that goes back and forth between two committees.

    Attributes:
        here, there: Each has one that the other has not; those in both stand the other way round
            in one of them.
        began: When each of the moments had its turn.
    """

    crew: Deployment
    client: Client
    tap: Tap
    here: Sequence[str]
    there: Sequence[str]
    began: list[tuple[float, Moment]] = field(default_factory=list)

    async def kill_at_each(
        self, key: CertifiedKey, moments: Iterable[Moment]
    ) -> list[ReshareResult]:
        """Each in a reshare of its own, and all of them come to their ends."""
        made = []
        for role, lane, step in moments:
            self.began.append((time.monotonic(), (role, lane, step)))
            result = await self._killed(self._move(key), key.facts.key_id, role, lane, step)
            assert result.bundle is not None
            key = result.bundle.key
            made.append(result)
        return made

    async def only_kill(self, moments: Iterable[Moment]) -> None:
        """As often the same processes, and no shares are made."""
        there = Move(self.here, self.there)
        back = Move(self.there, self.here)
        for (role, lane, _), move in zip(moments, itertools.cycle((there, back)), strict=False):
            await kill(self.crew, move.worker(role, lane))

    async def _killed(
        self, move: Move, key_id: str, role: str, lane: str, step: str
    ) -> ReshareResult:
        heard = asyncio.create_task(self.tap.hears(step, HEARD_WITHIN_S))
        await asyncio.sleep(0)
        asking = asyncio.create_task(
            self.client.reshare(
                key_id,
                parties=sorted(move.new),
                dealers=[move.leaves, move.stays[0]],
                timeout_s=WITHIN_S,
            )
        )
        assert await heard, f"nobody has sent {step}"
        await kill(self.crew, move.worker(role, lane))
        return await asking

    def _move(self, key: CertifiedKey) -> Move:
        ways = (self.here, self.there)
        is_here = {holder.party_id for holder in key.facts.holders} == set(self.here)
        return Move(*(ways if is_here else reversed(ways)))


async def kill_who_signs(crew: Deployment, key_session: bytes) -> None:
    """At each party, at each step of the change that follows when the shares are made."""
    for step, party_id in itertools.product(PASSED, crew.plan.party_ids):
        await until(partial(has_passed, crew, party_id, key_session, step))
        await kill(crew, f"{party_id}.1")


async def kill(crew: Deployment, name: str) -> None:
    """And wait until another one serves."""
    os.kill(crew.supervisor.pids[name], signal.SIGKILL)
    crew.supervisor.start(crew.programs[name])
    ready = crew.directory / "logs" / f"{name}.ready"
    await until(ready.exists)
    await asyncio.sleep(PAUSE_S)


@dataclass(frozen=True)
class Gap:
    began: float
    seconds: float


def longest_gap(times: Sequence[float], began: float, ended: float) -> Gap:
    """Between two things of which each has its moment, of those that came in between."""
    within = [began, *(each for each in times if began <= each <= ended), ended]
    gaps = (Gap(earlier, later - earlier) for earlier, later in itertools.pairwise(within))
    return max(gaps, key=lambda gap: gap.seconds)
