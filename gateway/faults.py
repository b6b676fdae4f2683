"""Whatever goes wrong below becomes a `Problem`: one place, one table."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.client import (
    BrokerUnavailableError,
    ClientClosedError,
    RequestFailedError,
    ResultTimeoutError,
    TopologyError,
)
from contracts.operations import OPERATIONS

from .methods import allowed
from .problems import MARK, Problem, field_errors, instance_of

logger = logging.getLogger(__name__)

_ROUTERS_WORDS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "The body cannot be read as JSON."),
    404: ("not_found", "No operation has this path."),
    405: ("method_not_allowed", "The path exists, but not with this method."),
}
"""What the framework says by a status alone."""


def problem_of(error: Exception) -> Problem:
    """For errors that nobody foresaw one without details: those are in the log."""
    match error:
        case Problem():
            return error
        case RequestFailedError():
            begun = OPERATIONS[error.result.result].begins_session
            return Problem.of_failure(
                error.failure, more={"signature_may_exist": True} if begun else {}
            )
        case ResultTimeoutError():
            text = f"No answer came within the deadline of request {error.request_id}."
            more = {"signature_may_exist": error.signature_may_exist}
            return Problem("no_answer", text, more=more)
        case BrokerUnavailableError():
            more = {"signature_may_exist": error.signature_may_exist}
            return Problem(
                "broker_unavailable", "The request could not be queued for now.", more=more
            )
        case TopologyError():
            logger.error("topology", extra={"reason": str(error)})
            return Problem("broker_unavailable", "The queue is not as it should be.")
        case TimeoutError():
            return Problem("no_answer", "Nobody has answered in the time that you wait.")
        case ClientClosedError():
            return Problem("stopping", "The request was not queued.")
        case RequestValidationError():
            errors = field_errors(error.errors())
            named = ", ".join(sorted({each["field"] for each in errors}))
            return Problem(
                "invalid_request", f"These do not fit: {named}.", more={"errors": errors}
            )
        case HTTPException() if error.status_code in _ROUTERS_WORDS:
            code, text = _ROUTERS_WORDS[error.status_code]
            return Problem(code, text, headers=error.headers)
    logger.error("unforeseen", exc_info=error)
    return Problem("gateway_error", "Something unforeseen happened.")


class Faults:
    """Middleware: answers for what the application raises."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            problem = problem_of(error)
            if started:  # nothing can be said any more; the server breaks the connection off
                raise
            await problem.answer(scope, receive, send)


async def _respond(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.code == "method_not_allowed":  # the framework knows one route of the path only
        problem.headers["Allow"] = ", ".join(allowed(request.scope))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=problem.headers)
    request.scope[MARK] = problem.code
    body = problem.body(instance_of(request.scope))
    response = Response(body, status_code=problem.status)
    response.raw_headers = problem.raw_headers(len(body))
    return response


def install(app: FastAPI) -> None:
    """In place of the framework's own answers, and as the innermost middleware."""
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _respond)
    app.add_middleware(Faults)
