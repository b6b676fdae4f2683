"""Hears everything that parties and coordinators send, through a queue of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace

from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses, bundles, sessions
from contracts.confirming import AWAY, answered
from contracts.connecting import connect
from contracts.envelope import CONTENT_TYPE, COORDINATOR, UnverifiedEnvelope
from contracts.hosts import Hosts
from contracts.primitives import Scheme
from contracts.requests import ADAPTER, SignRequest

from .facts import Sent
from .lying import ALIVE, GOES_ON, SAYS_TWICE

QUEUE = "chaos.tap"
OF_NO_EPOCH = frozenset({"session_failed", "cancel_answered"})
"""Who refuses says nothing by a key's shares, and names no epoch."""
REPLAYABLE = 2_000
LANES = (addresses.SESSIONS, addresses.ROUNDS, addresses.KEYGEN, addresses.PRESIGNING)
LARGEST_REPLAYED = 100_000
"""Bytes. What is made ahead of signing has megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as it was published, to be published again."""

    exchange: str
    routing_key: str
    kind: str
    content_type: str
    message_id: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Tap:
    def __init__(self, amqp_url: str, parties: Iterable[str], liars: set[str]) -> None:
        """Arguments: liars: Who is told to equivocate, now or earlier; grows meanwhile."""
        self.sent = Sent()
        self.recent: deque[Heard] = deque(maxlen=REPLAYABLE)
        self.instructions: deque[sessions.SessionCreated] = deque(maxlen=200)
        self._awaited: dict[str, asyncio.Event] = {}
        self._url = amqp_url
        self._parties = tuple(parties)
        self._liars = liars

    async def hears(self, what: str, within_s: float) -> bool:
        """Whether a message of that kind, or kind/round, is sent in so many seconds."""
        event = self._awaited.setdefault(what, asyncio.Event())
        event.clear()
        try:
            async with asyncio.timeout(within_s):
                await event.wait()
        except TimeoutError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        await self._declare()
        task = asyncio.create_task(self._listen(), name="tap")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _declare(self) -> None:
        kind = "classic" if len(Hosts(self._url)) == 1 else "quorum"
        async with await connect(self._url) as connection:
            channel = await connection.channel()
            # Durable, so that a broker's restart costs nothing that was said before it, and that
            # of one node of several neither.
            queue = await channel.declare_queue(
                QUEUE, durable=True, arguments={"x-queue-type": kind}
            )
            for exchange in (addresses.REQUESTS, addresses.REPORTS):
                await queue.bind(exchange, "#")
            for exchange in LANES:
                for party_id in self._parties:
                    await queue.bind(exchange, party_id)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                async with answered():
                    await self._until_lost()
            await asyncio.sleep(0.3)

    async def _until_lost(self) -> None:
        async with await connect(f"{self._url}?heartbeat=5") as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=200)
            queue = await channel.get_queue(QUEUE)
            async with queue.iterator() as messages:
                async for message in messages:
                    self.hear(message)
                    await message.ack()

    def hear(self, message: AbstractIncomingMessage) -> None:
        """What was published: of a bundle, each part as if it had come alone."""
        whole = Heard(
            exchange=message.exchange or "",
            routing_key=message.routing_key or "",
            kind=message.type or "",
            content_type=message.content_type or "",
            message_id=message.message_id or "",
            headers={
                name: value for name, value in message.headers.items() if isinstance(value, str)
            },
            body=message.body,
        )
        if whole.content_type != bundles.CONTENT_TYPE:
            return self._note(whole)
        for part in bundles.unpack(whole.body):
            self._note(
                replace(
                    whole,
                    kind=part.kind,
                    content_type=part.content_type,
                    message_id=part.message_id,
                    headers=dict(part.headers),
                    body=part.body,
                )
            )
        return None

    def _note(self, heard: Heard) -> None:
        if heard.kind == ALIVE:
            return
        if event := self._awaited.get(heard.kind):
            event.set()
        if len(heard.body) <= LARGEST_REPLAYED:
            self.recent.append(heard)
        if heard.content_type != CONTENT_TYPE:
            return
        claimed = UnverifiedEnvelope.from_bytes(heard.body).claimed
        if claimed.sender != COORDINATOR:
            note_envelope(self.sent, heard, self._liars)
        elif claimed.kind == "session_created":
            created = sessions.SessionCreated.model_validate_json(claimed.payload)
            note_instruction(self.sent, created, heard.routing_key)
            self.instructions.append(created)


def note_envelope(sent: Sent, heard: Heard, liars: Iterable[str]) -> None:
    claimed = UnverifiedEnvelope.from_bytes(heard.body).claimed
    session_id, kind = claimed.session_id.hex(), f"{claimed.kind}/{claimed.round}"
    if claimed.kind not in OF_NO_EPOCH:
        sent.epochs[session_id].add(claimed.epoch)
    bodies = sent.bodies[session_id, kind, claimed.sender, claimed.recipient]
    bodies.add(hashlib.sha256(heard.body).digest())
    sent.copies += 1
    lies = kind == SAYS_TWICE and len(bodies) > 1 and claimed.sender in liars
    # Later, when it repeats itself for somebody, the others may have come to their ends.
    if lies and (session_id, GOES_ON, claimed.sender) not in {place[:3] for place in sent.bodies}:
        sent.lies.add(session_id)
    if claimed.kind == "cancel_answered":
        answer = sessions.CancelAnswered.model_validate_json(claimed.payload)
        if answer.statement is not None:
            sent.stated[session_id, claimed.sender].add(answer.statement.model_dump_json())
        elif answer.refused is sessions.CancelRefusal.ALREADY_SIGNED:
            sent.stated[session_id, claimed.sender].add(answer.refused.value)
    if claimed.kind == "share_signed":
        for nonce in sent.instructed.get((session_id, claimed.sender), ()):
            sent.uses[claimed.sender, nonce].add(session_id)


def note_instruction(sent: Sent, created: sessions.SessionCreated, party_id: str) -> None:
    sent.epochs[created.session_id.hex()].add(created.terms.epoch)
    if created.terms.protocol != "sign":
        return
    request = ADAPTER.validate_json(created.request)
    assert isinstance(request, SignRequest)
    if request.scheme is Scheme.ECDSA:
        nonces = tuple(
            f"presignature {used.batch.hex()}/{position}"
            for used in created.presignatures
            for position in used.positions
        )
    else:
        nonces = tuple(
            f"nonce {commitment.nonce_id.hex()}"
            for member, commitment in zip(created.terms.members, created.commitments, strict=True)
            if member.party_id == party_id
        )
    sent.instructed[created.session_id.hex(), party_id] = nonces
