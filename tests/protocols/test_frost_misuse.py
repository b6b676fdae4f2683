"""FROST as it must not be used: refused before anything is signed or believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.protocols import frost
from workers.protocols.groups import ED25519, SECP256K1
from workers.protocols.rounds import MisuseError

from .frost_signing import MESSAGE, NAMES, PLACE, SUITES, TAPROOT, ZEROS, Signing, two_of_three
from .published import ANY_LENGTH_TAPROOT
from .simulate import index, indices, random_key


@SUITES
def test_a_commitment_that_is_not_ours_is_not_answered(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    foreign = signing.commitments[index(3)]
    for commitments in (
        {**signing.commitments, index(1): foreign},
        {index(2): foreign, index(3): foreign},
    ):
        with pytest.raises(MisuseError, match="our own commitment"):
            replace(signing, commitments=commitments).sign(index(1))


@SUITES
def test_nonces_of_another_party_are_refused(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    signing.nonces[index(1)] = replace(signing.nonces[index(1)], index=index(3))
    with pytest.raises(MisuseError, match="our own commitment"):
        signing.sign(index(1))


@SUITES
@pytest.mark.parametrize("signers", [(1,), (1, 2, 3)])
def test_exactly_threshold_signers_sign(suite: frost.Ciphersuite, signers: tuple[int, ...]) -> None:
    keys = random_key(suite.group, 2, 3, "count")
    signing = Signing.start(suite, keys, indices(signers))
    with pytest.raises(MisuseError, match="exactly 2 needed"):
        signing.sign(index(1))
    with pytest.raises(MisuseError, match="exactly 2 needed"):
        signing.aggregate({})


@SUITES
def test_a_signer_without_a_share_of_the_key_is_refused(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    stranger = {index(1): signing.commitments[index(1)], index(4): signing.commitments[index(3)]}
    with pytest.raises(MisuseError, match="no share of this key"):
        replace(signing, commitments=stranger).sign(index(1))


@SUITES
def test_aggregation_wants_one_share_of_each_signer(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    shares = signing.shares()
    for wrong in ({}, {index(1): shares[index(1)]}, {**shares, index(2): shares[index(1)]}):
        with pytest.raises(MisuseError, match="exactly one share"):
            signing.aggregate(wrong)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_bip340_signs_32_bytes_only(size: int) -> None:
    signing = two_of_three(TAPROOT, message=bytes(size))
    with pytest.raises(MisuseError, match="signs 32 bytes"):
        signing.sign(index(1))
    with pytest.raises(MisuseError, match="signs 32 bytes"):
        signing.aggregate({})


@pytest.mark.parametrize("size", [0, 31, 33])
def test_bip340_accepts_no_signature_of_another_length_though_bip_340_does(size: int) -> None:
    signing = two_of_three(ANY_LENGTH_TAPROOT, message=bytes(size))
    signature = signing.aggregate(signing.shares())
    public_key = signing.keys[index(1)].public_key
    assert frost.verify(ANY_LENGTH_TAPROOT, public_key, signing.message, signature)
    assert not frost.verify(TAPROOT, public_key, signing.message, signature)


@pytest.mark.parametrize("name", ["ed25519", "secp256k1"])
def test_only_taproot_has_a_merkle_root(name: str) -> None:
    signing = two_of_three(frost.ciphersuite(name), merkle_root=b"")
    with pytest.raises(MisuseError, match="no merkle root"):
        signing.sign(index(1))


@pytest.mark.parametrize("size", [1, 31, 33])
def test_a_merkle_root_has_32_bytes_or_none(size: int) -> None:
    with pytest.raises(MisuseError, match="merkle root is"):
        two_of_three(TAPROOT, merkle_root=bytes(size)).sign(index(1))


@pytest.mark.parametrize(("hiding", "binding"), [(31, 32), (32, 31), (0, 0), (33, 33)])
def test_nonces_need_32_random_bytes_each(hiding: int, binding: int) -> None:
    key = random_key(SECP256K1, 2, 2, "size")[index(1)]
    with pytest.raises(MisuseError, match="randomness"):
        frost.commit(
            TAPROOT,
            key,
            place=PLACE,
            hiding_randomness=bytes(hiding),
            binding_randomness=bytes(binding),
        )


def test_a_key_of_another_group_is_refused() -> None:
    key = random_key(ED25519, 2, 2, "group")[index(1)]
    with pytest.raises(MisuseError, match="does not sign with a key of ed25519"):
        frost.commit(TAPROOT, key, place=PLACE, **ZEROS)
    signing = two_of_three(TAPROOT)
    with pytest.raises(MisuseError, match="does not sign with a key of ed25519"):
        frost.sign(signing.nonces[index(1)], key, MESSAGE, signing.commitments)
    with pytest.raises(MisuseError, match="does not sign with a key of ed25519"):
        frost.aggregate(TAPROOT, key.view, MESSAGE, signing.commitments, {})


def test_nonces_are_hedged_with_the_share() -> None:
    """The same broken randomness at two parties, or in two suites, still gives other nonces."""
    keys = random_key(SECP256K1, 2, 2, "hedged")
    made = {
        frost.commit(suite, key, place=PLACE, **ZEROS)[1]
        for key in keys.values()
        for suite in (TAPROOT, frost.ciphersuite("secp256k1"))
    }
    assert len(made) == 4


def test_ciphersuites_are_found_by_name() -> None:
    assert [frost.ciphersuite(name).name for name in NAMES] == NAMES
    assert "bip340" in repr(TAPROOT)
    with pytest.raises(ValueError, match="ed25519, secp256k1, bip340"):
        frost.ciphersuite("ecdsa")
