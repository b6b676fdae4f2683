"""The extension's challenge covers the correction that is sent with it."""

from __future__ import annotations

import pytest

from workers.protocols.ot import extension
from workers.protocols.ot.arithmetic import ROWS
from workers.protocols.ot.extension import Shape
from workers.protocols.ot.faults import FailedCheckError

from .two_parties import SID, choice_of, extend, grown, trees


@pytest.mark.parametrize("place", [0, 500, -1])
def test_a_matrix_made_for_another_correction_is_noticed(place: int) -> None:
    """Trees and rows are as they should be; only what the challenge is made of differs."""
    made = extend(1)
    correction, punctured = bytearray(grown(4)[0]), trees(4)[1]
    correction[place] ^= 1
    with pytest.raises(FailedCheckError, match=extension.EXTENSION_CHECK):
        extension.send(
            SID, made.shape, punctured, correction=bytes(correction), message=made.message
        )


def test_another_correction_is_another_challenge() -> None:
    """The columns stay as they are; both parts of the check differ."""
    shape, (correction, leaves) = Shape(4, ROWS), grown(4)
    sent = [
        extension.receive(
            SID, shape, leaves, correction=each, nonce=bytes(16), choice=choice_of(shape)
        )[0]
        for each in (correction, correction[:-1] + b"\x00")
    ]
    end = extension.MASK_SIZE + 32
    assert sent[0][:-end] == sent[1][:-end]
    assert sent[0][-end:-32] != sent[1][-end:-32]
    assert sent[0][-32:] != sent[1][-32:]
