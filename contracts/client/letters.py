"""Deliveries from our queue, from their coming to their end."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import strict_json
from ..deliveries import returns_of
from ..hand import Hand, Incoming
from ..results import DELIVERED, Delivered, SessionAnnounced

Asked = tuple[str, bytes | None]
"""Request id and digest of what a result answers."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What has to be known of a letter that nobody reads.

    Attributes:
        asked: What it answers.
        fleeting: Whether it can be had again by whoever wants it, and is kept for nobody else.
    """

    asked: Asked
    fleeting: bool

    @classmethod
    def of(cls, content: Delivered) -> Cover:
        return cls(asked(content), isinstance(content, SessionAnnounced))


def asked(content: Delivered) -> Asked:
    """What it answers, or announces the session of."""
    return content.request_id, content.request_digest


@dataclass(slots=True, eq=False)
class Letter:
    """A delivery from the queue that is not acknowledged yet, and was verified to be the
    coordinator's, now or when the same bytes came before.

    What nobody waits for comes again and again. It may be large, so it is parsed when somebody
    reads it.
    """

    cover: Cover
    delivery: Incoming
    hand: Hand = field(default_factory=Hand)
    _content: Delivered | None = None

    @classmethod
    def opened(cls, content: Delivered, delivery: Incoming, hand: Hand | None = None) -> Letter:
        """One that was parsed already."""
        return cls(Cover.of(content), delivery, hand or Hand(), content)

    @property
    def content(self) -> Delivered:
        """What it says, parsed when it is first asked for."""
        if self._content is None:
            self._content = strict_json.validated(DELIVERED, self.delivery.body)
        return self._content

    @property
    def fleeting(self) -> bool:
        """As its cover has it."""
        return self.cover.fleeting

    @property
    def returns(self) -> int:
        """How often the result went back to the queue; counted by quorum queues."""
        return returns_of(self.delivery.headers)

    async def ack(self) -> None:
        """Done with it."""
        await self.hand.ack(self.delivery)

    async def reject(self) -> None:
        """To the dead letters."""
        await self.hand.reject(self.delivery)

    async def give_back(self) -> None:
        """Let the broker offer it to another consumer of the queue."""
        await self.hand.give_back([self.delivery])
