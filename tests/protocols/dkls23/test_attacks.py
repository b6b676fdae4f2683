"""Attacks that succeed against protocols a little different from this one, and fail here.

Where it can be shown, the same attack runs against the weaker protocol too, as a control. The
fifth, a base transfer with a known logarithm, is in ``tests/protocols/ot/test_base.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workers.protocols import dkls23
from workers.protocols.dkls23 import pairs
from workers.protocols.dkls23.sign import rerandomisation
from workers.protocols.groups import SECP256K1, Scalar
from workers.protocols.ot import extension, multiplication
from workers.protocols.ot.arithmetic import ROWS
from workers.protocols.rounds import PartyFaultError

from ..ot.two_parties import number
from ..simulate import coins, indices
from .batches import Batch, extension_over_a_spoilt_tree, new_batch, presign, task_of

ONE, TWO = indices((1, 2))


def answers_to_complementary_choices(monkeypatch: pytest.MonkeyPatch) -> list[dkls23.Answer]:
    """Party 2 gets two answers under one session id: one nonce, all choice bits clear, then set.

    Each of its messages is honest in itself; every check of party 1 passes, twice.
    """
    batch = new_batch(2, 2, (1, 2)).offer_all()
    batch.extend(ONE)
    receive, answers = extension.receive, []
    for bits in (b"\x00", b"\xff"):

        def chosen(
            *arguments: Any, correction: bytes, nonce: bytes, choice: bytes, bits: bytes = bits
        ) -> tuple[bytes, bytes]:
            fixed = bits * (len(choice) - 16) + bytes(16)
            return receive(*arguments, correction=correction, nonce=bytes(16), choice=fixed)

        monkeypatch.setattr(extension, "receive", chosen)
        batch.extend(TWO)
        monkeypatch.setattr(extension, "receive", receive)
        batch.answer(ONE)
        answers.append(batch.answers[ONE][TWO])
    return answers


def halved_sums(answers: list[dkls23.Answer]) -> list[Scalar]:
    """(a + alpha_0 - alpha_1) + (a + alpha_1 - alpha_0), halved: the inputs, if pads repeat."""
    first, second = (answer.products[0].masked for answer in answers)
    two = SECP256K1.scalar(2)
    return [(number(first, i) + number(second, i)) / two for i in (0, 1)]


def secrets_of_one(answers: list[dkls23.Answer]) -> list[bool]:
    """Whether what was computed are the secrets r_i and sk_i behind the images party 1 shows."""
    found, g = halved_sums(answers), SECP256K1.generator
    shown = answers[0].points[0], answers[0].public_shares[0]
    return [x * g == image for x, image in zip(found, shown, strict=True)]


def test_two_answers_under_one_session_id_reveal_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answers_to_complementary_choices(monkeypatch)
    assert answers[0].points == answers[1].points  # the same r_i, the same sk_i
    assert answers[0].public_shares == answers[1].public_shares
    assert secrets_of_one(answers) == [False, False]


def test_with_pads_bound_to_the_session_alone_they_reveal_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: the row hash forgets the message.

    The complementary message turns each row w into w + Delta, which is the other pad's row.
    """
    monkeypatch.setattr(pairs, "rows_key", lambda sid, message: sid)
    assert secrets_of_one(answers_to_complementary_choices(monkeypatch)) == [True, True]


