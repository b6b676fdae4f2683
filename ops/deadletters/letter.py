"""A dead letter as plain facts: what it is, how it died, what it is called.

What a header says is worth as much as whoever could write it. Clients write the headers of their
requests; to the exchange `warren.dead` write the broker and our workers only. The broker leaves an
``x-death`` with every letter of its own, and a worker's copy of what it refused never has one: so
where there is an ``x-death``, nothing else about the letter's end is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from contracts import addresses
from contracts.encoding import pack
from ops.deadletters import contents

ID_DIGITS = 12
REASON = "warren-reason"
QUEUE = "warren-queue"
ROUTING_KEY = "warren-routing-key"
EXCHANGE = "warren-exchange"
KIND = "warren-kind"
CONTENT_TYPE = "warren-content-type"
REFUSED_AT = "warren-refused-at"
REFUSED = "refused"
"""The AMQP type of a worker's copy of what it refused."""

_WORKERS = frozenset({REASON, QUEUE, ROUTING_KEY, EXCHANGE, KIND, CONTENT_TYPE, REFUSED_AT})

_BROKERS_PREFIXES = ("x-death", "x-first-death-", "x-last-death-")
_BROKERS = frozenset({"x-delivery-count", "x-acquired-count"})
_DETOURS = frozenset({"CC", "BCC"})
"""The broker routes by them as well: with an operator's rights, a letter would go where its
sender may not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One entry of ``x-death``.

    Attributes:
        count: How often it died in this queue for this reason.
        exchange, routing_keys: How it came into the queue; a claim. To an ``x-death`` that a sender
            wrote for the right queue and reason, RabbitMQ 3.10 only adds one.
        expiration_ms: The time its sender gave it, as AMQP writes it.
    """

    queue: str
    reason: str
    count: int
    exchange: str
    routing_keys: tuple[str, ...]
    at: datetime | None
    expiration_ms: str | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Death:
        """From one entry of the broker's `x-death` header, which may lack anything."""
        count, at, keys = entry.get("count"), entry.get("time"), entry.get("routing-keys")
        expiration = entry.get("original-expiration")
        return cls(
            queue=str(entry.get("queue", "")),
            reason=str(entry.get("reason", "")),
            count=count if isinstance(count, int) else 1,
            exchange=str(entry.get("exchange", "")),
            routing_keys=tuple(map(str, keys)) if isinstance(keys, list) else (),
            at=at if isinstance(at, datetime) else None,
            expiration_ms=None if expiration is None else str(expiration),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """
    Attributes:
        queue: Where it lies now.
        position: 1 is the next that would be delivered, or dropped if the queue is full.
        exchange, routing_key: How it came to where it lies.
        properties: AMQP's, by aio-pika's names, without the headers and without what concerns one
            delivery only: expiration, delivery mode, user id.
    """

    queue: str
    position: int
    exchange: str
    routing_key: str
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    body: bytes = field(repr=False)

    @property
    def message_id(self) -> str:
        """The message's own id; empty if it has none."""
        return str(self.properties.get("message_id") or "")

    @property
    def deaths(self) -> tuple[Death, ...]:
        """By the broker, the last one first."""
        entries = self.headers.get("x-death")
        if not isinstance(entries, list):
            return ()
        return tuple(Death.of(entry) for entry in entries if isinstance(entry, Mapping))

    @property
    def refused(self) -> bool:
        """Whether it is the copy that a worker made, with its reason."""
        return self.queue == addresses.DEAD_QUEUE and not self.deaths and REASON in self.headers

    @property
    def source(self) -> str | None:
        """The queue in which it died; None where nobody says."""
        if self.deaths:
            return self.deaths[0].queue
        return str(self.headers.get(QUEUE, "")) or None if self.refused else None

    @property
    def kind(self) -> str:
        """The AMQP type it had. Where nobody wrote it down, the body tells it."""
        type_ = str(self.properties.get("type") or "")
        if self.refused and type_ == REFUSED:
            type_ = self._told(KIND)
        if type_:
            return type_
        return contents.kind_of(self.body, report=self.source == addresses.REPORTS_QUEUE)

    def one_by_one(self) -> tuple[Letter, ...]:
        """The messages of a bundle, as if each lay here; of anything else, the letter itself."""
        if not (parts := contents.parts_of(self.body)):
            return (self,)
        return tuple(
            replace(
                self,
                properties={
                    "message_id": part.message_id,
                    "type": part.kind,
                    "content_type": part.content_type,
                },
                headers=part.headers,
                body=part.body,
            )
            for part in parts
        )

    @property
    def died_at(self) -> datetime | None:
        """When it came here, if the broker or the worker that refused it says so."""
        if self.deaths:
            return self.deaths[0].at
        try:
            return datetime.fromisoformat(self._told(REFUSED_AT)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def digest(self) -> str:
        """64 hex digits, the same whenever it is looked at. Letters that share them are the same
        message with the same end, twice."""
        told = (str(self.headers.get(name, "")) for name in (REASON, QUEUE, ROUTING_KEY))
        deaths = (
            f"{death.queue} {death.reason} {death.count} {death.at and death.at.isoformat()}"
            for death in self.deaths
        )
        parts = (self.message_id, self.routing_key, *told, *deaths)
        return hashlib.sha256(pack((self.body, *(part.encode() for part in parts)))).hexdigest()

    def first_headers(self) -> dict[str, Any]:
        """As if it had never died, so that every counter begins anew."""
        return {
            name: value
            for name, value in self.headers.items()
            if name not in _BROKERS
            and name not in _DETOURS
            and not name.startswith(_BROKERS_PREFIXES)
            and not (self.refused and name in _WORKERS)
        }

    def first_properties(self) -> dict[str, Any]:
        """The properties that the message had before it was refused."""
        properties = dict(self.properties)
        if self.refused:
            properties["type"] = self.kind
            content_type = self._told(CONTENT_TYPE) or contents.content_type_of(self.body)
            properties["content_type"] = content_type
        return properties

    def _told(self, header: str) -> str:
        """What a worker noted; "" if this is no worker's copy, or an older one."""
        return str(self.headers.get(header, "")) if self.refused else ""
