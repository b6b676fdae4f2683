"""Keys as they are: whoever makes them, and under whatever account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from contracts.primitives import ID_PATTERN, Scheme, Scope

from ..entry.api_keys import Caller, require
from ..problems import LOOK_RESPONSES
from . import examples, views
from .bodies import BoundedRoute
from .fields import Patient
from .service import DeskAtHand, Names

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], route_class=BoundedRoute)

KeyId = Annotated[
    str,
    Path(alias="id", pattern=ID_PATTERN, description="The `key_id` of a key, or an `account_id`."),
]


class Key(views.KeyMade):
    """A key that is there, as its parties have signed for it."""

    threshold_n: int
    """How many parties hold a share of it."""
    threshold_t: int
    """How many of them sign."""
    epoch: int
    """How often its shares were made anew."""
    parties: list[str]
    """Who holds a share."""
    schemes: list[Scheme]
    """What it may sign."""


@router.get(
    "/{id}",
    operation_id="get_key",
    dependencies=[Patient],
    summary="Look at a key",
    response_model=Key,
    response_model_exclude_none=True,
    responses=examples.answer(LOOK_RESPONSES, 200, examples.KEY),
)
async def look(
    caller: Annotated[Caller, Depends(require(Scope.READ))],
    desk: DeskAtHand,
    names: Names,
    key_id: KeyId,
) -> Key:
    """Once it is made, as it is now. The gateway has verified what its parties signed."""
    certified = await desk.key(caller.tenant, key_id, anew=True)
    facts = certified.facts
    return Key(
        key_id=facts.key_id,
        curve=facts.curve,
        public_key=facts.public_key.hex(),
        certified_key=certified,
        threshold_n=facts.party_count,
        threshold_t=facts.threshold,
        epoch=facts.epoch,
        parties=names.names(holder.party_id for holder in facts.holders),
        schemes=list(facts.purposes),
    )
