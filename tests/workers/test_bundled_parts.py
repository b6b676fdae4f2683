"""Bundles at real handlers: each part ends as it would alone, whenever a process dies."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts import addresses
from contracts.bundles import CONTENT_TYPE, Part, pack
from contracts.identity import Identity
from contracts.results import Status
from contracts.sessions import SessionCreated
from tests.workers.crew import party_worker
from tests.workers.doubles import FakeMessage
from tests.workers.simulate import World, world
from workers.coordinator.signature import Signature
from workers.delivery import consuming, deliveries, strangers
from workers.delivery.deliveries import Deliver, Delivery, Ended, Handler
from workers.delivery.middleware import Middleware
from workers.store.records import Outgoing

PARTY = "party-1"
LATE_MS = 100_000


@pytest.fixture(autouse=True)
def _nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None: ...

    monkeypatch.setattr(deliveries, "asyncio", SimpleNamespace(sleep=sleep))


class Ends(Middleware):
    """Notes how each delivery ended, by its message id."""

    def __init__(self) -> None:
        self.noted: dict[str | None, Ended] = {}

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        async def noted(delivery: Delivery) -> Ended:
            ended = self.noted[delivery.message_id] = await deliver(delivery)
            return ended

        return noted


class Inbox:
    """A process of a party, or of the coordinator, at its queue."""

    def __init__(self, handler: Handler, publisher: Any, queue: str) -> None:
        self.ends = Ends()
        self._take = consuming._taking(publisher, queue, handler, self.ends, at_once=8)

    async def take(self, message: Outgoing, *, returns: int = 0) -> list[str]:
        delivered: Any = FakeMessage()
        delivered.raw_message = SimpleNamespace(
            channel=self,
            delivery_tag=1,
            headers={**message.headers, **({"x-delivery-count": returns} if returns else {})},
            type=message.kind,
            body=message.body,
            routing_key=message.routing_key,
            message_id=message.message_id,
            exchange=message.exchange,
            content_type=message.content_type,
        )
        await self._take(delivered)
        endings: list[str] = delivered.endings
        return endings


def bundle_of(messages: list[Outgoing]) -> Outgoing:
    return Outgoing(
        exchange=messages[0].exchange,
        routing_key=messages[0].routing_key,
        kind="bundle",
        content_type=CONTENT_TYPE,
        message_id="",
        body=pack(
            [
                Part(
                    message_id=each.message_id,
                    kind=each.kind,
                    content_type=each.content_type,
                    headers=each.headers,
                    body=each.body,
                )
                for each in messages
            ]
        ),
    )


def inbox(shire: World, publisher: Any = None) -> Inbox:
    worker = party_worker(shire, PARTY, network=publisher)
    return Inbox(worker.handle, publisher or shire.network, addresses.inbox_queue(PARTY))


async def asked(shire: World, key_id: str, count: int, **changes: Any) -> list[Outgoing]:
    """Signing sessions with the party, which is to be told of them."""
    for _ in range(count):
        await shire.ask(shire.sign_request(key_id=key_id, signers=[PARTY, "party-2"], **changes))
    told = [each for each in shire.network.waiting if to_the_party(each)]
    for message in told:
        shire.network.waiting.remove(message)
    assert [message.kind for message in told] == ["session_created"] * count
    return told


def to_the_party(message: Outgoing) -> bool:
    return (message.exchange, message.routing_key) == (addresses.SESSIONS, PARTY)


async def key_of(shire: World) -> str:
    """With nonces made ahead, so that a signature takes one message to each signer."""
    made = shire.keygen_request()
    await shire.ask(made)
    await shire.run()
    for _ in range(6):
        await shire.ask(shire.sign_request(key_id=made.key_id, signers=[PARTY, "party-2"]))
    await shire.run()
    return made.key_id


async def five(shire: World) -> list[Outgoing]:
    """A good one, one with a wrong signature, one of another coordinator, one whose time is over,
    and another one for the same session as one that was handled."""
    key_id = await key_of(shire)
    late, first = await asked(shire, key_id, 2)
    shire.clock.offset_ms += LATE_MS
    good, bad, foreign = await asked(shire, key_id, 3)
    signed = [shire.signature.under(each) for each in (late, good, bad)]
    content = SessionCreated.model_validate_json(good.body)
    other = content.model_copy(update={"request": content.request + b" "})
    named = {
        "late": signed[0],
        "good": signed[1],
        "bad": Outgoing(**{**fields(signed[2]), "body": signed[2].body[:-1] + b"\0"}),
        "foreign": Signature(Identity.generate()).under(foreign),
        "conflicting": shire.signature.under(
            Outgoing(**{**fields(good), "body": other.model_dump_json().encode()})
        ),
    }
    assert first
    return [Outgoing(**{**fields(message), "message_id": name}) for name, message in named.items()]


def fields(message: Outgoing) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Outgoing.__slots__}


def letters(shire: World) -> dict[str, str]:
    """By the message's id, why it is dead; without what differs from session to session."""
    return {
        each.message_id: re.sub(r"[0-9a-f]{16,}|\d+", "#", each.headers["warren-reason"])
        for each in shire.network.sent
        if each.exchange == addresses.DEAD
    }


