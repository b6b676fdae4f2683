"""Vouchers: who says what, of which key, to whom."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.encoding import pack
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.vouchers import Voucher

OURS, OTHER = Identity.generate(), Identity.generate()
KEY, NONCE, AT = b"\x01" * 32, b"\x02" * 32, 1_700_000_000_000
SAID: dict[str, Any] = {
    "asked_by": "p2",
    "key_session": KEY,
    "epoch": 3,
    "nonce": NONCE,
    "newest": 4,
    "at": AT,
}
VOUCHER = Voucher.signed(OURS, "p1", **SAID)


def test_what_is_signed_is_what_the_contract_says() -> None:
    numbers = (3).to_bytes(4), NONCE, (4).to_bytes(4), AT.to_bytes(8)
    content = pack((b"p1", b"p2", KEY, *numbers))
    OURS.public.verify(b"warren/no-later-epoch/v1", content, VOUCHER.signature)
    Voucher.model_validate_json(VOUCHER.model_dump_json()).verify(OURS.public)


@pytest.mark.parametrize(
    "changed",
    [
        {"party_id": "p3"},
        {"asked_by": "p1"},
        {"key_session": NONCE},
        {"epoch": 2},
        {"nonce": KEY},
        {"newest": 3},
        {"at": AT + 1},
        {"signature": OTHER.sign(b"warren/no-later-epoch/v1", VOUCHER.content())},
    ],
)
def test_nothing_in_it_may_be_changed(changed: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        VOUCHER.model_copy(update=changed).verify(OURS.public)
