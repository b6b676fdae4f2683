"""The three ciphersuites: RFC 9591 6.1 and 6.5, and the taproot suite.

``frost-secp256k1-tr`` is ZcashFoundation's: FROST(secp256k1, SHA-256) with BIP-340's challenge,
keys and nonces negated until their y is even, and BIP-341's tweak of the key.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

from .. import tags
from ..groups import ED25519, SECP256K1, Group, IdentityError, Point, Scalar
from ..groups.ed25519 import verify_rfc8032
from ..groups.libsecp256k1 import verify_bip340
from ..rounds import MisuseError
from .hashes import expand_message_xmd, tagged_hash

MERKLE_ROOT_SIZE = 32


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A public affine map on the secret: s becomes ±s + offset, and its shares alike.

    It works on shares because interpolation keeps constants: the shares of s, each plus b, are
    shares of s + b.
    """

    negated: bool
    offset: Scalar

    def secret(self, s: Scalar) -> Scalar:
        """±s + offset, the secret of the adjusted key."""
        return (-s if self.negated else s) + self.offset

    def public(self, point: Point) -> Point:
        """The same of its public point."""
        image = -point if self.negated else point
        if self.offset.value == 0:
            return image
        return image + self.offset * self.offset.group.generator

    def after(self, tweak: Scalar) -> Adjustment:
        """The same for a secret that is less by ``tweak``: s becomes ±(s + tweak) + offset."""
        return Adjustment(self.negated, (-tweak if self.negated else tweak) + self.offset)


class Ciphersuite(ABC):
    """What RFC 9591 section 6 asks of a suite, and the hooks that BIP-340 needs.

    Attributes:
        context: The RFC's ``contextString``.
        signature_size: In bytes.
        message_size: In bytes; None if any length can be signed.
        derivable: Whether a standard says how the children of a public key are derived.
    """

    name: str
    group: Group
    context: bytes
    signature_size: int
    message_size: int | None = None
    derivable: bool = False

    def __repr__(self) -> str:
        return f"Ciphersuite({self.name})"

    def can_sign(self, message: bytes) -> bool:
        """Whether the scheme has messages of this size."""
        return self.message_size is None or len(message) == self.message_size

    # Section 3.2: H1 to H5, where H2 is ``challenge``.

    @abstractmethod
    def h1(self, msg: bytes) -> Scalar:
        """3.1: binding factors."""

    @abstractmethod
    def h3(self, msg: bytes) -> Scalar:
        """3.1: nonces from randomness and a secret."""

    @abstractmethod
    def h4(self, msg: bytes) -> bytes:
        """3.1: the message."""

    @abstractmethod
    def h5(self, msg: bytes) -> bytes:
        """3.1: the list of commitments."""

    @abstractmethod
    def challenge(self, r: Point, public_key: Point, message: bytes) -> Scalar:
        """4.6 ``compute_challenge``."""

    @abstractmethod
    def verify(self, public_key: Point, message: bytes, signature: bytes) -> bool:
        """Whether anybody who knows the scheme, but nothing of FROST, accepts the signature."""

    def adjustment(
        self, public_key: Point, merkle_root: bytes | None, tweak: Scalar | None = None
    ) -> Adjustment | None:
        """How secret and public key change before they sign. None: they do not.

        Arguments:
            tweak: Leads from the key to its child, secret + tweak, which then signs like any key.

        Raises:
            MisuseError: A merkle root for a suite without taproot, or of a wrong size; a tweak
                for a suite without derivation, or of another group.
        """
        self._require_tweak(tweak)
        if merkle_root is not None:
            raise MisuseError(f"{self.name} knows no merkle root")
        return None if tweak is None else Adjustment(negated=False, offset=tweak)

    def _require_tweak(self, tweak: Scalar | None) -> None:
        if tweak is None:
            return
        if not self.derivable:
            raise MisuseError(f"{self.name} has no standard derivation without hardening")
        if tweak.group is not self.group:
            raise MisuseError(f"the tweak is a scalar of {tweak.group.name}")

    def must_negate_nonces(self, r: Point) -> bool:
        """Whether the signature will show -R in place of R."""
        return False

    def encode_point(self, point: Point) -> bytes:
        """R as it stands in a signature; also the public key as the scheme's users write it."""
        return point.to_bytes()

    def encode_signature(self, r: Point, z: Scalar) -> bytes:
        """RFC 9591 appendix A: R || z."""
        return self.encode_point(r) + z.to_bytes()


class Ed25519Sha512(Ciphersuite):
    """6.1 FROST(Ed25519, SHA-512). Signatures are RFC 8032's."""

    name = "ed25519"
    group: Group = ED25519
    context = tags.FROST_ED25519
    signature_size = 64

    def h1(self, msg: bytes) -> Scalar:
        return self._scalar(self.context + b"rho" + msg)

    def h3(self, msg: bytes) -> Scalar:
        return self._scalar(self.context + b"nonce" + msg)

    def h4(self, msg: bytes) -> bytes:
        return hashlib.sha512(self.context + b"msg" + msg).digest()

    def h5(self, msg: bytes) -> bytes:
        return hashlib.sha512(self.context + b"com" + msg).digest()

    def challenge(self, r: Point, public_key: Point, message: bytes) -> Scalar:
        # "H2 ... omits the domain separator", so that RFC 8032 verifiers accept.
        return self._scalar(r.to_bytes() + public_key.to_bytes() + message)

    def verify(self, public_key: Point, message: bytes, signature: bytes) -> bool:
        return len(signature) == self.signature_size and verify_rfc8032(
            public_key.to_bytes(), message, signature
        )

    def _scalar(self, msg: bytes) -> Scalar:
        return self.group.scalar_from_bytes_wrapping(hashlib.sha512(msg).digest())


