"""What a party answers to a rehearsal: to which request, in which role, and why it would not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.encoding import pack
from contracts.envelope import ENVELOPE_TAG
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.readiness import READINESS_TAG, Readiness, RoleAnswer

from .samples import STRANGER

OURS, ASKED, AT = Identity.generate(), bytes([5]) * 32, 1_700_000_000_000
NO: dict[str, Any] = {"refused": FailureCode.PARTY_REFUSED, "message": "we hold no share"}
ROLES = [RoleAnswer(deals=True, receives=True, **NO), RoleAnswer(deals=False, receives=True)]
SAID = Readiness.signed(OURS, "p1", request_digest=ASKED, roles=ROLES, at=AT)


def test_what_is_signed_is_what_the_contract_says() -> None:
    roles = pack(
        (
            pack((b"\1", b"\1", b"party_refused", b"we hold no share")),
            pack((b"\0", b"\1", b"", b"")),
        )
    )
    content = pack((b"p1", ASKED, roles, AT.to_bytes(8, "big")))
    OURS.public.verify(b"warren/reshare-readiness/v1", content, SAID.signature)


def test_it_holds_for_its_request_and_no_other() -> None:
    again = Readiness.model_validate_json(SAID.model_dump_json())
    again.verify(OURS.public, request_digest=ASKED)
    with pytest.raises(ContractError, match="to another request"):
        again.verify(OURS.public, request_digest=bytes(32))


@pytest.mark.parametrize(
    "changes",
    [
        {"party_id": "p2"},
        {"request_digest": bytes(32)},
        {"roles": ROLES[:1]},
        {"roles": ROLES[::-1]},
        {"roles": [RoleAnswer(deals=True, receives=True), ROLES[1]]},
        {"roles": [RoleAnswer(deals=False, receives=True, **NO), ROLES[1]]},
        {"roles": [RoleAnswer(deals=True, receives=False, **NO), ROLES[1]]},
        {"roles": [ROLES[0].model_copy(update={"message": "we hold a share"}), ROLES[1]]},
        {"roles": [ROLES[0].model_copy(update={"refused": FailureCode.INTERNAL}), ROLES[1]]},
        {"at": AT + 1},
        {"signature": b"0"},
    ],
)
def test_nothing_in_it_can_be_changed(changes: dict[str, Any]) -> None:
    forged = SAID.model_copy(update=changes)
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(OURS.public, request_digest=forged.request_digest)


def test_a_party_speaks_for_itself() -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        SAID.verify(STRANGER.public, request_digest=ASKED)


def test_another_kind_of_signature_is_none() -> None:
    forged = SAID.model_copy(update={"signature": OURS.sign(ENVELOPE_TAG, SAID.content())})
    assert forged.content() == SAID.content()
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(OURS.public, request_digest=ASKED)
    OURS.public.verify(READINESS_TAG, SAID.content(), SAID.signature)


def test_a_role_that_is_refused_is_none_that_is_taken() -> None:
    assert not SAID.deals
    assert SAID.receives
    ready = SAID.model_copy(update={"roles": [RoleAnswer(deals=True, receives=False)]})
    assert ready.deals
    assert not ready.receives


@pytest.mark.parametrize(
    "wrong",
    [
        {"deals": False, "receives": False},
        {"deals": True, "receives": False, "refused": "party_refused"},
        {"deals": True, "receives": False, "message": "because"},
    ],
)
def test_an_answer_says_which_role_and_why_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RoleAnswer.model_validate(wrong, strict=False)
