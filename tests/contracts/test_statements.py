"""Statements: whose request they are of, by whom, and until when."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.coordinators import MAX_RESULT_BYTES
from contracts.encoding import pack
from contracts.envelope import ENVELOPE_TAG
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.keys import EpochName
from contracts.primitives import MAX_PARTIES, Owner
from contracts.requests import CancelRequest
from contracts.sessions import CancelAnswered, CancelRefusal, cancel_session_id
from contracts.statements import MAX_EPOCHS_STATED, STATEMENT_TAG, Statement

from .samples import STRANGER, fields

OURS, OWNER = Identity.generate(), Owner(client_id="svcA", tenant="alice")
FROM, UNTIL = 1_600_000_000_000, 1_700_000_000_000
STATEMENT = Statement.signed(OURS, "p1", OWNER, "r1", issued_from=FROM, issued_until=UNTIL)


def test_what_is_signed_is_what_the_contract_says() -> None:
    times = (FROM.to_bytes(8, "big"), UNTIL.to_bytes(8, "big"))
    content = pack((b"\x01svcA", b"\x01alice", b"r1", b"p1", *times))
    OURS.public.verify(b"warren/never-signed/v1", content, STATEMENT.signature)
    bare = Statement.signed(
        OURS, "p1", Owner(client_id=None), "r1", issued_from=FROM, issued_until=UNTIL
    )
    OURS.public.verify(STATEMENT_TAG, pack((b"", b"", b"r1", b"p1", *times)), bare.signature)


def test_a_statement_says_it_of_one_request_of_one_owner() -> None:
    STATEMENT.verify(OWNER, "r1", OURS.public)
    again = Statement.model_validate_json(STATEMENT.model_dump_json())
    again.verify(OWNER, "r1", OURS.public)


@pytest.mark.parametrize(
    ("owner", "request_id"),
    [
        (OWNER, "r2"),
        (Owner(client_id="svcA"), "r1"),
        (Owner(client_id="svcA", tenant="bob"), "r1"),
        (Owner(client_id="svcB", tenant="alice"), "r1"),
        (Owner(client_id=None, tenant="alice"), "r1"),
    ],
)
def test_of_no_other(owner: Owner, request_id: str) -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        STATEMENT.verify(owner, request_id, OURS.public)


@pytest.mark.parametrize(
    "changes",
    [
        {"party_id": "p2"},
        {"issued_from": FROM - 1},
        {"issued_until": UNTIL + 1},
        {"signature": b"0"},
    ],
)
def test_nothing_in_a_statement_can_be_changed(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        STATEMENT.model_copy(update=changes).verify(OWNER, "r1", OURS.public)


def test_a_party_speaks_for_itself() -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        STATEMENT.verify(OWNER, "r1", STRANGER.public)


def name(epoch: int, *, by: int = 1) -> EpochName:
    return EpochName(epoch=epoch, session_id=by.to_bytes(32))


OF_A_KEY = Statement.signed(
    OURS,
    "p1",
    OWNER,
    "r1",
    issued_from=FROM,
    issued_until=UNTIL,
    key_session=bytes([5]) * 32,
    epochs=[name(3), name(1), name(3, by=2)],
)


def test_what_is_signed_of_a_key_is_what_the_contract_says() -> None:
    times = (FROM.to_bytes(8, "big"), UNTIL.to_bytes(8, "big"))
    first, second = bytes(31) + b"\1", bytes(31) + b"\2"
    epochs = pack((b"\0\0\0\1" + first, b"\0\0\0\3" + first, b"\0\0\0\3" + second))
    key = (bytes([5]) * 32, epochs)
    content = pack((b"\x01svcA", b"\x01alice", b"r1", b"p1", *times, *key))
    OURS.public.verify(b"warren/never-signed/v2", content, OF_A_KEY.signature)
    OF_A_KEY.verify(OWNER, "r1", OURS.public)
    assert OF_A_KEY.epochs == [name(1), name(3), name(3, by=2)]


@pytest.mark.parametrize(
    "changes",
    [
        {"key_session": bytes(32)},
        {"epochs": [name(1), name(3)]},
        {"epochs": [name(1), name(3), name(3, by=2), name(4)]},
        {"epochs": [name(1), name(2), name(3, by=2)]},
        {"epochs": [name(1), name(3), name(3, by=3)]},
        {"key_session": None, "epochs": None},
    ],
)
def test_nothing_of_a_key_can_be_changed_or_left_out(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="wrong signature"):
        OF_A_KEY.model_copy(update=changes).verify(OWNER, "r1", OURS.public)


def test_who_cancels_as_before_hears_nothing_new() -> None:
    assert set(STATEMENT.model_dump()) == {
        "party_id",
        "issued_from",
        "issued_until",
        "signature",
    }
    of_none = OF_A_KEY.model_copy(update={"epochs": [], "signature": STATEMENT.signature})
    with pytest.raises(ContractError, match="wrong signature"):
        of_none.verify(OWNER, "r1", OURS.public)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": None}, "go together"),
        ({"key_session": None}, "go together"),
        ({"epochs": [name(3), name(1)]}, "ascending order"),
        ({"epochs": [name(3, by=2), name(3)]}, "ascending order"),
        ({"epochs": [name(1), name(1)]}, "ascending order"),
        ({"epochs": [{"epoch": 0, "session_id": bytes(32)}]}, "greater than or equal to 1"),
        ({"epochs": [{"epoch": 1}]}, "session_id"),
        ({"epochs": [1]}, "EpochName"),
        ({"epochs": [name(i + 1) for i in range(MAX_EPOCHS_STATED + 1)]}, "at most 128 items"),
    ],
)
def test_a_statement_of_a_key_names_epochs_in_one_way(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Statement.model_validate(OF_A_KEY.model_dump() | changes)


def test_as_many_epochs_as_may_be_stated_fit_into_a_message_of_all_parties() -> None:
    names = [name(2**32 - 1 - i) for i in range(MAX_EPOCHS_STATED)]
    made = Statement.signed(
        OURS,
        "p" * 64,
        OWNER,
        "r1",
        issued_from=FROM,
        issued_until=UNTIL,
        key_session=bytes(32),
        epochs=names,
    )
    assert MAX_PARTIES * len(made.model_dump_json()) < MAX_RESULT_BYTES // 4


def test_another_kind_of_signature_is_no_statement() -> None:
    content = STATEMENT.content(OWNER, "r1")
    forged = STATEMENT.model_copy(update={"signature": OURS.sign(ENVELOPE_TAG, content)})
    with pytest.raises(ContractError, match="wrong signature"):
        forged.verify(OWNER, "r1", OURS.public)


@pytest.mark.parametrize(("at", "covered"), [(-1, False), (0, True), (1, True)])
def test_it_is_about_what_was_issued_within_its_time(at: int, covered: bool) -> None:
    assert STATEMENT.covers(FROM + at) is covered
    assert STATEMENT.covers(UNTIL - at) is covered


def test_an_answer_is_a_statement_or_says_why_not() -> None:
    CancelAnswered(statement=STATEMENT)
    CancelAnswered(refused=CancelRefusal.FORGOTTEN)
    for neither_or_both in (
        {},
        {"statement": STATEMENT, "refused": CancelRefusal.FORGOTTEN},
    ):
        with pytest.raises(ValidationError, match="either statement or refused"):
            CancelAnswered.model_validate(neither_or_both)


def test_whose_request_a_cancel_is_of() -> None:
    own = CancelRequest.model_validate(fields("cancel", tenant="alice"))
    assert own.target_owner == OWNER
    another = Owner(client_id=None, tenant="bob")
    assert CancelRequest.model_validate(fields("cancel", of=another)).target_owner == another
    assert (another.name, OWNER.name) == ("/bob", "svcA/alice") == ("/bob", own.owner)


def test_what_was_issued_with_the_cancel_can_be_cancelled_by_it() -> None:
    given = fields("cancel")
    at = given["issued_at"]
    assert CancelRequest(**given, target_issued_at=at).target_issued_at == at
    with pytest.raises(ValidationError, match="statements do not cover it"):
        CancelRequest(**given, target_issued_at=at + 1)


def test_each_cancel_has_a_session_of_its_own() -> None:
    assert cancel_session_id(bytes(32)) != cancel_session_id(bytes(31) + b"\x01")
    assert len(cancel_session_id(bytes(32))) == 32
