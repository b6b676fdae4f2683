"""What an owner can ask for in a reshare, and what it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.primitives import Curve, DeleteAfter
from contracts.requests import MAX_EPOCHS_AHEAD, MAX_RESHARE_TRIES, ReshareRequest
from tests.contracts.samples import fields
from tests.session.epoch_bundles import FROM_EPOCH, old_facts, request

KNOWN = old_facts(Curve.SECP256K1)
FURTHEST = FROM_EPOCH + MAX_EPOCHS_AHEAD


@pytest.mark.parametrize(
    "changes",
    [
        {"first_epoch": FROM_EPOCH + 1, "tries": MAX_RESHARE_TRIES},
        {"first_epoch": FURTHEST, "tries": 1},
        {"first_epoch": FURTHEST - 1, "tries": 2},
        {"threshold": 4},
        {"dealers": ["p1", "p3"]},
    ],
)
def test_such_a_request_can_be_made(changes: dict[str, Any]) -> None:
    made = request(KNOWN, **changes)
    assert made.epochs[0] == made.first_epoch
    assert len(made.epochs) == made.tries


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"threshold": 5}, "threshold 5 is more than 4 parties"),
        ({"threshold": 1}, "greater than or equal to 2"),
        ({"parties": ["p1", "p2", "p1", "p4"]}, "parties names a party twice"),
        ({"parties": ["p1"]}, "at least 2"),
        ({"dealers": ["p1", "p1"]}, "dealers names a party twice"),
        ({"first_epoch": FROM_EPOCH}, "later than from_epoch"),
        ({"from_epoch": FROM_EPOCH + 1}, "later than from_epoch"),
        ({"first_epoch": 0}, "greater than or equal to 1"),
        ({"first_epoch": FURTHEST, "tries": 2}, f"at most {MAX_EPOCHS_AHEAD} later"),
        ({"first_epoch": 2**32 - 1, "tries": 1}, f"at most {MAX_EPOCHS_AHEAD} later"),
        ({"tries": MAX_RESHARE_TRIES + 1}, "less than or equal to 8"),
        ({"tries": 0}, "greater than or equal to 1"),
    ],
)
def test_such_a_request_cannot_be_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        request(KNOWN, **changes)


def test_what_is_usual_is_not_written() -> None:
    """Those who do not know the field read the rest."""
    usual = ReshareRequest(**fields("reshare"))
    assert usual.delete_after is DeleteAfter.BACKED_UP
    assert "delete_after" not in usual.model_dump_json()
    at_once = usual.model_copy(update={"delete_after": DeleteAfter.CERTIFIED})
    assert '"delete_after":"certified"' in at_once.model_dump_json()
    assert ReshareRequest.model_validate_json(at_once.model_dump_json()) == at_once
