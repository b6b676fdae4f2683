"""Batches of presignatures without queue and store: spoilt on the way, or by a liar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contracts.errors import ContractError
from contracts.failures import FailureCode
from tests.protocols.dkls23.batches import sign_all, task_of
from tests.protocols.simulate import coins
from tests.session.presigners import (
    CLEAR,
    HONEST,
    LIAR,
    TO_ONE,
    Run,
    claimed,
    cut,
    error_of,
    sent,
    stored,
)
from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import (
    EchoMismatchError,
    PartyFaultError,
    SpoiltSessionError,
)
from workers.session.errors import EquivocationError
from workers.session.failures import failure_of

G = SECP256K1.generator
QUICKLY = (Phase.explicit, Phase.reuse, Phase.generate)
"""A whole batch for each example: to look for the smallest that fails would take minutes."""


def flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return change


def put(at: int, part: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + part + data[at + len(part) :]


###
### Spoilt on the way
###


def named(run: Run, check: str) -> None:
    """The liar failed this check, and nobody else is blamed."""
    error = error_of(run)
    assert isinstance(error, PartyFaultError)
    failure = failure_of(error, run.batch.terms.members, round_=1)
    assert (failure.culprits, error.check, error.ban) == ([LIAR], check, False)


def only_to_one(run: Run) -> Run:
    """What the liar sends to party 1, and nothing else."""
    run.under_way = [run.under_way[run.place_of(TO_ONE)]]
    return run


@pytest.mark.parametrize("round_", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_sealed_byte_that_changed_spoils_the_session_and_names_nobody(
    round_: int, data: st.DataObject
) -> None:
    run = only_to_one(sent(round_))
    size = len(run.envelope(TO_ONE).payload)
    run.spoil(TO_ONE, flip(data.draw(st.integers(CLEAR[round_], size - 1))))
    error = error_of(run.go_on())
    assert type(error) is SpoiltSessionError
    failure = failure_of(error, run.batch.terms.members, round_=round_)
    assert (failure.code, failure.culprits) == (FailureCode.SPOILT, [])
    assert LIAR in failure.message


@pytest.mark.parametrize("round_", [1, 2, 3])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_payload_of_another_size_spoils_the_session(round_: int, change: Any) -> None:
    run = only_to_one(sent(round_))
    run.spoil(TO_ONE, change)
    assert type(error_of(run.go_on())) is SpoiltSessionError


@pytest.mark.parametrize(("round_", "size"), [(1, 0), (1, 64), (2, 0), (2, 31)])
def test_a_payload_too_short_for_what_stands_open_in_it_names_its_sender(
    round_: int, size: int
) -> None:
    run = only_to_one(sent(round_))
    run.spoil(TO_ONE, lambda data: data[:size])
    named(run.go_on(), "ephemeral key" if round_ == 1 else "encoding")


@pytest.mark.parametrize("at", [0, 1, 64])
def test_an_ephemeral_key_that_is_no_point_names_its_sender(at: int) -> None:
    run = only_to_one(sent(1))
    run.spoil(TO_ONE, flip(at))
    named(run.go_on(), "ephemeral key")


def test_an_ephemeral_key_of_another_session_spoils_the_session() -> None:
    run, other = only_to_one(sent(1)), sent(1, seed="other")
    run.spoil(TO_ONE, put(0, other.ephemerals[LIAR].public_bytes()))
    assert type(error_of(run.go_on())) is SpoiltSessionError


@pytest.mark.parametrize("round_", [1, 2, 3])
def test_what_is_sealed_for_one_place_opens_in_no_other(round_: int) -> None:
    three = {"t": 3, "n": 5, "signers": (1, 3, 5)}
    run = sent(round_, **three)  # type: ignore[arg-type]
    elsewhere = {
        "another recipient": run.envelope((LIAR, "party-5")),
        "another sender": run.envelope(("party-5", HONEST)),
        "the way back": run.envelope((HONEST, LIAR)),
        "another round": sent(round_ % 3 + 1, **three).envelope(TO_ONE),  # type: ignore[arg-type]
        "another session": sent(round_, **three, seed="x").envelope(TO_ONE),  # type: ignore[arg-type]
    }
    for where, other in elsewhere.items():
        run = sent(round_, **three)  # type: ignore[arg-type]
        clear, _ = cut(run.envelope(TO_ONE))
        run.put(TO_ONE, replace(run.envelope(TO_ONE), payload=clear + cut(other)[1]))
        assert type(error_of(run.go_on())) is SpoiltSessionError, where


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epoch": 1}, "epoch 1 in a session of epoch 0"),
        ({"sender": "party-2"}, "party-2 takes no part"),
        ({"sender": HONEST}, "our own came back"),
        ({"recipient": "party-2"}, "not meant for"),
        ({"recipient": "*"}, "not meant for"),
        ({"round": 4}, "no protocol has"),
        ({"round": 0}, "no protocol has"),
        ({"kind": "keygen", "round": 3}, None),
    ],
)
def test_a_message_out_of_place_does_not_enter(changes: dict[str, Any], reason: str | None) -> None:
    run = only_to_one(sent(1))
    content = replace(run.envelope(TO_ONE), **changes)
    body = content.seal(run.world.identities[content.sender])
    signer = run.signers[HONEST]
    if reason is None:  # of another protocol: it enters, and no round of ours looks at it
        assert signer.receive(body, run.seed) == ()
        assert signer.state.round == 1
        return
    with pytest.raises(ContractError, match=reason):
        signer.receive(body, run.seed)
    assert signer.rows == ()


def test_a_message_that_another_party_signed_does_not_enter() -> None:
    run = only_to_one(sent(1))
    body = run.envelope(TO_ONE).seal(run.world.identities["party-2"])
    with pytest.raises(ContractError, match="wrong signature"):
        run.signers[HONEST].receive(body, run.seed)


###
### Liars
###


def lying(round_: int, change: Callable[[bytes], bytes], **which: Any) -> Run:
    """Party 3 tells party 1 something else than it should, sealed like the truth."""
    run = sent(round_, **which)
    run.lie(TO_ONE, change)
    return run.go_on()


def assert_named(error: Exception, check: str, *, ban: bool, culprits: frozenset[int]) -> None:
    assert isinstance(error, PartyFaultError)
    assert (error.culprits, error.check, error.ban) == (culprits, check, ban)


LIES: list[tuple[int, str, Callable[[bytes], bytes], bool]] = [
    (1, "encoding", lambda data: data[:-1], False),
    (1, "encoding", lambda data: data + b"\0", False),
    (1, "encoding", lambda _: b"", False),
    (1, "encoding", put(64, bytes(33)), False),
    (2, "encoding", lambda data: data[:-1], False),
    (2, "encoding", lambda data: data + b"\0", False),
    (2, "OT-extension consistency", flip(-1), True),
    (3, "encoding", lambda data: data[:-1], False),
    (3, "encoding", lambda data: data + b"\0", False),
    (3, "encoding", put(64, b"\x02" + b"\xff" * 32), False),
    (3, "encoding", put(196, b"\xff" * 32), False),
    (3, "opening", flip(32), False),
    (3, "opening", put(64, (SECP256K1.scalar(5) * G).to_bytes()), False),
    (3, "multiplier", flip(228), True),
    (3, "multiplier", flip(-1), True),
    (3, "chi * pk", put(97, (SECP256K1.scalar(5) * G).to_bytes()), True),
    (3, "chi * R", put(130, (SECP256K1.scalar(5) * G).to_bytes()), True),
    (3, "chi * pk", put(163, (SECP256K1.scalar(5) * G).to_bytes()), True),
]


@pytest.mark.parametrize(("round_", "check", "change", "ban"), LIES)
def test_a_lie_that_is_sealed_names_the_liar(
    round_: int, check: str, change: Callable[[bytes], bytes], ban: bool
) -> None:
    error = error_of(lying(round_, change))
    assert_named(error, check, ban=ban, culprits=frozenset({3}))


def test_trees_that_do_not_fit_their_proof_ban_the_liar() -> None:
    run = sent(2)
    parameters = dkls23.Extended.from_bytes(run.signers[HONEST].state.protocol).parameters

    def change(data: bytes) -> bytes:
        message = dkls23.Extension.from_bytes(parameters, data)
        return replace(message, correction=flip(-1)(message.correction)).to_bytes()

    run.lie(TO_ONE, change)
    error = error_of(run.go_on())
    assert_named(error, "PPRF proof", ban=True, culprits=frozenset({3}))


@pytest.mark.parametrize(("round_", "at"), [(1, 0), (1, 31), (2, 0), (2, 31), (3, 0), (3, 31)])
def test_another_view_or_echo_is_nobodys_fault(round_: int, at: int) -> None:
    error = error_of(lying(round_, flip(at)))
    assert isinstance(error, EchoMismatchError)
    assert error.parties == {3}


def test_what_was_said_in_round_1_comes_back_in_the_echo() -> None:
    run = lying(1, flip(40))
    for name in (HONEST, LIAR):
        assert isinstance(error_of(run, name), EchoMismatchError)


def test_a_commitment_told_otherwise_to_one_is_seen_by_all() -> None:
    run = sent(2, t=3, n=5, signers=(1, 3, 5))
    run.spoil(TO_ONE, flip(0))
    run.go_on()
    # Party 1 differs from all others; they agree among themselves.
    seen = {}
    for name in ("party-1", "party-3", "party-5"):
        error = error_of(run, name)
        assert isinstance(error, EchoMismatchError)
        seen[name] = error.parties
    assert seen == {"party-1": {3, 5}, "party-3": {1}, "party-5": {1}}


def test_all_liars_of_a_round_are_named() -> None:
    run = sent(2, t=3, n=5, signers=(1, 3, 5))
    for sender in (LIAR, "party-5"):
        run.lie((sender, HONEST), lambda data: data[:-1])
    error = error_of(run.go_on())
    assert_named(error, "encoding", ban=False, culprits=frozenset({3, 5}))


def test_whoever_was_told_the_truth_has_its_presignatures() -> None:
    """Which are worth nothing, for the coordinator never hears of them from everybody."""
    run = lying(3, flip(-1), t=3, n=5, signers=(1, 3, 5))
    assert_named(error_of(run), "multiplier", ban=True, culprits=frozenset({3}))
    assert run.points().keys() == {"party-3", "party-5"}


def test_a_wrong_psi_is_noticed_by_nobody_before_the_signature() -> None:
    run = lying(3, put(196, SECP256K1.scalar(7).to_bytes()))
    assert run.errors() == {}
    (points,) = {tuple(each) for each in run.points().values()}
    parts = [stored(run.presignatures(name)[0]) for name in (HONEST, LIAR)]
    assert parts[0].view.r.to_bytes() == points[0]
    with pytest.raises(SpoiltSessionError):
        sign_all(parts, task_of(coins("message")))


def test_two_different_messages_for_one_place_name_their_sender() -> None:
    for round_ in (1, 2, 3):
        # Of three signers: after one message the round is not complete, and a second is looked at.
        run = sent(round_, t=3, n=5, signers=(1, 3, 5))
        honest = run.under_way[run.place_of(TO_ONE)]
        run.lie(TO_ONE, flip(-1))
        run.under_way.insert(0, honest)
        run.under_way.insert(1, run.under_way.pop(_last_place(run)))
        error = error_of(run.go_on())
        assert isinstance(error, EquivocationError)
        assert (error.sender, error.slot) == (LIAR, f"presign/{round_}")


def _last_place(run: Run) -> int:
    places = [
        i
        for i, each in enumerate(run.under_way)
        if (claimed(each).sender, each.routing_key) == TO_ONE
    ]
    return places[-1]


def test_the_same_message_under_a_new_signature_is_no_second_one() -> None:
    run = sent(1, t=3, n=5, signers=(1, 3, 5))
    body = run.envelope(TO_ONE).seal(run.world.identities[LIAR])
    message = run.under_way[run.place_of(TO_ONE)]
    assert body != message.body
    run.under_way.insert(0, replace(message, body=body))
    assert run.go_on().errors() == {}


FUZZ = st.one_of(st.binary(max_size=100), st.tuples(st.integers(0, 10**6), st.integers(1, 255)))
"""Other bytes altogether, or where a byte changes and how."""


@settings(max_examples=15, deadline=None, phases=QUICKLY)
@given(round_=st.integers(1, 3), sealed=st.booleans(), lie=FUZZ)
def test_whatever_one_signer_says_the_other_ends_in_the_right_words_or_in_presignatures(
    round_: int, sealed: bool, lie: bytes | tuple[int, int]
) -> None:
    def change(payload: bytes) -> bytes:
        if isinstance(lie, bytes):
            return lie
        at = lie[0] % len(payload)
        return payload[:at] + bytes([payload[at] ^ lie[1]]) + payload[at + 1 :]

    run = sent(round_)
    (run.lie if sealed else run.spoil)(TO_ONE, change)
    run.go_on()  # an exception of another kind than a step may raise would leave it
    if HONEST not in run.errors():
        assert len(run.presignatures(HONEST)) == 1
        return
    error = error_of(run)
    assert isinstance(error, SpoiltSessionError | PartyFaultError)
    assert not isinstance(error, PartyFaultError) or error.culprits == {3}
