"""The route of a request, by its template: paths themselves hold ids, and are without number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.types import Scope

UNROUTED = "none"
"""Of a request whose path has none."""


def route_of(scope: Scope) -> str:
    """The route that was taken, or would have been by whoever was turned away before."""
    taken = getattr(scope.get("route"), "path_format", None)
    return _template(scope) if taken is None else str(taken)


def _template(scope: Scope) -> str:
    if "app" not in scope:
        return UNROUTED
    for route in _all(scope["app"].routes):
        if getattr(route, "methods", None) is not None and route.path_regex.match(scope["path"]):
            return str(route.path_format)
    return UNROUTED


def _all(routes: Any) -> Iterator[Any]:
    for route in routes:
        included = getattr(route, "original_router", None)  # as newer FastAPIs keep them
        yield from (route,) if included is None else _all(included.routes)
