"""What the demonstration tries with stolen shares is a try."""

from __future__ import annotations

import pytest

from ops.showcase.errors import StolenSharesSignError
from ops.showcase.renewal import signs, try_stolen
from tests.protocols.reshare_parties import SAME, undisturbed
from tests.protocols.simulate import index, random_key
from workers.protocols.groups import ED25519
from workers.protocols.key_share import KeyShare

OLD = random_key(ED25519, 2, 3, "stolen")
NEW = undisturbed(OLD, SAME.members(), 2)


def old(number: int) -> KeyShare:
    return OLD[index(number)]


def new(number: int) -> KeyShare:
    return NEW[index(number)]


def test_two_shares_of_one_epoch_sign() -> None:
    assert signs([old(1), old(2)])
    assert signs([new(1), new(2)])


def test_a_share_of_before_and_one_of_after_do_not() -> None:
    assert not signs([old(1), new(2)])
    assert not signs([new(1), old(2)])
    try_stolen(old(1), [new(1), new(2)])


def test_a_share_that_was_not_made_anew_is_found() -> None:
    """As after a refresh that changes nothing."""
    with pytest.raises(StolenSharesSignError, match="one of after the refresh make a signature"):
        try_stolen(old(1), [old(1), old(2)])


def test_a_try_that_could_not_have_succeeded_is_none() -> None:
    with pytest.raises(StolenSharesSignError, match="the try is worth nothing"):
        try_stolen(old(1), [old(1), new(2)])
