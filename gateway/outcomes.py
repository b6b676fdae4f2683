"""What came of a session or of the wish for one, in a word for who counts."""

from __future__ import annotations

from contracts.client import (
    Begun,
    BrokerUnavailableError,
    ClientClosedError,
    ClientError,
    RequestFailedError,
    TopologyError,
)

from .opening import ReferenceConflictError
from .problems import Problem

COMPLETED = "completed"


async def outcome_of(begun: Begun) -> str:
    """Of a session, when it is over: `completed`, or the code of its failure."""
    try:
        result = await begun.result()
    except ClientError as error:
        return word_for(error)
    return COMPLETED if result.failure is None else result.failure.code.value


def word_for(error: BaseException) -> str:
    """The code of the problem that it becomes. Who did not wait for longer had no answer."""
    match error:
        case RequestFailedError():
            return error.failure.code.value
        case ReferenceConflictError():
            return "idempotency_conflict"
        case Problem():  # the wish does not fit the key
            return error.code
        case BrokerUnavailableError() | TopologyError():
            return "broker_unavailable"
        case ClientClosedError():
            return "stopping"
    return "no_answer"
