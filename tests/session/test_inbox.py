from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.envelope import COORDINATOR, EVERYONE, Envelope
from contracts.errors import ContractError
from tests.protocols.simulate import coins
from tests.session.builders import member, received
from workers.session import inbox
from workers.session.errors import EquivocationError

FIRST = Envelope(
    session_id=coins("session"),
    epoch=0,
    kind="keygen",
    round=1,
    sender="party-1",
    recipient=EVERYONE,
    payload=b"commitment",
)
MEMBERS = [member(1), member(2), member(3)]


###
### Place
###


@pytest.mark.parametrize(
    ("round_", "recipient"), [(1, EVERYONE), (2, EVERYONE), (3, "party-2"), (4, EVERYONE)]
)
def test_every_round_has_its_place(round_: int, recipient: str) -> None:
    inbox.check_place(replace(FIRST, round=round_, recipient=recipient), "party-2")


@pytest.mark.parametrize("round_", [1, 2, 3])
def test_every_round_of_a_batch_has_one_recipient(round_: int) -> None:
    message = replace(FIRST, kind="presign", round=round_)
    inbox.check_place(replace(message, recipient="party-2"), "party-2")
    for recipient in (EVERYONE, COORDINATOR, "party-3"):
        with pytest.raises(ContractError, match="not meant for"):
            inbox.check_place(replace(message, recipient=recipient), "party-2")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"kind": "presign", "round": 4, "recipient": "party-2"},
            "no protocol has a message 'presign/4'",
        ),
        ({"kind": "sign"}, "no protocol has a message 'sign/1'"),
        ({"round": 0}, "no protocol has"),
        ({"round": 5}, "no protocol has"),
        ({"recipient": "party-2"}, "not meant for 'party-2'"),
        ({"recipient": COORDINATOR}, "not meant for"),
        ({"round": 3}, "not meant for"),
        ({"round": 3, "recipient": "party-3"}, "not meant for 'party-3'"),
        ({"sender": "party-2"}, "our own came back"),
    ],
)
def test_a_message_out_of_place_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        inbox.check_place(replace(FIRST, **changes), "party-2")


@pytest.mark.parametrize(
    ("changes", "reason"), [({"epoch": 1}, "epoch 1"), ({"sender": "party-4"}, "takes no part")]
)
def test_who_takes_no_part_is_refused(changes: dict[str, Any], reason: str) -> None:
    inbox.check_member(FIRST, MEMBERS, epoch=0)
    with pytest.raises(ContractError, match=reason):
        inbox.check_member(replace(FIRST, **changes), MEMBERS, epoch=0)


def test_a_cause_names_one_message() -> None:
    others = [
        replace(FIRST, round=2),
        replace(FIRST, sender="party-2"),
        replace(FIRST, payload=b"other"),
    ]
    assert len({inbox.cause_of(each) for each in (FIRST, FIRST, *others)}) == 4


###
### Repeats
###


def test_the_same_message_again_is_a_repeat_whoever_signed_its_bytes_anew() -> None:
    first, again = received(FIRST), received(FIRST)
    assert first.body != again.body
    assert not inbox.repeats([], again.slot, again.sender, again.digest)
    assert inbox.repeats([first], again.slot, again.sender, again.digest)


def test_another_message_in_the_same_place_is_equivocation_of_its_sender() -> None:
    first, second = received(FIRST), received(replace(FIRST, payload=b"other"))
    with pytest.raises(EquivocationError, match="party-1 sent two different") as caught:
        inbox.repeats([first], second.slot, second.sender, second.digest)
    assert caught.value.sender == "party-1"
    kept = inbox.evidence(second)
    assert (kept.slot, kept.sender, kept.body) == ("keygen/1/second", "party-1", second.body)
    assert not inbox.repeats([kept], first.slot, first.sender, first.digest)


def test_the_first_message_of_a_place_is_found_again() -> None:
    first, second = received(FIRST), received(replace(FIRST, payload=b"other"))
    others = [received(replace(FIRST, round=2)), received(replace(FIRST, sender="party-2"))]
    assert inbox.first_of([*others, first], second) is first


@pytest.mark.parametrize("changes", [{"round": 2}, {"sender": "party-2"}])
def test_messages_in_other_places_are_no_repeat(changes: dict[str, Any]) -> None:
    other = received(replace(FIRST, **changes))
    assert not inbox.repeats([received(FIRST)], other.slot, other.sender, other.digest)


###
### Complete rounds
###


def test_a_round_is_complete_when_every_other_party_has_spoken_in_it() -> None:
    others = [member(1), member(3)]
    rows = [received(FIRST), received(replace(FIRST, sender="party-3", round=2))]
    assert inbox.payloads(rows, "keygen/1", others) is None
    assert inbox.missing(rows, "keygen/1", others) == ["party-3"]
    rows.append(inbox.evidence(received(replace(FIRST, sender="party-3", payload=b"lie"))))
    assert inbox.payloads(rows, "keygen/1", others) is None
    rows.append(received(replace(FIRST, sender="party-3", payload=b"third")))
    assert inbox.payloads(rows, "keygen/1", others) == {1: b"commitment", 3: b"third"}
    assert inbox.missing(rows, "keygen/1", others) == []
