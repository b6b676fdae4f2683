"""Which vouchers let a restored share be used: one thing is wrong each time, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.primitives import Curve
from contracts.vouchers import Voucher
from tests.protocols.simulate import coins
from tests.session.builders import TOLERANCE_MS
from tests.session.epoch_bundles import IDENTITIES, old_facts
from tests.session.party.reshares import party, share_of
from workers.session.party import vouching
from workers.store.records import EpochRecord, EpochStatus, KeyShareRecord

KNOWN = old_facts(Curve.SECP256K1)
"""2 of p1, p2, p3."""
US, OTHER = "p1", "p2"
NOW = 1_700_000_000_000
RECORD = EpochRecord(
    key_session=KNOWN.session_id,
    epoch=KNOWN.epoch,
    session_id=coins("nonce"),
    status=EpochStatus.SUSPENDED,
    bundle=None,
    at=NOW,
    due_at=NOW,
)


def voucher(by: str = OTHER, claimed: str | None = None, **changes: Any) -> Voucher:
    said: dict[str, Any] = {
        "asked_by": US,
        "key_session": RECORD.key_session,
        "epoch": RECORD.epoch,
        "nonce": RECORD.session_id,
        "newest": RECORD.epoch,
        "at": NOW,
    }
    return Voucher.signed(IDENTITIES[by], claimed or by, **said | changes)


def our_share() -> KeyShareRecord:
    share = share_of(OTHER, KNOWN)
    assert share is not None
    return replace(share, active=True)


def check(told: Voucher) -> None:
    vouching.check(told, RECORD, KNOWN, party(US), now=NOW)


@pytest.mark.parametrize("by", ["p2", "p3"])
def test_another_holders_counts(by: str) -> None:
    check(voucher(by))
    edge = vouching.COUNTS_MS + TOLERANCE_MS
    check(voucher(by, at=NOW - edge))
    check(voucher(by, at=NOW + edge))


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        (voucher(asked_by="p3"), "not the one that was asked for"),
        (voucher(key_session=coins("another key")), "not the one that was asked for"),
        (voucher(epoch=RECORD.epoch + 1), "not the one that was asked for"),
        (voucher(nonce=coins("before")), "not the one that was asked for"),
        (voucher(US), "p1 is no other holder"),
        (voucher("p4"), "p4 is no other holder"),
        (voucher("p3", claimed="p2"), "signature"),
        (voucher(at=NOW - vouching.COUNTS_MS - TOLERANCE_MS - 1), "is a clock wrong"),
        (voucher(at=NOW + vouching.COUNTS_MS + TOLERANCE_MS + 1), "is a clock wrong"),
    ],
)
def test_others_do_not(told: Voucher, complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint):
        check(told)


def test_who_is_not_pinned_any_more_is_no_holder() -> None:
    ours = party(US)
    peers = {name: peer for name, peer in ours.peers.items() if name != OTHER}
    with pytest.raises(ContractError, match="p2 is no other holder"):
        vouching.check(voucher(), RECORD, KNOWN, replace(ours, peers=peers), now=NOW)


@pytest.mark.parametrize(
    ("parties", "threshold", "needed"),
    [(2, 2, 1), (3, 2, 2), (3, 3, 2), (5, 3, 3), (5, 2, 4), (20, 10, 11)],
)
def test_so_many_that_one_has_dealt_a_later_epoch(
    parties: int, threshold: int, needed: int
) -> None:
    holders = [
        KNOWN.holders[0].model_copy(update={"party_id": f"p{i}"}) for i in range(1, parties + 1)
    ]
    facts = KNOWN.model_copy(update={"threshold": threshold, "holders": holders})
    assert vouching.enough(facts) == needed
    without = parties - 1 - (threshold - 1)
    """Other holders that may not have dealt: all but threshold - 1, if we dealt ourselves."""
    assert needed > without or needed == parties - 1


def test_who_knows_nothing_says_nothing() -> None:
    ours = our_share()
    epoch = KNOWN.epoch
    assert vouching.newest([], [], None, epoch) is None
    assert vouching.newest([], [], replace(ours, active=False), epoch) is None
    assert vouching.newest([], [], ours, epoch) == epoch
    # Begun alone is nothing: without our word it is not made.
    begun = replace(RECORD, epoch=epoch + 2, status=EpochStatus.BEGUN)
    assert vouching.newest([begun], [], ours, epoch) == epoch
    assert vouching.newest([begun], [epoch + 1], ours, epoch) == epoch + 1
    retired = replace(RECORD, status=EpochStatus.RETIRED)
    assert vouching.newest([retired, begun], [epoch + 2], None, epoch) == epoch + 2


def test_who_restored_its_share_itself_says_nothing() -> None:
    ours = our_share()
    assert vouching.newest([RECORD], [], ours, KNOWN.epoch) is None
