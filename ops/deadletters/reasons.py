"""Why a letter is dead, in words. The numbers are those of the declared topology."""

from __future__ import annotations

import functools
from typing import Any

from contracts import addresses
from ops.deadletters.letter import REASON, Death, Letter
from topology.files import declared
from topology.model import Members, Policy, Queue

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"))


def in_words(letter: Letter) -> str:
    """Why the letter is here: what the broker says, or who refused it, in a sentence."""
    if letter.deaths:
        return _by_the_broker(letter.deaths[0])
    if letter.refused:
        return str(letter.headers[REASON])
    if letter.queue == addresses.UNCLAIMED:
        return _unclaimed(letter.routing_key)
    return "nobody says why: neither a worker nor the broker put it here"


def _by_the_broker(death: Death) -> str:
    match death.reason:
        case "rejected" if _is_results(death.queue):
            said = "its client rejected it: no result that it could read or believe"
        case "rejected":
            said = "a consumer rejected it without giving a reason"
        case "expired":
            said = _expired(death)
        case "maxlen":
            said = "its queue was full"
        case "delivery_limit":
            said = (
                f"delivered {_deliveries(death.queue)} and never finished: its handler fails "
                "every time, or its workers were ended that often"
            )
        case other:
            said = f'the broker says "{other}"'
    return said if death.count == 1 else f"{said} (died {death.count} times)"


def _expired(death: Death) -> str:
    if death.expiration_ms is not None:
        given = f" of {_time(int(death.expiration_ms))}" if death.expiration_ms.isdigit() else ""
        return f"its sender's deadline{given} passed before anybody took it"
    kept = _policy(death.queue).get("message-ttl")
    within = f" within {_time(kept)}" if isinstance(kept, int) else " in time"
    return f"nobody took it{within}"


def _deliveries(queue: str) -> str:
    limit = _policy(queue).get("delivery-limit")
    # The first delivery is no return, and does not count.
    return f"{limit + 1} times" if isinstance(limit, int) else "as often as its queue allows"


def _unclaimed(routing_key: str) -> str:
    client = addressee(routing_key)
    if client is None:
        return "no queue took it: there is none for producers without a client id"
    return f"no queue took it: client {client} was never declared, or is no longer"


def addressee(routing_key: str) -> str | None:
    """The client id in a result's routing key; None for a producer without one."""
    words = routing_key.split(".")
    return words[2] if len(words) == 4 else None


def _is_results(queue: str) -> bool:
    return queue == addresses.LEGACY_RESULTS_QUEUE or queue.startswith(addresses.results_queue(""))


def _policy(queue: str) -> dict[str, Any]:
    for policy in _policies():
        if policy.covers(Queue(name=queue)):
            return dict(policy.definition)
    return {}


@functools.cache
def _policies() -> tuple[Policy, ...]:
    """They are the same whoever the members are."""
    return declared(Members()).policies


def _time(milliseconds: int) -> str:
    for size, unit in _UNITS:
        if milliseconds >= size and milliseconds % size == 0:
            count = milliseconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{milliseconds / 1000:g} seconds"
