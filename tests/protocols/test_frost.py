"""FROST beyond the vectors: liars, misuse, keys from a real key generation, other verifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import coincurve
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols import frost
from workers.protocols.frost.ciphersuites import has_even_y
from workers.protocols.frost.signing import binding_factors
from workers.protocols.groups import ED25519, SECP256K1, Point, Scalar
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import MisuseError, PartyFaultError, PartyIndex

from .published import ANY_LENGTH_TAPROOT, BIP340, Bip340Vector
from .simulate import coins, deal, generate, index, indices, random_key

NAMES = ["ed25519", "secp256k1", "bip340"]
SUITES = pytest.mark.parametrize(
    "suite", [frost.ciphersuite(name) for name in NAMES], ids=lambda suite: suite.name
)
TAPROOT = frost.ciphersuite("bip340")
MESSAGE = b"\x00\x00" + coins("message")[2:]
PLACE = coins("place"), 0
ZEROS = {"hiding_randomness": bytes(32), "binding_randomness": bytes(32)}


@dataclass
class Signing:
    """Signers and coordinator of one signature, stopped between the rounds."""

    suite: frost.Ciphersuite
    keys: dict[PartyIndex, KeyShare]
    nonces: dict[PartyIndex, frost.Nonces]
    commitments: dict[PartyIndex, frost.Commitment]
    message: bytes = MESSAGE
    merkle_root: bytes | None = None

    @classmethod
    def start(
        cls,
        suite: frost.Ciphersuite,
        keys: dict[PartyIndex, KeyShare],
        signers: list[PartyIndex],
        **options: Any,
    ) -> Signing:
        made = {
            i: frost.commit(
                suite,
                keys[i],
                place=PLACE,
                hiding_randomness=coins("hiding", i),
                binding_randomness=coins("binding", i),
            )
            for i in signers
        }
        return cls(
            suite=suite,
            keys=keys,
            nonces={i: nonces for i, (nonces, _) in made.items()},
            commitments={i: commitment for i, (_, commitment) in made.items()},
            **options,
        )

    def sign(self, i: PartyIndex) -> frost.SignatureShare:
        return frost.sign(
            self.nonces[i],
            self.keys[i],
            self.message,
            self.commitments,
            merkle_root=self.merkle_root,
        )

    def shares(self) -> dict[PartyIndex, frost.SignatureShare]:
        return {i: self.sign(i) for i in self.commitments}

    def aggregate(self, shares: dict[PartyIndex, frost.SignatureShare]) -> bytes:
        view = next(iter(self.keys.values())).view
        return frost.aggregate(
            self.suite, view, self.message, self.commitments, shares, merkle_root=self.merkle_root
        )

    def output_key(self) -> bytes:
        public_key = next(iter(self.keys.values())).public_key
        return self.suite.encode_point(frost.output_key(self.suite, public_key, self.merkle_root))


def two_of_three(suite: frost.Ciphersuite, **options: bytes | None) -> Signing:
    keys = random_key(suite.group, 2, 3, "two of three")
    return Signing.start(suite, keys, indices((1, 3)), **options)


def accepted_elsewhere(signing: Signing, signature: bytes) -> bool:
    """The verdict of libraries that know nothing of FROST."""
    if signing.suite.name == "ed25519":
        Ed25519PublicKey.from_public_bytes(signing.output_key()).verify(signature, signing.message)
        return True
    return coincurve.PublicKeyXOnly(signing.output_key()).verify(signature, signing.message)


###
### Signatures
###


@pytest.mark.parametrize("name", ["ed25519", "bip340"])
@pytest.mark.parametrize(("t", "n"), [(2, 2), (2, 3), (3, 5)])
def test_generated_keys_sign_and_other_libraries_accept(name: str, t: int, n: int) -> None:
    suite = frost.ciphersuite(name)
    keys = {i: done.key_share for i, done in generate(suite.group, t, n).items()}
    signing = Signing.start(suite, keys, indices(range(n - t + 1, n + 1)))
    signature = signing.aggregate(signing.shares())
    assert len(signature) == suite.signature_size
    assert accepted_elsewhere(signing, signature)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    root=st.none() | st.just(b"") | st.binary(min_size=32, max_size=32),
    message=st.binary(min_size=32, max_size=32),
)
def test_taproot_signs_under_the_output_key_whatever_the_parities(
    seed: int, root: bytes | None, message: bytes
) -> None:
    keys = random_key(SECP256K1, 2, 3, seed)
    signing = Signing.start(TAPROOT, keys, indices((2, 3)), message=message, merkle_root=root)
    assert accepted_elsewhere(signing, signing.aggregate(signing.shares()))


@pytest.mark.parametrize("root", [b"", coins("root")])
def test_the_output_key_is_that_of_bip_341(root: bytes) -> None:
    """Q = lift_x(P) + int(hash_TapTweak(P || root)) * G, by another library."""
    for seed in range(8):
        public_key = random_key(SECP256K1, 2, 2, seed)[index(1)].public_key
        internal = coincurve.PublicKeyXOnly(public_key.to_bytes()[1:])
        tag = coincurve.utils.sha256(b"TapTweak")
        internal.tweak_add(coincurve.utils.sha256(tag + tag + internal.format() + root))
        output_key = frost.output_key(TAPROOT, public_key, root)
        assert TAPROOT.encode_point(output_key) == internal.format()
        assert output_key.to_bytes()[0] == 2


def test_a_tweaked_signature_is_not_one_of_the_key_itself() -> None:
    signing = two_of_three(TAPROOT, merkle_root=b"")
    signature = signing.aggregate(signing.shares())
    public_key = signing.keys[index(1)].public_key
    assert not frost.verify(TAPROOT, public_key, MESSAGE, signature)
    output_key = frost.output_key(TAPROOT, public_key, b"")
    assert frost.verify(TAPROOT, output_key, MESSAGE, signature)


@pytest.mark.parametrize("vector", BIP340, ids=lambda vector: str(vector.number))
def test_a_published_secret_shared_out_signs_for_its_published_key(vector: Bip340Vector) -> None:
    secret = SECP256K1.scalar_from_bytes_checked(bytes.fromhex(vector.secret))
    keys = deal([secret, SECP256K1.scalar(99)], party_count=3)
    message = bytes.fromhex(vector.message)
    signing = Signing.start(TAPROOT, keys, indices((1, 2)), message=message)
    assert signing.output_key().hex() == vector.public_key
    assert accepted_elsewhere(signing, signing.aggregate(signing.shares()))


@SUITES
def test_every_signer_set_signs(suite: frost.Ciphersuite) -> None:
    keys = random_key(suite.group, 2, 3, "sets")
    for signers in ((1, 2), (1, 3), (2, 3), (3, 1)):
        signing = Signing.start(suite, keys, indices(signers))
        signature = signing.aggregate(signing.shares())
        assert frost.verify(suite, keys[index(1)].public_key, MESSAGE, signature)


@SUITES
def test_the_order_in_which_commitments_arrive_does_not_matter(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    backwards = dict(reversed(list(signing.commitments.items())))
    assert list(backwards) != list(signing.commitments)
    assert replace(signing, commitments=backwards).shares() == signing.shares()


@SUITES
def test_a_signature_is_for_one_message_one_key_and_all_its_bytes(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    public_key = signing.keys[index(1)].public_key
    signature = signing.aggregate(signing.shares())
    assert frost.verify(suite, public_key, MESSAGE, signature)
    other_key = random_key(suite.group, 2, 2, "other")[index(1)].public_key
    assert not frost.verify(suite, other_key, MESSAGE, signature)
    assert not frost.verify(suite, public_key, MESSAGE.lstrip(b"\x00"), signature)
    for place in (0, 20, -20, -1):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not frost.verify(suite, public_key, MESSAGE, bytes(changed))
    for data in (b"", signature[:-1], signature + b"\x00", bytes(suite.signature_size)):
        assert not frost.verify(suite, public_key, MESSAGE, data)


@SUITES
def test_a_byte_cannot_move_between_signature_and_message(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    public_key = signing.keys[index(1)].public_key
    signature = signing.aggregate(signing.shares())
    assert not frost.verify(suite, public_key, signature[-1:] + MESSAGE, signature[:-1])
    assert not frost.verify(suite, public_key, MESSAGE[1:], signature + MESSAGE[:1])


def test_a_signature_with_z_zero_is_invalid_and_no_crash() -> None:
    suite = frost.ciphersuite("secp256k1")
    public_key = random_key(SECP256K1, 2, 2, "z")[index(1)].public_key
    forged = public_key.to_bytes() + bytes(32)
    assert not frost.verify(suite, public_key, MESSAGE, forged)


@pytest.mark.parametrize("name", ["ed25519", "secp256k1"])
@pytest.mark.parametrize("message", [b"", b"\x00", b"\x00\x00a", b"a" * 5000], ids=len)
def test_messages_of_any_length_are_signed_as_they_are(name: str, message: bytes) -> None:
    suite = frost.ciphersuite(name)
    signing = two_of_three(suite, message=message)
    signature = signing.aggregate(signing.shares())
    public_key = signing.keys[index(1)].public_key
    assert frost.verify(suite, public_key, message, signature)
    assert not frost.verify(suite, public_key, b"\x00" + message, signature)


###
### Liars
###

Lie = Callable[[frost.SignatureShare], frost.SignatureShare]


def add(amount: int) -> Lie:
    return lambda share: frost.SignatureShare(share.z + share.z.group.scalar(amount))


def negate(share: frost.SignatureShare) -> frost.SignatureShare:
    return frost.SignatureShare(-share.z)


def zero(share: frost.SignatureShare) -> frost.SignatureShare:
    return frost.SignatureShare(share.z.group.scalar(0))


LIES: list[Lie] = [add(1), add(-1), add(2**200), negate, zero]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_signing_ends_in_one_signature_or_in_all_the_liars(data: st.DataObject) -> None:
    suite = frost.ciphersuite(data.draw(st.sampled_from(NAMES)))
    t, n = data.draw(st.sampled_from([(2, 2), (2, 3), (3, 5)]))
    root = data.draw(st.sampled_from([None, b""])) if suite is TAPROOT else None
    keys = random_key(suite.group, t, n, data.draw(st.integers(0, 99)))
    signers = data.draw(st.permutations(list(keys)))[:t]
    signing = Signing.start(suite, keys, signers, merkle_root=root)
    liars = data.draw(st.dictionaries(st.sampled_from(signers), st.sampled_from(LIES), max_size=t))
    silent = data.draw(st.sets(st.sampled_from(signers), max_size=1))

    shares = signing.shares()
    for i, lie in liars.items():
        shares[i] = lie(shares[i])
    for i in silent:
        del shares[i]

    if silent:
        with pytest.raises(MisuseError, match="exactly one share"):
            signing.aggregate(shares)
        return
    if sum_of(shares) == sum_of(signing.shares()):
        # No lies, or lies that cancel out: then the signature is as good as the honest one.
        assert accepted_anywhere(signing, signing.aggregate(shares))
        return
    with pytest.raises(PartyFaultError) as caught:
        signing.aggregate(shares)
    assert caught.value.culprits == liars.keys()
    assert caught.value.check == "RFC 9591 5.4"


def accepted_anywhere(signing: Signing, signature: bytes) -> bool:
    key = frost.output_key(signing.suite, signing.keys[index(1)].public_key, signing.merkle_root)
    return frost.verify(signing.suite, key, signing.message, signature)


def sum_of(shares: dict[PartyIndex, frost.SignatureShare]) -> Scalar:
    first, *rest = (share.z for share in shares.values())
    return sum(rest, start=first)


@SUITES
def test_lies_that_cancel_out_leave_a_valid_signature(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    shares = signing.shares()
    honest = signing.aggregate(shares)
    shares = {index(1): add(5)(shares[index(1)]), index(3): add(-5)(shares[index(3)])}
    assert signing.aggregate(shares) == honest


@SUITES
def test_a_share_made_for_another_message_names_its_sender(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    shares = signing.shares()
    shares[index(3)] = replace(signing, message=coins("another")).sign(index(3))
    with pytest.raises(PartyFaultError) as caught:
        signing.aggregate(shares)
    assert caught.value.culprits == {3}


def test_a_share_made_for_another_output_key_names_its_sender() -> None:
    signing = two_of_three(TAPROOT, merkle_root=b"")
    shares = signing.shares()
    shares[index(1)] = replace(signing, merkle_root=None).sign(index(1))
    with pytest.raises(PartyFaultError) as caught:
        signing.aggregate(shares)
    assert caught.value.culprits == {1}


@pytest.mark.parametrize("root", [None, b""])
def test_taproot_names_the_liar_alone_whatever_the_parities(root: bytes | None) -> None:
    parities = set()
    for seed in range(16):
        keys = random_key(SECP256K1, 2, 3, seed)
        signing = Signing.start(TAPROOT, keys, indices((1, 2)), merkle_root=root)
        shares = signing.shares()
        shares[index(2)] = add(1)(shares[index(2)])
        with pytest.raises(PartyFaultError) as caught:
            signing.aggregate(shares)
        assert caught.value.culprits == {2}
        parities.add((has_even_y(keys[index(1)].public_key), has_even_y(group_commitment(signing))))
    assert len(parities) == 4


def group_commitment(signing: Signing) -> Point:
    key = frost.output_key(TAPROOT, signing.keys[index(1)].public_key, signing.merkle_root)
    rho = binding_factors(TAPROOT, key, signing.commitments, signing.message)
    return SECP256K1.sum(
        commitment.hiding + commitment.binding.multiply_public(rho[i])
        for i, commitment in signing.commitments.items()
    )


@SUITES
def test_a_view_that_contradicts_itself_blames_nobody(suite: frost.Ciphersuite) -> None:
    signing = two_of_three(suite)
    other = random_key(suite.group, 2, 3, "other")[index(1)].view
    view = replace(other, public_shares=signing.keys[index(1)].public_shares)
    shares = {
        i: frost.sign(
            signing.nonces[i],
            replace(signing.keys[i], public_key=view.public_key),
            MESSAGE,
            signing.commitments,
        )
        for i in signing.commitments
    }
    with pytest.raises(MisuseError, match="do not belong"):
        frost.aggregate(suite, view, MESSAGE, signing.commitments, shares)


###
### Misuse
###


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
