"""Which vouchers let a party use a share that came from a backup.

The next epoch of a key, if there is one, was dealt by t holders. Of the others, whoever we are, no
more than n - t did not deal it: so n - t + 1 others include one who knows of it.
"""

from __future__ import annotations

from collections.abc import Collection

from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.vouchers import Voucher

from ...store.records import EpochRecord, EpochStatus, KeyShareRecord
from ..peers import by_any
from .acceptance import Party

COUNTS_MS = 300_000
"""For so long: a party that has said it may take part in a later epoch afterwards."""


def enough(facts: KeyFacts) -> int:
    """So many others have to know of no later epoch; and no fewer than it takes to sign with us."""
    needed = max(facts.party_count - facts.threshold + 1, facts.threshold - 1)
    return min(needed, facts.party_count - 1)


def check(
    voucher: Voucher, record: EpochRecord, facts: KeyFacts, party: Party, *, now: int
) -> None:
    """Raises ContractError unless another holder of the key says it to us, here and now.

    Arguments:
        record: Of our share's epoch.
    """
    asked = (party.party_id, record.key_session, record.epoch, record.session_id)
    if asked != (voucher.asked_by, voucher.key_session, voucher.epoch, voucher.nonce):
        raise ContractError("the voucher is not the one that was asked for")
    holders = {holder.party_id for holder in facts.holders} - {party.party_id}
    peer = party.peers.get(voucher.party_id)
    if voucher.party_id not in holders or peer is None:
        raise ContractError(f"{voucher.party_id} is no other holder of key {facts.key_id}")
    by_any(peer.current, voucher.verify)
    if abs(now - voucher.at) > COUNTS_MS + party.clock_tolerance_ms:
        raise ContractError(f"{voucher.party_id} said it at another time; is a clock wrong?")


def newest(
    epochs: Collection[EpochRecord],
    signing: Collection[int],
    share: KeyShareRecord | None,
    epoch: int,
) -> int | None:
    """What we can say of a key to who asks about this epoch; None if we cannot: we have nothing of
    it, or know what we have from a backup ourselves.

    Arguments:
        signing: Epochs for which our word may be out, or which are proven here. One that was only
            begun cannot be made without our word.
        share: Ours of the epoch.
    """
    if any(each.status is EpochStatus.SUSPENDED for each in epochs):
        return None
    known = [*signing]
    if share is not None and share.active:
        known.append(epoch)
    return max(known, default=None)
