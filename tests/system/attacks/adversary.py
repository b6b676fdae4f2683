"""Whoever has an administrator's login at the broker: hears all, says anything, holds back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from contracts import addresses, bundles
from contracts.client import ClientSettings
from contracts.envelope import CONTENT_TYPE, COORDINATOR
from contracts.identity import Identity, PublicIdentity
from contracts.peers import identities
from contracts.requests import ADAPTER, Request
from contracts.signing import SignedRequest, signature_of
from ops.stack.deployment import Deployment
from tests.patience import until

from .forms import REASON, Forms, Wire, envelope

ALIVE = "party_alive"
MARK = "mark"
"""Of what an adversary says to itself, to know what came before."""
SHARES = "share_signed"
ANSWERED = "cancel_answered"
REPORTS = (
    ALIVE,
    SHARES,
    ANSWERED,
    "party_joined",
    "key_certified",
    "nonces_made",
    "presignatures_made",
    "session_failed",
)
TOPICS = (addresses.REQUESTS, addresses.REPORTS, addresses.RESULTS, addresses.DEAD)
LANES = (addresses.SESSIONS, addresses.ROUNDS, addresses.KEYGEN, addresses.PRESIGNING)
PATIENCE_S = 20.0
QUIET_S = 3.0
"""For what is not to happen."""

WRONG_SIGNATURE = "wrong_signature"
"""The kind of what is not believed because another one has signed it."""

Wanted = Callable[[Wire], bool]


@dataclass(slots=True)
class Recording:
    """All that was published, in order; grows."""

    heard: list[Wire] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, wire: Wire) -> None:
        self.heard.append(wire)
        self._more.set()

    def all(self, wanted: Wanted) -> list[Wire]:
        return [wire for wire in self.heard if wanted(wire)]

    async def first(self, wanted: Wanted, within_s: float = PATIENCE_S) -> Wire:
        """The first that was or will be heard. Raises TimeoutError."""
        at = 0
        async with asyncio.timeout(within_s):
            while True:
                self._more.clear()
                for wire in self.heard[at:]:
                    at += 1
                    if wanted(wire):
                        return wire
                await self._more.wait()

    async def count(self, wanted: Wanted, count: int, within_s: float) -> list[Wire]:
        """So many, or as many as came within that time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(found := self.all(wanted)) < count:
                    self._more.clear()
                    await self._more.wait()
                return found
        return self.all(wanted)

    async def of_each(self, kind: str, count: int) -> list[Wire]:
        """The first report of each of so many senders: on a slow day one may say the same again.
        Raises TimeoutError."""
        said: dict[str, Wire] = {}

        def all_said() -> bool:
            for wire in self.all(is_report(kind)):
                said.setdefault(envelope(wire).sender, wire)
            return len(said) >= count

        async with asyncio.timeout(PATIENCE_S):
            await until(all_said)
        return list(said.values())


class Held:
    """What would have come to a queue. Nothing does, but what is let through."""

    def __init__(self, channel: AbstractChannel, detour: str) -> None:
        self._channel = channel
        self._detour = detour
        self.recording = Recording()

    def take(self, message: AbstractIncomingMessage) -> None:
        for wire in _wires(message):
            self.recording.add(wire)

    async def let_through(self, wires: Iterable[Wire]) -> None:
        """With the routing key that each had."""
        exchange = await self._channel.get_exchange(self._detour, ensure=False)
        for wire in wires:
            await exchange.publish(_message(wire), wire.routing_key)


