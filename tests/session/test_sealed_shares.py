"""Signature shares that the coordinator alone can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.primitives import MAX_ITEMS
from workers.session.sealed_shares import seal, unseal

PARTY, COORDINATOR, FORMER = Identity.generate(), Identity.generate(), Identity.generate()
SHARES = [bytes([i]) * 64 for i in range(3)]


def sealed(shares: Sequence[bytes] = SHARES, **changes: Any) -> bytes:
    given: dict[str, Any] = {
        "party_id": "party-1",
        "identity": PARTY,
        "coordinator": COORDINATOR.public,
        "session_id": bytes(32),
    }
    return seal(shares, **(given | changes))


def opened(data: bytes, **changes: Any) -> list[bytes]:
    given: dict[str, Any] = {
        "party_id": "party-1",
        "party": PARTY.public,
        "identities": [COORDINATOR],
        "session_id": bytes(32),
    }
    return unseal(data, **(given | changes))


def test_the_coordinator_reads_what_a_party_sealed() -> None:
    assert opened(sealed()) == SHARES
    assert SHARES[1] not in sealed()


def test_during_a_rotation_either_identity_opens() -> None:
    both = [COORDINATOR, FORMER]
    for coordinator in both:
        assert opened(sealed(coordinator=coordinator.public), identities=both) == SHARES


@pytest.mark.parametrize(
    "changes",
    [
        {"party_id": "party-2"},
        {"session_id": bytes([1]) * 32},
        {"identities": [FORMER]},
        {"identities": []},
        {"party": FORMER.public},
    ],
)
def test_it_opens_for_nobody_and_nowhere_else(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="sealed for no identity"):
        opened(sealed(), **changes)


def test_no_bit_of_it_can_be_changed() -> None:
    data = sealed()
    for place in (0, 11, 12, len(data) - 1):
        wrong = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ContractError):
            opened(wrong)


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_there_is_a_share_and_no_more_than_a_request_has_messages(count: int) -> None:
    with pytest.raises(ContractError, match=f"{count} signature shares; there are 1 to"):
        opened(sealed([b"share"] * count))


def test_no_two_places_share_a_key_stream() -> None:
    one, other = sealed(), sealed(session_id=bytes([1]) * 32)
    assert one[:12] == other[:12]
    assert one[12:] != other[12:]


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_no_shares_and_too_many_are_refused(count: int) -> None:
    for right in (1, MAX_ITEMS):
        assert len(opened(sealed([b"s"] * right))) == right
    with pytest.raises(ContractError, match=f"{count} signature shares"):
        opened(sealed([b"s"] * count))


def test_equal_shares_seal_to_equal_bytes_and_others_to_others() -> None:
    """So that an answer that is made again is the same message."""
    assert sealed() == sealed()
    assert sealed()[:12] != sealed(SHARES[:2])[:12]
