"""A migration from its first step to its last; run again, it goes on where it was.

Each step leaves something that the broker keeps, can be done twice, and is recorded when it is
done. No step begins before the one before is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import aiormq
from aiormq.exceptions import AMQPError, ChannelAccessRefused

from topology.apply import SETTLE_S
from topology.broker import Broker
from topology.management import BrokerError, Management, UnavailableError
from topology.migration import steps
from topology.migration.connection import Mover
from topology.migration.findings import Policies
from topology.migration.gate import hung
from topology.migration.leg import WINDOW, Leg
from topology.migration.parts import Parts
from topology.migration.record import Record, Records, running_nodes
from topology.model import Binding, Queue, Ref, Resource
from topology.plan import Action, Change, Ownership
from topology.problems import TopologyError

PAUSE_S: Final = 0.25
"""Messages that were on their way to a queue, when its binding was taken away, have so long to
arrive. Within a node it takes microseconds, between nodes milliseconds."""
PATIENCE_S: Final = 600.0
"""For consumers that empty a queue, without a message less."""
FAREWELL_S: Final = 2.0
"""Consumers of a quorum queue that is deleted have so long to be told, before there is another one
of its name. RabbitMQ 3.10 tells them 35 ms later. If there is one again by then, it lets them
consume that one without a word, and delivers little or nothing of it to them."""
_POLL_S: Final = 0.25


class WaitingError(TopologyError):
    """Somebody has to do something first. Nothing is lost; run it again after that."""


@dataclass(frozen=True, slots=True)
class News:
    """
    Attributes:
        kind: That a step begins or ends; that messages were moved, or are left to consumers; that
            from now on publishers are refused; that the stream goes to the new queue.
        left: How many there are to be moved or consumed, where that is known.
    """

    kind: Literal["begun", "done", "moved", "waiting", "refusing", "turned"]
    step: str
    moved: int = 0
    left: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """
    Attributes:
        settle_s: For statistics to become true: the broker's own are up to ten seconds old.
        pause_s: See `PAUSE_S`.
        patience_s: See `PATIENCE_S`.
        farewell_s: See `FAREWELL_S`.
    """

    settle_s: float = SETTLE_S
    pause_s: float = PAUSE_S
    patience_s: float = PATIENCE_S
    farewell_s: float = FAREWELL_S


class _Patience:
    """With somebody who should have less and less to do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._least: int | None = None
        self._since = 0.0

    def ends(self, left: int) -> bool:
        """Whether it has been as much for too long."""
        now = asyncio.get_running_loop().time()
        if self._least is None or left < self._least:
            self._least, self._since = left, now
        return left > 0 and now - self._since > self._seconds


