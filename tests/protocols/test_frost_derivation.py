"""FROST with BIP-32's children: a tweak signs with the child that any wallet derives."""

from __future__ import annotations

from typing import Any

import coincurve
import pytest
from btclib.key import PubKeyData
from btclib.script.taproot import output_pubkey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.derivation import DerivedKey, derive
from contracts.primitives import Scheme
from contracts.verification import check_signature, verifying_key
from workers.protocols import frost
from workers.protocols.frost.ciphersuites import has_even_y
from workers.protocols.groups import ED25519, SECP256K1, IdentityError, Point, Scalar
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import MisuseError, PartyFaultError, PartyIndex

from .simulate import coins, index, indices, random_key, reconstruct

PLAIN, TAPROOT = frost.ciphersuite("secp256k1"), frost.ciphersuite("bip340")
SUITES = pytest.mark.parametrize("suite", [PLAIN, TAPROOT], ids=lambda suite: suite.name)
MESSAGE = coins("message")
PATH = (44, 0, 7)

Keys = dict[PartyIndex, KeyShare]
Shares = dict[PartyIndex, frost.SignatureShare]


class Signing:
    """One signing by the signers given, until the coordinator has their shares."""

    def __init__(self, suite: frost.Ciphersuite, keys: Keys, signers: tuple[int, ...]) -> None:
        self.suite, self.keys = suite, keys
        made = {
            i: frost.commit(
                suite,
                keys[i],
                place=(coins("place"), 0),
                hiding_randomness=coins("hiding", i),
                binding_randomness=coins("binding", i),
            )
            for i in indices(signers)
        }
        self.nonces = {i: nonces for i, (nonces, _) in made.items()}
        self.commitments = {i: commitment for i, (_, commitment) in made.items()}

    def sign(self, i: PartyIndex, **options: Any) -> frost.SignatureShare:
        return frost.sign(self.nonces[i], self.keys[i], MESSAGE, self.commitments, **options)

    def shares(self, **options: Any) -> Shares:
        return {i: self.sign(i, **options) for i in self.commitments}

    def aggregate(self, shares: Shares, **options: Any) -> bytes:
        view = next(iter(self.keys.values())).view
        return frost.aggregate(self.suite, view, MESSAGE, self.commitments, shares, **options)


def child_of(keys: Keys, path: tuple[int, ...]) -> tuple[DerivedKey, Scalar]:
    """The child by the contracts' own derivation, which knows nothing of shares."""
    key = keys[index(1)]
    child = derive(key.public_key.to_bytes(), key.chain_code, path)
    return child, SECP256K1.scalar_from_bytes_checked(child.tweak)


def point(encoded: bytes) -> Point:
    return SECP256K1.point_from_bytes_checked(encoded)


@settings(max_examples=30, deadline=None)
@given(
    suite=st.sampled_from([PLAIN, TAPROOT]),
    seed=st.integers(0, 2**32),
    path=st.lists(st.integers(0, 2**31 - 1), max_size=4).map(tuple),
    root=st.none() | st.just(b"") | st.binary(min_size=32, max_size=32),
)
def test_a_childs_signature_verifies_under_the_key_that_wallets_derive(
    suite: frost.Ciphersuite, seed: int, path: tuple[int, ...], root: bytes | None
) -> None:
    root = root if suite is TAPROOT else None
    keys = random_key(SECP256K1, 2, 3, seed)
    child, tweak = child_of(keys, path)
    signing = Signing(suite, keys, (1, 3))
    shares = signing.shares(tweak=tweak, merkle_root=root)
    signature = signing.aggregate(shares, tweak=tweak, merkle_root=root)

    scheme = Scheme.BIP340 if suite is TAPROOT else Scheme.SECP256K1
    expected = verifying_key(child.public_key, scheme, root)
    check_signature(scheme, expected, MESSAGE, signature)
    own = frost.output_key(suite, keys[index(1)].public_key, root, tweak=tweak)
    assert suite.encode_point(own) == expected
    assert frost.verify(suite, own, MESSAGE, signature)


def test_a_childs_taproot_output_is_spent_as_btclib_has_it() -> None:
    for seed in range(8):
        keys = random_key(SECP256K1, 2, 2, seed)
        child, tweak = child_of(keys, PATH)
        signing = Signing(TAPROOT, keys, (1, 2))
        signature = signing.aggregate(
            signing.shares(tweak=tweak, merkle_root=b""), tweak=tweak, merkle_root=b""
        )
        output_key, _ = output_pubkey(PubKeyData(child.public_key))
        assert coincurve.PublicKeyXOnly(output_key).verify(signature, MESSAGE)


