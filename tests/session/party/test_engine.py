"""Rounds of any protocol: who waits for whom, who is to blame, and which plays are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.results import Status
from contracts.sessions import PartyAlive
from tests.protocols.simulate import index
from tests.session.builders import drawn, no_coins, party, report_in
from tests.session.party.handing import (
    CLEAR,
    DEALERS,
    ENGINE,
    HAND,
    NAMES,
    PLAYS,
    RECEIVERS,
    Run,
    created,
    number,
    protocol,
)
from workers.protocols.rounds import (
    MisuseError,
    Outbox,
    PartyFaultError,
    PartyIndex,
    SpoiltSessionError,
)
from workers.session.party.engine import Engine, Move, Turn
from workers.session.party.engines import ENGINES
from workers.session.protocols import IncompleteTableError, Role, Round, Way


def edges(run: Run, round_: int) -> set[tuple[int, int]]:
    sent = [each for each in run.sent if each.kind == f"hand/{round_}"]
    made = {
        (
            int(UnverifiedEnvelope.from_bytes(each.body).claimed.sender[-1]),
            int(each.routing_key[-1]),
        )
        for each in sent
    }
    assert len(made) == len(sent)
    return made


def between(senders: tuple[int, ...], receivers: tuple[int, ...]) -> set[tuple[int, int]]:
    return {(i, j) for i in senders for j in receivers if i != j}


def without(*places: tuple[str, int]) -> Callable[[Envelope, str], Envelope | None]:
    """Messages of these senders and rounds get lost."""
    return lambda content, _: None if (content.sender, content.round) in places else content


def changed(
    sender: str, round_: int, change: Callable[[bytes], bytes]
) -> Callable[[Envelope, str], Envelope]:
    def tamper(content: Envelope, _: str) -> Envelope:
        if (content.sender, content.round) == (sender, round_):
            return replace(content, payload=change(content.payload))
        return content

    return tamper


###
### Dealers and receivers
###


def test_each_speaks_to_those_that_the_round_is_for() -> None:
    run = Run().play()
    assert run.errors == {}
    assert edges(run, 1) == between((1, 2, 3, 4), (1, 2, 3, 4))
    assert edges(run, 2) == between(DEALERS, RECEIVERS)
    assert edges(run, 3) == between(RECEIVERS, RECEIVERS)
    assert {steps[-1].status for steps in run.steps.values()} == {Status.COMPLETED}
    reports = [report_in(each) for each in run.sent if each.kind == "party_alive"]
    assert reports == [PartyAlive(at=sum(10 * i for i in DEALERS))] * len(RECEIVERS)


def test_what_is_dealt_is_sealed_for_its_receiver() -> None:
    dealings = [each for each in Run().play().sent if each.kind == "hand/2"]
    for message in dealings:
        content = UnverifiedEnvelope.from_bytes(message.body).claimed
        assert content.recipient == message.routing_key != EVERYONE
        assert content.payload.startswith(CLEAR)
        assert len(content.payload) == len(CLEAR) + 1 + 16


def test_who_only_deals_is_done_when_it_has_dealt() -> None:
    dealer = Run().play().steps["party-1"]
    assert [step.status for step in dealer] == [Status.IN_PROGRESS, Status.COMPLETED]
    assert {each.kind for each in dealer[-1].outgoing} == {"hand/2"}
    assert dealer[-1].state == b""


@pytest.mark.parametrize(
    ("lost", "silent"),
    [
        (("party-1", 1), {"party-2": ["party-1"], "party-4": ["party-1"]}),
        (("party-3", 1), {"party-1": ["party-3"], "party-2": ["party-3"]}),
        (("party-1", 2), {"party-2": ["party-1"], "party-3": ["party-1"]}),
        (("party-2", 2), {"party-3": ["party-2"], "party-4": ["party-2"]}),
        (("party-4", 3), {"party-2": ["party-4"], "party-3": ["party-4"]}),
    ],
)
def test_the_silent_are_those_who_have_to_speak_and_have_not(
    lost: tuple[str, int], silent: dict[str, list[str]]
) -> None:
    run = Run().play(without(lost))
    assert run.errors == {}
    for name, missing in silent.items():
        seat = run.seat(name)
        assert seat.state.round == lost[1]
        assert seat.silent(run.rows[name]) == missing
        assert seat.inbox(run.rows[name], seat.state.round) is None


def test_receivers_wait_for_dealers_and_for_nobody_else() -> None:
    run = Run().play(without(("party-1", 2), ("party-2", 2)))
    for name, missing in (
        ("party-2", ["party-1"]),
        ("party-3", ["party-1", "party-2"]),
        ("party-4", ["party-1", "party-2"]),
    ):
        assert run.seat(name).silent(run.rows[name]) == missing


@pytest.mark.parametrize(
    ("to", "changes", "reason"),
    [
        ("party-4", {"sender": "party-3", "round": 2}, "party-3 has no hand/2 to send us"),
        ("party-1", {"sender": "party-2", "round": 2}, "party-2 has no hand/2 to send us"),
        ("party-3", {"sender": "party-1", "round": 3}, "party-1 has no hand/3 to send us"),
        ("party-3", {"sender": "party-9", "round": 1}, "takes no part"),
        ("party-3", {"epoch": 1}, "epoch 1"),
    ],
)
def test_who_has_nothing_to_say_in_a_round_is_not_heard(
    to: str, changes: dict[str, Any], reason: str
) -> None:
    seat = Run().play(without(*((name, 1) for name in NAMES))).seat(to)
    first = replace(seat.place("party-2", EVERYONE), round=1)
    seat.check_sender(first)
    with pytest.raises(ContractError, match=reason):
        seat.check_sender(replace(first, **changes))


###
### Blame
###


@pytest.mark.parametrize(
    ("sender", "round_", "change", "check", "victims"),
    [
        ("party-3", 1, lambda data: b"\5" + data[1:], "ephemeral key", {1, 2, 4}),
        ("party-1", 1, lambda data: data + b"\xff", "encoding", {2, 3, 4}),
        ("party-1", 2, lambda data: b"deaf" + data[4:], "encoding", {2, 3, 4}),
        ("party-4", 3, lambda data: data + data, "encoding", {2, 3}),
        ("party-4", 3, lambda _: b"\0", "sum", {2, 3}),
    ],
)
def test_a_liar_is_named_by_all_who_hear_it(
    sender: str, round_: int, change: Any, check: str, victims: set[int]
) -> None:
    errors = Run().play(changed(sender, round_, change)).errors
    assert errors.keys() >= {f"party-{i}" for i in victims}
    for i in victims:
        error = errors[f"party-{i}"]
        assert isinstance(error, PartyFaultError)
        assert (set(error.culprits), error.check) == ({int(sender[-1])}, check)


def test_all_liars_of_a_round_are_named() -> None:
    def tamper(content: Envelope, _: str) -> Envelope:
        return replace(content, payload=b"\0" * 4) if content.round == 2 else content

    error = Run().play(tamper).errors["party-3"]
    assert isinstance(error, PartyFaultError)
    assert error.culprits == set(DEALERS)


def test_what_does_not_open_is_nobodys_fault() -> None:
    spoil = changed("party-1", 2, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    errors = Run().play(spoil).errors
    assert errors.keys() == {"party-2", "party-3", "party-4"}
    for error in errors.values():
        assert isinstance(error, SpoiltSessionError)
        assert str(error) == "what party-1 sent us does not open"


###
### Sealed before both are introduced
###

FIRST = protocol(
    Round(way=Way.DIRECT, senders=Role.DEALERS, receivers=Role.RECEIVERS, introduces=True),
    Round(way=Way.DIRECT, senders=Role.RECEIVERS, receivers=Role.DEALERS, introduces=True),
)


def to_each(hearers: tuple[int, ...]) -> Callable[[Turn], Outbox[bytes, bytes]]:
    def said(turn: Turn) -> Outbox[bytes, bytes]:
        own = turn.state.own_index
        return Outbox(direct={index(each): bytes([own]) for each in hearers if each != own})

    return said


def test_dealers_may_seal_before_receivers_are_known_and_receivers_answer() -> None:
    heard: dict[tuple[int, int], Mapping[PartyIndex, int]] = {}

    def say(senders: tuple[int, ...], hearers: tuple[int, ...]) -> Callable[[Turn], Move]:
        def play(turn: Turn) -> Move:
            listen(turn)
            speaks = turn.state.own_index in senders
            return Move(outbox=to_each(hearers)(turn) if speaks else Outbox())

        return play

    def listen(turn: Turn) -> Move:
        if turn.inbox:
            heard[turn.state.own_index, turn.state.round] = turn.parse(number)
        return Move()

    engine = Engine(FIRST, (say(DEALERS, RECEIVERS), say(RECEIVERS, DEALERS), listen))
    run = Run(engine).play()
    assert run.errors == {}
    assert heard == {
        (2, 1): {1: 1},
        (3, 1): {1: 1, 2: 2},
        (4, 1): {1: 1, 2: 2},
        (1, 2): {2: 2, 3: 3, 4: 4},
        (2, 2): {3: 3, 4: 4},
    }


###
### Plays that do not fit
###


@pytest.mark.parametrize(
    ("i", "broadcast", "to"),
    [
        (3, CLEAR, []),
        (3, None, [4]),
        (1, None, []),
        (1, CLEAR, []),
        (1, None, [2, 3, 4]),
        (1, CLEAR, [2, 3]),
        (2, CLEAR, [1, 3, 4]),
    ],
)
def test_a_play_says_exactly_what_the_round_is_for(
    i: int, broadcast: bytes | None, to: list[int]
) -> None:
    seat = Run().play(without(*((name, 1) for name in NAMES))).seat(f"party-{i}")
    seat = ENGINE.seat(replace(seat.state, round=2), seat.party)
    outbox = Outbox(broadcast=broadcast, direct={index(each): b"\0" for each in to})
    with pytest.raises(MisuseError, match="more or less in hand/2"):
        ENGINE.send(seat, outbox, {})


def test_a_broadcast_is_not_left_out() -> None:
    engine = Engine(HAND, (lambda _: Move(), *PLAYS[1:]))
    with pytest.raises(MisuseError, match="hand/1"):
        engine.begin(created(), party(1), randomness=drawn(b""))


@pytest.mark.parametrize("plays", [PLAYS[1:], (*PLAYS, PLAYS[-1])])
def test_a_protocol_has_a_play_for_each_round_and_one_that_begins(plays: Any) -> None:
    with pytest.raises(IncompleteTableError, match="hand takes 4 plays"):
        Engine(HAND, plays)


def test_a_round_that_is_not_complete_draws_no_coins_and_comes_to_nothing() -> None:
    seat = Run().play(without(("party-1", 2))).seat("party-3")
    assert ENGINE.advance(seat.state, seat.party, (), randomness=no_coins) is None


def test_engines_are_found_under_the_names_of_their_protocols() -> None:
    assert {name: engine.protocol.name for name, engine in ENGINES.items()} == {
        "keygen": "keygen",
        "presign": "presign",
        "reshare": "reshare",
    }