class Migration:
    """
    Arguments:
        record: What is to be done, and what is.
        kept: What the broker had of it when that was decided.
        policies: To be made with the new queue.
        pause: Whether publishers are refused for a moment, for the sake of the order.
        tell: Called with each piece of news.
    """

    def __init__(
        self,
        management: Management,
        broker: Broker,
        address: str,
        record: Record,
        *,
        kept: Record | None,
        policies: Policies,
        pause: bool = True,
        timing: Timing | None = None,
        tell: Callable[[News], None],
    ) -> None:
        self.record = record
        self._kept = kept
        self.parts = Parts(record.old, record.new.name)
        self.late = 0
        """Messages that came to a queue after all that should have come after them."""
        self._management, self._broker = management, broker
        self._vhost = broker.vhost
        self._policies, self._pause = policies, pause
        self._timing = timing or Timing()
        self._tell = tell
        self._records = Records(management, broker.vhost, record.old)
        self._mover = Mover(management, broker.vhost, address, self.parts)
        self._step = ""
        self._connection: aiormq.Connection | None = None

    async def run(self) -> None:
        """Raises WaitingError, TopologyError; it may be run again after any error."""
        doing: dict[str, Callable[[], Awaitable[None]]] = {
            steps.PREPARE: self._prepare,
            steps.LEAD_IN: self._lead_in,
            steps.TURN: self._turn,
            steps.EMPTY: self._empty,
            steps.REPLACE: self._replace,
            steps.POUR: self._pour,
            steps.JOIN: self._join,
            steps.LEAD_OUT: self._lead_out,
            steps.CLEAR: self._clear,
        }
        try:
            async with self._mover.connected() as self._connection:
                await self._require_unchanged()
                if not self.record.nodes:
                    nodes = await running_nodes(self._management)
                    self.record = replace(self.record, nodes=nodes)
                await self._records.write(self.record)
                for name, do in doing.items():
                    if name not in self.record.done:
                        await self._do(name, do)
        except ChannelAccessRefused as error:
            raise BrokerError(
                f"in the step {self._step or 'before all'}, the broker refused the migration's own "
                f"user: {' '.join(map(str, error.args))}. Nothing is lost"
            ) from None
        except (AMQPError, OSError) as error:
            raise UnavailableError(
                f"the broker went away ({type(error).__name__}). Nothing is lost; run this again"
            ) from None
        finally:
            with contextlib.suppress(TopologyError):
                await self._mover.remove()
        await self._records.remove()

    async def _require_unchanged(self) -> None:
        """Another process may have gone on while we waited for its lock."""
        begun = await self._records.read() != self._kept
        if begun or (self._kept is None and await self._is(self.record.new)):
            raise TopologyError(
                f"another process has gone on migrating queue {self.parts.old} meanwhile, to its "
                "end or not: run this again"
            )

    async def _do(self, name: str, do: Callable[[], Awaitable[None]]) -> None:
        self._step = name
        self._tell(News("begun", name))
        await do()
        self.record = self.record.with_step(name)
        await self._records.write(self.record)
        self._tell(News("done", name))

    ###
    ### Steps
    ###

    async def _prepare(self) -> None:
        for policy in self._policies.before:
            await self._make(policy)
        for exchange in self.parts.exchanges():
            await self._make(exchange)
        for queue in self.parts.queues():
            await self._make(queue)
        for binding in self.parts.bindings():
            await self._make(binding)

    async def _lead_in(self) -> None:
        # A message that comes to the old queue both ways is in it once.
        for binding in self.record.bindings:
            await self._make(self.parts.led_in(binding))
        for binding in self.record.bindings:
            await self._unmake(binding)

    async def _turn(self) -> None:
        await self._unmake(self.parts.to_old)
        await asyncio.sleep(self._timing.pause_s)

    async def _empty(self) -> None:
        """By its consumers, who take in order what is there; or by us, where there are none."""
        old, settle_s = self.parts.old, self._timing.settle_s
        patience = _Patience(self._timing.patience_s)
        while left := await self._messages(old, patience):
            ready, consumers = await self._asked(old)
            self._tell(News("waiting", self._step, left=left))
            if consumers:
                # What they hold shows in the statistics alone, and those are old.
                await asyncio.sleep(_POLL_S if ready else settle_s)
                continue
            # A consumer whose connection was lost comes back. One that came in the middle would get
            # messages before those that were moved.
            await asyncio.sleep(settle_s)
            if not (await self._asked(old))[1]:
                async with self._leg(old, self.parts.waiting) as leg:
                    await leg.drained(self._timing.pause_s)

    async def _replace(self) -> None:
        new = self.record.new
        if self.parts.new == self.parts.old and not await self._is(new):
            await self._delete(self.parts.old)
            await asyncio.sleep(self._timing.farewell_s)
        await self._make(new)

    async def _pour(self) -> None:
        async with self._leg(self.parts.waiting, self.parts.new) as leg:
            await leg.drained(self._timing.pause_s)

    async def _join(self) -> None:
        parts, pause_s = self.parts, self._timing.pause_s
        async with self._leg(parts.arriving, parts.new) as leg, self._open_again():
            if not await self._bound(parts.to_new):
                await self._catch_up(leg)
                if self._pause:
                    await self._shut()
                    self._tell(News("refusing", self._step))
                await leg.drained(pause_s if self._pause else 0.0)
                await self._make(parts.to_new)
                self._tell(News("turned", self._step))
        async with self._leg(parts.arriving, parts.new) as leg:
            await leg.drained(pause_s)
            self.late += leg.moved

    async def _lead_out(self) -> None:
        for binding in self.record.bindings:
            await self._make(self.parts.led_out(binding))
        for binding in self.record.bindings:
            await self._unmake(self.parts.led_in(binding))

    async def _clear(self) -> None:
        parts = self.parts
        if await self._exists(parts.arriving) and await self._exists(parts.copies):
            async with self._leg(parts.arriving, parts.new) as leg:
                await leg.drained(self._timing.pause_s)
                self.late += leg.moved
        for queue in (*parts.queues(), parts.refusing):
            await self._delete(queue.name)
        for exchange in (parts.gate, *(one.name for one in reversed(tuple(parts.exchanges())))):
            await self._management.send("DELETE", "exchanges/{}/{}", self._vhost, exchange)
        if parts.new != parts.old and await self._exists(parts.old):
            _, consumers = await self._asked(parts.old)
            if consumers:
                raise WaitingError(
                    f"all messages go to queue {parts.new}, and queue {parts.old} is empty and "
                    f"bound to nothing, but {consumers} consumers wait at it: stop them, and run "
                    "this again to have it deleted"
                )
            await self._delete(parts.old)
        for policy in self._policies.after:
            await self._make(policy)
        await self._own()

    ###
    ### Their parts
    ###

    @contextlib.asynccontextmanager
    async def _leg(self, source: str, to: str) -> AsyncIterator[Leg]:
        assert self._connection is not None
        nodes = await running_nodes(self._management)
        trusted = self.record.trusts(nodes)
        self.record = replace(self.record, nodes=nodes)
        await self._make(self.parts.poured(to))
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        asking = await self._connection.channel()
        leg = Leg(
            channel,
            asking,
            source=source,
            through=self.parts.pour,
            copies=self.parts.copies,
            trusted=trusted,
            tell=lambda count: self._tell(News("moved", self._step, moved=count)),
        )
        await leg.begin()
        # Only now: the copies that were there are settled by what was known of the nodes before.
        await self._records.write(self.record)
        try:
            yield leg
        finally:
            self.record = replace(
                self.record,
                moved=self.record.moved + leg.moved,
                distrusted=self.record.distrusted + leg.distrusted,
            )
            with contextlib.suppress(AMQPError, OSError):
                await channel.close()
                await asking.close()
        if not await self._bound(self.parts.poured(to)):
            raise TopologyError(
                f"somebody unbound queue {to} from {self.parts.pour} while messages were moved: "
                "look what became of them before you go on"
            )
        await self._unmake(self.parts.poured(to))

    async def _catch_up(self, leg: Leg) -> None:
        left = await leg.caught_up(_Patience(self._timing.patience_s).ends)
        if left > WINDOW:
            raise WaitingError(
                f"messages come to queue {self.parts.old} as fast as they are moved, {left} of "
                "them are on their way: have its publishers send less for a while, and run this "
                "again"
            )

    async def _shut(self) -> None:
        """From now on publishers are refused, for as long as our connection lasts at most."""
        assert self._connection is not None
        await self._make(self.parts.refusing)
        await self._make(self.parts.to_refusing)
        await hung(self._connection, self.parts)
        await self._make(self.parts.to_gate)

    @contextlib.asynccontextmanager
    async def _open_again(self) -> AsyncIterator[None]:
        """Publishers are refused no more, whatever happens: by taking one binding away, while the
        gate and the queue behind it stay for what is on its way there."""
        try:
            yield
        finally:
            await self._unmake(self.parts.to_gate)

    async def _delete(self, queue: str) -> None:
        """Only if it is empty, as far as can be told; a classic queue looks again as it goes."""
        told = await self._management.get("queues/{}/{}", self._vhost, queue, missing_ok=True)
        if told is None:
            return
        if ready := (await self._asked(queue))[0]:
            raise TopologyError(
                f"queue {queue} was to be deleted, and has {ready} messages: somebody publishes to "
                "it by its name. Stop that, and run this again"
            )
        only = "?if-empty=true" if told.get("type") == "classic" else ""
        await self._management.send("DELETE", "queues/{}/{}" + only, self._vhost, queue)

    async def _own(self) -> None:
        """Write into the record of what is ours that the new queue is, if the old one was."""
        found = await self._broker.found()
        old = Ref("queue", (self.parts.old,))
        if old not in found.owned:
            return
        gone = {binding.ref for binding in self.record.bindings}
        if self.parts.new != self.parts.old:
            gone.add(old)
        come = {self.record.new.ref, *(self.parts.led_out(one).ref for one in self.record.bindings)}
        refs = (found.owned - gone) | come
        await self._broker.make(
            Change(action=Action.UPDATE, target=Ownership(vhost=self._vhost, refs=refs))
        )

    async def _asked(self, queue: str) -> tuple[int, int]:
        """Messages that are ready, and consumers: by the queue itself, exactly."""
        assert self._connection is not None
        channel = await self._connection.channel()
        answer = await channel.queue_declare(queue, passive=True)
        await channel.close()
        return answer.message_count or 0, answer.consumer_count or 0

    async def _messages(self, queue: str, patience: _Patience) -> int:
        """With those that somebody holds. None are left only if statistics that were made after
        the last one had gone say so, too."""
        ready, consumers = await self._asked(queue)
        if not ready:
            await asyncio.sleep(self._timing.settle_s)
            ready, consumers = await self._asked(queue)
        told = await self._management.get("queues/{}/{}", self._vhost, queue)
        left = ready + int(told.get("messages_unacknowledged", 0))
        if patience.ends(left):
            raise WaitingError(
                f"queue {queue} has {left} messages and {consumers} consumers, which take none, or "
                "do not say that they are done with what they took: stop them, and run this "
                "again; what is there is moved then"
            )
        return left

    async def _is(self, queue: Queue) -> bool:
        found = await self._broker.found()
        return queue in found.topology.queues

    async def _exists(self, queue: str) -> bool:
        where = (self._vhost, queue)
        return await self._management.get("queues/{}/{}", *where, missing_ok=True) is not None

    async def _bound(self, binding: Binding) -> bool:
        return binding in (await self._broker.found()).topology.bindings

    async def _make(self, resource: Resource) -> None:
        await self._broker.make(Change(action=Action.CREATE, target=resource))

    async def _unmake(self, binding: Binding) -> None:
        await self._broker.make(Change(action=Action.DELETE, target=binding))
