"""Whom a party does not accept, it names: the others may do without."""

from __future__ import annotations

import pytest

from contracts.identity import Identity
from contracts.terms import Member
from tests.session.builders import NOW, accepted_by, keygen_created, member
from workers.session.errors import RefusedError

STRANGER = Identity.generate()


@pytest.mark.parametrize(
    ("members", "because"),
    [
        ([member(1), member(2), member(3, identity=STRANGER)], ["party-3"]),
        (
            [member(1), member(2, identity=STRANGER), member(3, identity=STRANGER)],
            ["party-2", "party-3"],
        ),
        # It is about ourselves: without the others it would be no better.
        ([member(1, identity=STRANGER), member(2), member(3, identity=STRANGER)], []),
        ([member(1), member(2), member(2, index=3)], []),
    ],
)
def test_all_that_are_not_accepted_are_named(members: list[Member], because: list[str]) -> None:
    with pytest.raises(RefusedError) as refused:
        accepted_by(keygen_created(members=members), 1, now=NOW)
    assert refused.value.failure.culprits == because
