"""FROST signing in two rounds, RFC 9591 sections 4 and 5. README.md has the table of steps.

Names are the RFC's. ``commitments`` is its ``commitment_list`` and is always walked in ascending
order of index, which section 4.3 requires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import tags
from ..encoding import digest
from ..groups import IdentityError, Point, Scalar
from ..key_share import KeyShare, KeyView
from ..polynomial import interpolating_value
from ..rounds import Blame, MisuseError, PartyIndex
from .ciphersuites import Adjustment, Ciphersuite
from .messages import Commitment, Nonces, SignatureShare

Commitments = Mapping[PartyIndex, Commitment]
"""One commitment from each of exactly ``threshold`` signers, our own included."""

RANDOMNESS_SIZE = 32
PLACE_SIZE = 32

###
### Rounds
###


def commit(
    suite: Ciphersuite,
    share: KeyShare,
    *,
    place: tuple[bytes, int],
    hiding_randomness: bytes,
    binding_randomness: bytes,
) -> tuple[Nonces, Commitment]:
    """Draw a pair of nonces and commit to it (5.1), before or without knowing a message.

    Arguments:
        place: What the pair is made in, a session's or batch's id of 32 bytes, and its position
            there. Randomness that comes again (a machine was cloned, or went back to a snapshot)
            gives other nonces at another place.
        hiding_randomness: FRESH, 32 bytes.
        binding_randomness: FRESH, 32 bytes.

    Raises:
        MisuseError: Randomness or an id of a wrong size, or a share of another group.
    """
    require_group(suite, share.view)
    if not len(hiding_randomness) == len(binding_randomness) == RANDOMNESS_SIZE:
        raise MisuseError(f"randomness is {RANDOMNESS_SIZE} bytes")
    session_id, position = place
    if len(session_id) != PLACE_SIZE:
        raise MisuseError(f"the id of a session or batch is {PLACE_SIZE} bytes")

    where = session_id, position.to_bytes(2, "big")
    d_i = nonce_generate(suite, share, digest(tags.FROST_HIDING, *where, hiding_randomness))
    e_i = nonce_generate(suite, share, digest(tags.FROST_BINDING, *where, binding_randomness))

    g = suite.group.generator
    commitment = Commitment(d_i * g, e_i * g)
    nonces = Nonces(suite=suite, index=share.index, hiding=d_i, binding=e_i, commitment=commitment)
    return nonces, commitment


def sign(
    nonces: Nonces,
    share: KeyShare,
    message: bytes,
    commitments: Commitments,
    *,
    merkle_root: bytes | None = None,
    tweak: Scalar | None = None,
) -> SignatureShare:
    """Answer with this party's signature share (5.2). Once for each ``nonces``, whatever happens.

    Arguments:
        message: Signed as it is; bip340 takes exactly 32 bytes.
        merkle_root: bip340 only. None: sign under the key itself. b"" or 32 bytes: under its
            BIP-341 output key.
        tweak: Not for ed25519. Sign with the key's child, secret + tweak, in place of the key;
            a merkle root is for the child then. BIP-32's is the sum of its steps' I_L.

    Raises:
        MisuseError: Not exactly ``threshold`` known signers with us among them, our commitment is
            not the one we made, or message, merkle root or tweak do not fit the suite.
        IdentityError: The tweak is minus the secret, so there is no child.
    """
    suite = nonces.suite
    context = _context(suite, share.view, message, commitments, merkle_root, tweak)
    if nonces.index != share.index or commitments.get(share.index) != nonces.commitment:
        raise MisuseError("our own commitment is missing, or not the one we made")

    # Our own term D_i + rho_i * E_i is (d_i + rho_i * e_i) * G: a fifth of the time for ed25519.
    k_i = nonces.hiding + nonces.binding * context.rho[share.index]
    own = k_i * suite.group.generator
    r = suite.group.sum(
        own if i == share.index else context.commitment_share(i) for i in context.signers
    )

    c = suite.challenge(r, context.public_key, message)
    lambda_i = interpolating_value(suite.group, context.signers, share.index)
    s_i = context.adjust_secret(share.secret_share)
    return SignatureShare((-k_i if suite.must_negate_nonces(r) else k_i) + lambda_i * s_i * c)


def aggregate(
    suite: Ciphersuite,
    key: KeyView,
    message: bytes,
    commitments: Commitments,
    shares: Mapping[PartyIndex, SignatureShare],
    *,
    merkle_root: bytes | None = None,
    tweak: Scalar | None = None,
) -> bytes:
    """Add the shares up (5.3), naming every liar (5.4). The signature returned is verified.

    Raises:
        PartyFaultError: At least one share is wrong; ``culprits`` sent the wrong ones.
        MisuseError: As ``sign``; or not exactly one share from each signer; or every share is
            right and the signature is not, so that ``key`` contradicts itself.
    """
    context = _context(suite, key, message, commitments, merkle_root, tweak)
    if shares.keys() != commitments.keys():
        raise MisuseError("need exactly one share from each signer")

    comm_shares = {i: context.commitment_share(i) for i in context.signers}
    r = suite.group.sum(comm_shares.values())
    z = sum((shares[i].z for i in context.signers), start=suite.group.scalar(0))
    signature = suite.encode_signature(r, z)

    # The sum first, as 5.3 allows: a valid signature is what was asked for, whoever lied on the
    # way (two lies can only cancel out). Checking every share too would double the cost.
    if suite.verify(context.public_key, message, signature):
        return signature

    c = suite.challenge(r, context.public_key, message)
    blame = Blame()
    for i in context.signers:
        if not _share_holds(context, i, shares[i], comm_shares[i], r, c):
            blame.add(i, "RFC 9591 5.4")
    blame.raise_if_any()
    raise MisuseError("the public shares do not belong to the public key")


def verify(suite: Ciphersuite, public_key: Point, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is valid under ``public_key``, which is ``output_key``'s if the key was
    to be a child or a taproot output."""
    return suite.verify(public_key, message, signature)