@SUITES
def test_a_child_signs_as_if_its_secret_had_been_shared_out(suite: frost.Ciphersuite) -> None:
    keys = random_key(SECP256K1, 3, 5, "three of five")
    child, tweak = child_of(keys, PATH)
    secret = reconstruct({i: keys[i] for i in indices((1, 2, 5))})
    assert ((secret + tweak) * SECP256K1.generator).to_bytes() == child.public_key
    signing = Signing(suite, keys, (2, 3, 5))
    signature = signing.aggregate(signing.shares(tweak=tweak), tweak=tweak)
    assert frost.verify(suite, point(child.public_key), MESSAGE, signature)
    assert not frost.verify(suite, keys[index(1)].public_key, MESSAGE, signature)


@SUITES
def test_no_tweak_and_the_tweak_of_the_key_itself_are_the_same(suite: frost.Ciphersuite) -> None:
    keys = random_key(SECP256K1, 2, 3, "itself")
    _, zero = child_of(keys, ())
    signing = Signing(suite, keys, (1, 2))
    assert signing.shares(tweak=zero) == signing.shares()
    signature = signing.aggregate(signing.shares(), tweak=zero)
    assert signature == signing.aggregate(signing.shares())


###
### Liars
###


@pytest.mark.parametrize(
    ("suite", "root"),
    [(PLAIN, None), (TAPROOT, None), (TAPROOT, b"")],
    ids=["secp256k1", "bip340", "taproot output"],
)
def test_a_liar_is_named_under_a_tweak_whatever_the_parities(
    suite: frost.Ciphersuite, root: bytes | None
) -> None:
    parities = set()
    for seed in range(16):
        keys = random_key(SECP256K1, 2, 3, seed)
        child, tweak = child_of(keys, PATH)
        signing = Signing(suite, keys, (1, 3))
        shares = signing.shares(tweak=tweak, merkle_root=root)
        lie = shares[index(3)].z + SECP256K1.scalar(1)
        shares[index(3)] = frost.SignatureShare(lie)
        with pytest.raises(PartyFaultError) as caught:
            signing.aggregate(shares, tweak=tweak, merkle_root=root)
        assert caught.value.culprits == {3}
        parities.add((has_even_y(keys[index(1)].public_key), has_even_y(point(child.public_key))))
    assert len(parities) == 4


@SUITES
@pytest.mark.parametrize("instead", [None, SECP256K1.scalar(5)], ids=["the key", "another child"])
def test_whoever_signs_for_another_key_is_named(
    suite: frost.Ciphersuite, instead: Scalar | None
) -> None:
    keys = random_key(SECP256K1, 2, 3, "another key")
    _, tweak = child_of(keys, PATH)
    signing = Signing(suite, keys, (2, 3))
    shares = signing.shares(tweak=tweak)
    shares[index(2)] = signing.sign(index(2), tweak=instead)
    with pytest.raises(PartyFaultError) as caught:
        signing.aggregate(shares, tweak=tweak)
    assert caught.value.culprits == {2}


###
### Misuse
###


def test_ed25519_has_no_children() -> None:
    suite = frost.ciphersuite("ed25519")
    keys = random_key(ED25519, 2, 3, "edwards")
    signing = Signing(suite, keys, (1, 2))
    tweak = ED25519.scalar(7)
    with pytest.raises(MisuseError, match="no standard derivation"):
        signing.sign(index(1), tweak=tweak)
    with pytest.raises(MisuseError, match="no standard derivation"):
        signing.aggregate(signing.shares(), tweak=tweak)
    with pytest.raises(MisuseError, match="no standard derivation"):
        frost.output_key(suite, keys[index(1)].public_key, tweak=tweak)


@SUITES
def test_a_tweak_is_a_scalar_of_the_keys_group(suite: frost.Ciphersuite) -> None:
    signing = Signing(suite, random_key(SECP256K1, 2, 3, "group"), (1, 2))
    with pytest.raises(MisuseError, match="scalar of ed25519"):
        signing.sign(index(1), tweak=ED25519.scalar(7))


def test_a_tweak_brings_no_merkle_root_to_a_suite_without() -> None:
    signing = Signing(PLAIN, random_key(SECP256K1, 2, 3, "root"), (1, 2))
    with pytest.raises(MisuseError, match="no merkle root"):
        signing.sign(index(1), tweak=SECP256K1.scalar(7), merkle_root=b"")


@SUITES
def test_a_child_at_infinity_signs_nothing(suite: frost.Ciphersuite) -> None:
    keys = random_key(SECP256K1, 2, 2, "infinity")
    with pytest.raises(IdentityError):
        Signing(suite, keys, (1, 2)).sign(index(1), tweak=-reconstruct(keys))
