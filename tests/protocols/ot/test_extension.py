"""The OT extension and its consistency, check 6."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols.ot import extension
from workers.protocols.ot.arithmetic import ROWS
from workers.protocols.ot.bits import Bytes, to_list, transpose
from workers.protocols.ot.extension import Shape
from workers.protocols.ot.faults import FailedCheckError
from workers.protocols.ot.pads import pads, rows_key, shift

from ..simulate import coins
from .two_parties import SID, choice_of, extend, receive, send, trees


def rows_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16)]


@pytest.mark.parametrize(("k", "count"), [(2, 1), (4, 1), (4, 3), (4, 16)])
def test_rows_differ_by_delta_exactly_where_the_choice_bit_is_set(k: int, count: int) -> None:
    made = extend(count, k)
    delta = int.from_bytes(made.correlated.delta, "little")
    assert delta
    bits = to_list(made.bits)
    assert len(bits) == ROWS * count
    assert set(bits) == {0, 1}
    w, v = rows_of(made.correlated.rows), rows_of(made.rows)
    assert [a ^ b for a, b in zip(w, v, strict=True)] == [delta if bit else 0 for bit in bits]
    assert len(made.message) == made.shape.message_size
    assert delta not in {0, *w, *v}
    assert made.correlated.delta.hex() not in repr(made.correlated)


def test_messages_have_the_sizes_they_are_said_to_have() -> None:
    sizes = {(2, 1): 64 * 68 + 64, (4, 1): 32 * 68 + 64, (4, 16): 32 * (16 * 52 + 16) + 64}
    for (k, count), size in sizes.items():
        assert Shape(k, ROWS * count).message_size == size


@settings(max_examples=30, deadline=None)
@given(place=st.integers(0, Shape(4, ROWS).message_size - 1), bit=st.integers(0, 7))
def test_every_changed_bit_of_the_message_is_noticed(place: int, bit: int) -> None:
    made = extend(1)
    spoilt = bytearray(made.message)
    spoilt[place] ^= 1 << bit
    with pytest.raises(FailedCheckError, match=extension.EXTENSION_CHECK):
        send(made.shape, bytes(spoilt))


def test_a_receiver_with_another_choice_in_one_column_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It computes everything else as if it were honest, so only Delta can tell."""
    shape = Shape(2, ROWS)
    _, punctured = trees(2)
    fold = extension._fold

    def cheat(streams: Bytes) -> tuple[Bytes, Bytes]:
        parts, total = fold(streams)
        total[4, 2] ^= 2
        return parts, total

    monkeypatch.setattr(extension, "_fold", cheat)
    nonce, choice = bytes(16), choice_of(shape)
    message, _ = receive(shape, nonce=nonce, choice=choice)
    monkeypatch.undo()
    assert punctured.missing[4] != 0  # else the column does not count, and nothing is learned
    with pytest.raises(FailedCheckError):
        send(shape, message)


def test_a_message_of_another_size_is_refused() -> None:
    made = extend(1)
    for wrong in (b"", made.message[:-1], made.message + b"\x00"):
        with pytest.raises(ValueError, match="an extension"):
            send(made.shape, wrong)
    with pytest.raises(ValueError, match="choice bits"):
        receive(made.shape, nonce=bytes(16), choice=bytes(3))


def test_another_nonce_expands_the_same_trees_to_other_rows() -> None:
    shape = Shape(4, ROWS)
    choice = choice_of(shape)
    one = receive(shape, nonce=bytes(16), choice=choice)
    two = receive(shape, nonce=bytes(15) + b"\x01", choice=choice)
    assert not set(rows_of(one[1])) & set(rows_of(two[1]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=25, max_size=25), min_size=128, max_size=128))
def test_transposition_puts_bit_j_of_column_c_at_bit_c_of_row_j(columns: list[bytes]) -> None:
    rows = rows_of(transpose(np.frombuffer(b"".join(columns), np.uint8).reshape(128, 25)))
    assert len(rows) == 200
    bits = [int.from_bytes(column, "little") for column in columns]
    for j in (0, 1, 77, 127, 128, 199):
        assert rows[j] == sum((column >> j & 1) << c for c, column in enumerate(bits))


def test_pads_depend_on_key_place_and_row() -> None:
    row = coins("row")[:16]
    key, other = rows_key(SID, b"one"), rows_key(SID, b"two")
    both = pads(key, row * 2, 5)
    assert pads(key, row, 5) == both[:96]
    assert pads(key, row, 6) == both[96:]
    assert len({pads(key, row, 5), pads(key, row, 6), pads(other, row, 5)}) == 3
    assert shift(shift(row * 3, coins("d")[:16]), coins("d")[:16]) == row * 3
