"""Presignatures: each of the thirteen checks, broken. Checks 3 and 4 are key generation's.

5, 6 and 7 are broken bit by bit in ``tests/protocols/ot``; here it is who is blamed for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from workers.protocols import dkls23, tags
from workers.protocols.dkls23 import pairs
from workers.protocols.dkls23.pairs import _fits
from workers.protocols.encoding import digest
from workers.protocols.groups import SECP256K1
from workers.protocols.ot import base
from workers.protocols.rounds import (
    EchoMismatchError,
    MisuseError,
    PartyFaultError,
    SpoiltSessionError,
)

from ..simulate import coins, indices, random_key
from .batches import (
    Batch,
    answered,
    extended,
    extension_over_a_spoilt_tree,
    new_batch,
    offered,
    parameters_of,
)

ONE, TWO, THREE = indices((1, 2, 3))
G = SECP256K1.generator


def the_liar(caught: pytest.ExceptionInfo[PartyFaultError], check: str, *, ban: bool) -> None:
    """One culprit, party 2, under the right check and with the right duty."""
    fault = caught.value
    assert (fault.culprits, fault.check, fault.ban) == (frozenset({TWO}), check, ban)


###
### 1 and 2: sizes, ids, ranges
###


def test_check_1_every_message_has_one_size() -> None:
    batch = answered()
    parameters = batch.parameters[ONE]
    for message in (
        batch.set_ups[TWO][ONE],
        batch.commitments[TWO],
        batch.extensions[TWO][ONE],
        batch.answers[TWO][ONE],
    ):
        data = message.to_bytes()
        assert type(message).from_bytes(parameters, data) == message
        for wrong in (b"", data[:-1], data + b"\x00", data[: len(data) // 2]):
            with pytest.raises(ValueError, match=r"is \d+ bytes"):
                type(message).from_bytes(parameters, wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"signers": (1, 1)},
        {"signers": (0, 1)},
        {"signers": (2, 1)},
        {"signers": (1,)},
        {"signers": (1, 21)},
        {"signers": (2, 3)},
        {"count": 0},
        {"count": 65},
        {"session_id": bytes(31)},
    ],
    ids=str,
)
def test_check_1_parameters_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    parameters = offered().parameters[ONE]
    with pytest.raises(MisuseError):
        replace(parameters, **change)


def test_check_1_exactly_threshold_signers_with_shares_of_this_key() -> None:
    keys = random_key(SECP256K1, 2, 3, "key")
    for signers in ((1, 2, 3), (1, 4)):
        with pytest.raises(MisuseError):
            dkls23.round0(
                replace(parameters_of(keys, (1, 2))[ONE], signers=tuple(indices(signers))),
                keys[ONE],
                randomness=coins("0"),
            )
    parameters = parameters_of(keys, (1, 2))[ONE]
    other = random_key(SECP256K1, 2, 3, "another")[ONE]
    for share in (keys[TWO], other):
        with pytest.raises(MisuseError):
            dkls23.round0(parameters, share, randomness=coins("0"))
    with pytest.raises(MisuseError):
        dkls23.round0(parameters, keys[ONE], randomness=bytes(31))


def test_check_1_a_round_does_not_run_on_an_incomplete_inbox() -> None:
    batch = answered()
    mine = [j for j in batch.signers if j != ONE]
    set_ups = {j: batch.set_ups[j][ONE] for j in mine[:1]}
    with pytest.raises(MisuseError):
        dkls23.round1(batch.offered[ONE], batch.keys[ONE], set_ups, randomness=coins("1"))
    commitments = {j: batch.commitments[j] for j in mine}
    extensions = {j: batch.extensions[j][ONE] for j in mine}
    for known, said in ((commitments, {}), ({}, extensions)):
        with pytest.raises(MisuseError):
            dkls23.round2(batch.extended[ONE], batch.keys[ONE], known, said)
    with pytest.raises(MisuseError):
        dkls23.finish(batch.answered[ONE], {})


NO_POINT = [
    bytes(33),
    b"\x02" + b"\xff" * 32,
    b"\x05" + b"\x01" * 32,
    b"\x02" + bytes(31) + b"\x05",
]


@pytest.mark.parametrize("bad", NO_POINT, ids=lambda bad: bad.hex()[:8])
def test_check_2_points_are_on_the_curve_and_canonical(bad: bytes) -> None:
    batch = answered()
    parameters = batch.parameters[ONE]
    for message, starts in (
        (batch.set_ups[TWO][ONE], (64, 97, 97 + base.PAIRS_SIZE - 33)),
        (batch.answers[TWO][ONE], (64, 64 + 66, 64 + 2 * 66)),  # R, pk, Gamma
    ):
        data = message.to_bytes()
        for at in starts:
            with pytest.raises(ValueError, match="not a compressed point"):
                type(message).from_bytes(parameters, data[:at] + bad + data[at + 33 :])


def test_check_2_scalars_are_below_the_order() -> None:
    batch = answered()
    data, at = batch.answers[TWO][ONE].to_bytes(), 64 + 4 * 66
    q = SECP256K1.order.to_bytes(32, "big")
    with pytest.raises(ValueError, match="below the group's order"):
        dkls23.Answer.from_bytes(batch.parameters[ONE], data[:at] + q + data[at + 32 :])
    rows = at + 64
    little = q[::-1]
    with pytest.raises(ValueError, match="below the group's order"):
        dkls23.Answer.from_bytes(batch.parameters[ONE], data[:rows] + little + data[rows + 32 :])


def test_check_2_a_point_made_to_cancel_its_mask_names_its_sender() -> None:
    batch = offered()
    set_up = batch.set_ups[TWO][ONE]
    sid = pairs.base_sid(batch.parameters[ONE], sender=ONE, receiver=TWO)
    data = set_up.receiver_points.data
    r_0 = -base._mask(digest(tags.OT_BASE_POINT, sid), 0, 0, data[33:66])
    cheat = base.Pairs.from_bytes(r_0.to_bytes() + data[33:])
    batch.set_ups[TWO][ONE] = replace(set_up, receiver_points=cheat)
    with pytest.raises(PartyFaultError) as caught:
        batch.extend(ONE)
    the_liar(caught, "base transfer", ban=False)


###
### 5 and 6: trees and matrix
###


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def test_check_5_a_wrong_pprf_proof_bans_its_sender_before_any_secret_is_used() -> None:
    batch = extended()
    message = batch.extensions[TWO][ONE]
    batch.extensions[TWO][ONE] = replace(message, correction=flipped(message.correction, -1))
    with pytest.raises(PartyFaultError) as caught:
        batch.answer(ONE)
    the_liar(caught, "PPRF proof", ban=True)
    assert ONE not in batch.answers
    batch.answer(THREE)  # was told nothing wrong


@pytest.mark.parametrize("place", [0, 16, -49, -1])
def test_check_6_an_inconsistent_matrix_bans_its_sender(place: int) -> None:
    """In the nonce, the matrix, the check's sum and its hash."""
    batch = extended()
    message = batch.extensions[TWO][ONE]
    batch.extensions[TWO][ONE] = replace(message, matrix=flipped(message.matrix, place))
    with pytest.raises(PartyFaultError) as caught:
        batch.answer(ONE)
    the_liar(caught, "OT-extension consistency", ban=True)
    assert ONE not in batch.answers


