"""A session id covers every field of its terms."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.signing import sign_request
from contracts.terms import Member, PresignTerms, ReshareMember, ReshareTerms, SessionTerms
from tests.protocols.simulate import coins
from tests.session.builders import CLIENT, NOW, keygen_request, member, terms
from workers.session.nonce_batches import batch_id

CHANGES: dict[str, list[Any]] = {
    "protocol": ["sign"],
    "request_digest": [coins("another")],
    "key_session": [coins("a key"), bytes(32)],
    "epoch": [1, 256],
    "threshold": [3],
    "members": [
        [member(1), member(2)],
        [member(2), member(1), member(3)],
        [member(1), member(2), member(3, index=4)],
        [member(1), member(2), member(3).model_copy(update={"party_id": "party-4"})],
        [member(1), member(2), member(3).model_copy(update={"identity": b"other"})],
        [member(1), member(2), member(3).model_copy(update={"identity": b""})],
    ],
    "salt": [coins("pepper")],
}


def _terms() -> SessionTerms:
    signed = sign_request(keygen_request(), CLIENT)
    return terms(signed, [member(1), member(2), member(3)], threshold=2)


def test_every_field_has_its_changes() -> None:
    assert CHANGES.keys() == SessionTerms.model_fields.keys()
    assert Member.model_fields.keys() == {"party_id", "index", "identity"}


@pytest.mark.parametrize("field", SessionTerms.model_fields)
def test_a_change_of_any_field_gives_another_session(field: str) -> None:
    ids = {_terms().session_id()}
    for value in CHANGES[field]:
        ids.add(_terms().model_copy(update={field: value}).session_id())
    assert len(ids) == 1 + len(CHANGES[field])


def test_the_same_terms_give_the_same_session_id_of_32_bytes() -> None:
    assert _terms().session_id() == _terms().session_id()
    assert len(_terms().session_id()) == 32


def test_the_encoding_of_the_terms_is_pinned() -> None:
    pinned = SessionTerms(
        protocol="sign",
        request_digest=b"\x01" * 32,
        key_session=b"\x02" * 32,
        epoch=3,
        threshold=2,
        members=[
            Member(party_id="party-1", index=1, identity=b"identity 1"),
            Member(party_id="party-3", index=3, identity=b"identity 3"),
        ],
        salt=b"\x04" * 32,
    )
    session_id = pinned.session_id()
    assert session_id.hex() == "0e4573d631ef54635bd6c4bff239606abb074fd7e760026fbe362cd4faef3474"
    assert (
        batch_id(session_id, "party-1").hex()
        == "8b757900eb3775a3fdce1f31c8bf1ce27be33553da62469a265b1583545003d5"
    )


def test_each_session_and_party_has_its_own_nonce_batch() -> None:
    batches = {
        batch_id(session_id, party_id)
        for session_id in (coins("one"), coins("two"))
        for party_id in ("party-1", "party-2")
    }
    assert len(batches) == 4


###
### Batches of presignatures
###

PRESIGN_CHANGES: dict[str, list[Any]] = {
    "key_session": [coins("another"), bytes(32)],
    "epoch": [1, 256],
    "members": CHANGES["members"],
    "count": [2, 64],
    "issued_at": [NOW + 1, 0],
    "salt": [coins("pepper")],
}


def _presign_terms() -> PresignTerms:
    return PresignTerms(
        key_session=coins("a key"),
        epoch=0,
        members=[member(1), member(2), member(3)],
        count=1,
        issued_at=NOW,
        salt=coins("salt"),
    )


def test_every_field_of_a_batch_has_its_changes() -> None:
    assert PRESIGN_CHANGES.keys() == PresignTerms.model_fields.keys()


@pytest.mark.parametrize("field", PresignTerms.model_fields)
def test_a_change_of_any_field_gives_another_batch(field: str) -> None:
    ids = {_presign_terms().session_id()}
    for value in PRESIGN_CHANGES[field]:
        ids.add(_presign_terms().model_copy(update={field: value}).session_id())
    assert len(ids) == 1 + len(PRESIGN_CHANGES[field])


###
### Reshares
###


def _reshare_member(i: int, **changes: Any) -> ReshareMember:
    given = {"deals_as": i, "receives_as": i + 1} | changes
    return ReshareMember(party_id=f"party-{i}", index=i, identity=b"identity %d" % i, **given)


def _reshare_terms() -> ReshareTerms:
    return ReshareTerms(
        request_digest=coins("request"),
        key_session=coins("a key"),
        predecessor=coins("an epoch"),
        epoch=1,
        threshold=2,
        members=[_reshare_member(1), _reshare_member(2)],
        salt=coins("salt"),
    )


RESHARE_CHANGES: dict[str, list[Any]] = {
    "request_digest": [coins("another")],
    "key_session": [coins("another")],
    "predecessor": [coins("another")],
    "epoch": [2, 256],
    "threshold": [3],
    "members": [
        [_reshare_member(2), _reshare_member(1)],
        [_reshare_member(1), _reshare_member(3)],
        [_reshare_member(1), _reshare_member(2, deals_as=None)],
        [_reshare_member(1), _reshare_member(2, receives_as=None)],
        [_reshare_member(1), _reshare_member(2, deals_as=3, receives_as=2)],
        [_reshare_member(1), _reshare_member(2).model_copy(update={"party_id": "party-4"})],
        [_reshare_member(1), _reshare_member(2).model_copy(update={"identity": b"other"})],
    ],
    "salt": [coins("pepper")],
}


def test_every_field_of_a_reshare_has_its_changes() -> None:
    assert RESHARE_CHANGES.keys() == ReshareTerms.model_fields.keys()
    own = ReshareMember.model_fields.keys() - Member.model_fields.keys()
    assert own == {"deals_as", "receives_as"}


@pytest.mark.parametrize("field", ReshareTerms.model_fields)
def test_a_change_of_any_field_gives_another_reshare(field: str) -> None:
    ids = {_reshare_terms().session_id()}
    for value in RESHARE_CHANGES[field]:
        ids.add(_reshare_terms().model_copy(update={field: value}).session_id())
    assert len(ids) == 1 + len(RESHARE_CHANGES[field])


def test_the_encoding_of_a_reshare_is_pinned() -> None:
    pinned = _reshare_terms().session_id().hex()
    assert pinned == "3666aee8068137bc1f3e5102982bae88987aca58b4ece7408c6f88633e4ce096"


def test_members_of_a_reshare_may_be_twice_as_many_as_hold_a_key() -> None:
    assert ReshareMember(party_id="party-1", index=40, identity=b"identity").index == 40
    with pytest.raises(ValueError, match="less than or equal to 40"):
        ReshareMember(party_id="party-1", index=41, identity=b"identity")
