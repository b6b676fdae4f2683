"""What counts as a statement, and how many it takes until nothing can come of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.client.settlement import Group, Settlement, settle
from contracts.identity import Identity
from contracts.primitives import Curve, Owner, Status
from contracts.results import CancelResult
from contracts.statements import Statement

from .samples import PARTIES, PINNED, SingleKey, keygen_request

OWNER = Owner(client_id="svcA", tenant="alice")
ISSUED = 1_000
FACTS = SingleKey(Curve.ED25519).certified().facts
HOLDERS = [holder.party_id for holder in FACTS.holders]
GROUP = Group.of_key(FACTS)


def statement(
    party_id: str,
    *,
    by: Identity | None = None,
    owner: Owner = OWNER,
    target: str = "r1",
    since: int = 0,
    until: int = ISSUED,
) -> Statement:
    return Statement.signed(
        by or PARTIES[party_id], party_id, owner, target, issued_from=since, issued_until=until
    )


def cancel_result(**told: Any) -> CancelResult:
    return CancelResult(
        request_id="c1",
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
        target="r1",
        **told,
    )


def settled(
    statements: Sequence[Statement],
    *,
    group: Group | None = GROUP,
    status: Status | None = Status.CANCELLED,
    liars: int | None = None,
) -> Settlement:
    result = cancel_result(target_status=status, statements=list(statements))
    return settle(result, group, OWNER, issued_at=ISSUED, liars=liars)


def test_by_default_all_holders_have_to_state_it() -> None:
    assert (FACTS.threshold, FACTS.party_count) == (2, 3)
    for count, tolerated in enumerate([-2, -1, 0, 1]):
        settlement = settled([statement(each) for each in HOLDERS[:count]])
        assert settlement.liars_tolerated == tolerated
        assert settlement.final is (count == 3)
        assert settlement.signature_may_exist is (count < 3)


def test_who_trusts_all_parties_can_do_without_one_of_them() -> None:
    two = [statement(each) for each in HOLDERS[:2]]
    assert settled(two, liars=0).final
    assert not settled(two[:1], liars=0).final
    assert not settled(two, liars=1).final


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED, None])
def test_how_the_coordinator_left_it_proves_nothing_and_spoils_nothing(
    status: Status | None,
) -> None:
    everybody = [statement(each) for each in HOLDERS]
    assert settled(everybody, status=status).final
    assert not settled([], status=status).final


def test_what_completed_is_not_cancelled() -> None:
    everybody = [statement(each) for each in HOLDERS]
    settlement = settled(everybody, status=Status.COMPLETED)
    assert settlement.signature_may_exist


FORGED = {
    "another party's": statement(HOLDERS[1]).model_copy(update={"party_id": HOLDERS[0]}),
    "of another owner": statement(HOLDERS[0], owner=Owner(client_id="svcA")),
    "of another request": statement(HOLDERS[0], target="r2"),
    "too early": statement(HOLDERS[0], until=ISSUED - 1),
    "too late": statement(HOLDERS[0], since=ISSUED + 1, until=ISSUED + 1),
    "of no holder": statement("p9", by=Identity.generate()),
    "by a stranger": statement(HOLDERS[0], by=Identity.generate()),
    "later than signed": statement(HOLDERS[0], until=ISSUED - 1).model_copy(
        update={"issued_until": ISSUED}
    ),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_what_does_not_count(forged: Statement) -> None:
    others = [statement(each) for each in HOLDERS[1:]]
    settlement = settled([forged, *others])
    assert [each.party_id for each in settlement.statements] == sorted(HOLDERS[1:])
    assert not settlement.final


def test_a_party_counts_once() -> None:
    settlement = settled([statement(HOLDERS[0], until=ISSUED + i) for i in range(3)])
    assert settlement.liars_tolerated == -1


def test_only_parties_that_count_are_told_of() -> None:
    """The coordinator could name anybody; where nobody knows who counts, all are passed on."""
    result = cancel_result(already_signed=["p9", HOLDERS[0]], silent=[HOLDERS[1], "p9"])
    known = settle(result, GROUP, OWNER, issued_at=ISSUED)
    assert (known.already_signed, known.silent) == ((HOLDERS[0],), (HOLDERS[1],))
    unknown = settle(result, None, OWNER, issued_at=ISSUED)
    assert (unknown.already_signed, unknown.silent) == (("p9", HOLDERS[0]), (HOLDERS[1], "p9"))


def test_of_an_unknown_key_nothing_is_proven() -> None:
    settlement = settled([statement(each) for each in HOLDERS], group=None, liars=0)
    assert (settlement.liars_tolerated, settlement.final) == (None, False)


@pytest.mark.parametrize(("named", "tolerated"), [(True, [-1, 0, 1]), (False, [-2, -1, 0])])
def test_a_new_key_needs_all_its_parties(named: bool, tolerated: list[int]) -> None:
    """And where nobody named them, those who state it may be none of them."""
    parties = list(PINNED)[:2] if named else None
    request = keygen_request(threshold=2, party_count=2, parties=parties)
    group = Group.of_new_key(request, PINNED)
    for count, expected in enumerate(tolerated):
        settlement = settled([statement(each) for each in list(PINNED)[:count]], group=group)
        assert settlement.liars_tolerated == expected


OTHERS = {f"o{number}": Identity.generate() for number in range(1, 4)}


def test_others_count_where_they_could_hold_a_key_of_the_same_name() -> None:
    """Two of one name, by six parties: whose shares are kept back, the coordinator decides by the
    key that it shows."""
    everybody = PINNED | {name: other.public for name, other in OTHERS.items()}
    group = Group.of_key(FACTS, everybody)
    holders = [statement(name) for name in HOLDERS]
    assert settled(holders, group=GROUP).final
    shown = settled(holders, group=group)
    assert (shown.liars_tolerated, shown.final) == (-2, False)
    theirs = [statement(name, by=other) for name, other in OTHERS.items()]
    assert settled([*holders, *theirs], group=group).final
    five = dict(list(everybody.items())[:5])
    assert Group.of_key(FACTS, five) == GROUP