def test_all_culprits_of_a_round_are_named() -> None:
    batch = extended()
    for liar in (TWO, THREE):
        message = batch.extensions[liar][ONE]
        batch.extensions[liar][ONE] = replace(message, matrix=flipped(message.matrix, -1))
    with pytest.raises(PartyFaultError) as caught:
        batch.answer(ONE)
    assert caught.value.culprits == {TWO, THREE}
    assert caught.value.ban


###
### 7 to 10: answers
###

Lie = Callable[[Batch, dkls23.Answer], dkls23.Answer]


def told_to_one(lie: Lie) -> pytest.ExceptionInfo[PartyFaultError]:
    """What party 1 says when party 2 sends it ``lie``; party 3 is content."""
    batch = answered()
    batch.answers[TWO][ONE] = lie(batch, batch.answers[TWO][ONE])
    with pytest.raises(PartyFaultError) as caught:
        batch.finish(ONE)
    assert len(batch.finish(THREE)) == 2
    return caught


def test_check_7_a_wrong_product_bans_its_sender() -> None:
    def lie(batch: Batch, answer: dkls23.Answer) -> dkls23.Answer:
        (product,) = answer.products
        changed = replace(product, masked=flipped(product.masked, 40_000))
        return replace(answer, products=(changed,))

    the_liar(told_to_one(lie), "multiplier", ban=True)