class Adversary:
    """
    Attributes:
        recording: Since it came.
        forms: How it forges, by what it holds.
    """

    def __init__(self, deployment: Deployment, channel: AbstractChannel, forms: Forms) -> None:
        self.deployment = deployment
        self.channel = channel
        self.forms = forms
        self.recording = Recording()
        self._listens_at = ""
        self._marks: set[str] = set()

    @property
    def is_coordinator(self) -> bool:
        """Whether it has the coordinator's key, beside its login."""
        return self.forms.coordinator is not None

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, deployment: Deployment, *, holds_key: bool = False) -> AsyncIterator[Self]:
        """Arguments: holds_key: Whether it is the coordinator, too."""
        async with await aio_pika.connect(deployment.amqp_url) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            made = cls(deployment, channel, Forms.of(deployment.directory, holds_key=holds_key))
            async with made._listening():
                yield made

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        queue = await self.channel.declare_queue(exclusive=True)
        for exchange in TOPICS:
            await queue.bind(exchange, "#")
        for exchange in LANES:
            for party_id in self.deployment.plan.party_ids:
                await queue.bind(exchange, party_id)
        await queue.bind(addresses.CANCEL, "")
        self._listens_at = queue.name
        async with _consumed(queue, self._hear):
            yield

    def _hear(self, message: AbstractIncomingMessage) -> None:
        if message.type == MARK:
            self._marks.add(message.body.decode())
        elif message.type != ALIVE:
            for wire in _wires(message):
                self.recording.add(wire)

    async def until_now(self, wanted: Wanted = lambda _: True) -> list[Wire]:
        """All that was published so far: on a slow day a recording is behind."""
        mark = secrets.token_hex(8)
        message = aio_pika.Message(mark.encode(), type=MARK)
        await self.channel.default_exchange.publish(message, self._listens_at)
        await until(lambda: mark in self._marks)
        return self.recording.all(wanted)

    ###
    ### Words
    ###

    async def publish(self, *wires: Wire) -> None:
        for wire in wires:
            exchange = await self.channel.get_exchange(wire.exchange, ensure=False)
            await exchange.publish(
                _message(wire), wire.routing_key, mandatory=wire.exchange != addresses.CANCEL
            )

    async def request(self, signed: SignedRequest, **changes: Any) -> None:
        await self.publish(replace(request_wire(signed), **changes))

    ###
    ### Silence
    ###

    @contextlib.asynccontextmanager
    async def holding(
        self,
        queue: str,
        *bindings: tuple[str, str],
        only: Sequence[tuple[str, str]] = (),
        but: Sequence[tuple[str, str]] = (),
    ) -> AsyncIterator[Held]:
        """While it is open, nothing comes to the queue by these bindings: (exchange, key).

        Arguments:
            only: What of it is held back, if not all.
            but: What of it comes all the same.
        """
        victim = await self.channel.get_queue(queue, ensure=False)
        own = await self.channel.declare_queue(exclusive=True)
        detour = await self.channel.declare_exchange(
            f"detour.{own.name}", aio_pika.ExchangeType.FANOUT, auto_delete=True
        )
        await victim.bind(detour)
        held = Held(self.channel, detour.name)
        for exchange, key in but:
            await victim.bind(exchange, key)
        for exchange, key in only or bindings:
            await own.bind(exchange, key)
        for exchange, key in bindings:
            await victim.unbind(exchange, key)
        try:
            async with _consumed(own, held.take):
                yield held
        finally:
            for exchange, key in bindings:
                await victim.bind(exchange, key)
            for exchange, key in but:
                await victim.unbind(exchange, key)
            await victim.unbind(detour)
            await own.delete(if_unused=False, if_empty=False)

    def holding_reports(self, *kinds: str) -> contextlib.AbstractAsyncContextManager[Held]:
        """Of these kinds."""
        return self.holding(
            addresses.REPORTS_QUEUE,
            (addresses.REPORTS, "#"),
            only=[(addresses.REPORTS, f"{kind}.*") for kind in kinds],
            but=[(addresses.REPORTS, f"{kind}.*") for kind in REPORTS if kind not in kinds],
        )

    def holding_instructions(
        self, party_id: str, operation: str = "sign"
    ) -> contextlib.AbstractAsyncContextManager[Held]:
        """On the lane of such requests."""
        if operation == "keygen":
            return self.holding(addresses.keygen_queue(party_id), (addresses.KEYGEN, party_id))
        return self.holding(addresses.inbox_queue(party_id), (addresses.SESSIONS, party_id))

    @contextlib.asynccontextmanager
    async def holding_all_instructions(
        self, operation: str = "sign"
    ) -> AsyncIterator[dict[str, Held]]:
        async with contextlib.AsyncExitStack() as stack:
            yield {
                party_id: await stack.enter_async_context(
                    self.holding_instructions(party_id, operation)
                )
                for party_id in self.deployment.plan.party_ids
            }

    def holding_requests(
        self, client_id: str, operation: str
    ) -> contextlib.AbstractAsyncContextManager[Held]:
        """Of this operation, and of those that share its routing key."""
        key = addresses.request_key(operation, client_id)
        queue = addresses.request_queue(operation, client_id)
        return self.holding(queue, (addresses.REQUESTS, key))

    async def shares_of(self, request_id: str, held: Held, count: int = 2) -> list[Wire]:
        """What so many signers of this request gave. What those of an earlier one say again on a
        slow day is not it. Raises TimeoutError."""
        said: dict[str, Wire] = {}

        def all_said() -> bool:
            invitations = self.recording.all(invites(request_id))
            sessions = {bytes.fromhex(wire.json()["session_id"]) for wire in invitations}
            for wire in held.recording.all(is_report(SHARES)):
                if envelope(wire).session_id in sessions:
                    said.setdefault(envelope(wire).sender, wire)
            return len(said) >= count

        async with asyncio.timeout(PATIENCE_S):
            await until(all_said)
        return list(said.values())

    ###
    ### What is made of it
    ###

    @contextlib.asynccontextmanager
    async def disbelieved(self, count: int, kind: str = WRONG_SIGNATURE) -> AsyncIterator[None]:
        """On the way out, when the workers have counted so many more messages that nobody known
        is shown to have sent."""
        before = await self._counted(kind)

        async def counted() -> bool:
            return await self._counted(kind) >= before + count

        yield
        async with asyncio.timeout(PATIENCE_S):
            await until(counted)

    async def _counted(self, kind: str) -> float:
        pattern = rf'warren_unauthenticated_total\{{kind="{kind}",queue="[^"]+"\}} (\S+)'
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            urls = self.deployment.health_urls.values()
            told = await asyncio.gather(*(http.get(f"{url}/metrics") for url in urls))
        return sum(float(each) for answer in told for each in re.findall(pattern, answer.text))

    ###
    ### Spoils
    ###

    @property
    def parties(self) -> dict[str, PublicIdentity]:
        """Public, in every client's file."""
        pinned = self.client_settings().parties
        return {name: next(iter(identities(each))) for name, each in pinned.items()}

    @property
    def coordinator(self) -> PublicIdentity:
        """The same."""
        private = (self.deployment.directory / "coordinator.key").read_text()
        return Identity.from_base64(private.strip()).public

    def client_settings(self, name: str = "svcA") -> ClientSettings:
        return ClientSettings.load(self.deployment.clients[name])

    def stolen_key(self, party_id: str) -> Identity:
        """Of a party that is in league with the attacker."""
        path = self.deployment.directory / f"{party_id}.key"
        return Identity.from_base64(path.read_text().strip())


