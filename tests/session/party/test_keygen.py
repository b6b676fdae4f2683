"""A key generation of three parties without queue and store, and one that lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import addresses, sessions
from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Curve
from contracts.results import Status
from tests.protocols.simulate import reconstruct
from tests.session.builders import (
    PEERS,
    KeygenRun,
    begin_keygen,
    member,
    no_coins,
    party,
    received,
    report_in,
    run_keygen,
)
from workers.protocols import keygen as protocol
from workers.protocols.groups import group_by_name
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import EchoMismatchError, PartyFaultError, SpoiltSessionError
from workers.session.failures import failure_of
from workers.session.party.direct import EPHEMERAL_BYTES
from workers.session.party.engines import ENGINES
from workers.session.party.seat import RoundState
from workers.session.party.step import Step
from workers.store.records import KeyShareRecord, Received

LIAR = "party-3"
HONEST = ("party-1", "party-2")


def last(run: KeygenRun, name: str) -> Step:
    end = run.ends[name]
    assert isinstance(end, Step)
    return end


def record(run: KeygenRun, name: str) -> KeyShareRecord:
    made = last(run, name).key_share
    assert made is not None
    return made


###
### Honest parties
###


@pytest.mark.parametrize("curve", list(Curve))
def test_three_parties_make_one_key(curve: Curve) -> None:
    run = run_keygen(curve=curve)
    records = {i: record(run, f"party-{i}") for i in (1, 2, 3)}
    assert all(each.active for each in records.values())
    (facts,) = {each.facts for each in records.values()}
    shares = {i: KeyShare.from_bytes(each.secret) for i, each in records.items()}
    made = KeyFacts.model_validate_json(facts)
    assert made.public_key == shares[1].public_key.to_bytes()
    group = group_by_name(curve)
    for i, j in ((1, 2), (1, 3), (2, 3)):
        pair = {shares[i].index: shares[i], shares[j].index: shares[j]}
        assert (reconstruct(pair) * group.generator).to_bytes() == made.public_key
    pinned = {name: peer.identity for name, peer in PEERS.items()}
    for each in records.values():
        CertifiedKey(facts=made, certificates=dict(each.certificates)).verify(pinned)


@pytest.mark.parametrize(("client_id", "owner"), [("svcA", "svcA"), (None, "")])
def test_a_share_is_kept_under_its_owner(client_id: str | None, owner: str) -> None:
    kept = record(run_keygen(client_id=client_id), "party-1")
    assert (kept.owner, kept.key_id) == (owner, "key-1")
    assert KeyFacts.model_validate_json(kept.facts).client_id == client_id


def test_every_party_reports_that_it_joined_and_the_key_that_all_certified() -> None:
    run = run_keygen()
    reports = [report_in(each) for each in run.sent if each.exchange == addresses.REPORTS]
    assert [each.report for each in reports] == ["party_joined"] * 3 + ["key_certified"] * 3
    for each in reports[3:]:
        assert isinstance(each, sessions.KeyCertified)
        assert each.certificates.keys() == {"party-1", "party-2", "party-3"}


def test_a_share_is_not_usable_before_all_certificates_are_in() -> None:
    run = run_keygen()
    for steps in run.steps.values():
        kept = [step.key_share for step in steps if step.key_share is not None]
        assert [each.active for each in kept] == [False, True]
        assert kept[0].secret == kept[1].secret
        assert [step.status for step in steps][-1] is Status.COMPLETED


def test_shares_go_to_their_party_alone_and_are_sealed() -> None:
    run = run_keygen()
    direct = [each for each in run.sent if each.kind == "keygen/3"]
    pairs = set()
    for each in direct:
        claimed = UnverifiedEnvelope.from_bytes(each.body).claimed
        assert each.routing_key == claimed.recipient != EVERYONE
        pairs.add((claimed.sender, claimed.recipient))
    assert len(pairs) == len(direct) == 6


def advance(state: RoundState, rows: list[Received]) -> Step | None:
    return ENGINES["keygen"].advance(state, party(1), rows, randomness=no_coins)


def test_nothing_happens_before_a_round_is_complete() -> None:
    step = begin_keygen(1)
    state = RoundState.from_bytes(step.state)
    assert advance(state, []) is None
    theirs = UnverifiedEnvelope.from_bytes(begin_keygen(2).outgoing[1].body).claimed
    assert advance(state, [received(theirs)]) is None


def test_messages_that_came_early_are_all_played_in_one_step() -> None:
    # All of the others' rounds 1 to 3 wait when party-1's last message of round 1 arrives.
    run = run_keygen()
    first = run.steps["party-1"]
    rows = [
        received(UnverifiedEnvelope.from_bytes(each.body).claimed)
        for each in run.sent
        if each.routing_key == "party-1" and each.kind in {"keygen/1", "keygen/2"}
    ]
    step = advance(RoundState.from_bytes(first[0].state), rows)
    assert step is not None
    assert RoundState.from_bytes(step.state).round == 3
    assert [each.kind for each in step.outgoing] == ["keygen/2"] * 2 + ["keygen/3"] * 2


###
### State
###


def test_the_state_is_stored_and_read_back_between_all_rounds() -> None:
    run = run_keygen()
    for i, steps in enumerate(run.steps.values(), start=1):
        states = [step.state for step in steps[:-1]]
        assert [RoundState.from_bytes(each).round for each in states] == [1, 2, 3, 4]
        for state in states:
            again = RoundState.from_bytes(state)
            assert again.to_bytes() == state
            assert again.own_index == i
            assert [each.index for each in again.others] == [j for j in (1, 2, 3) if j != i]


def test_the_last_step_leaves_no_state() -> None:
    assert {
        step.state for step in (last(run_keygen(), name) for name in PEERS if name != "party-4")
    } == {b""}


def test_the_state_hides_in_its_repr() -> None:
    state = RoundState.from_bytes(begin_keygen(1).state)
    assert repr(state.protocol)[2:60] not in repr(state)


###
### A liar
###


def lying(round_: int, change: Any, *, to: tuple[str, ...] = HONEST) -> KeygenRun:
    """Party 3's messages of one round arrive changed, properly signed."""

    def tamper(content: Envelope, recipient: str) -> Envelope:
        if content.sender == LIAR and content.round == round_ and recipient in to:
            return replace(content, payload=change(content.payload))
        return content

    return run_keygen(tamper=tamper)


