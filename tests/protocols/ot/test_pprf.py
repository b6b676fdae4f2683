"""Puncturable trees and their proof, check 5."""

from __future__ import annotations

import hashlib
import operator
from functools import reduce

import pytest

from workers.protocols import tags
from workers.protocols.encoding import digest
from workers.protocols.ot import base, pprf
from workers.protocols.ot.faults import FailedCheckError

from .two_parties import SID, base_transfers, trees


@pytest.mark.parametrize("k", [2, 4])
def test_the_receiver_has_every_leaf_but_the_one_its_bits_spell(k: int) -> None:
    grown, punctured = trees(k)
    bits = base_transfers()[1].bits
    assert len(grown) == base.TRANSFERS // k
    for tree, (full, hole, seen) in enumerate(
        zip(grown, punctured.missing, punctured.trees, strict=True)
    ):
        spelt = "".join(str(1 - bit) for bit in bits[tree * k : tree * k + k])
        assert hole == int(spelt, 2)
        assert len(full) == 2**k
        assert [y for y in range(2**k) if (full[y] != seen[y]).any()] == [hole]
        assert not seen[hole].any()
    assert repr(punctured) == "Punctured(…)"


@pytest.mark.parametrize("k", [2, 4])
def test_a_correction_of_another_size_is_refused(k: int) -> None:
    keys, chosen = base_transfers()
    correction, _ = pprf.grow(SID, keys, k)
    assert len(correction) == pprf.correction_size(k)
    for wrong in (b"", correction[:-1], correction + b"\x00"):
        with pytest.raises(ValueError, match="a correction"):
            pprf.puncture(SID, chosen, k, wrong)


def test_a_wrong_proof_is_always_noticed() -> None:
    keys, chosen = base_transfers()
    correction = bytearray(pprf.grow(SID, keys, 4)[0])
    for place in (-1, -64, -65, -128):
        spoilt = bytearray(correction)
        spoilt[place] ^= 1
        with pytest.raises(FailedCheckError, match=pprf.PPRF_CHECK):
            pprf.puncture(SID, chosen, 4, bytes(spoilt))


def test_a_wrong_sum_is_noticed_by_whoever_uses_it() -> None:
    """Selective failure: the sender learns a bit, and pays for it with the batch."""
    keys, chosen = base_transfers()
    correction = pprf.grow(SID, keys, 4)[0]
    noticed = []
    for side in (0, 1):
        spoilt = bytearray(correction)
        spoilt[32 * side] ^= 1
        try:
            pprf.puncture(SID, chosen, 4, bytes(spoilt))
        except FailedCheckError:
            noticed.append(side)
    assert noticed == [chosen.bits[1]]


def test_trees_are_the_ones_that_the_paper_grows() -> None:
    """The first of them by hand: a node's children are the halves of its hash."""
    keys, _ = base_transfers()
    correction, grown = pprf.grow(SID, keys, 2)
    node, leaf = digest(tags.OT_TREE_NODE, SID), digest(tags.OT_TREE_LEAF, SID)
    both = [hashlib.blake2b(node + key).digest() for key in keys[0]]
    leaves = [half for pair in both for half in (pair[:32], pair[32:])]
    assert [seed.tobytes() for seed in grown[0]] == leaves
    hashes = [hashlib.blake2b(leaf + seed).digest() for seed in leaves]
    sums = [xor(leaves[0], leaves[2], keys[1][0]), xor(leaves[1], leaves[3], keys[1][1])]
    shown = hashlib.blake2b(b"".join(hashes)).digest()
    assert correction[: 2 * 32 + 2 * 64] == b"".join([*sums, xor(*hashes), shown])


def xor(*strings: bytes) -> bytes:
    return bytes(reduce(operator.xor, column) for column in zip(*strings, strict=True))


def test_a_tree_of_another_session_does_not_fit() -> None:
    keys, chosen = base_transfers()
    correction, _ = pprf.grow(b"another".ljust(32), keys, 2)
    with pytest.raises(FailedCheckError):
        pprf.puncture(SID, chosen, 2, correction)
