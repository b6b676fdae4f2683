"""DKLs23 Protocol 3.6 from the message on: steps 9 (w_i) and 10. One message, then a signature.

Before it signs, a presignature is made to fit its task, by sums that need no interaction:

    key   sk + tau   v_i + tau * phi_i      tau: BIP-32's additive tweak
    nonce r + delta  u_i + delta * phi_i    delta: a hash of everything about the task

delta is not optional. R is known before the message and the tweak are; with many tweaks to choose
from, the best known attack on such presignatures falls towards q^(1/3) (Groth and Shoup, eprint
2021/1330). With delta, R differs for every digest and tweak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import tags
from ..encoding import hash_to_scalar, require_size
from ..groups import SECP256K1, IdentityError, Point, Scalar
from ..rounds import MisuseError, PartyIndex, SpoiltSessionError
from .ecdsa import Signature, leads_to, verify
from .presignature import Presignature, PresignatureView

DIGEST_SIZE = 32
SESSION_ID_SIZE = 32
ENTROPY_SIZE = 16
"""Of each signer, where the key's policy is ``entropy = "signers"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one presignature is to sign, the same at all signers and the coordinator.

    Attributes:
        session_id: Of the signing, 32 bytes, never used before.
        digest: What is signed, 32 bytes.
        tweak: tau, added to the key. Zero signs under the key itself.
        request_digest: Of the signed request that asks for it, 32 bytes.
        entropy: Empty, or 16 FRESH bytes from each signer, in ascending order.

    Raises:
        MisuseError: A size that does not fit.
    """

    session_id: bytes
    digest: bytes
    tweak: Scalar = field(default_factory=lambda: SECP256K1.scalar(0))
    request_digest: bytes
    entropy: bytes = b""

    def __post_init__(self) -> None:
        sizes = len(self.session_id), len(self.digest), len(self.request_digest)
        if sizes != (SESSION_ID_SIZE, DIGEST_SIZE, DIGEST_SIZE):
            raise MisuseError("session id, digest and request digest are 32 bytes each")
        if self.tweak.group is not SECP256K1:
            raise MisuseError("the tweak is a scalar of another group")

    def public_key(self, view: PresignatureView) -> Point:
        """pk + tau * G, the key that the signature verifies under. IdentityError if none."""
        if self.tweak.value == 0:
            return view.public_key
        return view.public_key + self.tweak * SECP256K1.generator


@dataclass(frozen=True, slots=True)
class SignatureShare:
    """To the coordinator. 64 bytes: w_i and u_i."""

    w: Scalar
    u: Scalar

    @classmethod
    def from_bytes(cls, data: bytes) -> SignatureShare:
        """Raises ValueError unless it is 64 bytes and both scalars are reduced."""
        width = SECP256K1.scalar_size
        require_size(data, 2 * width, "a signature share")
        parse = SECP256K1.scalar_from_bytes_checked
        return cls(parse(data[:width]), parse(data[width:]))

    def to_bytes(self) -> bytes:
        return self.w.to_bytes() + self.u.to_bytes()


###
### Rounds
###


def sign(presignature: Presignature, task: Task) -> SignatureShare:
    """Answer with this party's share. Once for each presignature, whatever happens.

    Raises:
        MisuseError: Entropy that is not of these signers.
        SpoiltSessionError: The task leaves no nonce or no key (2^-256).
    """
    view, phi_i = presignature.view, presignature.phi
    delta = rerandomisation(view, task)
    _, r_x = _nonce_point(view, delta)
    v_i = presignature.v + task.tweak * phi_i
    u_i = presignature.u + delta * phi_i

    # Step 9: w_i := m * phi_i + r_x * v_i
    m = SECP256K1.scalar_from_bytes_wrapping(task.digest)
    return SignatureShare(m * phi_i + r_x * v_i, u_i)


def combine(
    view: PresignatureView, task: Task, shares: Mapping[PartyIndex, SignatureShare]
) -> Signature:
    """Step 10: s := sum w_i / sum u_i, with low s. The signature returned is verified.

    Raises:
        SpoiltSessionError: The shares make no valid signature, or one whose recovery id leads to
            another key (check 13). A wrong share does not name its sender here; the presignature
            is spent all the same.
        MisuseError: Not exactly one share from each signer, or as ``sign``.
    """
    if shares.keys() != set(view.signers):
        raise MisuseError("need exactly one share from each signer")
    r, r_x = _nonce_point(view, rerandomisation(view, task))
    zero = SECP256K1.scalar(0)
    w = sum((share.w for share in shares.values()), start=zero)
    u = sum((share.u for share in shares.values()), start=zero)
    if w.value == 0 or u.value == 0:
        raise SpoiltSessionError("the shares add up to no signature")
    signature = Signature.normalised(r, r_x, w / u)

    # Check 13: nothing is released that a verifier would refuse, or that leads whoever recovers the
    # key to another one. A signer who has seen all other shares can negate s, and r and s verify.
    public_key = task.public_key(view)
    if leads_to(public_key, task.digest, signature):
        return signature
    if verify(public_key, task.digest, signature):
        raise SpoiltSessionError("the shares add up to a recovery id of another key")
    raise SpoiltSessionError("the shares add up to no valid signature")


###
### Helpers
###


def rerandomisation(view: PresignatureView, task: Task) -> Scalar:
    """delta: session, R, public key, tau, digest, signer set, request digest, entropy."""
    if len(task.entropy) not in (0, ENTROPY_SIZE * len(view.signers)):
        raise MisuseError(f"entropy is empty or {ENTROPY_SIZE} bytes from each signer")
    return hash_to_scalar(
        SECP256K1,
        tags.SIGN_RERANDOMISATION,
        task.session_id,
        view.to_bytes(),
        task.tweak.to_bytes(),
        task.digest,
        task.request_digest,
        task.entropy,
    )


def _nonce_point(view: PresignatureView, delta: Scalar) -> tuple[Point, Scalar]:
    """R + delta * G, and its x-coordinate modulo q.

    Raises:
        IdentityError: There is no such point.
        SpoiltSessionError: x is zero.
    """
    r = view.r + delta * SECP256K1.generator
    r_x = SECP256K1.scalar_from_bytes_wrapping(r.to_bytes()[1:])
    if r_x.value == 0:
        raise IdentityError("r is zero")
    return r, r_x