def request_wire(signed: SignedRequest) -> Wire:
    request = signed.request
    return Wire(
        exchange=addresses.REQUESTS,
        routing_key=addresses.request_key(request.operation, request.client_id),
        kind=request.operation,
        message_id=request.request_id,
        headers=signed.headers(),
        body=signed.body,
    )


def heard_request(wire: Wire) -> SignedRequest:
    """As it was sent, whoever sent it."""
    request: Request = ADAPTER.validate_json(wire.body)
    return SignedRequest(request=request, body=wire.body, signature=signature_of(wire.headers))


def is_request(operation: str, request_id: str | None = None) -> Wanted:
    def wanted(wire: Wire) -> bool:
        return wire.exchange == addresses.REQUESTS and (
            (said := json.loads(wire.body))["operation"] == operation
            and request_id in {None, said["request_id"]}
        )

    return wanted


def is_result(result: str, request_id: str | None = None) -> Wanted:
    def wanted(wire: Wire) -> bool:
        return (
            wire.exchange == addresses.RESULTS
            and wire.kind == result
            and request_id in {None, wire.message_id}
        )

    return wanted


def is_report(kind: str, session_id: bytes | None = None, senders: Sequence[str] = ()) -> Wanted:
    """Of a session, to the coordinator."""

    def wanted(wire: Wire) -> bool:
        if wire.exchange != addresses.REPORTS or wire.content_type != CONTENT_TYPE:
            return False
        said = envelope(wire)
        return (
            said.recipient == COORDINATOR
            and said.kind == kind
            and session_id in {None, said.session_id}
            and (not senders or said.sender in senders)
        )

    return wanted


def is_instruction(kind: str, party_id: str | None = None) -> Wanted:
    def wanted(wire: Wire) -> bool:
        return (
            wire.exchange in {addresses.SESSIONS, addresses.KEYGEN, addresses.PRESIGNING}
            and wire.kind == kind
            and party_id in {None, wire.routing_key}
        )

    return wanted


def is_dead(*words: str) -> Wanted:
    """A dead letter whose reason says all this."""

    def wanted(wire: Wire) -> bool:
        reason = str(wire.headers.get(REASON))
        return wire.exchange == addresses.DEAD and all(each in reason for each in words)

    return wanted


def invites(request_id: str) -> Wanted:
    """`session_created` for this request."""

    def wanted(wire: Wire) -> bool:
        if not is_instruction("session_created")(wire):
            return False
        request = base64.b64decode(wire.json()["request"])
        return bool(json.loads(request)["request_id"] == request_id)

    return wanted


@contextlib.asynccontextmanager
async def _consumed(
    queue: AbstractQueue, hear: Callable[[AbstractIncomingMessage], None]
) -> AsyncIterator[None]:
    async def take(message: AbstractIncomingMessage) -> None:
        hear(message)

    tag = await queue.consume(take, no_ack=True)
    try:
        yield
    finally:
        await queue.cancel(tag)


def _wires(message: AbstractIncomingMessage) -> list[Wire]:
    """What was said; several things, if it is a bundle."""
    whole = Wire(
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        kind=message.type or "",
        content_type=message.content_type or "",
        message_id=message.message_id or "",
        headers=dict(message.headers),
        body=message.body,
    )
    if whole.content_type != bundles.CONTENT_TYPE:
        return [whole]
    return [
        replace(
            whole,
            kind=part.kind,
            content_type=part.content_type,
            message_id=part.message_id,
            headers=dict(part.headers),
            body=part.body,
        )
        for part in bundles.unpack(whole.body)
    ]


def _message(wire: Wire) -> aio_pika.Message:
    return aio_pika.Message(
        wire.body,
        headers=dict(wire.headers),
        content_type=wire.content_type,
        message_id=wire.message_id,
        type=wire.kind,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


@contextlib.contextmanager
def stopped(deployment: Deployment, *names: str) -> Iterator[None]:
    """While it is open, these processes do nothing."""
    pids = [deployment.supervisor.pids[name] for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
