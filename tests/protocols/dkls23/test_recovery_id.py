"""Check 13 covers the recovery id: the key that it leads to is the key that signs."""

from __future__ import annotations

from dataclasses import replace

import coincurve
import pytest

from workers.protocols import dkls23
from workers.protocols.dkls23.ecdsa import leads_to
from workers.protocols.groups import SECP256K1, Point, Scalar
from workers.protocols.groups.libsecp256k1 import recover_ecdsa
from workers.protocols.rounds import SpoiltSessionError

from ..simulate import coins, indices
from .batches import new_batch, presign, task_of

ONE, THREE = indices((1, 3))


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("tweak", [0, 5])
def test_check_13_a_signer_who_negates_s_spoils_the_session(place: int, tweak: int) -> None:
    """Whoever answers last has seen w and u of the other, and makes of s its negative.

    r and s would verify, because of s and -s the low one is used; the recovery id is turned twice.
    """
    made = presign(new_batch(2, 3, (1, 3), count=2))
    task = task_of(coins("message"), tweak=SECP256K1.scalar(tweak))
    view = made[ONE][place].view
    shares = {i: dkls23.sign(one[place], task) for i, one in made.items()}
    seen, own = shares[THREE], shares[ONE]
    turned = replace(own, w=-(own.w + seen.w) - seen.w)

    honest = dkls23.combine(view, task, shares)
    public_key = task.public_key(view)
    wrong = replace(honest, recovery_id=honest.recovery_id ^ 1)
    assert dkls23.verify(public_key, task.digest, wrong)  # as a verifier of r and s would have it
    assert recovered(task.digest, wrong) != public_key.to_bytes()
    assert recovered(task.digest, honest) == public_key.to_bytes()

    with pytest.raises(SpoiltSessionError, match="recovery id of another key"):
        dkls23.combine(view, task, {ONE: turned, THREE: seen})


def test_a_signature_leads_to_its_key_and_by_no_other_recovery_id() -> None:
    digest, key = coins("digest"), coincurve.PrivateKey(coins("key"))
    public_key = SECP256K1.point_from_bytes_checked(key.public_key.format())
    signature = dkls23.Signature.from_bytes(key.sign_recoverable(digest, hasher=None))
    assert [
        recovery_id
        for recovery_id in range(4)
        if leads_to(public_key, digest, replace(signature, recovery_id=recovery_id))
    ] == [signature.recovery_id]


def test_what_is_no_signature_leads_nowhere() -> None:
    digest, key = coins("digest"), coincurve.PrivateKey(coins("key"))
    public_key = SECP256K1.point_from_bytes_checked(key.public_key.format())
    signature = dkls23.Signature.from_bytes(key.sign_recoverable(digest, hasher=None))
    zero = SECP256K1.scalar(0)
    assert leads_to(public_key, digest, signature)
    for wrong in (
        replace(signature, r=zero),
        replace(signature, s=zero),
        replace(signature, s=signature.s + SECP256K1.scalar(1)),
        replace(signature, r=no_x_coordinate()),
    ):
        assert not leads_to(public_key, digest, wrong)
    for size in (digest[:31], digest + b"\x00"):  # libsecp256k1 reads 32 bytes whatever it is given
        assert not leads_to(public_key, size, signature)
    assert not leads_to(public_key, coins("another"), signature)
    assert not leads_to(another_key(), digest, signature)


def test_scalars_that_are_none_lead_to_no_key() -> None:
    too_large = b"\xff" * 32
    fine = (1).to_bytes(32, "big")
    assert recover_ecdsa(bytes(32), too_large + fine, 0) is None
    assert recover_ecdsa(bytes(32), fine + too_large, 0) is None


def no_x_coordinate() -> Scalar:
    """5: no point of the curve has it."""
    with pytest.raises(ValueError, match="secp256k1"):
        SECP256K1.point_from_bytes_checked(b"\x02" + (5).to_bytes(32, "big"))
    return SECP256K1.scalar(5)


def another_key() -> Point:
    return SECP256K1.scalar(2) * SECP256K1.generator


def recovered(digest: bytes, signature: dkls23.Signature) -> bytes:
    """By a library that knows nothing of thresholds."""
    key = coincurve.PublicKey.from_signature_and_message(signature.to_bytes(), digest, hasher=None)
    return bytes(key.format())
