"""Who asked for what, from where, and how it ended: the fields of an access log's line.

Never a secret, and nothing that a caller made up: what a path names is told only if it was there.
"""

from __future__ import annotations

from starlette.types import Scope

from .entry.api_keys import CALLER, Caller
from .entry.networks import ADDRESS
from .problems import MARK
from .routes import route_of

SUBJECT = "warren.subject"
"""In a request's scope: the fields of its line that only its handler knows."""

_NAMED = {"/sessions/{id}": "session", "/accounts/{id}": "account"}
"""What the `id` in a path is, by a part of its route."""


def note(scope: Scope, **fields: str) -> None:
    """Tell the log what a request came to."""
    scope.setdefault(SUBJECT, {}).update(fields)


def line(scope: Scope, method: str, status: int, seconds: float) -> dict[str, object]:
    """Of one request that has ended."""
    caller: Caller | None = scope.get(CALLER)
    address, route = scope.get(ADDRESS), route_of(scope)
    return {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(1000 * seconds, 1),
        "address": None if address is None else str(address),
        "api_key": caller and caller.api_key_id,
        "holder": caller and caller.tenant,
        **_subject(scope, route, status),
        "problem": scope.get(MARK),
    }


def _subject(scope: Scope, route: str, status: int) -> dict[str, str]:
    told: dict[str, str] = scope.get(SUBJECT, {})
    named = scope.get("path_params", {}).get("id")
    if named is None or status >= 400:
        return told
    return {name: named for part, name in _NAMED.items() if part in route} | told
