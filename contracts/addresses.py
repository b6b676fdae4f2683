"""Exchange, queue and routing-key names: pure functions, no broker.

A client with an id has it as the third word of every result's routing key; results for producers
without one have three words only. So ``mpc.*.svcA.*`` and ``mpc.*.*`` never match the same result.
"""

from __future__ import annotations

from .operations import OPERATIONS, Lane
from .requests import Request

REQUESTS = "warren.requests"
SESSIONS = "warren.sessions"
ROUNDS = "warren.rounds"
KEYGEN = "warren.keygen"
PRESIGNING = "warren.presigning"
REPORTS = "warren.reports"
RESULTS = "warren.results"
CANCEL = "warren.cancel"
DEAD = "warren.dead"
LISTS = "warren.lists"
UNCLAIMED = "warren.unclaimed"

LEGACY_RESULTS_QUEUE = "warren.legacy-results"
"""Shared by all producers without a client id."""

REPORTS_QUEUE = "warren.reports"
DEAD_QUEUE = "warren.dead"
LISTS_QUEUE = "warren.lists.log"
"""What operators sign, see `numbered_lists`: a stream, which everybody reads from its beginning."""

REQUEST_QUEUES = tuple(f"{REQUESTS}.{lane}" for lane in Lane)
"""For everybody; a client with an id has as many of its own."""

_SIGNED = f"mpc_{OPERATIONS['sign'].word}_result"
_BUNDLED = "bundled"

REQUEST_KEYS = {name: f"mpc.{row.word}_request" for name, row in OPERATIONS.items()}
"""Operation -> routing key on `REQUESTS`, of the queues for everybody."""


def request_key(operation: str, client_id: str | None = None) -> str:
    """The routing key on `REQUESTS` that leads to the client's own queue, or to everybody's."""
    key = REQUEST_KEYS[operation]
    return key if client_id is None else f"{key}.{client_id}"


def request_queue(operation: str, client_id: str | None = None) -> str:
    """The queue that `request_key` leads to."""
    queue = f"{REQUESTS}.{OPERATIONS[operation].lane}"
    return queue if client_id is None else f"{queue}.{client_id}"


def request_queues(client_id: str) -> tuple[str, ...]:
    """The client's own, in which nobody else's requests are before its own."""
    return tuple(f"{queue}.{client_id}" for queue in REQUEST_QUEUES)


def inbox_queue(party_id: str) -> str:
    """The queue of what it takes to sign or to cancel, which all processes of a party share."""
    return f"warren.inbox.{party_id}"


def keygen_queue(party_id: str) -> str:
    """The queue of a party's lane for key generations."""
    return f"warren.keygen.{party_id}"


def presigning_queue(party_id: str) -> str:
    """The queue of a party's lane for batches of presignatures."""
    return f"warren.presigning.{party_id}"


def results_queue(client_id: str | None) -> str:
    """The queue of a client's results; without an id, the one that old producers share."""
    return LEGACY_RESULTS_QUEUE if client_id is None else f"warren.results.{client_id}"


def report_key(event: str, party_id: str) -> str:
    """The routing key of a party's report to the coordinator."""
    return f"{event}.{party_id}"


def result_key(
    operation: str, *, client_id: str | None, request_id: str, key_id: str | None = None
) -> str:
    """The routing key on `RESULTS` under which the answer to a request is published.

    Arguments:
        key_id: Of the key that a ``keygen`` request asks for; None where the request
            named none that can stand in a routing key, and then the request id stands in.
    """
    subject = {"keygen": key_id or request_id, "sign": "complete"}.get(operation, request_id)
    return _key(f"mpc_{OPERATIONS[operation].word}_result", client_id, subject)


def bundled_key(client_id: str) -> str:
    """In place of `result_key`, of signatures for a client that takes bundles apart and reads its
    queue alone: its results may come several in one message, see `bundles`."""
    return _key(_SIGNED, client_id, _BUNDLED)


def may_be_bundled(key: str) -> bool:
    """Whether a result's routing key is a `bundled_key`."""
    words = key.split(".")
    return len(words) == 4 and words[1] == _SIGNED and words[3] == _BUNDLED


def misaddressed(request: Request) -> str | None:
    """What is wrong with the request's `reply_to`, if anything is."""
    if request.operation == "sign" and request.client_id is not None:
        bundled = bundled_key(request.client_id)
    else:
        bundled = None
    expected = result_key(
        request.operation,
        client_id=request.client_id,
        request_id=request.request_id,
        key_id=getattr(request, "key_id", None),
    )
    return None if request.reply_to in (expected, bundled) else f"reply_to must be {expected!r}"


def announcement_key(client_id: str | None, request_id: str) -> str:
    """The routing key on `RESULTS` under which a request's session is announced."""
    return _key("mpc_session_announced", client_id, request_id)


def _key(kind: str, client_id: str | None, subject: str) -> str:
    return f"mpc.{kind}.{subject}" if client_id is None else f"mpc.{kind}.{client_id}.{subject}"
