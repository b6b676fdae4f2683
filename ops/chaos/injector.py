"""Strikes: does what an `Injection` says, and tells what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import aio_pika
import tenacity
from aio_pika.abc import AbstractChannel

from contracts.connecting import connect
from contracts.identity import Identity
from ops.stack.deployment import Deployment
from ops.stack.errors import ChildDiedError
from workers.store.records import Outgoing

from . import bans, disks, greed, nodes
from .crew import LOOK_EVERY_S, Crew
from .facts import Facts, Struck
from .faults import (
    COORDINATORS,
    KEY_MAKERS,
    LIARS,
    MOMENTS,
    OF_BACKUPS,
    PRESIGNERS,
    SIGNERS,
    SQLITE_PARTY,
    Kind,
)
from .machines import Machine, Machines
from .orders import OrderBook, Orders
from .producer import Producer
from .schedule import Injection
from .shares import Shares
from .tap import Heard, Tap
from .wires import Wires

STARTS = 3
REPLAYS_PER_S = 20
GREEDY_PER_S = 4
SKEW_MS = 120_000
MOMENT_WITHIN_S = 30.0
FELT_WITHIN_S = 10.0
FOUND_OUT_WITHIN_S = 45.0
LAST_LIES_S = 1.0
ASK_EVERY_S = 0.5
"""Until somebody finds out what was sealed before the liar was called off."""
ROLLING = (
    (COORDINATORS[0], *SIGNERS[0::2]),
    (COORDINATORS[1], *SIGNERS[1::2]),
    (*KEY_MAKERS, *PRESIGNERS),
)
"""Told to stop together: never both processes that do the same."""


class Injector:
    """
    Arguments:
        liars: Grows by those who are told to lie, before they do.
    """

    def __init__(
        self,
        *,
        deployment: Deployment,
        crew: Crew,
        machines: Machines,
        wires: Wires,
        book: OrderBook,
        tap: Tap,
        producers: Sequence[Producer],
        shares: Shares,
        facts: Facts,
        clock: Callable[[], float],
        liars: set[str],
    ) -> None:
        self._deployment = deployment
        self._crew = crew
        self._machines = machines
        self._wires = wires
        self._book = book
        self._tap = tap
        self._producers = {producer.name: producer for producer in producers}
        self._shares = shares
        self._facts = facts
        self._clock = clock
        self._liars = liars

    async def strike(self, injection: Injection) -> None:
        """Returns when the fault is over. What it did is in the facts from its first moment."""
        if injection.kind in OF_BACKUPS:
            await self._shares.until_over(injection.target)
        began_s = self._clock()
        hits = 0
        try:
            hits = await self._strike(injection)
        finally:
            self._facts.struck.append(
                Struck(
                    kind=injection.kind,
                    target=injection.target,
                    began_s=began_s,
                    ended_s=self._clock(),
                    hits=hits,
                )
            )

    async def _strike(self, injection: Injection) -> int:
        kind, target, lasts_s = injection.kind, injection.target, injection.lasts_s
        match kind:
            case Kind.KILL:
                self._crew.kill(target)
                return 1
            case Kind.BEFORE_COMMIT | Kind.AFTER_COMMIT | Kind.AFTER_PUBLISH:
                return await self._crash(target, kind, lasts_s)
            case Kind.ROLLING_RESTART:
                for names in ROLLING:
                    await self._crew.restart(names)
                return 1
            case Kind.BROKER_RESTART:
                return await self._down(self._machines.broker, Machine.stop, lasts_s)
            case Kind.BROKER_KILL:
                return await self._down(self._machines.broker, Machine.kill, lasts_s)
            case Kind.NODE:
                node = await nodes.chosen(self._deployment, self._machines.broker, target)
                return await self._down([node] if node else [], Machine.kill, lasts_s)
            case Kind.DATABASE_RESTART:
                return await self._down(self._machines.database, Machine.stop, lasts_s)
            case Kind.DATABASE_KILL:
                if target and not await self._tap.hears(MOMENTS[target], MOMENT_WITHIN_S):
                    return 0
                return await self._down(self._machines.database, Machine.kill, lasts_s)
            case Kind.CUT | Kind.BLACK_HOLE:
                await self._unplug(target, lasts_s, frozen=kind is Kind.BLACK_HOLE)
                return 1
            case Kind.REPLAY:
                return await self._replay(lasts_s, Random(injection.seed))
            case Kind.GREEDY:
                return await self._be_greedy(lasts_s, Random(injection.seed))
            case Kind.RESHARE:
                return await self._shares.reshare(target, Random(injection.seed))
            case Kind.LOST_PARTY:
                return await self._shares.lose(target)
            case Kind.OLD_BACKUP | Kind.BLIND_BACKUP:
                return await self._shares.go_back(target, blind=kind is Kind.BLIND_BACKUP)
            case Kind.CLIENT_AWAY:
                await self._producers[target].go_away()
                try:
                    await asyncio.sleep(lasts_s)
                finally:
                    await self._producers[target].come_back()
                return 1
            case Kind.DISK_FULL if target != SQLITE_PARTY:
                async with disks.full(self._deployment.database_urls[target]) as disk:
                    await asyncio.sleep(lasts_s)
                return disk.refused
            case Kind.PRESIGNING_LIAR:
                hits = await self._command(kind, target, injection)
                await asyncio.sleep(LAST_LIES_S)
                self._facts.accusations |= await bans.accusations(self._deployment)
                await bans.lift_all(self._deployment)
                return hits
        return await self._command(kind, target, injection)

    async def _command(self, kind: Kind, target: str, injection: Injection) -> int:
        """What a role's workers do to themselves."""
        if kind in LIARS:
            self._liars.add(target)
        felt = self._book.felt(target)
        skew_ms = SKEW_MS if injection.seed % 2 else -SKEW_MS
        orders = Orders(
            skew_ms=skew_ms if kind is Kind.SKEW else 0,
            silent=kind is Kind.SILENT,
            liar=kind is Kind.LIAR,
            presigning_liar=kind is Kind.PRESIGNING_LIAR,
            equivocator=kind is Kind.EQUIVOCATOR,
            weather=kind is Kind.WEATHER,
            loss=kind is Kind.LOSS,
            disk_full=kind is Kind.DISK_FULL,
            seed=injection.seed,
        )
        self._book.give(target, orders)
        try:
            await asyncio.sleep(injection.lasts_s)
            if kind is not Kind.SKEW:
                await self._felt(target, felt)
            if kind is Kind.PRESIGNING_LIAR:
                await self._found_out(target)
        finally:
            self._book.lift(target)
        return 1 if kind is Kind.SKEW else self._book.felt(target) - felt

    async def _felt(self, role: str, before: int) -> None:
        """A fault that found nothing to spoil is none: on a slow machine a second may pass in which
        a party has nothing to say."""
        until = self._clock() + FELT_WITHIN_S
        while self._book.felt(role) == before and self._clock() < until:  # noqa: ASYNC110  # a file
            await asyncio.sleep(LOOK_EVERY_S)

    async def _found_out(self, liar: str) -> None:
        """Presignatures are made now and then, and a lie shows a round or two later: wait until
        somebody accuses the liar, if anybody does."""
        until = self._clock() + FOUND_OUT_WITHIN_S
        while self._clock() < until:
            if liar in {each.against for each in await bans.accusations(self._deployment)}:
                return
            await asyncio.sleep(ASK_EVERY_S)

    async def _crash(self, target: str, point: Kind, within_s: float) -> int:
        self._crew.expect_death(target)
        self._book.crash(target, point)
        until = self._clock() + within_s
        while self._book.stands(target) and self._clock() < until:  # noqa: ASYNC110  # a file
            await asyncio.sleep(LOOK_EVERY_S)
        if self._book.pardon(target):
            self._crew.expect_life(target)
            return 0
        return 1

    async def _down(
        self, machines: Sequence[Machine], end: Callable[[Machine], None], lasts_s: float
    ) -> int:
        """All together. None of them: they are not ours to stop."""
        await asyncio.gather(*(asyncio.to_thread(end, each) for each in machines))
        try:
            await asyncio.sleep(lasts_s if machines else 0)
        finally:
            await asyncio.gather(*map(_up, machines))
        return len(machines)

    async def _unplug(self, target: str, lasts_s: float, *, frozen: bool) -> None:
        self._facts.cuts += 1
        (self._wires.freeze if frozen else self._wires.cut)(target)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            self._wires.mend(target)

    async def _replay(self, lasts_s: float, random: Random) -> int:
        async def one(channel: AbstractChannel) -> int:
            await _publish(channel, random.choice(self._tap.recent))
            return 1

        return await self._publishing(lasts_s, REPLAYS_PER_S, one)

    async def _be_greedy(self, lasts_s: float, random: Random) -> int:
        by_client = {each.settings.client_id: each for each in self._producers.values()}
        key = self._deployment.directory / "coordinator.key"
        identity = Identity.from_base64(key.read_text().strip())

        async def one(channel: AbstractChannel) -> int:
            used = [each for each in self._tap.instructions if greed.answered(each, self._tap.sent)]
            if not used:
                return 0
            for outgoing in greed.again(random.choice(used), by_client, identity, random):
                await _publish(channel, outgoing)
            return 1

        return await self._publishing(lasts_s, GREEDY_PER_S, one)

    async def _publishing(
        self,
        lasts_s: float,
        per_s: float,
        one: Callable[[AbstractChannel], Awaitable[int]],
    ) -> int:
        count = 0
        async with await connect(self._deployment.amqp_url) as connection:
            channel = await connection.channel(publisher_confirms=True)
            until = self._clock() + lasts_s
            while self._clock() < until:
                count += await one(channel)
                await asyncio.sleep(1 / per_s)
        return count


async def _up(machine: Machine) -> None:
    """Started again when it ends at its start, as those who run services have it: nodes of RabbitMQ
    3.10 that begin at one moment now and then find each other incompatible."""
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(ChildDiedError),
        stop=tenacity.stop_after_attempt(STARTS),
        reraise=True,
    ):
        with attempt:
            machine.start()
            await asyncio.to_thread(machine.wait_ready)


async def _publish(channel: AbstractChannel, content: Heard | Outgoing) -> None:
    exchange = await channel.get_exchange(content.exchange, ensure=False)
    message = aio_pika.Message(
        content.body,
        headers=dict(content.headers),
        content_type=content.content_type,
        message_id=content.message_id,
        type=content.kind,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await exchange.publish(message, content.routing_key)
