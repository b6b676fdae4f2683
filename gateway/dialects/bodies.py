"""How bodies are read: by a parser that gives up on what is nested deeply, wherever it runs.

Python's own follows the nesting with the machine's stack. How far it goes is a setting of the
process that any package may raise, until a body of brackets ends the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic_core import from_json

from contracts.strict_json import refuse_repeated_fields

from ..problems import MAX_FIELD_CHARACTERS, MAX_FIELD_ERRORS, Problem

_PLACE = re.compile(r"line (\d+) column (\d+)$")


class BoundedRequest(Request):
    async def json(self) -> Any:
        """Raises json.JSONDecodeError, as its callers expect."""
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = from_json(body, allow_inf_nan=False)
                refuse_repeated_fields(body)
            except ValueError as error:
                raise json.JSONDecodeError(str(error), "", _position(str(error), body)) from None
        return self._json


def _position(message: str, body: bytes) -> int:
    """Where in the body, if the parser's sentence ends in a place."""
    place = _PLACE.search(message)
    if place is None:
        return 0
    line, column = map(int, place.groups())
    before = body.split(b"\n", line - 1)[: line - 1]
    return max(0, sum(len(each) + 1 for each in before) + column - 1)


def _query_names(dependant: Dependant) -> set[str]:
    """Of a route's parameters, those of what it depends on included."""
    own = {each.alias for each in dependant.query_params}
    return own.union(*(_query_names(each) for each in dependant.dependencies))


def _check_query(request: Request, known: set[str]) -> None:
    """An unknown parameter is refused, as an unknown field is: it may be a filter that the caller
    counts on. Raises a Problem."""
    errors = [
        {
            "field": f"query.{name}"[:MAX_FIELD_CHARACTERS],
            "message": "came more than once"
            if name in known
            else f"is no parameter here; there are {', '.join(sorted(known)) or 'none'}",
        }
        for name in request.query_params
        if name not in known or len(request.query_params.getlist(name)) > 1
    ][:MAX_FIELD_ERRORS]
    if errors:
        named = ", ".join(each["field"] for each in errors)
        raise Problem("invalid_request", f"These do not fit: {named}.", more={"errors": errors})


class BoundedRoute(APIRoute):
    """Refuses query parameters that it does not know, beside what its bodies may be."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.dependant)

        async def bounded(request: Request) -> Response:
            _check_query(request, known)
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded
