"""Which batches of presignatures a party takes part in: a valid one, and one change each."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.identity import Identity
from contracts.primitives import Scheme
from contracts.requests import MAX_LIFETIME_MS
from contracts.sessions import PresignBatch
from contracts.terms import Member
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES, NOW, TOLERANCE_MS, facts, key_record, member
from tests.session.presigners import presign_batch, world
from workers.session.errors import RefusedError
from workers.session.party.acceptance import accept_batch
from workers.store.records import KeyShareRecord

STRANGER = Identity.generate()
UNKNOWN = Member(party_id="party-9", index=3, identity=STRANGER.public.der)
RECORD = key_record(1, "secp256k1")
ONLY_BIP340 = key_record(
    1, "secp256k1", facts=facts("secp256k1", schemes=[Scheme.BIP340]).model_dump_json()
)


def _accept(
    batch: PresignBatch,
    *,
    share: KeyShareRecord | None = RECORD,
    banned: frozenset[str] = frozenset(),
    now: int = NOW,
    i: int = 1,
) -> KeyShareRecord:
    return accept_batch(batch, world().party(i), share, banned, now=now)


def _with(members: list[Member], **changes: Any) -> PresignBatch:
    return presign_batch(world(), members=members, **changes)


def test_a_valid_batch_is_accepted() -> None:
    batch = presign_batch(world())
    assert _accept(batch) is RECORD
    assert _accept(batch, banned=frozenset({"party-2", "party-4", "nobody"})) is RECORD
    third = key_record(3, "secp256k1")
    assert _accept(batch, share=third, i=3) is third


def test_a_batch_under_another_session_id_is_refused() -> None:
    batch = presign_batch(world()).model_copy(update={"session_id": coins("another")})
    with pytest.raises(RefusedError, match="not the one that its terms give"):
        _accept(batch)


@pytest.mark.parametrize(
    ("last", "beyond"), [(MAX_LIFETIME_MS + TOLERANCE_MS, 1), (-TOLERANCE_MS, -1)]
)
def test_a_batch_of_another_time_is_refused(last: int, beyond: int) -> None:
    batch = presign_batch(world())
    _accept(batch, now=NOW + last)
    with pytest.raises(RefusedError, match="of another time"):
        _accept(batch, now=NOW + last + beyond)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member(2), member(3)], "we are not among"),
        ([member(1), UNKNOWN], "party-9 is not in our configuration"),
        ([member(1), member(3, identity=STRANGER)], "party-3 has another identity"),
        ([member(1, identity=STRANGER), member(3)], "party-1 has another identity"),
        ([member(1), member(1, index=3)], "stands twice"),
        ([member(1), member(3, index=1)], "ascending order"),
        ([member(3), member(1)], "ascending order"),
        ([member(1), member(2), member(3)], "3 signers; this key takes exactly 2"),
        ([member(1), member(3, index=2)], "party-3 is not holder 2"),
        ([member(1), member(3, index=4)], "party-3 is not holder 4"),
        ([member(1, index=2), member(3)], "party-1 is not holder 2"),
        ([member(1), member(4, index=3)], "party-4 is not holder 3"),
    ],
)
def test_signers_that_cannot_be_are_refused(members: list[Member], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        _accept(_with(members))


def test_fewer_signers_than_the_threshold_are_refused() -> None:
    of = world(3, 5)
    batch = presign_batch(of, (1, 3))
    with pytest.raises(RefusedError, match="2 signers; this key takes exactly 3"):
        accept_batch(batch, of.party(1), of.key_record(1), (), now=NOW)


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (None, "no usable share"),
        (key_record(1, "secp256k1", active=False), "no usable share"),
        (key_record(1, "ed25519"), "is on ed25519; ecdsa signs on secp256k1"),
        (
            ONLY_BIP340,
            "made for bip340 only",
        ),
    ],
)
def test_a_key_that_cannot_sign_is_refused(share: KeyShareRecord | None, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        _accept(presign_batch(world()), share=share)


def test_a_holder_that_has_changed_its_identity_since_is_refused() -> None:
    """The configuration knows the new one; the key was made with the old."""
    old = Identity.generate().public.der
    holders = [
        each.model_copy(update={"identity": old}) if each.party_id == "party-3" else each
        for each in facts("secp256k1").holders
    ]
    made = facts("secp256k1", holders=holders)
    share = key_record(1, "secp256k1", facts=made.model_dump_json())
    assert IDENTITIES["party-3"].public.der != old
    with pytest.raises(RefusedError, match="party-3 is not holder 3"):
        _accept(presign_batch(world()), share=share)


def test_a_banned_signer_is_refused_by_name() -> None:
    with pytest.raises(RefusedError, match="no presignatures with party-3"):
        _accept(presign_batch(world()), banned=frozenset({"party-3"}))
