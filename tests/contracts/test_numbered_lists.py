"""What a follower takes for an entry of a list, and what changes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from contracts.client_list import Action, ClientEntry, ClientKey, ClientList
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity
from contracts.numbered_lists import (
    ENTRY_TAG,
    FIRST,
    MAX_SIGNED_BYTES,
    ListError,
    ListOperator,
    SignedEntry,
)

OPERATOR, OTHER, STRANGER, CLIENT = (Identity.generate() for _ in range(4))


def followed(*operators: ListOperator) -> ClientList:
    return ClientList(operators or (ListOperator(OPERATOR.public), ListOperator(OTHER.public)))


def put(client_id: str, key: Identity = CLIENT) -> dict[str, Any]:
    return {
        "action": Action.PUT,
        "client_id": client_id,
        "keys": (ClientKey(public_key=key.public.der),),
    }


def entry(number: int, previous: bytes, signer: Identity = OPERATOR, **content: Any) -> SignedEntry:
    """Whether it fits or not."""
    made = ClientEntry(
        number=number,
        previous=previous,
        signer=signer.public.der,
        issued_at=1,
        **(content or put(f"svc{number}", Identity.generate())),
    )
    return SignedEntry.of(made, signer)


def chain(length: int) -> list[SignedEntry]:
    listed, made = followed(), []
    for number in range(1, length + 1):
        made.append(entry(number, listed.head))
        listed.take(made[-1])
    return made


def test_entries_are_taken_in_their_order_whoever_of_the_operators_signs() -> None:
    listed = followed()
    for number, signer in enumerate((OPERATOR, OTHER, OPERATOR), start=1):
        signed = listed.signed(signer, issued_at=1, **put(f"svc{number}", Identity.generate()))
        assert listed.take(SignedEntry.from_bytes(signed.to_bytes()))
        assert (listed.number, listed.head) == (number, signed.digest)
    assert [each.client_id for each in listed.clients()] == ["svc1", "svc2", "svc3"]


def test_an_entry_that_comes_again_changes_nothing() -> None:
    listed, entries = followed(), chain(3)
    assert [listed.take(each) for each in (*entries, *entries)] == [True] * 3 + [False] * 3
    assert listed.number == 3


def refused(listed: ClientList, signed: SignedEntry) -> tuple[type[ContractError], str]:
    before = (listed.number, listed.head, listed.clients())
    with pytest.raises(ContractError) as raised:
        listed.take(signed)
    assert (listed.number, listed.head, listed.clients()) == before
    assert isinstance(raised.value, ListError | UnauthenticatedError)
    return type(raised.value), raised.value.kind


def unsigned(signed: SignedEntry) -> SignedEntry:
    return signed.model_copy(update={"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"})


def with_anothers_signature(signed: SignedEntry) -> SignedEntry:
    return signed.model_copy(update={"signature": STRANGER.sign(ENTRY_TAG, signed.body)})


def with_another_tag(signed: SignedEntry) -> SignedEntry:
    return signed.model_copy(update={"signature": OPERATOR.sign(b"warren/request/v1", signed.body)})


@pytest.mark.parametrize("spoilt", [unsigned, with_anothers_signature, with_another_tag])
def test_what_its_operator_has_not_signed_is_refused(
    spoilt: Callable[[SignedEntry], SignedEntry],
) -> None:
    wrong = spoilt(entry(1, FIRST))
    assert refused(followed(), wrong) == (UnauthenticatedError, "wrong_signature")


def test_somebody_who_is_no_operator_signs_nothing() -> None:
    assert refused(followed(), entry(1, FIRST, STRANGER)) == (UnauthenticatedError, "stranger")


def test_a_former_operator_s_entries_stay_and_no_new_one_counts() -> None:
    listed = followed(ListOperator(OPERATOR.public, last=2), ListOperator(OTHER.public))
    entries = chain(3)
    assert listed.take(entries[0])
    assert listed.take(entries[1])
    assert refused(listed, entries[2]) == (UnauthenticatedError, "former_operator")
    assert listed.take(entry(3, listed.head, OTHER))


@pytest.mark.parametrize("name", [name for name in ClientEntry.model_fields if name != "again"])
def test_no_field_of_an_entry_can_be_changed(name: str) -> None:
    other = {
        "number": 2,
        "previous": "11" * 32,
        "signer": OTHER.public.to_base64(),
        "issued_at": 2,
        "list": "parties",
        "action": "remove",
        "client_id": "svcB",
        "keys": [{"public_key": STRANGER.public.to_base64()}],
        "operations": ["keygen"],
    }
    signed = entry(1, FIRST, **put("svcA"))
    content = json.loads(signed.body) | {name: other[name]}
    if name == "action":
        del content["keys"]
    changed = signed.model_copy(update={"body": json.dumps(content).encode()})
    kind, _ = refused(followed(), changed)
    assert kind is UnauthenticatedError


def test_a_gap_is_refused_and_what_was_missing_may_come_then() -> None:
    listed, entries = followed(), chain(3)
    listed.take(entries[0])
    assert refused(listed, entries[2]) == (ListError, "gap")
    assert listed.take(entries[1])
    assert listed.take(entries[2])


def test_two_entries_of_one_number_are_a_fork_and_the_first_stays() -> None:
    listed = followed()
    first, second = entry(1, FIRST), entry(1, FIRST, OTHER)
    listed.take(first)
    assert refused(listed, second) == (ListError, "fork")


def test_what_follows_another_entry_is_a_fork() -> None:
    listed, other = followed(), entry(1, FIRST)
    listed.take(entry(1, FIRST))
    assert refused(listed, entry(2, other.digest)) == (ListError, "fork")


def test_an_old_entry_does_not_come_back_under_a_new_number() -> None:
    """Its number is signed."""
    listed, entries = followed(), chain(2)
    for each in entries:
        listed.take(each)
    content = json.loads(entries[0].body) | {"number": 3, "previous": listed.head.hex()}
    again = entries[0].model_copy(update={"body": json.dumps(content).encode()})
    assert refused(listed, again) == (UnauthenticatedError, "wrong_signature")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"x" * (MAX_SIGNED_BYTES + 1), "oversized"),
        (b" " * (MAX_SIGNED_BYTES + 1), "oversized"),
        (b"", "malformed"),
        (b"{}", "malformed"),
        (b'{"body": "", "body": "", "signature": ""}', "malformed"),
        (b'{"body": "%s", "signature": ""}' % base64.b64encode(b"x" * 8193), "malformed"),
    ],
)
def test_what_is_no_signed_entry_is_told_by_its_size_and_form(data: bytes, kind: str) -> None:
    with pytest.raises(UnauthenticatedError) as raised:
        SignedEntry.from_bytes(data)
    assert raised.value.kind == kind


def test_a_body_that_names_a_field_twice_is_none() -> None:
    body = entry(1, FIRST).body[:-1] + b',"client_id":"svcB"}'
    wrong = SignedEntry(body=body, signature=OPERATOR.sign(ENTRY_TAG, body))
    assert refused(followed(), wrong) == (UnauthenticatedError, "malformed")


def test_nobody_signs_in_anothers_name() -> None:
    made = ClientEntry(
        number=1, previous=FIRST, signer=OTHER.public.der, issued_at=1, **put("svcA")
    )
    with pytest.raises(ValueError, match="another signer"):
        SignedEntry.of(made, OPERATOR)


def test_an_operator_cannot_sign_what_would_be_refused() -> None:
    listed = followed()
    with pytest.raises(UnauthenticatedError):
        listed.signed(STRANGER, issued_at=1, **put("svcA"))
    with pytest.raises(ContractError, match="client_id"):
        listed.signed(OPERATOR, issued_at=1, **put("svc.A"))
    assert listed.number == 0
