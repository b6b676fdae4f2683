"""FROST and BIP-340 against published figures, step by step."""

from __future__ import annotations

import pytest

from workers.protocols import frost
from workers.protocols.frost.signing import binding_factors, nonce_generate
from workers.protocols.groups import SECP256K1
from workers.protocols.key_share import KeyShare

from .published import (
    ANY_LENGTH_TAPROOT,
    BIP340,
    RFC9591_E1,
    RFC9591_E5,
    Bip340Vector,
    FrostVector,
    bip340_vectors,
    frost_vector,
)
from .simulate import deal, index


def nonces_of(suite: frost.Ciphersuite, key: KeyShare, *randomness: str) -> frost.Nonces:
    """The RFC's own, from its randomness as it is; ``commit`` hashes a place in before."""
    d_i, e_i = (nonce_generate(suite, key, bytes.fromhex(each)) for each in randomness)
    g = suite.group.generator
    return frost.Nonces(
        suite=suite,
        index=key.index,
        hiding=d_i,
        binding=e_i,
        commitment=frost.Commitment(d_i * g, e_i * g),
    )


def follow(suite: frost.Ciphersuite, vector: FrostVector) -> None:
    """Run both rounds on the vector's inputs and compare every figure on the way."""
    group = suite.group
    coefficients = [
        group.scalar_from_bytes_checked(bytes.fromhex(hexed))
        for hexed in (vector.secret, vector.slope)
    ]
    keys = deal(coefficients, party_count=3)
    assert keys[index(1)].public_key.to_bytes().hex() == vector.public_key
    message = bytes.fromhex(vector.message)

    nonces, commitments = {}, {}
    for row in vector.signers:
        i = index(row.index)
        nonces[i] = nonces_of(suite, keys[i], row.hiding_randomness, row.binding_randomness)
        commitments[i] = nonces[i].commitment
        assert nonces[i].hiding.to_bytes().hex() == row.hiding_nonce
        assert nonces[i].binding.to_bytes().hex() == row.binding_nonce
        assert commitments[i].hiding.to_bytes().hex() == row.hiding_commitment
        assert commitments[i].binding.to_bytes().hex() == row.binding_commitment

    public_key = frost.output_key(suite, keys[index(1)].public_key)
    rho = binding_factors(suite, public_key, commitments, message)
    shares = {}
    for row in vector.signers:
        i = index(row.index)
        assert rho[i].to_bytes().hex() == row.binding_factor
        shares[i] = frost.sign(nonces[i], keys[i], message, commitments)
        assert shares[i].to_bytes().hex() == row.signature_share

    signature = frost.aggregate(suite, keys[index(1)].view, message, commitments, shares)
    assert signature.hex() == vector.signature


@pytest.mark.parametrize("vector", [RFC9591_E1, RFC9591_E5], ids=["E.1", "E.5"])
def test_frost_gives_the_figures_of_rfc_9591(vector: FrostVector) -> None:
    follow(frost.ciphersuite(vector.suite), vector)


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("rfc9591/frost-ed25519-sha512.json", "ed25519"),
        ("rfc9591/frost-secp256k1-sha256.json", "secp256k1"),
    ],
)
def test_frost_gives_the_figures_of_the_published_files(name: str, suite: str) -> None:
    follow(frost.ciphersuite(suite), frost_vector(name, suite))


def test_the_taproot_suite_gives_the_figures_of_its_authors() -> None:
    follow(ANY_LENGTH_TAPROOT, frost_vector("frost-secp256k1-tr/vectors.json", "bip340"))


def holds(suite: frost.Ciphersuite, vector: Bip340Vector) -> bool:
    try:
        public_key = SECP256K1.point_from_bytes_checked(b"\x02" + bytes.fromhex(vector.public_key))
    except ValueError:
        return False
    message, signature = bytes.fromhex(vector.message), bytes.fromhex(vector.signature)
    return frost.verify(suite, public_key, message, signature)


@pytest.mark.parametrize("vector", BIP340, ids=lambda vector: str(vector.number))
def test_bip340_signatures_verify(vector: Bip340Vector) -> None:
    assert holds(frost.ciphersuite("bip340"), vector)


def test_every_published_bip340_row_is_judged_as_published() -> None:
    for vector in bip340_vectors():
        assert holds(ANY_LENGTH_TAPROOT, vector) is vector.valid, vector


def test_bip340_rows_of_other_lengths_are_not_for_our_suite() -> None:
    others = [vector for vector in bip340_vectors() if len(vector.message) != 64]
    assert [vector.number for vector in others] == [15, 16, 17, 18]
    assert not any(holds(frost.ciphersuite("bip340"), vector) for vector in others)
