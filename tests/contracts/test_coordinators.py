"""Whose word is the coordinator's, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from contracts.coordinators import Coordinators, Pin, PinSection, result_headers
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity

OLD, NEW, STRANGER = Identity.generate(), Identity.generate(), Identity.generate()
BODY = b'{"result": "sign"}'
NOON = 1_000_000


def kind_of(coordinators: Coordinators, headers: dict[str, str], now: int = NOON) -> str | None:
    """Why a result is not believed; None if it is."""
    try:
        coordinators.check_result(BODY, headers, now=now)
    except UnauthenticatedError as error:
        return error.kind
    return None


def test_a_result_is_believed_if_the_coordinator_signed_its_bytes() -> None:
    believed = Coordinators.of(OLD.public)
    assert kind_of(believed, result_headers(BODY, OLD)) is None
    assert kind_of(believed, result_headers(BODY, STRANGER)) == "wrong_signature"
    assert kind_of(believed, result_headers(BODY + b" ", OLD)) == "wrong_signature"
    assert kind_of(believed, {}) == "unsigned"
    assert kind_of(believed, {"signature": "not base64!"}) == "unsigned"


def test_during_a_rotation_both_count_each_in_its_time() -> None:
    believed = Coordinators([Pin(OLD.public, valid_until=NOON), Pin(NEW.public, NOON - 10)])
    old, new = result_headers(BODY, OLD), result_headers(BODY, NEW)
    assert (kind_of(believed, old, NOON - 11), kind_of(believed, new, NOON - 11)) == (
        None,
        "other_time",
    )
    assert (kind_of(believed, old, NOON - 1), kind_of(believed, new, NOON - 1)) == (None, None)
    assert (kind_of(believed, old), kind_of(believed, new)) == ("other_time", None)


def test_a_pin_says_its_time_as_a_file_has_it() -> None:
    section = PinSection.model_validate(
        {
            "public_key": OLD.public.to_base64(),
            "valid_from": "2027-03-01T00:00:00Z",
            "valid_until": datetime(2027, 3, 1, 1, tzinfo=UTC),
        }
    )
    pin = section.pin()
    assert pin.valid_from is not None
    assert pin.valid_until == pin.valid_from + 3_600_000
    for wrong in (
        {"valid_until": "2027-02-28T00:00:00Z"},
        {"valid_until": "2027-03-01T00:00:00Z"},
        {"valid_from": "2027-03-01T00:00:00"},
    ):
        with pytest.raises(ValidationError):
            PinSection.model_validate(section.model_dump() | wrong)


@pytest.mark.parametrize(
    ("end", "pin"),
    [
        ({}, Pin(OLD.public)),
        ({"valid_from": "1970-01-01T00:16:40Z"}, Pin(OLD.public, valid_from=NOON)),
        ({"valid_until": "1970-01-01T00:16:40Z"}, Pin(OLD.public, valid_until=NOON)),
    ],
)
def test_a_pin_may_have_one_end_or_none(end: dict[str, str], pin: Pin) -> None:
    section = PinSection.model_validate({"public_key": OLD.public.to_base64()} | end)
    assert section.pin() == pin
    assert (pin.valid(NOON - 1), pin.valid(NOON)) == (
        pin.valid_from is None,
        pin.valid_until is None,
    )


def test_who_pins_nobody_is_told_what_to_add() -> None:
    with pytest.raises(ContractError, match=r"Add a table \[\[coordinators\]\]"):
        Coordinators.pinned([])
    with pytest.raises(ContractError, match="coordinators: public_key"):
        Coordinators.pinned([PinSection(public_key="AAAA")])