def assert_named(run: KeygenRun, check: str, *, by: tuple[str, ...] = HONEST) -> None:
    for name in by:
        error = run.errors()[name]
        assert isinstance(error, PartyFaultError)
        assert error.culprits == {3}
        assert error.check == check
    for name in HONEST:
        end = run.ends[name]
        assert isinstance(end, Exception) or end.key_share is None or not end.key_share.active


def test_an_ephemeral_key_that_is_no_point_names_its_sender() -> None:
    for wrong in (bytes(EPHEMERAL_BYTES), b"\x05" + bytes(64), b"\x04" + b"\xff" * 64):
        run = lying(1, lambda payload, wrong=wrong: wrong + payload[EPHEMERAL_BYTES:])
        assert_named(run, "ephemeral key")


def test_two_liars_of_round_1_are_both_named() -> None:
    def tamper(content: Envelope, _: str) -> Envelope:
        if content.round == 1 and content.sender == "party-2":
            return replace(content, payload=content.payload + b"\0")
        if content.round == 1 and content.sender == "party-3":
            return replace(content, payload=b"\0" + content.payload[1:])
        return content

    error = run_keygen(tamper=tamper).errors()["party-1"]
    assert isinstance(error, PartyFaultError)
    assert error.culprits == {2, 3}
    assert error.check == "encoding, ephemeral key"


@pytest.mark.parametrize("round_", [1, 2])
@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda payload: payload[:-1], lambda payload: payload + b"\0"]
)
def test_a_broadcast_of_another_size_names_its_sender(round_: int, change: Any) -> None:
    assert_named(lying(round_, change), "encoding")


def test_points_that_are_none_name_their_sender() -> None:
    assert_named(lying(2, lambda payload: b"\xff" * 32 + payload[32:]), "encoding")