def output_key(
    suite: Ciphersuite,
    public_key: Point,
    merkle_root: bytes | None = None,
    *,
    tweak: Scalar | None = None,
) -> Point:
    """The key that signatures verify under: the child, if there is a ``tweak``; for bip340 with
    even y, and that of the taproot output, if there is a ``merkle_root``."""
    adjustment = suite.adjustment(public_key, merkle_root, tweak)
    return adjustment.public(public_key) if adjustment else public_key


###
### Helpers
###


def nonce_generate(suite: Ciphersuite, share: KeyShare, randomness: bytes) -> Scalar:
    """4.1: mixing in the share keeps a weak source of randomness from leaking it."""
    return suite.h3(randomness + share.secret_share.to_bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every signer and the coordinator derive from the same public inputs.

    Attributes:
        signers: Ascending.
        public_key: The key that signs, adjusted.
        rho: Binding factor of each signer.
    """

    suite: Ciphersuite
    key: KeyView
    commitments: Commitments
    signers: tuple[PartyIndex, ...]
    public_key: Point
    adjustment: Adjustment | None
    rho: Mapping[PartyIndex, Scalar]

    def commitment_share(self, i: PartyIndex) -> Point:
        """4.5: signer i's part of the group commitment R, D_i + rho_i * E_i."""
        commitment = self.commitments[i]
        return commitment.hiding + commitment.binding.multiply_public(self.rho[i])

    def adjust_secret(self, s_i: Scalar) -> Scalar:
        return self.adjustment.secret(s_i) if self.adjustment else s_i

    def public_share(self, i: PartyIndex) -> Point:
        pk_i = self.key.public_shares[i]
        return self.adjustment.public(pk_i) if self.adjustment else pk_i


def require_group(suite: Ciphersuite, key: KeyView) -> None:
    """Raises MisuseError."""
    if key.group is not suite.group:
        raise MisuseError(f"{suite.name} does not sign with a key of {key.group.name}")


def _context(
    suite: Ciphersuite,
    key: KeyView,
    message: bytes,
    commitments: Commitments,
    merkle_root: bytes | None,
    tweak: Scalar | None,
) -> Context:
    require_group(suite, key)
    if not suite.can_sign(message):
        raise MisuseError(f"{suite.name} signs {suite.message_size} bytes, not {len(message)}")
    if len(commitments) != key.threshold:
        raise MisuseError(f"{len(commitments)} signers, exactly {key.threshold} needed")
    if not commitments.keys() <= key.public_shares.keys():
        raise MisuseError("a signer has no share of this key")

    adjustment = suite.adjustment(key.public_key, merkle_root, tweak)
    public_key = adjustment.public(key.public_key) if adjustment else key.public_key
    return Context(
        suite=suite,
        key=key,
        commitments=commitments,
        signers=tuple(sorted(commitments)),
        public_key=public_key,
        adjustment=adjustment,
        rho=binding_factors(suite, public_key, commitments, message),
    )


def binding_factors(
    suite: Ciphersuite, public_key: Point, commitments: Commitments, message: bytes
) -> dict[PartyIndex, Scalar]:
    """4.4 ``compute_binding_factors``: rho_i for each signer."""
    identifiers = {i: suite.group.scalar(i).to_bytes() for i in sorted(commitments)}
    encoded = b"".join(id_i + commitments[i].to_bytes() for i, id_i in identifiers.items())
    prefix = public_key.to_bytes() + suite.h4(message) + suite.h5(encoded)
    return {i: suite.h1(prefix + id_i) for i, id_i in identifiers.items()}


def _share_holds(
    context: Context,
    i: PartyIndex,
    share: SignatureShare,
    comm_share: Point,
    r: Point,
    c: Scalar,
) -> bool:
    """5.4 ``verify_signature_share``: z_i * G == comm_share + (c * lambda_i) * PK_i."""
    suite = context.suite
    if suite.must_negate_nonces(r):
        comm_share = -comm_share
    lambda_i = interpolating_value(suite.group, context.signers, i)
    try:
        expected = comm_share + context.public_share(i).multiply_public(c * lambda_i)
        return share.z * suite.group.generator == expected
    except IdentityError:
        return False  # z_i = 0 does not come from honest nonces
