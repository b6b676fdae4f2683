"""Presignatures: what a batch of them gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1
from workers.protocols.ot.arithmetic import Arithmetic, PlainArithmetic, fastest

from ..simulate import index, indices, reconstruct
from .batches import SESSION_ID, answered, extended, new_batch, offered, presign

ONE, TWO, THREE = indices((1, 2, 3))
G = SECP256K1.generator


@pytest.mark.parametrize(
    ("t", "n", "signers", "count"), [(2, 2, (1, 2), 1), (2, 3, (3, 1), 3), (3, 4, (1, 2, 4), 2)]
)
def test_presignatures_are_shares_of_one_nonce_and_of_the_key(
    t: int, n: int, signers: tuple[int, ...], count: int
) -> None:
    batch = new_batch(t, n, signers, count=count)
    made = presign(batch)
    secret = reconstruct({i: batch.keys[i] for i in made})
    zero = SECP256K1.scalar(0)
    for b in range(count):
        ours = [presignatures[b] for presignatures in made.values()]
        (view,) = {one.view for one in ours}
        assert (view.position, view.signers) == (b, tuple(sorted(made)))
        phi = sum((one.phi for one in ours), start=zero)
        r = sum((one.u for one in ours), start=zero) / phi
        assert r * G == view.r
        assert sum((one.v for one in ours), start=zero) == phi * secret
    assert len({one.view.r for one in made[ours[0].index]}) == count


@pytest.mark.parametrize("path", [PlainArithmetic(), fastest()], ids=lambda p: type(p).__name__)
def test_each_arithmetic_ends_in_the_kept_presignatures(path: Arithmetic) -> None:
    """The whole protocol on fixed coins: a changed figure is a changed protocol."""
    made = presign(new_batch(2, 3, (1, 3), count=2, seed="figures", arithmetic=path))
    r = [one.view.r.to_bytes().hex() for one in made[ONE]]
    phi = [one.phi.to_bytes().hex()[:16] for one in made[ONE]]
    u = [one.u.to_bytes().hex()[:16] for one in made[THREE]]
    assert [*r, *phi, *u] == FIGURES


FIGURES = [
    "03f46bf39f38c3a773db15ba62c595f70fa110a0e029a17402b146ba26bbc65ecc",
    "023e8ff7d94aa666df417c0bc06be7d6ecfdef97791561567301a6c52fd159208d",
    "7c5ad3c4901f6c5e",
    "89e1b24c114134ef",
    "8604588eb10c0dcc",
    "8c36ef06cc2c00ac",
]


def test_a_single_presignature_and_a_batch_have_trees_of_different_depth() -> None:
    single, batch = (replace(offered().parameters[ONE], count=count) for count in (1, 64))
    assert (single.shape.k, single.shape.length) == (2, 416)
    assert (batch.shape.k, batch.shape.length) == (4, 64 * 416)
    assert [chunk.count for chunk in batch.chunks] == [16] * 4


def test_a_batch_of_more_than_a_chunk_is_answered_in_parts() -> None:
    batch = new_batch(2, 2, (1, 2), count=18)
    assert [(c.start, c.count) for c in batch.parameters[ONE].chunks] == [(0, 16), (16, 2)]
    made = presign(batch)
    parts = batch.answers[ONE][TWO].to_parts()
    assert len(parts) == 2
    assert max(map(len, parts)) < 650_000
    assert b"".join(parts) == batch.answers[ONE][TWO].to_bytes()
    assert len({one.view.r for one in made[ONE]}) == 18


def test_nothing_secret_shows_in_repr() -> None:
    batch, presignature = answered(), presign(answered())[ONE][0]
    shown = [batch.offered[ONE], batch.extended[ONE], batch.answered[ONE], presignature]
    shown += [batch.set_ups[ONE][TWO], batch.extensions[ONE][TWO], batch.answers[ONE][TWO]]
    secrets = [batch.offered[ONE].seed, batch.extended[ONE].seed]
    secrets += [pair.receiving.choice for pair in batch.extended[ONE].pairs.values()]
    secrets += [pair.zero_seed for pair in batch.extended[ONE].pairs.values()]
    numbers = [presignature.phi, presignature.u, presignature.v, *batch.answered[ONE].nonces]
    for text in map(repr, shown):
        assert not any(repr(secret) in text or secret.hex() in text for secret in secrets)
        assert not any(str(x.value) in text or x.to_bytes().hex() in text for x in numbers)


def test_coins_are_hedged_with_the_share() -> None:
    batch, other = new_batch(2, 2, (1, 2)), new_batch(2, 2, (1, 2))
    other.keys = {
        i: replace(key, secret_share=key.secret_share + SECP256K1.scalar(1))
        for i, key in batch.keys.items()
    }
    batch.offer(ONE)
    other.offer(ONE)
    assert batch.offered[ONE].seed != other.offered[ONE].seed


def test_the_same_question_gets_the_same_answer() -> None:
    """Round 2 draws nothing: two answers that differ in their check columns would leak."""
    batch = extended()
    batch.answer(ONE)
    first = {j: answer.to_bytes() for j, answer in batch.answers[ONE].items()}
    batch.answer(ONE)
    assert {j: answer.to_bytes() for j, answer in batch.answers[ONE].items()} == first


def test_the_binding_covers_every_field_but_the_index() -> None:
    parameters = offered().parameters[ONE]
    assert replace(parameters, index=TWO).binding == parameters.binding
    others = [
        replace(parameters, session_id=bytes(32)),
        replace(parameters, signers=tuple(indices((1, 2, 4)))),
        replace(parameters, count=3),
        replace(parameters, public_key=SECP256K1.scalar(2) * G),
        replace(parameters, context=b""),
    ]
    assert parameters.session_id == SESSION_ID
    assert len({parameters.binding, *(other.binding for other in others)}) == 6
    assert dkls23.Parameters.from_bytes(parameters.to_bytes()) == parameters
    assert index(1) == parameters.index
