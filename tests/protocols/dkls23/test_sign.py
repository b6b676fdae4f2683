"""The online round: signatures that other libraries accept, and check 13."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import coincurve
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols import dkls23
from workers.protocols.dkls23.sign import _nonce_point, rerandomisation
from workers.protocols.groups import ED25519, SECP256K1, IdentityError, Point, Scalar
from workers.protocols.rounds import (
    MisuseError,
    PartyIndex,
    SpoiltSessionError,
)

from ..published import published_file
from ..simulate import coins, generate, indices, random_key
from .batches import Batch, new_batch, parameters_of, presign, sign_all, task_of

ONE, TWO, THREE = indices((1, 2, 3))
Q = SECP256K1.order
G = SECP256K1.generator
DIGEST = b"\x00\x00" + coins("message")[2:]


@cache
def presignatures() -> dict[PartyIndex, dkls23.Presignature]:
    """One of each of two signers. The tests sign many tasks with it; nobody else may."""
    return {i: made[0] for i, made in presign(new_batch(2, 3, (1, 3))).items()}


def view() -> dkls23.PresignatureView:
    return presignatures()[ONE].view


def shares_for(task: dkls23.Task) -> dict[PartyIndex, dkls23.SignatureShare]:
    return {i: dkls23.sign(one, task) for i, one in presignatures().items()}


def accepted_elsewhere(public_key: Point, digest: bytes, signature: dkls23.Signature) -> None:
    """The verdict of libraries that know nothing of thresholds; one recovers the key."""
    data = signature.to_bytes()
    recovered = coincurve.PublicKey.from_signature_and_message(data, digest, hasher=None)
    assert recovered.format() == public_key.to_bytes()
    der = utils.encode_dss_signature(signature.r.value, signature.s.value)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key.to_bytes())
    key.verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    assert 0 < signature.s.value <= Q // 2


###
### Signatures
###


def test_a_generated_key_signs_at_every_place_of_a_batch() -> None:
    """3 of 5, from key generation to signature."""
    keys = {i: done.key_share for i, done in generate(SECP256K1, 3, 5).items()}
    made = presign(Batch(keys, parameters_of(keys, (2, 3, 5), count=2)))
    for b in range(2):
        signature = sign_all((one[b] for one in made.values()), task_of(DIGEST))
        accepted_elsewhere(keys[ONE].public_key, DIGEST, signature)


@pytest.mark.parametrize("signers", [(1, 2), (1, 3), (2, 3)])
def test_every_signer_set_signs(signers: tuple[int, int]) -> None:
    batch = new_batch(2, 3, signers)
    signature = sign_all((one[0] for one in presign(batch).values()), task_of(DIGEST))
    accepted_elsewhere(batch.keys[ONE].public_key, DIGEST, signature)


@settings(max_examples=40, deadline=None)
@given(
    digest=st.binary(min_size=32, max_size=32),
    tweak=st.integers(0, Q - 1),
    entropy=st.just(b"") | st.binary(min_size=32, max_size=32),
)
def test_any_digest_is_signed_under_any_tweak(digest: bytes, tweak: int, entropy: bytes) -> None:
    task = task_of(digest, tweak=SECP256K1.scalar(tweak), entropy=entropy)
    signature = sign_all(presignatures().values(), task)
    tau = SECP256K1.scalar(tweak)
    derived = view().public_key + tau * G if tweak else view().public_key
    assert task.public_key(view()) == derived
    accepted_elsewhere(derived, digest, signature)
    assert dkls23.Signature.from_bytes(signature.to_bytes()) == signature


@pytest.mark.parametrize("digest", [bytes(32), b"\xff" * 32, Q.to_bytes(32, "big")])
def test_digests_at_the_edges_are_signed(digest: bytes) -> None:
    accepted_elsewhere(
        view().public_key, digest, sign_all(presignatures().values(), task_of(digest))
    )


def test_the_tweaked_key_is_not_the_key() -> None:
    task = task_of(DIGEST, tweak=SECP256K1.scalar(5))
    signature = sign_all(presignatures().values(), task)
    assert dkls23.verify(task.public_key(view()), DIGEST, signature)
    assert not dkls23.verify(view().public_key, DIGEST, signature)


def test_the_nonce_differs_for_every_field_of_the_task_and_the_presignature() -> None:
    task, seen = task_of(DIGEST), view()
    deltas = [
        rerandomisation(seen, one)
        for one in (
            task,
            replace(task, session_id=bytes(32)),
            replace(task, digest=bytes(32)),
            replace(task, tweak=SECP256K1.scalar(1)),
            replace(task, request_digest=bytes(32)),
            replace(task, entropy=bytes(32)),
        )
    ]
    deltas += [
        rerandomisation(one, task)
        for one in (
            replace(seen, session_id=bytes(32)),
            replace(seen, position=1),
            replace(seen, signers=tuple(indices((1, 2)))),
            replace(seen, public_key=seen.r),
            replace(seen, r=seen.public_key),
        )
    ]
    assert len(set(deltas)) == 11
    assert SECP256K1.scalar(0) not in deltas


def signatures_and_their_negatives() -> Iterator[tuple[dkls23.Signature, dkls23.Signature]]:
    for n in range(8):
        task = task_of(coins(n))
        shares = shares_for(task).values()
        zero = SECP256K1.scalar(0)
        s = sum((x.w for x in shares), start=zero) / sum((x.u for x in shares), start=zero)
        r = view().r + rerandomisation(view(), task) * G
        r_x = SECP256K1.scalar_from_bytes_wrapping(r.to_bytes()[1:])
        yield dkls23.Signature.normalised(r, r_x, s), dkls23.Signature.normalised(r, r_x, -s)


def test_of_s_and_its_negative_the_low_one_is_used_and_the_recovery_id_follows() -> None:
    both = list(signatures_and_their_negatives())
    for one, other in both:
        assert (one.r, one.s) == (other.r, other.s)
        assert one.s.value <= Q // 2
        assert one.recovery_id ^ other.recovery_id == 1
    assert {one.recovery_id for one, _ in both} == {0, 1}


def test_an_x_coordinate_above_the_order_sets_bit_1_of_the_recovery_id() -> None:
    """Such points are 2^-128 of all; this is the first one above the order."""
    for x in range(Q, Q + 50):
        try:
            r = SECP256K1.point_from_bytes_checked(b"\x02" + x.to_bytes(32, "big"))
        except ValueError:
            continue
        break
    signature = dkls23.Signature.normalised(r, SECP256K1.scalar(x), SECP256K1.scalar(1))
    assert signature.recovery_id == 2
    assert dkls23.Signature.normalised(-r, signature.r, signature.s).recovery_id == 3


def test_a_nonce_point_with_an_x_coordinate_of_zero_gives_no_signature() -> None:
    """None has zero itself, but two have the group's order, which is zero too."""
    delta = SECP256K1.scalar(7)
    at_order = SECP256K1.point_from_bytes_checked(b"\x02" + Q.to_bytes(32, "big"))
    with pytest.raises(IdentityError, match="r is zero"):
        _nonce_point(replace(view(), r=-(delta * G) + at_order), delta)


