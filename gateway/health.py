"""How this gateway does: /health, /health/ready and /metrics. None of them asks anybody anything:
what they tell is what the refreshing of the API keys has found out within the last seconds."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from .entry.api_keys import ApiKeys
from .problems import problem_responses

HEALTH, READY, METRICS = "/health", "/health/ready", "/metrics"
SERVICE = "gateway"
ANSWERED_WITHIN_S = 10.0
"""A coordinator that has been silent for longer counts as away."""

Availability = Literal["available", "unavailable"]

router = APIRouter(tags=["health"], responses=problem_responses(always=(403, 408, 413, 500)))


class Health(BaseModel):
    """The process runs and answers."""

    service: str
    status: Literal["healthy"]


class Readiness(BaseModel):
    """Whether the gateway can do its work, and what keeps it from that."""

    service: str
    status: Literal["ready", "not ready", "starting"]
    dependencies: dict[Literal["broker", "coordinator", "api_keys"], Availability]


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
    state = request.app.state
    found = readiness(state.api_keys, connected=state.connected())
    return JSONResponse(
        found.model_dump(mode="json"), status_code=200 if found.status == "ready" else 503
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


def readiness(keys: ApiKeys, *, connected: bool) -> Readiness:
    """
    Arguments:
        connected: Whether there is a connection to the broker.
    """
    age_s = keys.age_s
    found: dict[str, bool] = {
        "broker": connected,
        "coordinator": age_s is not None and age_s <= ANSWERED_WITHIN_S,
        "api_keys": keys.fresh,
    }
    status = "ready" if all(found.values()) else "starting" if age_s is None else "not ready"
    dependencies: Any = {
        name: "available" if there else "unavailable" for name, there in found.items()
    }
    return Readiness(service=SERVICE, status=status, dependencies=dependencies)