def test_an_opening_of_another_commitment_names_its_sender() -> None:
    flipped = lying(2, lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]))
    assert_named(flipped, "opening")
    other = lying(1, lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]))
    assert_named(other, "opening")


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda payload: payload[:-1], lambda payload: bytes(len(payload))]
)
def test_a_share_that_does_not_open_spoils_the_session_and_says_whose_it_was(change: Any) -> None:
    error = lying(3, change, to=("party-1",)).errors()["party-1"]
    assert isinstance(error, SpoiltSessionError)
    members = [member(1), member(2), member(3)]
    failure = failure_of(error, members, round_=3)
    assert failure.culprits == []
    assert LIAR in failure.message


def test_another_ephemeral_key_for_one_party_spoils_the_session() -> None:
    other = RoundState.from_bytes(begin_keygen(2).state).ephemeral.public_bytes()
    run = lying(1, lambda payload: other + payload[EPHEMERAL_BYTES:], to=("party-1",))
    assert isinstance(run.errors()["party-1"], SpoiltSessionError)


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda _: bytes(70), lambda payload: payload[1:]]
)
def test_a_wrong_certificate_names_its_sender_and_the_share_stays_unusable(change: Any) -> None:
    run = lying(4, change)
    assert_named(run, "certificate")
    for name in HONEST:
        kept = [step.key_share for step in run.steps[name] if step.key_share is not None]
        assert [each.active for each in kept] == [False]


def test_a_certificate_of_another_party_is_not_the_senders() -> None:
    own = next(
        UnverifiedEnvelope.from_bytes(each.body).claimed.payload
        for each in run_keygen().sent
        if each.kind == "keygen/4"
        and UnverifiedEnvelope.from_bytes(each.body).claimed.sender == "party-1"
    )
    assert_named(lying(4, lambda _: own), "certificate")


def test_parties_that_saw_different_broadcasts_blame_nobody() -> None:
    """Party 3 commits and opens one polynomial to party 1, another to party 2."""
    second = _another_self()

    def tamper(content: Envelope, recipient: str) -> Envelope:
        if content.sender == LIAR and recipient == "party-2" and content.round in second:
            return replace(content, payload=second[content.round])
        return content

    errors = run_keygen(tamper=tamper).errors()
    for name in HONEST:
        assert isinstance(errors[name], EchoMismatchError)


def _another_self() -> dict[int, bytes]:
    """Rounds 1 and 2 of party 3 as it would have sent them with other coins."""
    run = run_keygen()
    state = RoundState.from_bytes(run.steps[LIAR][0].state)
    committed = protocol.Committed.from_bytes(state.protocol)
    other, outbox = protocol.round1(committed.parameters, randomness=b"\x07" * 32)
    assert outbox.broadcast is not None
    return {
        1: state.ephemeral.public_bytes() + outbox.broadcast.to_bytes(),
        2: other.opening.to_bytes(),
    }


LIES = st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, 999), st.integers(1, 255)))
"""Other bytes altogether, or where a byte changes and how."""


@settings(max_examples=40)
@given(round_=st.integers(1, 4), to=st.sampled_from([HONEST, HONEST[:1], HONEST[1:]]), lie=LIES)
def test_whatever_one_party_says_the_others_end_in_one_key_or_in_no_key(
    round_: int, to: tuple[str, ...], lie: bytes | tuple[int, int]
) -> None:
    def change(payload: bytes) -> bytes:
        if isinstance(lie, bytes):
            return lie
        at = lie[0] % len(payload)
        return payload[:at] + bytes([payload[at] ^ lie[1]]) + payload[at + 1 :]

    # An exception of another kind than a step may raise would leave `run_keygen`.
    run = lying(round_, change, to=to)
    for name in to:
        error = run.errors()[name]
        assert not isinstance(error, PartyFaultError) or error.culprits == {3}
    keys = {
        end.key_share.facts
        for end in run.ends.values()
        if isinstance(end, Step) and end.key_share is not None and end.key_share.active
    }
    assert len(keys) <= 1
