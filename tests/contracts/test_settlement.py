"""What counts as a statement, and how many it takes until nothing can come of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.client.settlement import Group, Settlement, settle
from contracts.identity import Identity
from contracts.keys import EpochName, Holder, KeyFacts, Origin, Resharing
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
    key: bytes | None = FACTS.session_id,
    epochs: Sequence[int | EpochName] | None = (),
) -> Statement:
    return Statement.signed(
        by or PARTIES[party_id],
        party_id,
        owner,
        target,
        issued_from=since,
        issued_until=until,
        key_session=key,
        epochs=None if epochs is None else [named(each) for each in epochs],
    )


def named(epoch: int | EpochName) -> EpochName:
    """A number is one of the epochs that `next_epoch` makes."""
    if isinstance(epoch, EpochName):
        return epoch
    return EpochName(epoch=epoch, session_id=bytes([epoch]) * 32)


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
    "of another key": statement(HOLDERS[0], key=bytes(32)),
    "of no key": statement(HOLDERS[0], key=None, epochs=None),
    "of an epoch that nobody showed us": statement(HOLDERS[0], epochs=[1]),
    "of fewer epochs than were signed": statement(HOLDERS[0], epochs=[1]).model_copy(
        update={"epochs": []}
    ),
    "of a key that was not signed": statement(HOLDERS[0], key=None, epochs=None).model_copy(
        update={"key_session": FACTS.session_id, "epochs": []}
    ),
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


def test_a_named_party_that_we_do_not_know_may_have_said_anything() -> None:
    """A new one, perhaps, that is not in our file yet: its word nobody can check, and no liar can
    be told from it."""
    parties = [*list(PINNED)[:2], "newcomer"]
    group = Group.of_new_key(keygen_request(threshold=2, party_count=3, parties=parties), PINNED)
    tolerated = [
        settled([statement(each) for each in parties[:count]], group=group).liars_tolerated
        for count in range(3)
    ]
    assert tolerated == [-1, 0, 1]


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


###
### Of a key whose shares were made anew
###


def next_epoch(
    before: KeyFacts, epoch: int, holders: Sequence[str], threshold: int = 2
) -> KeyFacts:
    known = PARTIES | OTHERS
    return before.model_copy(
        update={
            "version": 3,
            "epoch": epoch,
            "threshold": threshold,
            "origin": Origin.GENERATED,
            "request_digest": bytes(32),
            "holders": [
                Holder(party_id=name, identity=known[name].public.der, public_share=b"\x01" * 32)
                for name in holders
            ],
            "reshared": Resharing(
                session_id=bytes([epoch]) * 32,
                predecessor=before.digest(),
                dealers=[each.party_id for each in before.holders[: before.threshold]],
            ),
        }
    )


SECOND = next_epoch(FACTS, 1, HOLDERS)
THIRD = next_epoch(SECOND, 4, list(OTHERS))


def by_all(names: Sequence[str], epochs: Sequence[int | EpochName]) -> list[Statement]:
    known = PARTIES | OTHERS
    return [statement(name, by=known[name], epochs=epochs) for name in names]


def test_former_holders_prove_nothing_where_one_of_them_tells_of_another_epoch() -> None:
    """They have signed nothing, truly, and who signs meanwhile we were not shown."""
    shown = Group.of_key(FACTS)
    assert shown is not None
    assert settled(by_all(HOLDERS, []), group=shown).final
    dealer = statement(HOLDERS[0], epochs=[1])
    assert not settled([dealer, *by_all(HOLDERS[1:], [])], group=shown).final
    assert settled([dealer, *by_all(HOLDERS[1:], [])], group=shown, liars=0).final
    assert not settled(by_all(HOLDERS, [1]), group=shown, liars=0).final


def test_a_refreshed_key_is_settled_by_the_same_parties() -> None:
    group = Group.of_key(SECOND, told=[FACTS])
    assert group is not None
    assert settled(by_all(HOLDERS, [1]), group=group).final
    assert settled(by_all(HOLDERS, []), group=group).final
    # One that is not in this line was tried, and perhaps made.
    assert not settled(by_all(HOLDERS, [1, 2]), group=group, liars=0).final


def test_of_two_epochs_with_one_number_each_is_known_by_the_session_that_made_it() -> None:
    """The owner asked for two reshares at once, and both were made, by other dealers each. Of one
    line the client was shown nothing."""
    group = Group.of_key(SECOND, told=[FACTS])
    assert group is not None
    (shown,) = group.epochs
    other = EpochName(epoch=shown.epoch, session_id=bytes([99]) * 32)
    assert settled(by_all(HOLDERS, [shown]), group=group).final
    assert not settled(by_all(HOLDERS, [other]), group=group, liars=0).final
    assert not settled(by_all(HOLDERS, [shown, other]), group=group, liars=0).final
    dealers = [*by_all(HOLDERS[:1], [shown]), *by_all(HOLDERS[1:], [other])]
    assert not settled(dealers, group=group, liars=0).final


def test_each_committee_has_to_be_counted() -> None:
    """Who has not heard of the new one goes on signing, whoever says that it is there."""
    group = Group.of_key(THIRD, told=[SECOND, FACTS, THIRD])
    assert group is not None
    new, old = by_all(list(OTHERS), [1, 4]), by_all(HOLDERS, [1, 4])
    assert settled([*new, *old], group=group).final
    for some in (new, old):
        told = settled(some, group=group, liars=0)
        assert (told.liars_tolerated, told.final) == (-2, False)
    told = settled([*new, *old[1:]], group=group)
    assert (told.liars_tolerated, told.final) == (0, False)
    assert settled([*new, *old[1:]], group=group, liars=0).final


def test_the_threshold_of_each_epoch_counts() -> None:
    group = Group.of_key(next_epoch(FACTS, 1, HOLDERS, threshold=3), told=[FACTS])
    assert group is not None
    two = settled(by_all(HOLDERS[:2], [1]), group=group, liars=0)
    assert (two.liars_tolerated, two.final) == (0, True)
    assert settled(by_all(HOLDERS, [1]), group=group).liars_tolerated == 1


@pytest.mark.parametrize("told", [[], [FACTS], [SECOND], [next_epoch(FACTS, 2, HOLDERS), FACTS]])
def test_where_an_epoch_is_left_out_nobody_knows_whose_statements_count(
    told: Sequence[KeyFacts],
) -> None:
    assert Group.of_key(THIRD, told=told) is None