@pytest.mark.parametrize("what", ["points", "salt"])
def test_check_8_another_point_than_committed_to_names_its_sender(what: str) -> None:
    def lie(batch: Batch, answer: dkls23.Answer) -> dkls23.Answer:
        if what == "salt":
            return replace(answer, salt=bytes(32))
        return replace(answer, points=(answer.points[0], answer.points[1] + answer.points[0]))

    the_liar(told_to_one(lie), "opening", ban=False)


def test_check_8_a_copied_commitment_is_opened_by_nobody_else() -> None:
    batch = answered()
    answer, parameters = batch.answers[TWO][ONE], batch.parameters[ONE]
    elsewhere = replace(parameters, session_id=bytes(32))
    made = {
        dkls23.Commitment.to_points(where, party, answer.points, answer.salt)
        for where, party in ((parameters, TWO), (parameters, THREE), (elsewhere, TWO))
    }
    assert len(made) == 3
    assert batch.commitments[TWO] in made


def test_check_9_a_nonce_point_of_another_nonce_bans_its_sender() -> None:
    """Committed to honestly, so that only the product can tell."""
    batch = extended()
    parameters, other = batch.parameters[TWO], (SECP256K1.scalar(7) * G,) * 2
    salt = coins("salt")
    commitment = dkls23.Commitment.to_points(parameters, TWO, other, salt)
    batch.commitments[TWO] = commitment
    batch.extended[TWO] = replace(batch.extended[TWO], commitment=commitment)
    batch.answer_all()
    for j in (ONE, THREE):
        batch.answers[TWO][j] = replace(batch.answers[TWO][j], points=other, salt=salt)
    for i in (ONE, THREE):
        with pytest.raises(PartyFaultError) as caught:
            batch.finish(i)
        the_liar(caught, "chi * R", ban=True)


@pytest.mark.parametrize("place", [0, 1])
def test_check_9_a_wrong_gamma_u_bans_its_sender(place: int) -> None:
    def lie(batch: Batch, answer: dkls23.Answer) -> dkls23.Answer:
        gammas = list(answer.gammas)
        gammas[place] = (gammas[place][0] + G.__rmul__(SECP256K1.scalar(1)), gammas[place][1])
        return replace(answer, gammas=tuple(gammas))

    the_liar(told_to_one(lie), "chi * R", ban=True)


def test_check_10_a_public_share_that_was_not_multiplied_bans_its_sender() -> None:
    def lie(batch: Batch, answer: dkls23.Answer) -> dkls23.Answer:
        return replace(answer, public_shares=(answer.public_shares[1], answer.public_shares[0]))

    the_liar(told_to_one(lie), "chi * pk", ban=True)


def test_check_10_a_wrong_gamma_v_bans_its_sender() -> None:
    def lie(batch: Batch, answer: dkls23.Answer) -> dkls23.Answer:
        (u, v), last = answer.gammas
        return replace(answer, gammas=((u, -v), last))

    the_liar(told_to_one(lie), "chi * pk", ban=True)


@pytest.mark.parametrize("d", [0, 5], ids=["a share of zero", "a gamma that cancels"])
def test_checks_9_and_10_fail_where_there_is_no_point_to_compare(d: int) -> None:
    chi, share = SECP256K1.scalar(3), SECP256K1.scalar(d)
    gamma = -(SECP256K1.scalar(5) * G)
    assert not _fits(chi, SECP256K1.scalar(7) * G, share, gamma)


###
### 11 and 12: nobody is blamed
###