def test_two_messages_meet_other_check_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same a^ under two challenges theta would be two equations on the inputs."""
    drawn, answer = list[Scalar](), multiplication.answer

    def spy(*arguments: Any) -> Any:
        drawn.extend(arguments[4])
        return answer(*arguments)

    monkeypatch.setattr(multiplication, "answer", spy)
    answers_to_complementary_choices(monkeypatch)
    assert len(drawn) == len(set(drawn)) == 2


def test_a_tampered_product_is_noticed_wherever_it_is_touched() -> None:
    batch = new_batch(2, 2, (1, 2)).offer_all().extend_all().answer_all()
    honest = batch.answers[TWO][ONE]
    (product,) = honest.products
    for place in (0, 1_000, 96 * ROWS - 40, 96 * ROWS, 96 * ROWS + 32):
        changed = bytearray(product.to_bytes())
        changed[place] ^= 1
        spoilt = type(product).from_bytes(batch.parameters[ONE].chunks[0], bytes(changed))
        batch.answers[TWO][ONE] = replace(honest, products=(spoilt,))
        with pytest.raises(PartyFaultError) as caught:
            batch.finish(ONE)
        assert caught.value.culprits == {TWO}
        assert caught.value.ban
    batch.answers[TWO][ONE] = honest
    assert len(batch.finish(ONE)) == 1


def secrets_that_could_leak(batch: Batch) -> set[bytes]:
    """What selective failure may tell of: choice bits, Delta's bits, and what they protect."""
    pair, receiving = batch.extended[ONE].pairs[TWO], batch.extended[ONE].pairs[TWO].receiving
    bits = bytes(pair.chosen.bits)
    return {
        receiving.choice,
        receiving.rows[:16],
        bits,
        pair.sid,
        pair.zero_seed,
        pair.chosen.keys[0],
    }


def test_selective_failure_does_not_outlive_its_batch() -> None:
    """Party 2 spoils one side of one tree: party 1 fails or not, as one bit of its Delta says.

    It has learned the bit, and nothing of the batch is left for the bit to be about.
    """
    batch = new_batch(2, 2, (1, 2)).offer_all().extend_all()
    bit = batch.extended[ONE].pairs[TWO].chosen.bits[1]
    noticed = []
    for side in (0, 1):
        batch.extensions[TWO][ONE] = extension_over_a_spoilt_tree(batch, TWO, ONE, side=side)
        try:
            batch.answer(ONE)
        except PartyFaultError as fault:
            noticed.append((side, fault.culprits, fault.ban))
    assert noticed == [(bit, frozenset({TWO}), True)]

    # A new batch, even with coins that a broken source repeats: another session, other secrets.
    again = new_batch(2, 2, (1, 2), session_id=coins("next")).offer_all().extend_all()
    assert not secrets_that_could_leak(batch) & secrets_that_could_leak(again)
    pairs = [made.set_ups[i][j] for made in (batch, again) for i, j in ((ONE, TWO), (TWO, ONE))]
    points = [p for s in pairs for p in (s.sender_point, *s.receiver_points.points)]
    assert len(set(points)) == len(points)


def test_one_failed_check_leaves_no_presignature_of_the_batch() -> None:
    """Not even of chunks that were in order."""
    batch = new_batch(2, 2, (1, 2), count=17).offer_all().extend_all().answer_all()
    honest = batch.answers[TWO][ONE]
    first, last = honest.products
    batch.answers[TWO][ONE] = replace(honest, products=(first, replace(last, mu=bytes(32))))
    with pytest.raises(PartyFaultError):
        batch.finish(ONE)


def test_one_task_has_one_share_however_often_it_is_delivered() -> None:
    presignature = presign(new_batch(2, 2, (1, 2)))[ONE][0]
    task = task_of(coins("message"))
    assert dkls23.sign(presignature, task) == dkls23.sign(presignature, task)


def test_two_tasks_for_one_presignature_would_reveal_phi_so_taking_deletes() -> None:
    """Why the store gives a presignature away once: nothing in here could prevent this."""
    presignature = presign(new_batch(2, 2, (1, 2)))[ONE][0]
    tasks = task_of(coins("message")), task_of(coins("another"))
    shares = [dkls23.sign(presignature, task) for task in tasks]
    deltas = [rerandomisation(presignature.view, task) for task in tasks]
    phi = (shares[0].u - shares[1].u) / (deltas[0] - deltas[1])
    assert phi == presignature.phi
