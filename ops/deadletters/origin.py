"""Where a letter came from, so that it can go there again.

To the exchange and under the key it once had, not straight into its queue: the coordinator refuses
a request whose routing key contradicts it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from contracts import addresses
from ops.deadletters.letter import EXCHANGE, QUEUE, ROUTING_KEY, Letter
from ops.deadletters.reasons import addressee
from topology.files import declared
from topology.model import Members, is_id


class UnknownOriginError(Exception):
    """The text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    Attributes:
        queue: Where it is expected to arrive.
    """

    exchange: str
    routing_key: str
    queue: str

    @classmethod
    def straight_to(cls, queue: str) -> Route:
        """Past all exchanges, into one queue."""
        return cls(exchange="", routing_key=queue, queue=queue)

    @property
    def may_be_swallowed(self) -> bool:
        """Whether the broker confirms it though no queue but `warren.unclaimed` takes it."""
        return self.exchange == addresses.RESULTS


def origin(letter: Letter) -> Route:
    """Raises UnknownOriginError."""
    if letter.queue == addresses.UNCLAIMED:
        return _of_unclaimed(letter)
    if letter.deaths:
        return _of_the_brokers(letter)
    if letter.refused:
        return _of_refused(letter)
    raise UnknownOriginError("neither the broker nor a worker says where it was")


def _of_unclaimed(letter: Letter) -> Route:
    if letter.exchange != addresses.RESULTS:
        raise UnknownOriginError(
            f'it came by exchange "{letter.exchange}", and only results come here by themselves'
        )
    queue = addresses.results_queue(addressee(letter.routing_key))
    return Route(exchange=letter.exchange, routing_key=letter.routing_key, queue=queue)


def _of_the_brokers(letter: Letter) -> Route:
    death = letter.deaths[0]
    key = death.routing_keys[0] if death.routing_keys else None
    if key is None:
        raise UnknownOriginError(
            f"the broker names no routing key by which it came to {death.queue}"
        )
    if (death.exchange, key) == ("", death.queue):
        return Route.straight_to(death.queue)
    if death.exchange not in _exchanges(death.queue):
        raise UnknownOriginError(
            f'its headers name exchange "{death.exchange}", from which nothing comes to queue '
            f'"{death.queue}": its sender may have written them'
        )
    return Route(exchange=death.exchange, routing_key=key, queue=death.queue)


def _of_refused(letter: Letter) -> Route:
    queue = str(letter.headers.get(QUEUE, ""))
    key = str(letter.headers.get(ROUTING_KEY, ""))
    if key == queue:
        return Route.straight_to(queue)
    exchanges = _exchanges(queue)
    if not exchanges:
        raise UnknownOriginError(f'the topology that Warren comes with has no queue "{queue}"')
    # An inbox has two, which lead to it by the same key: where nobody noted it, either will do.
    noted = str(letter.headers.get(EXCHANGE, ""))
    exchange = noted if noted in exchanges else exchanges[0]
    return Route(exchange=exchange, routing_key=key, queue=queue)


@functools.cache
def _exchanges(queue: str) -> tuple[str, ...]:
    """Those that the declared topology binds to a queue, whoever its members are."""
    member = queue.rpartition(".")[2]
    members = Members(parties=(member,), clients=(member,)) if is_id(member) else Members()
    bindings = declared(members).bindings
    return tuple(sorted({each.source for each in bindings if each.destination == queue}))
