"""What a migration has to know of the broker before it begins, and what forbids it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from topology.definitions import EXCHANGE_TYPES
from topology.management import Management
from topology.migration.parts import Parts
from topology.model import Binding, Found, Policy, Queue
from topology.problems import TopologyError

_BUILT_IN: Final = (*EXCHANGE_TYPES, "headers")
_LONGEST: Final = 255 - len(".migration.arriving")
_HARMFUL: Final = (
    "expires",
    "message-ttl",
    "max-length",
    "max-length-bytes",
    "delivery-limit",
)
_ASKED_EVERY_S: Final = 1.0
_TIMES_ASKED: Final = 11
"""How often the broker is asked whose a consumer is: its statistics are up to ten seconds old."""

_DEAD_EXCHANGE: Final = "dead-letter-exchange"
_DEAD_KEY: Final = "dead-letter-routing-key"


class RefusedError(TopologyError):
    """This migration cannot be done, or not now. Nothing was changed by saying so."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """
    Attributes:
        told: What the management API tells of the old queue.
        all_queues: Of all queues, with their arguments and what policies make of them.
        deaf: Consumers of the old queue, by user and connection, that the broker will not tell
            when it is gone.
        unconfirmed: Channels that publish without confirms to where the old queue's messages come
            from.
    """

    found: Found
    told: Mapping[str, Any]
    all_queues: tuple[Mapping[str, Any], ...] = ()
    deaf: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()

    def bindings(self, queue: str) -> tuple[Binding, ...]:
        """Those that lead to it."""
        return tuple(
            one
            for one in self.found.topology.bindings
            if one.destination == queue and one.destination_type == "queue"
        )


async def look(management: Management, found: Found, old: str) -> Findings:
    """Ask the broker. Raises RefusedError if there is no such queue."""
    vhost = found.vhost
    if not found.vhost_exists:
        raise RefusedError(
            [f"there is no vhost {vhost} at this broker: --vhost or WARREN_VHOST says which it is"]
        )
    told = await management.get("queues/{}/{}", vhost, old, missing_ok=True)
    if told is None:
        raise RefusedError(
            [
                f"queue {old} is not there, in vhost {vhost}: its name has to be that at the "
                "broker. What is declared and not there is made by `warren topology apply`"
            ]
        )
    sources = {one.source for one in found.topology.bindings if one.destination == old}
    return Findings(
        found=found,
        told=told,
        all_queues=tuple(await management.get("queues/{}", vhost)),
        deaf=tuple(await _deaf(management, vhost, told)),
        unconfirmed=tuple(await _unconfirmed(management, vhost, sources)),
    )


async def _deaf(management: Management, vhost: str, told: Mapping[str, Any]) -> list[str]:
    deaf = []
    known, unknown = await _consuming_channels(management, vhost, told)
    for name, user in sorted({(c["connection_name"], c.get("user", "?")) for c in known}):
        connection = await management.get("connections/{}", name, missing_ok=True) or {}
        able = (connection.get("client_properties") or {}).get("capabilities") or {}
        if connection and not able.get("consumer_cancel_notify"):
            deaf.append(f"{user} ({name})")
    return [*deaf, *(f"? (consumer {tag}, of no known connection)" for tag in unknown)]


async def _consuming_channels(
    management: Management, vhost: str, told: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The channels that consume, and the tags of consumers of which the broker tells none.

    It tells none for a moment of one that has just come, or whose channel has just gone: there is
    an empty list where there would be an object."""
    for again in range(_TIMES_ASKED):
        known, unknown = [], []
        for consumer in told.get("consumer_details") or ():
            channel = consumer.get("channel_details") or {}
            if channel.get("connection_name"):
                known.append(channel)
            else:
                unknown.append(str(consumer.get("consumer_tag", "?")))
        if not unknown or again == _TIMES_ASKED - 1:
            break
        await asyncio.sleep(_ASKED_EVERY_S)
        told = await management.get("queues/{}/{}", vhost, told["name"], missing_ok=True) or {}
    return known, unknown


async def _unconfirmed(management: Management, vhost: str, sources: set[str]) -> list[str]:
    found = []
    for channel in await management.get("vhosts/{}/channels", vhost, missing_ok=True) or ():
        if channel.get("confirm") or not (channel.get("message_stats") or {}).get("publish"):
            continue
        detail = await management.get("channels/{}", channel["name"], missing_ok=True) or {}
        to = {one["exchange"]["name"] for one in detail.get("publishes") or () if "exchange" in one}
        if to & sources:
            found.append(f"{channel.get('user', '?')} ({channel['name']})")
    return sorted(found)


def refusals(findings: Findings, parts: Parts, new: Queue, *, pause: bool) -> Iterator[str]:
    """Why it cannot be done, each as a sentence with what to do."""
    yield from _of_the_queue(findings.told, parts.old)
    yield from _of_who_uses_it(findings, parts, pause=pause)
    yield from _of_exchanges(findings, parts)
    yield from _of_dead_letters(findings, parts)
    yield from _of_policies(findings, parts)
    existing = {queue.name: queue for queue in findings.found.topology.queues}
    if parts.new == parts.old and existing.get(parts.old) == new:
        yield f"queue {parts.old} is what the files say already: there is nothing to change"
    if parts.new != parts.old and parts.new in existing:
        yield (
            f"queue {parts.new} is there already, and what arrives there would come before what "
            f"queue {parts.old} has: drain and delete it, or unbind {parts.old} and let its "
            "consumers empty it"
        )


