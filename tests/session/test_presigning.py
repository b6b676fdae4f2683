"""Batches of presignatures without queue and store: by the honest, and with liars among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import addresses
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.results import Status
from contracts.sessions import Member, PresignBatch, PresignTerms
from tests.protocols.dkls23.batches import sign_all, task_of
from tests.protocols.simulate import coins
from tests.session.builders import KEY_SESSION, NOW, report_in
from tests.session.presigners import (
    CLEAR,
    Run,
    begin,
    claimed,
    cut,
    presign_batch,
    sent,
    stored,
    world,
)
from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import (
    EchoMismatchError,
    MisuseError,
    PartyFaultError,
    SpoiltSessionError,
)
from workers.session import presigning
from workers.session.direct import EphemeralKey
from workers.session.errors import EquivocationError
from workers.session.presigning import PresignState
from workers.session.step import failure_of

HONEST, LIAR = "party-1", "party-3"
TO_ONE = (LIAR, HONEST)
G = SECP256K1.generator


def flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return change


def put(at: int, part: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + part + data[at + len(part) :]


def error_of(run: Run, name: str = HONEST) -> Exception:
    """How the honest party ended, which has no presignature then."""
    assert run.presignatures(name) == ()
    return run.errors()[name]


###
### Honest signers
###


@pytest.mark.parametrize(
    ("t", "n", "signers", "count"), [(2, 3, (1, 3), 1), (2, 3, (2, 3), 3), (3, 5, (1, 3, 5), 1)]
)
def test_the_signers_make_presignatures_that_sign(
    t: int, n: int, signers: tuple[int, ...], count: int
) -> None:
    run = sent(4, t=t, n=n, signers=signers, count=count)
    names = [f"party-{i}" for i in signers]
    made = {name: run.presignatures(name) for name in names}
    for records in made.values():
        assert [each.position for each in records] == list(range(count))
        assert {each.batch for each in records} == {run.batch.session_id}
        assert {(each.key_session, each.epoch) for each in records} == {(KEY_SESSION, 0)}
    (points,) = {tuple(each) for each in run.points().values()}
    assert run.points().keys() == set(names)
    key = SECP256K1.point_from_bytes_checked(run.world.facts.public_key)
    for position in range(count):
        parts = [stored(made[name][position]) for name in names]
        assert {part.view.r.to_bytes() for part in parts} == {points[position]}
        assert {(part.view.position, part.view.signers) for part in parts} == {(position, signers)}
        assert {part.view.session_id for part in parts} == {run.batch.session_id}
        assert [part.index for part in parts] == list(signers)
        signature = sign_all(parts, task_of(coins("message")))
        assert dkls23.verify(key, coins("message"), signature)
    assert len(set(points)) == count


def test_the_last_step_reports_the_points_and_leaves_nothing_to_send_again() -> None:
    run = sent(4)
    for name, signer in run.signers.items():
        last = signer.steps[-1]
        assert (last.status, last.state, last.forget_sent) == (Status.COMPLETED, b"", True)
        (report,) = last.outgoing
        assert report.exchange == addresses.REPORTS
        assert report.routing_key == addresses.report_key("presignatures_made", name)
        assert not any(step.forget_sent or step.presignatures for step in signer.steps[:-1])
    assert [report_in(each).report for each in run.reports] == ["presignatures_made"] * 2


def test_every_message_is_for_one_signer_and_goes_by_the_presigning_lane() -> None:
    for round_ in (1, 2, 3):
        run = sent(round_, t=3, n=5, signers=(1, 3, 5))
        edges = set()
        for message in run.under_way:
            content = claimed(message)
            assert (message.exchange, message.kind) == (addresses.PRESIGNING, f"presign/{round_}")
            assert (content.session_id, content.epoch) == (run.batch.session_id, 0)
            assert content.recipient == message.routing_key
            edges.add((content.sender, content.recipient))
        assert len(edges) == len(run.under_way) == 6


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_messages_may_come_in_any_order_and_again(data: st.DataObject) -> None:
    run = sent(1, t=3, n=5, signers=(1, 3, 5))
    for _ in range(3):
        run.under_way.append(data.draw(st.sampled_from(run.under_way)))
    run.go_on(lambda count: data.draw(st.integers(0, count - 1)))
    assert run.errors() == {}
    points = run.points()
    assert points.keys() == {"party-1", "party-3", "party-5"}
    assert len({tuple(each) for each in points.values()}) == 1


def test_a_message_that_comes_after_the_end_changes_nothing() -> None:
    again = sent(3).under_way
    run = sent(4)
    run.under_way = list(again)
    before = {name: signer.steps for name, signer in run.signers.items()}
    run.go_on()
    assert {name: signer.steps for name, signer in run.signers.items()} == before


def test_messages_that_came_early_are_all_played_in_one_step() -> None:
    # All that party-3 has to say arrives before party-5's second message.
    run = sent(2, t=3, n=5, signers=(1, 3, 5))
    late = ("party-5", HONEST)
    held = run.under_way.pop(run.place_of(late))
    run.go_on()
    signer = run.signers[HONEST]
    assert signer.state.round == 2
    assert {row.slot for row in signer.rows if row.sender == LIAR} == {
        "presign/1",
        "presign/2",
        "presign/3",
    }
    run.under_way = [held]
    run.deliver()
    last = signer.steps[-1]
    assert last.status is Status.COMPLETED
    assert [each.kind for each in last.outgoing] == ["presign/3"] * 2 + ["presignatures_made"]
    assert last.forget_sent


def test_two_rounds_are_taken_at_once_when_both_are_complete() -> None:
    run = sent(1)
    run.under_way.sort(key=lambda message: message.routing_key == HONEST)
    run.deliver()
    signer = run.signers[HONEST]
    rows = [each.body for each in run.under_way if each.routing_key == HONEST]
    assert len(rows) == 2
    # The second first: it waits for the other, and then both rounds are complete.
    assert signer.receive(rows[1], run.seed) == ()
    assert [each.kind for each in signer.receive(rows[0], run.seed)] == ["presign/2", "presign/3"]
    assert signer.state.round == 3


def test_nothing_happens_before_a_round_is_complete() -> None:
    run = sent(1, t=3, n=5, signers=(1, 3, 5))
    signer = run.signers[HONEST]
    state, (first, second) = signer.state, [m for m in run.under_way if m.routing_key == HONEST]
    signer.receive(first.body, run.seed)
    assert not presigning.complete(state, signer.rows)
    assert (
        presigning.advance(
            state, signer.party, signer.key_share, signer.rows, randomness=coins("unused")
        )
        is None
    )
    assert len(signer.steps) == 1
    signer.receive(second.body, run.seed)
    assert presigning.complete(state, signer.rows)
    assert signer.state.round == 2


def test_fresh_coins_make_other_presignatures_of_the_same_batch() -> None:
    batch = sent(4).batch
    other = begin(world(), batch, seed="other coins").go_on()
    assert other.points()[HONEST] != sent(4).points()[HONEST]
    assert other.batch.session_id == batch.session_id


@pytest.mark.parametrize("size", [0, 31, 33])
def test_coins_of_a_wrong_size_are_not_used(size: int) -> None:
    of = world()
    with pytest.raises(MisuseError, match="32 bytes"):
        presigning.begin(
            presign_batch(of),
            of.party(1),
            of.key_record(1),
            randomness=bytes(size),
            ephemeral_randomness=bytes(48),
        )


###
### State
###


def test_the_state_is_stored_and_read_back_between_all_rounds() -> None:
    for i, (name, signer) in zip((1, 3), sent(4).signers.items(), strict=True):
        states = [step.state for step in signer.steps[:-1]]
        assert [PresignState.from_bytes(each).round for each in states] == [1, 2, 3]
        for data in states:
            state = PresignState.from_bytes(data)
            assert state.to_bytes() == data
            assert (state.own_index, state.epoch) == (i, 0)
            assert [each.party_id for each in state.members] == [HONEST, LIAR]
            assert [each.party_id for each in state.others] == [{HONEST: LIAR, LIAR: HONEST}[name]]


def test_the_encoding_of_the_state_is_pinned() -> None:
    terms = PresignTerms(
        key_session=b"\x02" * 32,
        epoch=3,
        members=[
            Member(party_id="party-1", index=1, identity=b"identity 1"),
            Member(party_id="party-3", index=3, identity=b"identity 3"),
        ],
        count=5,
        issued_at=1_700_000_000_000,
        salt=b"\x04" * 32,
    )
    state = PresignState(
        batch=PresignBatch(session_id=terms.session_id(), terms=terms, time_left_ms=6),
        own_index=3,
        round=2,
        protocol=b"protocol state",
        ephemeral=EphemeralKey.from_bytes(b"\x07" * 32),
    )
    assert state.to_bytes() == STATE
    again = PresignState.from_bytes(STATE)
    assert (again.batch, again.own_index, again.round) == (state.batch, 3, 2)
    assert again.protocol == b"protocol state"
    assert again.ephemeral.to_bytes() == b"\x07" * 32


STATE = (
    b'\x00\x00\x01\xe9{"instruction":"presign_batch","version":1,"session_id":"'
    b"4fb0ba0ca69c5dab905a8db56c1f1121f7388510a5270a308266e54437966a26"
    b'","terms":{"key_session":"' + b"02" * 32 + b'","epoch":3,"members":['
    b'{"party_id":"party-1","index":1,"identity":"aWRlbnRpdHkgMQ=="},'
    b'{"party_id":"party-3","index":3,"identity":"aWRlbnRpdHkgMw=="}],'
    b'"count":5,"issued_at":1700000000000,"salt":"' + b"04" * 32 + b'"},"time_left_ms":6}'
    b"\x00\x00\x00\x01\x03\x00\x00\x00\x01\x02\x00\x00\x00\x0eprotocol state"
    b"\x00\x00\x00\x20" + b"\x07" * 32
)


@pytest.mark.parametrize("cut_off", [1, 32, 40, 100])
def test_a_state_cut_short_is_not_read(cut_off: int) -> None:
    with pytest.raises(ContractError):
        PresignState.from_bytes(STATE[:-cut_off])


def test_states_and_steps_hide_their_secrets_in_their_repr() -> None:
    run = sent(4)
    for signer in run.signers.values():
        for step in signer.steps[:-1]:
            state = PresignState.from_bytes(step.state)
            for shown in (repr(step), repr(state)):
                assert repr(state.protocol)[2:60] not in shown
                assert state.ephemeral.to_bytes().hex() not in shown
                assert "ephemeral=EphemeralKey(…)" in repr(state)
        shown = repr(signer.steps[-1])
        for record in signer.steps[-1].presignatures:
            assert repr(record.secret)[2:60] not in shown
            part = stored(record)
            for secret in (part.phi, part.u, part.v):
                assert str(secret.value) not in shown
                assert secret.to_bytes().hex() not in shown


###
### Spoilt on the way
###


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
@pytest.mark.parametrize(
    "change",
    [lambda _: b"", lambda data: data[:40], lambda data: data[:-1], lambda data: data + b"\0"],
)
def test_a_payload_of_another_size_spoils_the_session(round_: int, change: Any) -> None:
    run = only_to_one(sent(round_))
    run.spoil(TO_ONE, change)
    assert type(error_of(run.go_on())) is SpoiltSessionError


@pytest.mark.parametrize("at", [0, 1, 64])
def test_another_ephemeral_key_spoils_the_session(at: int) -> None:
    run = only_to_one(sent(1))
    run.spoil(TO_ONE, flip(at))
    assert type(error_of(run.go_on())) is SpoiltSessionError


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


@settings(max_examples=15, deadline=None)
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


###
### What the batch is bound to
###


def test_signers_that_have_certified_another_key_spoil_the_session_before_they_use_it() -> None:
    of = world()
    other = of.facts.model_copy(update={"transcript_digest": coins("another transcript")})
    record = of.key_record(3, facts=other.model_dump_json())
    run = begin(of, presign_batch(of), records={3: record}).go_on()
    for name in (HONEST, LIAR):
        assert isinstance(error_of(run, name), EchoMismatchError)
        assert run.signers[name].state.round == 1


def test_a_share_that_is_not_the_keys_spoils_the_session() -> None:
    # Restored from an old backup, say: what it multiplies does not add up to the key.
    of = world()
    share = of.shares[next(i for i in of.shares if i == 3)]
    wrong = replace(share, secret_share=share.secret_share + SECP256K1.scalar(1))
    run = begin(of, presign_batch(of), records={3: of.key_record(3, secret=wrong.to_bytes())})
    error = error_of(run.go_on())
    assert type(error) is SpoiltSessionError
    assert "add up to the key" in str(error)


def test_every_batch_is_a_session_of_its_own() -> None:
    of = world()
    batches = [
        presign_batch(of),
        presign_batch(of, salt=coins("other")),
        presign_batch(of, count=2),
        presign_batch(of, (1, 2)),
        presign_batch(of, epoch=1),
        presign_batch(of, key_session=coins("other")),
        presign_batch(of, issued_at=NOW + 1),
    ]
    assert len({batch.session_id for batch in batches}) == len(batches)
