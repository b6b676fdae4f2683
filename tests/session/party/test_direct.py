"""Sealed payloads open in their own place, for their own recipient, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.identity import Identity
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES
from workers.protocols.rounds import MisuseError
from workers.session.party.direct import (
    EPHEMERAL_BYTES,
    EphemeralKey,
    direct_key,
    first_key_from,
    first_key_to,
    public_ephemeral,
    seal,
    unseal,
)

ONE, TWO, OTHER = (
    EphemeralKey.from_randomness(coins(name) + bytes(16)) for name in ("one", "two", "other")
)
PLACE = Envelope(
    session_id=coins("session"),
    epoch=0,
    kind="keygen",
    round=3,
    sender="party-1",
    recipient="party-2",
    payload=b"",
)


def _sealed(payload: bytes = b"a share") -> bytes:
    """By party-1 for party-2."""
    identity, peer = IDENTITIES["party-1"], IDENTITIES["party-2"].public
    return seal(direct_key(ONE, TWO.public_bytes(), identity, peer, PLACE), payload)


def _open(sealed: bytes, **changes: Any) -> bytes:
    right: dict[str, Any] = {
        "own": TWO,
        "peer_ephemeral": ONE.public_bytes(),
        "identity": IDENTITIES["party-2"],
        "peer": IDENTITIES["party-1"].public,
        "place": PLACE,
    }
    return unseal(direct_key(**(right | changes)), sealed)


@given(st.binary(max_size=300))
def test_a_sealed_payload_opens_for_its_recipient(payload: bytes) -> None:
    sealed = _sealed(payload)
    assert _open(sealed) == payload
    assert payload not in sealed or len(payload) < 4


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": coins("another")},
        {"epoch": 1},
        {"kind": "reshare"},
        {"round": 4},
        {"sender": "party-3"},
        {"recipient": "party-3"},
        {"sender": "party-2", "recipient": "party-1"},
    ],
)
def test_a_sealed_payload_opens_in_no_other_place(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="does not open"):
        _open(_sealed(), place=replace(PLACE, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"own": OTHER},
        {"peer_ephemeral": OTHER.public_bytes()},
        {"identity": IDENTITIES["party-3"]},
        {"peer": IDENTITIES["party-3"].public},
        {"identity": Identity.generate(), "own": OTHER},
    ],
)
def test_a_sealed_payload_opens_with_no_other_key(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="does not open"):
        _open(_sealed(), **changes)


def test_the_payload_of_the_place_does_not_matter() -> None:
    assert _open(_sealed(), place=replace(PLACE, payload=b"sealed bytes")) == b"a share"


@given(st.data())
def test_a_changed_or_shortened_payload_does_not_open(data: st.DataObject) -> None:
    sealed = _sealed()
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    for wrong in (flipped, sealed[:at]):
        with pytest.raises(ContractError, match="does not open"):
            _open(wrong)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(EPHEMERAL_BYTES),
        b"\x04" + bytes(64),
        b"\x05" + ONE.public_bytes()[1:],
        b"\x06" + ONE.public_bytes()[1:],
        ONE.public_bytes()[:-1],
        ONE.public_bytes() + b"\0",
        ONE.public_bytes()[:-1] + bytes([ONE.public_bytes()[-1] ^ 1]),
    ],
)
def test_what_is_no_point_is_no_ephemeral_key(data: bytes) -> None:
    with pytest.raises(ContractError, match="not a point of P-256"):
        public_ephemeral(data)
    with pytest.raises(ContractError, match="not a point of P-256"):
        _open(_sealed(), peer_ephemeral=data)


def test_an_ephemeral_key_is_stored_and_read_back() -> None:
    again = EphemeralKey.from_bytes(ONE.to_bytes())
    assert again.public_bytes() == ONE.public_bytes()
    assert len(ONE.to_bytes()) == 32
    assert len(ONE.public_bytes()) == EPHEMERAL_BYTES


@pytest.mark.parametrize("size", [0, 32, 47, 49])
def test_an_ephemeral_key_is_not_made_of_too_little_randomness(size: int) -> None:
    with pytest.raises(MisuseError, match="48 bytes"):
        EphemeralKey.from_randomness(bytes(size))


def test_an_ephemeral_key_hides_in_its_repr() -> None:
    assert repr(ONE) == "EphemeralKey(…)"


###
### A session's first message
###


def _first_sealed(payload: bytes = b"an offer") -> bytes:
    """By party-1 for party-2, whose ephemeral key it does not know."""
    identity, peer = IDENTITIES["party-1"], IDENTITIES["party-2"].public
    return seal(first_key_to(ONE, identity, peer, PLACE), payload)


def _open_first(sealed: bytes, **changes: Any) -> bytes:
    right: dict[str, Any] = {
        "peer_ephemeral": ONE.public_bytes(),
        "identity": IDENTITIES["party-2"],
        "peer": IDENTITIES["party-1"].public,
        "place": PLACE,
    }
    return unseal(first_key_from(**(right | changes)), sealed)


def test_a_first_payload_opens_for_its_recipient() -> None:
    assert _open_first(_first_sealed()) == b"an offer"


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": coins("another")},
        {"epoch": 1},
        {"kind": "presign"},
        {"round": 1},
        {"sender": "party-3"},
        {"recipient": "party-3"},
        {"sender": "party-2", "recipient": "party-1"},
    ],
)
def test_a_first_payload_opens_in_no_other_place(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="does not open"):
        _open_first(_first_sealed(), place=replace(PLACE, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"peer_ephemeral": OTHER.public_bytes()},
        {"identity": IDENTITIES["party-3"]},
        {"peer": IDENTITIES["party-3"].public},
    ],
)
def test_a_first_payload_opens_with_no_other_key(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="does not open"):
        _open_first(_first_sealed(), **changes)


def test_whoever_knows_the_ephemeral_key_alone_cannot_seal_as_its_party() -> None:
    # Both identities are in the key, not the recipient's alone.
    forged = seal(
        first_key_to(ONE, IDENTITIES["party-3"], IDENTITIES["party-2"].public, PLACE), b"forged"
    )
    with pytest.raises(ContractError, match="does not open"):
        _open_first(forged)


def test_a_first_payload_and_a_later_one_never_share_a_key() -> None:
    """Not even if the recipient's ephemeral key were its identity key."""
    recipient = IDENTITIES["party-2"]
    same = EphemeralKey(recipient.key)
    identity = IDENTITIES["party-1"]
    later = seal(direct_key(ONE, same.public_bytes(), identity, recipient.public, PLACE), b"later")
    with pytest.raises(ContractError, match="does not open"):
        _open_first(later)


@pytest.mark.parametrize("data", [b"", bytes(EPHEMERAL_BYTES), b"\x04" + bytes(64)])
def test_a_first_payload_under_what_is_no_point_does_not_open(data: bytes) -> None:
    with pytest.raises(ContractError, match="not a point of P-256"):
        _open_first(_first_sealed(), peer_ephemeral=data)