async def test_each_part_ends_as_it_would_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "_letters", lambda _: 1000)
    ends: list[dict[str | None, Ended]] = []
    dead: list[dict[str, str]] = []
    said: list[Counter[str]] = []
    for together in False, True:
        folder = tmp_path / f"{together}"
        folder.mkdir()
        async with world(folder) as shire:
            messages = await five(shire)
            before = len(shire.network.sent)
            taking = inbox(shire)
            if together:
                # The first of its session has been handled when the one that contradicts it comes.
                assert await taking.take(bundle_of(messages), returns=1) == ["ack"]
            else:
                for message in messages:
                    assert await taking.take(message) == ["ack"]
            ends.append(taking.ends.noted)
            dead.append(letters(shire))
            said.append(
                Counter(
                    each.kind
                    for each in shire.network.sent[before:]
                    if each.exchange == addresses.REPORTS
                )
            )
    alone, bundled = ends
    assert bundled == alone
    assert dead[0] == dead[1]
    assert {"bad", "foreign"} <= dead[0].keys()
    assert alone["good"] is Ended.ACKED
    assert said[0] == said[1]
    # The one that contradicts what was answered before brings the same answer again.
    assert said[0] == {"share_signed": 2, "session_failed": 1}


class DeathError(BaseException):
    """Of the process, between commit and publishing."""


class Dying:
    """Publishes so many messages, and no more."""

    def __init__(self, network: Any, left: int) -> None:
        self._network = network
        self._left = left

    async def publish(self, message: Outgoing) -> None:
        if not self._left:
            raise DeathError
        self._left -= 1
        await self._network.publish(message)

    async def publish_all(self, messages: Any) -> None:
        for message in messages:
            await self.publish(message)


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_a_process_that_dies_within_a_bundle_after_its_commits_loses_nothing(
    shire: World, left: int
) -> None:
    """What was committed and did not leave, leaves with the bundle that comes again: the same."""
    key_id = await key_of(shire)
    results = len(shire.results())
    messages = await asked(shire, key_id, 4)
    bundle = bundle_of([shire.signature.under(each) for each in messages])
    dying = inbox(shire, Dying(shire.network, left))
    assert await dying.take(bundle) == ["failed, requeue"]  # of which the broker hears nothing
    assert await inbox(shire).take(bundle, returns=1) == ["ack"]
    assert await inbox(shire).take(bundle, returns=2) == ["ack"]
    shares: defaultdict[str, set[bytes]] = defaultdict(set)
    for each in shire.network.sent:
        if each.kind == "share_signed" and each.routing_key.endswith(PARTY):
            shares[each.headers["session_id"]].add(each.body)
    assert {len(bodies) for bodies in shares.values()} == {1}
    await shire.run()
    ended = shire.results()[results:]
    assert [each.status for each in ended] == [Status.COMPLETED] * 4
    assert not shire.dead


async def test_reports_of_several_sessions_in_one_bundle_end_them_all(shire: World) -> None:
    key_id = await key_of(shire)
    results = len(shire.results())
    for _ in range(4):
        await shire.ask(shire.sign_request(key_id=key_id, signers=[PARTY, "party-2"]))
    await shire.run(dropped=lambda message: message.exchange == addresses.REPORTS)
    reports = [each for each in shire.network.sent if each.kind == "share_signed"][-8:]
    taking = Inbox(shire.reports.handle, shire.network, addresses.REPORTS_QUEUE)
    for party_id in PARTY, "party-2":
        own = [each for each in reports if each.routing_key.endswith(party_id)]
        assert len(own) == 4
        assert await taking.take(bundle_of(own)) == ["ack"]
    assert [each.status for each in shire.results()[results:]] == [Status.COMPLETED] * 4