class Secp256k1Sha256(Ciphersuite):
    """6.5 FROST(secp256k1, SHA-256). A signature is 65 bytes and no other scheme's."""

    name = "secp256k1"
    group: Group = SECP256K1
    context = tags.FROST_SECP256K1
    signature_size = 65
    derivable = True

    def h1(self, msg: bytes) -> Scalar:
        return self._scalar(b"rho", msg)

    def h3(self, msg: bytes) -> Scalar:
        return self._scalar(b"nonce", msg)

    def h4(self, msg: bytes) -> bytes:
        return hashlib.sha256(self.context + b"msg" + msg).digest()

    def h5(self, msg: bytes) -> bytes:
        return hashlib.sha256(self.context + b"com" + msg).digest()

    def challenge(self, r: Point, public_key: Point, message: bytes) -> Scalar:
        return self._scalar(b"chal", r.to_bytes() + public_key.to_bytes() + message)

    def verify(self, public_key: Point, message: bytes, signature: bytes) -> bool:
        width = self.group.point_size
        try:
            r = self.group.point_from_bytes_checked(signature[:width])
            z = self.group.scalar_from_bytes_checked(signature[width:])
            # Appendix B, prime_order_verify: z * G == R + c * PK
            c = self.challenge(r, public_key, message)
            return z * self.group.generator == r + public_key.multiply_public(c)
        except (ValueError, IdentityError):
            return False  # no encoding of (R, z), or z = 0

    def _scalar(self, tag: bytes, msg: bytes) -> Scalar:
        uniform = expand_message_xmd(msg, self.context + tag, 48)
        return self.group.scalar_from_bytes_wrapping(uniform)


class Secp256k1Taproot(Secp256k1Sha256):
    """``frost-secp256k1-tr``: BIP-340 signatures, under the BIP-341 output key if tweaked.

    Signs 32 bytes, as taproot does; BIP-340's longer and shorter messages are not for this suite.
    """

    name = "bip340"
    context = tags.FROST_TAPROOT
    signature_size = 64
    message_size: int | None = 32

    def challenge(self, r: Point, public_key: Point, message: bytes) -> Scalar:
        data = self.encode_point(r) + self.encode_point(public_key) + message
        return self.group.scalar_from_bytes_wrapping(tagged_hash(tags.BIP340_CHALLENGE, data))

    def verify(self, public_key: Point, message: bytes, signature: bytes) -> bool:
        return (
            self.can_sign(message)
            and len(signature) == self.signature_size
            and verify_bip340(self.encode_point(public_key), message, signature)
        )

    def adjustment(
        self, public_key: Point, merkle_root: bytes | None, tweak: Scalar | None = None
    ) -> Adjustment | None:
        """Make y even, add BIP-341's tweak if there is one, make y even again.

        Arguments:
            merkle_root: None for the key itself; b"" for BIP-341's key-path-only output (what a
                single-key wallet uses); 32 bytes for an output with scripts.
            tweak: Comes first: all this happens to the child then.
        """
        self._require_tweak(tweak)
        if tweak is None:
            return self._taproot(public_key, merkle_root)
        child = Adjustment(negated=False, offset=tweak).public(public_key)
        return self._taproot(child, merkle_root).after(tweak)

    def _taproot(self, public_key: Point, merkle_root: bytes | None) -> Adjustment:
        negated = not has_even_y(public_key)
        offset = self.group.scalar(0)
        if merkle_root is not None:
            if len(merkle_root) not in (0, MERKLE_ROOT_SIZE):
                raise MisuseError(f"a merkle root is empty or {MERKLE_ROOT_SIZE} bytes")
            taptweak = tagged_hash(tags.BIP341_TWEAK, self.encode_point(public_key) + merkle_root)
            offset = self.group.scalar_from_bytes_checked(taptweak)
            if not has_even_y(Adjustment(negated, offset).public(public_key)):
                negated, offset = not negated, -offset
        return Adjustment(negated, offset)

    def must_negate_nonces(self, r: Point) -> bool:
        return not has_even_y(r)

    def encode_point(self, point: Point) -> bytes:
        """x only: y is even by convention."""
        return point.to_bytes()[1:]


def has_even_y(point: Point) -> bool:
    """BIP-340 takes of two points with one x the one with even y."""
    return point.to_bytes()[0] == 2


_SUITES: dict[str, Ciphersuite] = {
    suite.name: suite for suite in (Ed25519Sha512(), Secp256k1Sha256(), Secp256k1Taproot())
}


def ciphersuite(name: str) -> Ciphersuite:
    """``"ed25519"``, ``"secp256k1"`` or ``"bip340"``. ValueError for any other name."""
    try:
        return _SUITES[name]
    except KeyError:
        raise ValueError(f"no ciphersuite {name!r}; there are {', '.join(_SUITES)}") from None
