"""What a party says of epochs that it has deleted: of which key, by whom, and up to where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.encoding import pack
from contracts.envelope import ENVELOPE_TAG
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.retirements import RETIREMENT_TAG, Retirement

from .samples import STRANGER

OURS, KEY, AT = Identity.generate(), bytes([5]) * 32, 1_700_000_000_000
SAID = Retirement.signed(OURS, "p1", KEY, 3, retired_at=AT, backed_up_at=AT - 1)
WHOSE: dict[str, Any] = {"party_id": "p1", "key_session": KEY, "epoch": 3}


def test_what_is_signed_is_what_the_contract_says() -> None:
    parts = (b"p1", KEY, b"\0\0\0\3", AT.to_bytes(8, "big"))
    content = pack((*parts, (AT - 1).to_bytes(8, "big")))
    OURS.public.verify(b"warren/epochs-retired/v1", content, SAID.signature)
    bare = Retirement.signed(OURS, "p1", KEY, 3, retired_at=AT, backed_up_at=None)
    OURS.public.verify(RETIREMENT_TAG, pack((*parts, b"")), bare.signature)


def test_it_holds_for_its_epoch_and_those_below() -> None:
    again = Retirement.model_validate_json(SAID.model_dump_json())
    for epoch in (1, 2, 3):
        again.verify(OURS.public, **WHOSE | {"epoch": epoch})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"party_id": "p2"}, "p1 says it, and not p2"),
        ({"key_session": bytes(32)}, "of another key"),
        ({"epoch": 4}, "of epochs below 3, not 4"),
    ],
)
def test_of_no_other(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        SAID.verify(OURS.public, **WHOSE | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"party_id": "p2"},
        {"key_session": bytes(32)},
        {"below": 4},
        {"retired_at": AT + 1},
        {"backed_up_at": None},
        {"backed_up_at": AT},
        {"signature": b"0"},
    ],
)
def test_nothing_in_it_can_be_changed(changes: dict[str, Any]) -> None:
    forged = SAID.model_copy(update=changes)
    whose: dict[str, Any] = {
        "party_id": forged.party_id,
        "key_session": forged.key_session,
        "epoch": forged.below,
    }
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(OURS.public, **whose)


def test_a_party_speaks_for_itself() -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        SAID.verify(STRANGER.public, **WHOSE)


def test_another_kind_of_signature_is_none() -> None:
    forged = SAID.model_copy(update={"signature": OURS.sign(ENVELOPE_TAG, SAID.content())})
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(OURS.public, **WHOSE)


def test_epoch_0_follows_none() -> None:
    fields = SAID.model_dump(mode="json") | {"below": 0}
    with pytest.raises(ValidationError, match="below"):
        Retirement.model_validate(fields, strict=False)


@pytest.mark.parametrize("name", ["retired_at", "backed_up_at"])
def test_it_is_of_a_time_that_a_calendar_knows(name: str) -> None:
    """Or whoever shows it to people could not."""
    said = SAID.model_dump()
    for at, fits in ((253_402_300_799_999, True), (253_402_300_800_000, False)):
        try:
            Retirement.model_validate(said | {name: at})
        except ValidationError:
            assert not fits
        else:
            assert fits
            datetime.fromtimestamp(at / 1000, UTC)