###
### Check 13, misuse, sizes
###


@pytest.mark.parametrize("field", ["w", "u"])
def test_check_13_a_wrong_share_spoils_the_session_and_nothing_is_released(field: str) -> None:
    task = task_of(DIGEST)
    shares = shares_for(task)
    wrong = getattr(shares[THREE], field) + SECP256K1.scalar(1)
    shares[THREE] = replace(shares[THREE], **{field: wrong})
    with pytest.raises(SpoiltSessionError, match="no valid signature"):
        dkls23.combine(view(), task, shares)


def test_check_13_shares_that_cancel_spoil_the_session() -> None:
    task = task_of(DIGEST)
    shares = shares_for(task)
    for w, u in ((-shares[ONE].w, shares[THREE].u), (shares[THREE].w, -shares[ONE].u)):
        with pytest.raises(SpoiltSessionError, match="add up to no signature"):
            dkls23.combine(view(), task, {**shares, THREE: dkls23.SignatureShare(w, u)})


def test_check_13_a_share_for_another_task_spoils_the_session() -> None:
    shares = shares_for(task_of(DIGEST))
    with pytest.raises(SpoiltSessionError):
        dkls23.combine(view(), task_of(coins("another")), shares)


def test_exactly_the_signers_shares_are_combined() -> None:
    task = task_of(DIGEST)
    shares = shares_for(task)
    for wrong in ({ONE: shares[ONE]}, {**shares, TWO: shares[ONE]}, {}):
        with pytest.raises(MisuseError):
            dkls23.combine(view(), task, wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": bytes(31)},
        {"session_id": b""},
        {"request_digest": bytes(33)},
        {"tweak": ED25519.scalar(1)},
    ],
    ids=str,
)
def test_a_task_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MisuseError):
        replace(task_of(DIGEST), **change)


@pytest.mark.parametrize("size", [1, 16, 31, 48])
def test_entropy_is_of_all_signers_or_of_none(size: int) -> None:
    with pytest.raises(MisuseError):
        dkls23.sign(presignatures()[ONE], task_of(DIGEST, entropy=bytes(size)))