def test_check_11_public_shares_that_miss_the_key_spoil_the_session() -> None:
    """Party 2 multiplies with another share of the key, consistently."""
    batch = offered()
    key = batch.keys[TWO]
    wrong = replace(key, secret_share=key.secret_share + SECP256K1.scalar(1))
    batch.keys = {**batch.keys, TWO: wrong}
    batch.extend_all().answer_all()
    for i in (ONE, THREE):
        with pytest.raises(SpoiltSessionError, match="add up to the key"):
            batch.finish(i)


@pytest.mark.parametrize(
    "change",
    [{"context": b"another request"}, {"session_id": bytes(32)}, {"count": 1}],
    ids=lambda change: next(iter(change)),
)
def test_check_12_another_session_is_an_echo_mismatch_before_5_and_6(
    change: dict[str, Any],
) -> None:
    batch = new_batch(2, 3, (1, 2), count=2)
    batch.parameters = {
        ONE: batch.parameters[ONE],
        TWO: replace(batch.parameters[TWO], **change),
    }
    batch.offer_all()
    for i, j in ((ONE, TWO), (TWO, ONE)):
        with pytest.raises(EchoMismatchError) as caught:
            batch.extend(i)
        assert caught.value.parties == {j}


def test_check_12_another_signer_set_is_an_echo_mismatch() -> None:
    batch = new_batch(2, 3, (1, 2))
    other = parameters_of(batch.keys, (2, 3))[TWO]
    batch.offer(ONE)
    _, outbox = dkls23.round0(other, batch.keys[TWO], randomness=coins("other"))
    with pytest.raises(EchoMismatchError):
        dkls23.round1(
            batch.offered[ONE], batch.keys[ONE], {TWO: outbox.direct[THREE]}, randomness=coins("1")
        )


def test_check_12_another_round_0_is_an_echo_mismatch_before_5_and_6() -> None:
    """A base transfer that was changed on the way would fail 5 at both ends, and both were honest.

    Even if the message is spoilt as well, nobody is accused.
    """
    batch = offered()
    set_up = batch.set_ups[TWO][ONE]
    batch.set_ups[TWO][ONE] = replace(set_up, contribution=bytes(32))
    batch.extend_all()
    message = batch.extensions[TWO][ONE]
    batch.extensions[TWO][ONE] = replace(message, matrix=flipped(message.matrix, -1))
    for i, j in ((ONE, TWO), (TWO, ONE)):
        with pytest.raises(EchoMismatchError) as caught:
            batch.answer(i)
        assert caught.value.parties == {j}
    batch.answer(THREE)


def test_check_12_two_faces_are_an_echo_mismatch_before_7() -> None:
    """A relay shows party 3 another commitment of party 2, and spoils a product as well."""
    batch = extended()
    batch.answer(ONE)
    batch.answer(TWO)
    honest = batch.commitments[TWO]
    batch.commitments[TWO] = dkls23.Commitment(bytes(32))
    batch.answer(THREE)
    batch.commitments[TWO] = honest
    for sender, recipient in ((TWO, ONE), (ONE, TWO), (TWO, THREE)):
        answer = batch.answers[sender][recipient]
        product = replace(answer.products[0], mu=bytes(32))
        batch.answers[sender][recipient] = replace(answer, products=(product,))
    seen = {}
    for i in batch.signers:
        with pytest.raises(EchoMismatchError) as caught:
            batch.finish(i)
        seen[i] = caught.value.parties
    assert seen == {ONE: {THREE}, TWO: {THREE}, THREE: {ONE, TWO}}


def test_check_12_another_direct_message_of_round_1_is_an_echo_mismatch_before_7() -> None:
    """Spoilt where the recipient's bit does not look: 5 and 6 pass, and the row hashes differ."""
    batch = extended()
    message = batch.extensions[TWO][ONE]
    unused = 1 - batch.extended[ONE].pairs[TWO].chosen.bits[1]
    batch.extensions[TWO][ONE] = extension_over_a_spoilt_tree(batch, TWO, ONE, side=unused)
    assert batch.extensions[TWO][ONE] != message
    batch.answer_all()
    for i, j in ((ONE, TWO), (TWO, ONE)):
        with pytest.raises(EchoMismatchError) as caught:
            batch.finish(i)
        assert caught.value.parties == {j}
    batch.finish(THREE)
