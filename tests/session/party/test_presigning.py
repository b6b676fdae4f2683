"""Batches of presignatures without queue and store: by honest signers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contracts import addresses
from contracts.errors import ContractError
from contracts.results import Status
from contracts.sessions import PresignBatch
from contracts.terms import Member, PresignTerms
from tests.protocols.dkls23.batches import sign_all, task_of
from tests.protocols.simulate import coins
from tests.session.builders import KEY_SESSION, NOW, drawn, report_in
from tests.session.presigners import (
    HONEST,
    LIAR,
    begin,
    claimed,
    error_of,
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
    SpoiltSessionError,
)
from workers.session.errors import RefusedError
from workers.session.party.direct import EphemeralKey
from workers.session.party.engines import ENGINES
from workers.session.party.seat import RoundState

QUICKLY = (Phase.explicit, Phase.reuse, Phase.generate)
"""A whole batch for each example: to look for the smallest that fails would take minutes."""


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
    names, epoch = [f"party-{i}" for i in signers], run.world.facts.epoch
    made = {name: run.presignatures(name) for name in names}
    for records in made.values():
        assert [each.position for each in records] == list(range(count))
        assert {each.batch for each in records} == {run.batch.session_id}
        assert {(each.key_session, each.epoch) for each in records} == {(KEY_SESSION, epoch)}
    (points,) = {tuple(each) for each in run.points().values()}
    assert run.points().keys() == set(names)
    assert {(claimed(each).session_id, claimed(each).epoch) for each in run.reports} == {
        (run.batch.session_id, epoch)
    }
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
            assert (content.session_id, content.epoch) == (run.batch.session_id, 2)
            assert content.recipient == message.routing_key
            edges.add((content.sender, content.recipient))
        assert len(edges) == len(run.under_way) == 6


@settings(max_examples=4, deadline=None, phases=QUICKLY)
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
    assert len(signer.steps) == 1
    assert signer.advance(coins("unused")) is None
    signer.receive(second.body, run.seed)
    assert (state.round, signer.state.round) == (1, 2)


def test_fresh_coins_make_other_presignatures_of_the_same_batch() -> None:
    batch = sent(4).batch
    other = begin(world(), batch, seed="other coins").go_on()
    assert other.points()[HONEST] != sent(4).points()[HONEST]
    assert other.batch.session_id == batch.session_id


@pytest.mark.parametrize("size", [0, 31, 33])
def test_coins_of_a_wrong_size_are_not_used(size: int) -> None:
    of = world()
    with pytest.raises(MisuseError, match="32 bytes"):
        ENGINES["presign"].begin(
            presign_batch(of),
            of.party(1),
            key_share=of.key_record(1),
            randomness=drawn(bytes(size)),
        )


@pytest.mark.parametrize("round_", [1, 2, 3])
@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_made_ahead_for_a_key_that_is_gone(round_: int, gone: bool) -> None:
    run = sent(round_)
    signer = run.signers[HONEST]
    signer.key_share = None if gone else replace(run.world.key_record(1), active=False)
    run.go_on()
    assert isinstance(signer.error, RefusedError)
    assert str(signer.error) == "the share of the key is gone"


###
### State
###


def test_the_state_is_stored_and_read_back_between_all_rounds() -> None:
    for i, (name, signer) in zip((1, 3), sent(4).signers.items(), strict=True):
        states = [step.state for step in signer.steps[:-1]]
        assert [RoundState.from_bytes(each).round for each in states] == [1, 2, 3]
        for data in states:
            state = RoundState.from_bytes(data)
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
    state = RoundState(
        begun=PresignBatch(
            session_id=terms.session_id(), issued_at=terms.issued_at, terms=terms, time_left_ms=6
        ),
        own_index=3,
        round=2,
        protocol=b"protocol state",
        ephemeral=EphemeralKey.from_bytes(b"\x07" * 32),
    )
    assert state.to_bytes() == STATE
    again = RoundState.from_bytes(STATE)
    assert (again.begun, again.own_index, again.round) == (state.begun, 3, 2)
    assert again.protocol == b"protocol state"
    assert again.ephemeral.to_bytes() == b"\x07" * 32


STATE = (
    b'\x00\x00\x02\x03{"version":1,"session_id":"'
    b"4fb0ba0ca69c5dab905a8db56c1f1121f7388510a5270a308266e54437966a26"
    b'","issued_at":1700000000000,"instruction":"presign_batch"'
    b',"terms":{"key_session":"' + b"02" * 32 + b'","epoch":3,"members":['
    b'{"party_id":"party-1","index":1,"identity":"aWRlbnRpdHkgMQ=="},'
    b'{"party_id":"party-3","index":3,"identity":"aWRlbnRpdHkgMw=="}],'
    b'"count":5,"issued_at":1700000000000,"salt":"' + b"04" * 32 + b'"},"time_left_ms":6}'
    b"\x00\x00\x00\x01\x03\x00\x00\x00\x01\x02\x00\x00\x00\x0eprotocol state"
    b"\x00\x00\x00\x20" + b"\x07" * 32
)


@pytest.mark.parametrize("cut_off", [1, 32, 40, 100])
def test_a_state_cut_short_is_not_read(cut_off: int) -> None:
    with pytest.raises(ContractError):
        RoundState.from_bytes(STATE[:-cut_off])


def test_states_and_steps_hide_their_secrets_in_their_repr() -> None:
    run = sent(4)
    for signer in run.signers.values():
        for step in signer.steps[:-1]:
            state = RoundState.from_bytes(step.state)
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
