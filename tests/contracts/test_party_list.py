"""Who is a party by a list, by which keys, and what the list must not say."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import Identity, PublicIdentity
from contracts.numbered_lists import ListError, ListOperator
from contracts.party_list import Action, KnownParties, PartyEntry, PartyKey, PartyList
from contracts.peers import Certifying, Peer, Role, Speaking, by_any

OPERATOR = Identity.generate()
KEYS = [Identity.generate().public for _ in range(8)]
HOUR = 3_600_000
BASE = {f"p{i}": Peer(i, KEYS[i]) for i in (1, 2, 3)}


def empty() -> PartyList:
    return PartyList([ListOperator(OPERATOR.public)])


def say(listed: PartyList, action: Action, party_id: str, **content: Any) -> None:
    signed = listed.signed(OPERATOR, issued_at=1, action=action, party_id=party_id, **content)
    assert listed.take(signed)


def put(
    listed: PartyList, party_id: str, index: int, *keys: PartyKey | PublicIdentity, **more: Any
) -> None:
    made = tuple(key if isinstance(key, PartyKey) else PartyKey(public_key=key.der) for key in keys)
    given = {"role": Role.PERSISTENT, **more}
    say(listed, Action.PUT, party_id, index=index, keys=made, **given)


def known(listed: PartyList, now: int = 0, **more: Any) -> KnownParties:
    return KnownParties(BASE, listed, clock=lambda: now, **more)


def test_without_a_list_the_configuration_is_what_is_known() -> None:
    parties = known(empty())
    assert dict(parties) == BASE
    assert (len(parties), repr(parties)) == (3, "KnownParties(p1, p2, p3)")


def test_a_party_that_is_put_is_known_at_its_place_and_no_restart_is_needed() -> None:
    listed = empty()
    parties = known(listed)
    assert "p4" not in parties
    put(listed, "p4", 4, KEYS[4], role=Role.RECOVERY, labels={"zone": "b"})
    assert list(parties) == ["p1", "p2", "p3", "p4"]
    expected = Peer(4, KEYS[4], role=Role.RECOVERY, labels={"zone": "b"})
    assert parties["p4"] == expected


def test_for_who_is_in_the_list_the_list_alone_says_which_keys_count() -> None:
    listed = empty()
    parties = known(listed)
    put(listed, "p2", 2, KEYS[5])
    assert parties["p2"] == Peer(2, KEYS[5], former=(KEYS[2],))
    assert parties["p2"].current == (KEYS[5],)
    assert parties["p2"].ever == (KEYS[5], KEYS[2])
    assert parties["p1"] == BASE["p1"]


def test_two_keys_count_while_one_takes_the_place_of_the_other() -> None:
    listed = empty()
    old = PartyKey(public_key=KEYS[2].der, valid_until=2 * HOUR)
    put(listed, "p2", 2, old, PartyKey(public_key=KEYS[5].der, valid_from=HOUR))
    now = [0]
    parties = KnownParties(BASE, listed, clock=lambda: now[0], lenience_ms=1000)

    def told() -> tuple[PublicIdentity, tuple[PublicIdentity, ...], tuple[PublicIdentity, ...]]:
        return parties["p2"].identity, parties["p2"].others, parties["p2"].former

    assert told() == (KEYS[2], (KEYS[5],), ())
    now[0] = HOUR
    assert told() == (KEYS[5], (KEYS[2],), ())
    now[0] = 2 * HOUR + 999
    assert told() == (KEYS[5], (KEYS[2],), ())
    now[0] = 2 * HOUR + 1000
    assert told() == (KEYS[5], (), (KEYS[2],))


def test_a_key_that_has_ended_names_nobody_though_it_is_believed_for_a_moment() -> None:
    listed = empty()
    new = PartyKey(public_key=KEYS[5].der, valid_from=2 * HOUR)
    put(listed, "p2", 2, PartyKey(public_key=KEYS[2].der, valid_until=HOUR), new)
    parties = known(listed, now=HOUR, lenience_ms=1000)
    assert (parties["p2"].identity, parties["p2"].others) == (KEYS[5], (KEYS[2],))


def test_a_lost_key_speaks_no_more_and_what_it_certified_stays() -> None:
    listed = empty()
    put(listed, "p2", 2, KEYS[2])
    say(listed, Action.LOST, "p2", lost=KEYS[2].der)
    parties = known(listed)
    assert not parties["p2"].present
    assert (parties["p2"].current, parties["p2"].ever) == ((), (KEYS[2],))
    assert Speaking(parties)["p2"] == ()
    assert list(Speaking(parties)) == ["p1", "p3"]
    assert len(Speaking(parties)) == 2
    assert Certifying(parties)["p2"] == (KEYS[2],)
    assert (list(Certifying(parties)), len(Certifying(parties))) == (["p1", "p2", "p3"], 3)
    with pytest.raises(ListError, match="a key that was lost"):
        put(listed, "p2", 2, KEYS[2])
    put(listed, "p2", 2, KEYS[5])
    assert parties["p2"] == Peer(2, KEYS[5], former=(KEYS[2],))
    with pytest.raises(ListError, match="no such key to lose"):
        say(listed, Action.LOST, "p2", lost=KEYS[2].der)
    with pytest.raises(ListError, match="no such key to lose"):
        say(listed, Action.LOST, "p2", lost=KEYS[1].der)


def test_a_drained_party_that_changes_its_key_stays_drained_if_that_is_said() -> None:
    listed = empty()
    put(listed, "p2", 2, KEYS[2])
    say(listed, Action.DRAIN, "p2")
    put(listed, "p2", 2, KEYS[5], drained=True)
    assert known(listed)["p2"] == Peer(2, KEYS[5], former=(KEYS[2],), drained=True)
    with pytest.raises(ContractError, match="does not say what is drained"):
        say(listed, Action.RETIRE, "p2", drained=True)


def test_a_drained_party_is_put_back_by_being_put() -> None:
    listed = empty()
    put(listed, "p2", 2, KEYS[2])
    say(listed, Action.DRAIN, "p2")
    parties = known(listed)
    assert parties["p2"].drained
    assert parties["p2"].present
    put(listed, "p2", 2, KEYS[2])
    assert not parties["p2"].drained


def test_a_retired_party_speaks_no_more_and_nobody_is_called_so_again() -> None:
    listed = empty()
    put(listed, "p4", 4, KEYS[4])
    say(listed, Action.RETIRE, "p4")
    parties = known(listed)
    assert parties["p4"].current == ()
    assert parties["p4"].ever == (KEYS[4],)
    for key in (KEYS[4], KEYS[5]):
        with pytest.raises(ListError, match="has retired, and nobody is called so again"):
            put(listed, "p4", 4, key)
    with pytest.raises(ListError, match="has retired"):
        say(listed, Action.DRAIN, "p4")


def test_an_index_and_a_key_are_given_once() -> None:
    listed = empty()
    put(listed, "p4", 4, KEYS[4])
    put(listed, "p4", 4, KEYS[5])
    with pytest.raises(ListError, match="gets the index of p4"):
        put(listed, "p5", 4, KEYS[6])
    for key in (KEYS[4], KEYS[5]):  # those of before, too
        with pytest.raises(ListError, match="gets the key of p4"):
            put(listed, "p5", 5, key)
    with pytest.raises(ListError, match="has index 4, and keeps it"):
        put(listed, "p4", 6, KEYS[5])
    say(listed, Action.RETIRE, "p4")
    with pytest.raises(ListError, match="gets the index of p4"):
        put(listed, "p5", 4, KEYS[6])


@pytest.mark.parametrize(
    ("party_id", "index", "key"), [("p9", 2, KEYS[6]), ("p9", 9, KEYS[2]), ("p2", 9, KEYS[2])]
)
def test_who_gets_what_the_configuration_gives_another_is_nobody_here(
    party_id: str, index: int, key: PublicIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    listed = empty()
    put(listed, party_id, index, key)
    parties = known(listed)
    with caplog.at_level(logging.ERROR):
        assert party_id not in parties
    assert "ALARM" in caplog.text
    caplog.clear()
    put(listed, "p4", 4, KEYS[4])
    assert "p4" in parties
    assert not caplog.text


def test_what_is_in_no_list_has_to_be_put_there_first() -> None:
    listed = empty()
    for action, more in ((Action.DRAIN, {}), (Action.RETIRE, {}), (Action.LOST, {"lost": b"x"})):
        with pytest.raises(ListError, match="has to be put there first"):
            say(listed, action, "p2", **more)


@pytest.mark.parametrize(
    "content",
    [
        {"action": Action.PUT, "party_id": "p4"},
        {"action": Action.PUT, "party_id": "p4", "index": 4, "role": Role.PERSISTENT},
        {"action": Action.DRAIN, "party_id": "p4", "index": 4},
        {"action": Action.DRAIN, "party_id": "p4", "labels": {"zone": "a"}},
        {"action": Action.LOST, "party_id": "p4"},
        {"action": Action.RETIRE, "party_id": "p4", "lost": KEYS[4].der},
    ],
)
def test_an_action_has_its_own_fields_and_no_others(content: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        empty().signed(OPERATOR, issued_at=1, **content)


def test_a_key_stands_in_an_entry_once() -> None:
    key = PartyKey(public_key=KEYS[4].der)
    with pytest.raises(ContractError, match="twice"):
        put(empty(), "p4", 4, key, key)


def test_no_role_is_known_that_nothing_is_done_for() -> None:
    with pytest.raises(ContractError):
        put(empty(), "p4", 4, KEYS[4], role="delegate")


def test_an_entry_of_no_operator_or_of_another_list_is_none_of_this_one() -> None:
    stranger = Identity.generate()
    theirs = PartyList([ListOperator(stranger.public)])
    signed = theirs.signed(
        stranger,
        issued_at=1,
        action=Action.PUT,
        party_id="p4",
        index=4,
        role=Role.PERSISTENT,
        keys=(PartyKey(public_key=KEYS[4].der),),
    )
    with pytest.raises(UnauthenticatedError):
        empty().take(signed)
    with pytest.raises(ValidationError):
        PartyEntry.model_validate_json(
            '{"number":1,"previous":"00","signer":"","issued_at":1,"list":"clients"}'
        )


def test_listed_parties_are_told_in_the_order_of_their_indices() -> None:
    listed = empty()
    put(listed, "p5", 5, KEYS[5])
    put(listed, "p4", 4, KEYS[4])
    assert [party.party_id for party in listed.parties()] == ["p4", "p5"]
    told = listed.party("p4")
    assert told is not None
    assert told.keys[0].identity == KEYS[4]
    assert listed.party("p6") is None


def test_by_any_key_that_passes_and_by_none_where_there_is_none() -> None:
    def check(key: PublicIdentity) -> int:
        if key != KEYS[2]:
            raise ContractError("another key")
        return 2

    assert by_any(KEYS[2], check) == 2
    assert by_any((KEYS[1], KEYS[2], KEYS[3]), check) == 2
    for keys in ((KEYS[1], KEYS[3]), ()):
        with pytest.raises(ContractError):
            by_any(keys, check)
