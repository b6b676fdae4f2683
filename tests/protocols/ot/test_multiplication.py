"""The multiplier and its check, number 7."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols.groups import SECP256K1
from workers.protocols.ot import multiplication
from workers.protocols.ot.arithmetic import ROWS, Arithmetic, PlainArithmetic, fastest
from workers.protocols.ot.faults import FailedCheckError
from workers.protocols.ot.multiplication import Answer, Chunk, Shares
from workers.protocols.ot.pads import pads

from .two_parties import Extended, extend, inputs, number

PATHS = pytest.mark.parametrize(
    "path", [PlainArithmetic(), fastest()], ids=lambda path: type(path).__name__
)
ONE = Chunk(0, 1)


def answer(made: Extended, chunk: Chunk, path: Arithmetic) -> tuple[Shares, Answer]:
    return multiplication.answer(made.key, chunk, made.correlated, *inputs(chunk), path)


def finish(made: Extended, chunk: Chunk, received: Answer, path: Arithmetic) -> Shares:
    return multiplication.finish(made.key, chunk, made.rows, made.bits, received, path)


@PATHS
@pytest.mark.parametrize("chunk", [ONE, Chunk(0, 3), Chunk(1, 2)], ids=str)
def test_the_shares_add_up_to_the_products(path: Arithmetic, chunk: Chunk) -> None:
    made = extend(chunk.start + chunk.count)
    c, sent = answer(made, chunk, path)
    d = finish(made, chunk, Answer.from_bytes(chunk, sent.to_bytes()), path)
    chis = multiplication.multiplicands(made.bits, path)[chunk.start :]
    assert len(chis) == len(c) == len(d) == chunk.count
    for ours, theirs, chi, (a_0, a_1) in zip(c, d, chis, inputs(chunk)[0], strict=True):
        assert ours[0] + theirs[0] == chi * a_0
        assert ours[1] + theirs[1] == chi * a_1


@PATHS
@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, ONE.message_size - 1), bit=st.integers(0, 7))
def test_every_changed_bit_of_an_answer_is_noticed(path: Arithmetic, place: int, bit: int) -> None:
    made = extend(1)
    spoilt = bytearray(answer(made, ONE, path)[1].to_bytes())
    spoilt[place] ^= 1 << bit
    received = Answer.from_bytes(ONE, bytes(spoilt))
    with pytest.raises(FailedCheckError, match=multiplication.MULTIPLIER_CHECK):
        finish(made, ONE, received, path)


def one_row_off(made: Extended, row: int) -> Answer:
    """A cheat's answer: input 0 is one more in ``row``, and all else is as for the true input.

    It passes where the receiver's choice bit of that row is clear.
    """
    path, ((pair,), (check,)) = PlainArithmetic(), inputs(ONE)
    _, honest = answer(made, ONE, path)
    at = 96 * row
    changed = (number(honest.masked[at:], 0) + SECP256K1.scalar(1)).value.to_bytes(32, "little")
    masked = honest.masked[:at] + changed + honest.masked[at + 32 :]
    thetas = multiplication._thetas(made.key, ONE, masked)
    t_0, t_1 = map(SECP256K1.scalar, thetas[0])
    opened = path.open_sender(pads(made.key, made.correlated.rows, 0), thetas)
    eta = (check + t_0 * pair[0] + t_1 * pair[1]).value
    return Answer(masked, (eta,), multiplication._mu(made.key, ONE, opened.check))


def test_a_cheat_in_one_row_is_noticed_where_the_choice_bit_is_set() -> None:
    made = extend(1)
    bits = [made.bits[row // 8] >> row % 8 & 1 for row in range(12)]
    assert set(bits) == {0, 1}
    noticed = []
    for row in range(len(bits)):
        try:
            finish(made, ONE, one_row_off(made, row), PlainArithmetic())
            noticed.append(0)
        except FailedCheckError:
            noticed.append(1)
    assert noticed == bits


def test_an_answer_is_for_one_extension_and_one_chunk() -> None:
    path, two = PlainArithmetic(), extend(2)
    _, sent = answer(two, Chunk(0, 1), path)
    with pytest.raises(FailedCheckError):
        finish(two, Chunk(1, 1), sent, path)
    with pytest.raises(FailedCheckError):
        finish(extend(2, label="another"), Chunk(0, 1), sent, path)


def test_an_answer_of_another_size_or_with_a_number_not_below_q_is_refused() -> None:
    _, sent = answer(extend(1), ONE, PlainArithmetic())
    data = sent.to_bytes()
    assert len(data) == 416 * 96 + 32 + 32
    for wrong in (b"", data[:-1], data + b"\x00"):
        with pytest.raises(ValueError, match="an answer is"):
            Answer.from_bytes(ONE, wrong)
    q = SECP256K1.order
    for place in (0, 5, 3 * ROWS):
        for bad in (q, 2**256 - 1):
            with pytest.raises(ValueError, match="below the group's order"):
                Answer.from_bytes(ONE, _with(data, place, bad))
        assert Answer.from_bytes(ONE, _with(data, place, q - 1))


def _with(data: bytes, place: int, value: int) -> bytes:
    return data[: 32 * place] + value.to_bytes(32, "little") + data[32 * place + 32 :]


def test_two_answers_to_one_message_are_the_same_bytes_if_the_coins_are() -> None:
    made = extend(1)
    assert answer(made, ONE, PlainArithmetic()) == answer(made, ONE, fastest())
    assert replace(answer(made, ONE, fastest())[1], mu=b"").to_bytes()[:96] != bytes(96)


def test_an_answer_shows_how_long_it_is_and_no_number() -> None:
    _, sent = answer(extend(3), Chunk(0, 3), fastest())
    assert repr(sent) == "Answer(3 instances)"