def test_shares_and_signatures_have_one_size_and_numbers_below_the_order() -> None:
    share = shares_for(task_of(DIGEST))[ONE]
    data = share.to_bytes()
    assert len(data) == 64
    assert dkls23.SignatureShare.from_bytes(data) == share
    signature = sign_all(presignatures().values(), task_of(DIGEST)).to_bytes()
    top = Q.to_bytes(32, "big")
    for wrong in (b"", data[:-1], data + b"\x00", top + data[32:], data[:32] + top):
        with pytest.raises(ValueError):
            dkls23.SignatureShare.from_bytes(wrong)
    for wrong in (signature[:-1], signature[:-1] + b"\x04", top + signature[32:]):
        with pytest.raises(ValueError):
            dkls23.Signature.from_bytes(wrong)


def test_stored_forms_come_back_equal() -> None:
    presignature = presignatures()[ONE]
    assert dkls23.Presignature.from_bytes(presignature.to_bytes()) == presignature
    assert dkls23.PresignatureView.from_bytes(view().to_bytes()) == view()
    with pytest.raises(ValueError, match="not warren/state/presignature/v1"):
        dkls23.Presignature.from_bytes(view().to_bytes())


###
### Liars
###


def test_check_13_a_wrong_psi_gives_no_signature_and_names_nobody() -> None:
    """Psi masks a nonce and has nothing to be compared with: presigning succeeds."""
    batch = new_batch(2, 2, (1, 2)).offer_all().extend_all().answer_all()
    answer = batch.answers[TWO][ONE]
    batch.answers[TWO][ONE] = replace(answer, psis=(answer.psis[0] + SECP256K1.scalar(1),))
    made = batch.finish_all()
    with pytest.raises(SpoiltSessionError):
        sign_all((one[0] for one in made.values()), task_of(DIGEST))


###
### Published
###


def test_verification_agrees_with_wycheproof() -> None:
    """Where the DER is read by another library; what it cannot read must be invalid."""
    file = published_file("wycheproof/ecdsa_secp256k1_sha256_bitcoin_test.json")
    verdicts = {"valid": 0, "invalid": 0, "unreadable": 0}
    for group in json.loads(file.read_text())["testGroups"]:
        encoded = bytes.fromhex(group["publicKey"]["uncompressed"])
        compressed = coincurve.PublicKey(encoded).format()
        public_key = SECP256K1.point_from_bytes_checked(compressed)
        for case in group["tests"]:
            digest = coincurve.utils.sha256(bytes.fromhex(case["msg"]))
            try:
                r, s = utils.decode_dss_signature(bytes.fromhex(case["sig"]))
            except ValueError:
                assert case["result"] == "invalid", case
                verdicts["unreadable"] += 1
                continue
            verdict = in_range(r, s) and dkls23.verify(
                public_key,
                digest,
                dkls23.Signature(SECP256K1.scalar(r), SECP256K1.scalar(s), 0),
            )
            assert verdict == (case["result"] == "valid"), case
            verdicts[case["result"]] += 1
    assert verdicts["valid"] > 100
    assert verdicts["invalid"] > 50


def in_range(*values: int) -> bool:
    """What ``Signature.from_bytes`` asks of r and s; a scalar would wrap around."""
    return all(0 <= value < Q for value in values)


def test_verification_refuses_what_other_libraries_refuse() -> None:
    task = task_of(DIGEST)
    signature = sign_all(presignatures().values(), task)
    key, zero = view().public_key, SECP256K1.scalar(0)
    assert dkls23.verify(key, DIGEST, signature)
    assert not dkls23.verify(key, DIGEST, replace(signature, s=-signature.s))  # high s
    assert not dkls23.verify(key, DIGEST, replace(signature, s=zero))
    assert not dkls23.verify(key, DIGEST, replace(signature, r=zero))
    assert not dkls23.verify(key, DIGEST[:31], signature)
    other = random_key(SECP256K1, 2, 2, "other")[ONE].public_key
    assert not dkls23.verify(other, DIGEST, signature)
    der = utils.encode_dss_signature(signature.r.value, Q - signature.s.value)
    low_s_is_our_rule = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key.to_bytes())
    low_s_is_our_rule.verify(der, DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    with pytest.raises(InvalidSignature):
        low_s_is_our_rule.verify(der, bytes(32), ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def test_secrets_do_not_show() -> None:
    presignature = presignatures()[ONE]
    share = dkls23.sign(presignature, task_of(DIGEST))
    numbers: list[Scalar] = [presignature.phi, presignature.u, presignature.v, share.w]
    for text in (repr(presignature), repr(share)):
        assert not any(str(x.value) in text or x.to_bytes().hex() in text for x in numbers)