def _of_the_queue(told: Mapping[str, Any], old: str) -> Iterator[str]:
    if told.get("exclusive"):
        yield f"queue {old} is exclusive: it belongs to one connection, and nobody else may read it"
    if told.get("auto_delete"):
        yield (
            f"queue {old} deletes itself when its last consumer leaves, with its messages: no "
            "order of steps is safe"
        )
    if told.get("type") == "stream":
        yield f"queue {old} is a stream: reading takes nothing out of it, so it cannot be drained"
    if len(old.encode()) > _LONGEST:
        yield f"the name of queue {old} leaves no room for those of the queues beside it"


def _of_who_uses_it(findings: Findings, parts: Parts, *, pause: bool) -> Iterator[str]:
    straight = [
        one
        for one in findings.told.get("incoming", ())
        if one.get("exchange", {}).get("name") == ""
    ]
    if straight:
        yield (
            f"somebody publishes to queue {parts.old} by its name, through the default exchange, "
            "which no binding turns: let it publish to an exchange that is bound to the queue"
        )
    if findings.deaf:
        yield (
            f"of queue {parts.old}'s consumers, these would not be told that their queue is gone "
            f"(no consumer_cancel_notify): {', '.join(findings.deaf)}; stop them first"
        )
    if pause and findings.unconfirmed:
        yield (
            f"these publish to queue {parts.old}'s exchanges without confirms, and would lose what "
            f"is refused in the pause at the end: {', '.join(findings.unconfirmed)}; have them "
            "confirm, stop them, or give up the order of the last moment with --no-pause"
        )


def _of_exchanges(findings: Findings, parts: Parts) -> Iterator[str]:
    types = {one.name: one.type for one in findings.found.topology.exchanges}
    for source in sorted({one.source for one in findings.bindings(parts.old)}):
        kind = types.get(source, source.removeprefix("amq."))
        if kind not in _BUILT_IN and not source.startswith("amq."):
            yield (
                f"exchange {source} is of type {kind}, and may choose by how many things are bound "
                f"to it: unbind queue {parts.old} from it first"
            )


def _of_dead_letters(findings: Findings, parts: Parts) -> Iterator[str]:
    for queue in findings.all_queues:
        settings = _effective(queue)
        exchange = settings.get(_DEAD_EXCHANGE)
        key = settings.get(_DEAD_KEY)
        if exchange is None:
            continue
        own = queue["name"] == parts.old
        straight = exchange == "" and (key == parts.old or (key is None and own))
        if own and (straight or _leads(findings.found.topology.bindings, str(exchange), parts.old)):
            yield (
                f"queue {parts.old} has itself for its dead letters: what dies while it is "
                "emptied would come again. Lead its dead letters elsewhere first"
            )
        elif straight:
            yield (
                f"queue {queue['name']} sends its dead letters to queue {parts.old} by its name: "
                "while that is away they would be lost. Lead them through an exchange first"
            )


def _effective(queue: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments are stronger than policies, where both say something."""
    arguments = dict(queue.get("arguments") or {})
    policy = dict(queue.get("effective_policy_definition") or {})
    return {key: arguments.get(f"x-{key}", policy.get(key)) for key in (_DEAD_EXCHANGE, _DEAD_KEY)}


def _leads(bindings: Iterable[Binding], exchange: str, queue: str) -> bool:
    """Whether anything from the exchange may come to the queue."""
    listed = tuple(bindings)
    seen, ahead = set[str](), [exchange]
    while ahead:
        at = ahead.pop()
        if at in seen:
            continue
        seen.add(at)
        for one in listed:
            if one.source == at and one.destination_type == "exchange":
                ahead.append(one.destination)
            elif one.source == at and one.destination == queue:
                return True
    return False


def _of_policies(findings: Findings, parts: Parts) -> Iterator[str]:
    helpers = tuple(parts.queues())
    for kind, policies in (
        ("policy", findings.found.topology.policies),
        ("operator policy", findings.found.operator_policies),
    ):
        for policy in policies:
            limits = [key for key, _ in policy.definition if key in _HARMFUL]
            if limits and any(policy.covers(one) for one in helpers):
                yield (
                    f"{kind} {policy.name} would hold for queues {parts.prefix}.*, and might drop "
                    f"or refuse what is on its way ({', '.join(limits)}): narrow its pattern"
                )


@dataclass(frozen=True, slots=True)
class Policies:
    """
    Attributes:
        before: To be made before the new queue is there, which would be without limits.
        after: To be made when the old queue is gone.
    """

    before: tuple[Policy, ...] = ()
    after: tuple[Policy, ...] = ()


def policies(
    declared: Iterable[Policy], found: Iterable[Policy], *, new: Queue, old: Queue | None
) -> Policies:
    """What is declared for the new queue and not so at the broker. Where the old one would lose
    its policy, that is for both as long as there are both."""
    known = {policy.name: policy for policy in found}
    after = tuple(
        policy for policy in declared if policy.covers(new) and known.get(policy.name) != policy
    )
    before = []
    for policy in after:
        existing = known.get(policy.name)
        if old and existing and existing.covers(old) and not policy.covers(old):
            both = f"(?:{existing.pattern})|(?:{policy.pattern})"
            before.append(replace(policy, pattern=both))
        else:
            before.append(policy)
    return Policies(tuple(before), after)
