"""What stands around every delivery and every publishing of a worker."""

from __future__ import annotations

from .deliveries import Deliver
from .publisher import Publish


class Middleware:
    """Metrics, traces, faults on trial: what concerns deliveries or messages of all kinds. This one
    changes nothing; others override one method or both.

    Each method gets what comes next and returns what takes its place. It is called when the worker
    starts, once for each queue and once for the publisher, so what it leaves alone costs nothing.

    The order: of a `Chain`, the first member is the outermost. Around deliveries it goes in through
    all members, then `settle` runs the handler, with all its tries, sends the dead letter of what
    is refused and waits before what goes back; then out again, and last of all the broker hears how
    the delivery ended. What a handler publishes goes through the chain around publishing, dead
    letters and signs of life too, message by message. Cancellations, which are hints, are heard
    without middleware. Of bundles nothing is seen here: each part is a delivery of its own.

    Around deliveries a middleware may wait, which holds one place of the queue's prefetch; pass
    another delivery on than it got; drop it, by returning how it ended without calling on; and call
    on twice, even at once, since handlers take what comes again. What comes next raises nothing
    but cancellation, which must pass. What a middleware raises itself is logged and gives the
    delivery back.

    Around publishing it may wait, change a message, drop it by returning, or send others as well.
    What comes next returns when the broker has confirmed, and raises `PublishError`; so may the
    middleware, and the handler tries again later. Anything else that it raises fails the handler.
    """

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        """What takes a queue's deliveries in place of `deliver`."""
        return deliver

    def around_publishing(self, publish: Publish) -> Publish:
        """What takes outgoing messages in place of `publish`."""
        return publish


class Chain(Middleware):
    """Several middlewares as one, the first of them outermost."""

    def __init__(self, *members: Middleware) -> None:
        self._members = members

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        """Around all members' own."""
        for member in reversed(self._members):
            deliver = member.around_deliveries(queue, deliver)
        return deliver

    def around_publishing(self, publish: Publish) -> Publish:
        """Around all members' own."""
        for member in reversed(self._members):
            publish = member.around_publishing(publish)
        return publish
