"""A reshare that is only rehearsed: which parties would take part, for whoever asks with `dry_run`.

It begins nothing, so it has no session, and its answer is a 200 where a reshare's is a 201.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from contracts.client import Rehearsal
from contracts.primitives import Base64
from contracts.readiness import Readiness

from ..entry.api_keys import Caller
from ..sessions import Desk
from .names import PartyNames
from .reshares import Reshare
from .views import Answer


class RefusalView(Answer):
    """A party that would not do all that is wanted of it."""

    party_id: str
    code: str
    """As in the failure of a session."""
    message: str


class RehearsalView(Answer):
    """What the parties say of a reshare that was asked for with `dry_run`. Nothing was begun, and
    nothing is changed. The gateway has verified what each party signed."""

    key_id: str
    from_epoch: int
    """The key's epoch, whose shares would be dealt."""
    ready: bool
    """Whether a reshare would find all that it takes, at this moment: a party may be away when it
    begins."""
    lacking: str
    """What it would not find, in words; empty if nothing."""
    dealers: list[str]
    """Who would share out; it takes `dealers_needed` of them."""
    dealers_needed: int
    receivers: list[str]
    """Which of those that shall hold a share would take it; it takes all of them."""
    refusals: list[RefusalView]
    """Where enough others would deal, one of these may be no obstacle."""
    silent: list[str]
    """Of whom no answer came in time."""
    request: Base64
    """What the gateway asked for, as it was signed."""
    answers: list[Readiness]
    """What each party signed, for whoever verifies it as well: it is to the SHA-256 of `request`,
    and by the parties' own names."""

    @classmethod
    def of(cls, rehearsal: Rehearsal, names: PartyNames) -> RehearsalView:
        """With the parties' names as callers have them."""
        before, dealers = rehearsal.before, names.names(rehearsal.dealers)
        return cls(
            key_id=before.key_id,
            from_epoch=before.epoch,
            ready=rehearsal.ready,
            lacking=rehearsal.lacking_of(names.names(rehearsal.missing), dealers) or "",
            dealers=dealers,
            dealers_needed=before.threshold,
            receivers=names.names(rehearsal.receivers),
            refusals=[
                RefusalView(party_id=names.name(party_id), code=code, message=message)
                for party_id, (code, message) in rehearsal.refusals.items()
            ],
            silent=names.names(rehearsal.silent),
            request=rehearsal.body,
            answers=list(rehearsal.answers.values()),
        )


def documented(responses: Mapping[int | str, Any]) -> dict[int | str, Any]:
    """A reshare's `responses`, with that of a rehearsal among them."""
    told = {"model": RehearsalView, "description": "What the parties say, with `dry_run`"}
    return {**responses, 200: told}


async def rehearse(
    desk: Desk, names: PartyNames, caller: Caller, wish: Reshare, *, key_id: str
) -> JSONResponse:
    """Ask the parties, and begin nothing. Raises a Problem for what no reshare can be."""
    told = await desk.rehearse(
        caller.tenant, key_id=key_id, shares=lambda facts: wish.of(facts, names)
    )
    view = RehearsalView.of(told, names.spoken(wish.spoken()))
    return JSONResponse(view.model_dump(mode="json", exclude_none=True))
