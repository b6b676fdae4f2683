"""How this gateway does: /health, /health/ready and /metrics. None of them asks anybody anything:
what they tell is what the refreshing of the API keys has found out within the last seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from .entry.api_keys import ApiKeys
from .problems import problem_responses

HEALTH, READY, METRICS = "/health", "/health/ready", "/metrics"
SERVICE = "gateway"
ANSWERED_WITHIN_S = 10.0
"""A coordinator that has been silent for longer counts as away."""

WATCH_S = 2.0
"""Between two looks at what the gateway depends on, for the log."""

Availability = Literal["available", "unavailable"]
Dependency = Literal["broker", "coordinator", "api_keys"]

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"], responses=problem_responses(always=(403, 408, 413, 500)))


class Health(BaseModel):
    """The process runs and answers."""

    service: str
    status: Literal["healthy"]


class Readiness(BaseModel):
    """Whether the gateway can do its work, and what keeps it from that."""

    service: str
    status: Literal["ready", "not ready", "starting"]
    dependencies: dict[Dependency, Availability]
    reasons: dict[Dependency, str] = {}
    """Why each that is unavailable is so."""


@router.get(HEALTH, operation_id="health", summary="Whether the gateway runs")
async def health() -> Health:
    """Say that the process answers, whatever it depends on."""
    return Health(service=SERVICE, status="healthy")


@router.get(
    READY,
    operation_id="ready",
    summary="Whether all that the gateway depends on answers",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Something does not answer."}},
)
async def ready(request: Request) -> Response:
    """Say whether broker, coordinator and API keys are at hand: 200 or 503."""
    found = request.app.state.readiness()
    return JSONResponse(
        found.model_dump(mode="json", exclude_defaults=True),
        status_code=200 if found.status == "ready" else 503,
    )


@router.get(
    METRICS,
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Answer in the text format of Prometheus."""
    text, media_type = request.app.state.metrics.exposition()
    return Response(text, headers={"Content-Type": media_type})


def readiness(
    keys: ApiKeys, *, connected: bool, blocked: str | None = None, trouble: str | None = None
) -> Readiness:
    """
    Arguments:
        connected: Whether there is a connection to the broker, and our results' queue.
        blocked: Why the broker takes no messages, if it does not.
        trouble: What the list of clients has to say about a coordinator's silence.
    """
    reasons = _reasons(keys, connected=connected, blocked=blocked)
    if trouble is not None and "coordinator" in reasons:
        reasons["coordinator"] += f"; {trouble}"
    status = "starting" if keys.age_s is None else "not ready" if reasons else "ready"
    dependencies: Any = {
        name: "unavailable" if name in reasons else "available" for name in get_args(Dependency)
    }
    return Readiness(service=SERVICE, status=status, dependencies=dependencies, reasons=reasons)


async def watch(ask: Callable[[], Readiness]) -> None:
    """Log what has changed, whoever asks or not; for as long as the gateway runs."""
    known: dict[Dependency, str] = {}
    while True:
        found = ask()
        if found.status != "starting":
            for name, reason in found.reasons.items():
                if known.get(name) != reason:
                    logger.warning("not ready", extra={"dependency": name, "reason": reason})
            for name in known.keys() - found.reasons.keys():
                logger.info("ready again", extra={"dependency": name})
            known = dict(found.reasons)
        await asyncio.sleep(WATCH_S)


def _reasons(keys: ApiKeys, *, connected: bool, blocked: str | None) -> dict[Dependency, str]:
    reasons: dict[Dependency, str] = {}
    if not connected:
        reasons["broker"] = (
            "there is no connection, or the queue of our results is missing; the log says which"
        )
    elif blocked is not None:
        reasons["broker"] = (
            f"the broker takes no messages ({blocked}): see its memory and disk alarms"
        )
    if keys.age_s is None or keys.age_s > ANSWERED_WITHIN_S:
        reasons["coordinator"] = f"no coordinator has answered for {ANSWERED_WITHIN_S:g} s"
    if not keys.fresh:
        reasons["api_keys"] = "what is known of API keys is too old to go by"
    return reasons
