"""The coordinator's pools of presignatures: made when they are wanted, and ahead while in use.

Any coordinator process may begin a batch: the store counts those that are in the making.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from contracts.keys import KeyFacts
from contracts.results import Status
from contracts.terms import Member, PresignTerms

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher, PublishError, publish_what_has_place
from ..delivery.scopes import uninterrupted
from ..pool_limits import PoolLimits
from ..session.coordinator import pooling
from ..session.coordinator.choice import members_of, named_now, set_name
from ..session.coordinator.pooling import Batch
from ..session.peers import Peer
from ..session.protocols import PRESIGN
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import (
    BatchRecord,
    CoordinatorChange,
    Outcome,
    PoolName,
    PoolRecord,
)
from .key_epochs import KeyEpochs
from .liveness import Liveness
from .supply import Supply
from .turns import Turns
from .waiting_line import WaitingLine

logger = logging.getLogger(__name__)

BEGUN = "batch"
REST_MS = 60_000
KEPT_KEYS = 2_000


class Pools:
    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        liveness: Liveness,
        limits: PoolLimits,
        line: WaitingLine,
        supply: Supply,
        *,
        parties: Mapping[str, Peer],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._liveness = liveness
        self._limits = limits
        self._line = line
        self._supply = supply
        self._parties = parties
        self._resting: dict[PoolName, int] = {}
        self._spoilt: Counter[PoolName] = Counter()
        self._clock = clock
        self._epochs = KeyEpochs(store, clock=clock)
        self._facts: dict[tuple[bytes, int], KeyFacts] = {}
        self._used: dict[PoolName, tuple[str, str]] = {}
        self._stocked: dict[tuple[bytes, int], list[str]] = {}
        self._quarrels: frozenset[frozenset[str]] = frozenset()
        self._kept: Counter[bytes] = Counter()
        self._turns = Turns(self._make)

    ###
    ### For requests
    ###

    @property
    def quarrels(self) -> frozenset[frozenset[str]]:
        """Pairs of parties that make no presignatures together, as of the last look."""
        return self._quarrels

    def stocked(self, facts: KeyFacts) -> list[str]:
        """The key's signer sets that had presignatures at the last look, the fullest first."""
        return self._stocked.get((facts.session_id, facts.epoch), [])

    def rest(self, pool: PoolName) -> int:
        """Leave a signer set alone for a while, if there are others: what it made was spoilt, and
        nobody knows by whom. Returns how often in a row that was so."""
        self._resting[pool] = self._clock() + REST_MS
        self._spoilt[pool] += 1
        return self._spoilt[pool]

    def succeeded(self, pool: PoolName) -> None:
        self._spoilt.pop(pool, None)

    def quarrelled(self, pairs: Iterable[tuple[str, str]]) -> None:
        """At once; the store tells the other processes."""
        self._quarrels |= {frozenset(pair) for pair in pairs}

    def resting(self, facts: KeyFacts) -> frozenset[str]:
        """The key's signer sets that are to be left alone."""
        now = self._clock()
        self._resting = {pool: until for pool, until in self._resting.items() if until > now}
        self._spoilt = Counter({pool: self._spoilt[pool] for pool in self._resting})
        return frozenset(
            pool.signers
            for pool in self._resting
            if (pool.key_session, pool.epoch) == (facts.session_id, facts.epoch)
        )

    def use(self, facts: KeyFacts, members: Sequence[Member]) -> PoolName:
        """Remember that a pool is in use; the store learns it with the next look."""
        self._keep_facts(facts)
        name = PoolName(key_session=facts.session_id, epoch=facts.epoch, signers=set_name(members))
        self._used[name] = (facts.client_id or "", facts.key_id)
        return name

    async def note_used(self) -> None:
        """Tell the store. Also before somebody begins to wait: nobody looks after a pool that the
        store does not know."""
        for name, (owner, key_id) in tuple(self._used.items()):
            await self._store.use_pool(name, owner, key_id, self._clock())
            self._used.pop(name, None)

    async def make(self, pool: PoolName) -> None:
        """Serve those who wait, and begin a batch for the others of them, unless enough are in the
        making."""
        await self._turns.take(pool)

    async def _make(self, pool: PoolName) -> None:
        for record in await self._store.pools(self._clock()):
            if record.name == pool:
                if record.waiting and record.stock:
                    await self._line.serve(pool)
                await self._fill(record, ahead=record.waiting > 1 and not self._full(pool))

    ###
    ### Chores
    ###

    async def tend(self) -> None:
        """Look at all pools: serve who waits, and make what is wanted now or soon."""
        now = self._clock()
        await self.note_used()
        quarrels = await self._store.quarrels(now - int(self._limits.quarrel_seconds * 1000))
        self._quarrels = frozenset(frozenset((each.accuser, each.accused)) for each in quarrels)
        pools = await self._store.pools(now - int(self._limits.idle_seconds * 1000))
        self._note_stocked(pools)
        self._supply.note(pools)
        kept: Counter[bytes] = Counter()
        if any(_spare(pool) < self._limits.low for pool in pools):
            # Also what lies in pools that nobody uses any more: parties have to keep it.
            kept.update(await self._store.stock())
            for pool in pools:
                kept[pool.name.key_session] += pool.making
        self._kept = kept
        for pool in sorted(pools, key=_urgency):
            try:
                if pool.waiting or pool.leaving:
                    await self._line.serve(pool.name)
                await self._fill(pool, ahead=not self._full(pool.name))
            except (StoreUnavailableError, PublishError):
                raise
            except Exception:  # one pool's trouble must not hide those behind it
                logger.exception("pool put off", extra={"signers": pool.name.signers})

    ###
    ### Batches
    ###

    async def _fill(self, pool: PoolRecord, *, ahead: bool) -> None:
        """Begin the batches that a pool needs, or as many as may be in the making."""
        facts = await self._key_facts(pool.name)
        if facts is None:
            return
        members = members_of(facts, pool.name.signers)
        spare = _spare(pool)
        wanted = -spare
        if ahead and self._limits.low and spare < self._limits.low:
            # One that waits gets its own as soon as can be. Where more do, the next are not far.
            demand = pool.waiting > 1
            if demand or (not pool.waiting and self._willing(members)):
                wanted = self._limits.high - spare
        while wanted > 0 and await self._begin(pool.name, members, min(wanted, self._limits.batch)):
            wanted -= self._limits.batch

    def _full(self, pool: PoolName) -> bool:
        """Whether there is as much as may be made ahead, as of the last look at all pools."""
        return (
            self._kept.total() >= self._limits.in_all
            or self._kept[pool.key_session] >= self._limits.per_key
        )

    def _willing(self, members: Sequence[Member]) -> bool:
        """Whether a batch is likely to succeed, so that it is worth making one ahead."""
        names = {member.party_id for member in members}
        return names <= self._liveness.alive() and not any(pair <= names for pair in self._quarrels)

    async def _begin(self, pool: PoolName, members: list[Member], count: int) -> bool:
        """False if too many batches are in the making."""
        now = self._clock()
        lifetime_ms = int(self._limits.batch_seconds * 1000)
        # What is likely to come to nothing takes its time for it, and has to leave others a place.
        most = self._limits.batches if self._willing(members) else max(1, self._limits.batches // 2)
        batch = Batch(
            terms=PresignTerms(
                key_session=pool.key_session,
                epoch=pool.epoch,
                members=named_now(members, self._parties),
                count=count,
                issued_at=now,
                salt=os.urandom(32),
            )
        )
        outgoing = pooling.instructions(batch, time_left_ms=lifetime_ms)
        change = CoordinatorChange(
            session_id=batch.session_id,
            expected_version=0,
            protocol=PRESIGN.name,
            key_session=pool.key_session,
            status=Status.IN_PROGRESS.value,
            deadline=now + lifetime_ms,
            state=batch.model_dump_json().encode(),
            cause=BEGUN,
            outgoing=outgoing,
            batch=BatchRecord(
                pool=pool,
                count=count,
                limit_pool=self._limits.batches_per_pool,
                limit_all=most,
            ),
        )
        with uninterrupted():
            if await self._store.commit(change) is not Outcome.COMMITTED:
                return False
            self._supply.began(batch.session_id, count)
            await publish_what_has_place(self._publisher, outgoing)
        return True

    ###
    ### What is remembered between looks
    ###

    def _note_stocked(self, pools: Sequence[PoolRecord]) -> None:
        self._stocked = {}
        for pool in sorted(pools, key=lambda pool: -pool.stock):
            if pool.stock:
                place = (pool.name.key_session, pool.name.epoch)
                self._stocked.setdefault(place, []).append(pool.name.signers)

    async def _key_facts(self, pool: PoolName) -> KeyFacts | None:
        facts = self._facts.get((pool.key_session, pool.epoch))
        if facts is None:
            facts = await self._epochs.of(pool.key_session, pool.epoch)
            if facts is not None:
                self._keep_facts(facts)
        return facts

    def _keep_facts(self, facts: KeyFacts) -> None:
        name = facts.session_id, facts.epoch
        if name not in self._facts and len(self._facts) >= KEPT_KEYS:
            del self._facts[next(iter(self._facts))]
        self._facts[name] = facts


def _spare(pool: PoolRecord) -> int:
    """Of what there is or will be, what nobody waits for. Serving moves none of it."""
    return pool.stock + pool.making - pool.waiting


def _urgency(pool: PoolRecord) -> tuple[bool, int]:
    """Those who wait come first, the longest unattended of them before all: only so many batches
    are made at once. Then the emptiest."""
    return pool.waiting == 0, pool.stock if pool.waiting == 0 else pool.used_at
