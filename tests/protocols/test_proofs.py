"""Proofs of knowledge hold where they were made and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.proofs import Proof, ProofContext, proof_size, prove, verify

from .simulate import coins, index

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
CONTEXT = ProofContext(protocol=b"p", session=b"s", party=index(1), role=b"r", index=0)


@GROUPS
def test_a_proof_holds(group: Group) -> None:
    secret = group.scalar(42)
    public = secret * group.generator
    proof = prove(secret, public, CONTEXT, coins("a"))
    assert verify(group, proof, public, CONTEXT)
    assert Proof.from_bytes(group, proof.to_bytes()) == proof


@GROUPS
@pytest.mark.parametrize(
    "change",
    [{"protocol": b"q"}, {"session": b"t"}, {"party": index(2)}, {"role": b"x"}, {"index": 1}],
    ids=lambda change: next(iter(change)),
)
def test_a_proof_holds_in_its_own_context_only(group: Group, change: dict[str, Any]) -> None:
    secret = group.scalar(42)
    public = secret * group.generator
    proof = prove(secret, public, CONTEXT, coins("a"))
    other = replace(CONTEXT, **change)
    assert not verify(group, proof, public, other)


@GROUPS
def test_a_proof_is_for_one_point(group: Group) -> None:
    secret = group.scalar(42)
    public = secret * group.generator
    proof = prove(secret, public, CONTEXT, coins("a"))
    assert not verify(group, proof, group.scalar(43) * group.generator, CONTEXT)
    assert not verify(group, replace(proof, r=public), public, CONTEXT)
    assert not verify(group, replace(proof, s=proof.s + group.scalar(1)), public, CONTEXT)
    assert not verify(group, replace(proof, s=group.scalar(0)), public, CONTEXT)


@GROUPS
def test_nonces_differ_with_randomness_secret_and_context(group: Group) -> None:
    def r(secret: int, context: ProofContext, randomness: bytes) -> bytes:
        scalar = group.scalar(secret)
        return prove(scalar, scalar * group.generator, context, randomness).r.to_bytes()

    elsewhere = replace(CONTEXT, index=1)
    made = [(42, CONTEXT, b"a"), (42, CONTEXT, b"b"), (43, CONTEXT, b"a"), (42, elsewhere, b"a")]
    assert len({r(*inputs) for inputs in made}) == len(made)


@GROUPS
@given(data=st.binary(max_size=70) | st.binary(min_size=64, max_size=65))
def test_parsing_raises_nothing_but_value_error(group: Group, data: bytes) -> None:
    try:
        proof = Proof.from_bytes(group, data)
    except ValueError:
        return
    assert proof.to_bytes() == data


@GROUPS
@pytest.mark.parametrize("change", [-1, 1])
def test_a_proof_has_one_size(group: Group, change: int) -> None:
    with pytest.raises(ValueError, match="a proof is"):
        Proof.from_bytes(group, bytes(proof_size(group) + change))
