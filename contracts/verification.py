"""Is this result true? What a producer checks before it believes one; public data only.

Nothing here trusts coordinator or broker: keys are believed because their parties certified
them, signatures because they verify under such a key.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from . import ecdsa
from .checks import same
from .derivation import DerivedKey, derive, parse_path
from .errors import ContractError
from .keys import CertifiedKey, KeyFacts
from .peers import Pinned
from .primitives import Curve, Scheme
from .results import EcdsaForms, SignedItem, SignResult

_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_NOT_BY_THIS_KEY = "well formed, and over another message or by another key"
_FROST_SECP256K1_CHALLENGE = b"FROST-secp256k1-SHA256-v1chal"


def check_point(curve: Curve, encoded: bytes) -> None:
    """Raises ContractError unless it is the compressed encoding of a point that can be a key."""
    if curve is Curve.ED25519:
        # Canonical, on the curve, of prime order, not the identity.
        if len(encoded) != 32 or not _is_ed25519_key(encoded):
            raise ContractError("not a point of ed25519's prime-order group")
        return
    if len(encoded) != 33:
        raise ContractError("a compressed secp256k1 point has 33 bytes")
    try:
        coincurve.PublicKey(encoded)
    except ValueError:
        raise ContractError("not a point of secp256k1") from None


@functools.lru_cache(maxsize=4096)
def _is_ed25519_key(encoded: bytes) -> bool:
    """49 us, and the same keys verify again and again."""
    return bool(crypto_core_ed25519_is_valid_point(encoded))


def check_key(
    key: CertifiedKey,
    *,
    pinned: Mapping[str, Pinned],
    client_id: str | None,
    tenant: str | None,
) -> None:
    """Raises ContractError unless all its parties, known to the caller, certified this key
    for this client and tenant.

    Facts of version 1 say nothing of tenants; what they are believed to belong to is the
    coordinator's word.
    """
    check_owned(key.facts, client_id=client_id, tenant=tenant)
    key.verify(pinned)


def check_owned(facts: KeyFacts, *, client_id: str | None, tenant: str | None) -> None:
    """What `check_key` does but for the certificates: raises ContractError unless this is a key,
    and this client's and tenant's."""
    if facts.client_id != client_id:
        raise ContractError(f"key {facts.key_id} belongs to another client")
    if facts.version != 1 and facts.tenant != tenant:
        raise ContractError(f"key {facts.key_id} belongs to another tenant")
    # Otherwise one party could fill several places, and its certificate count for all of them.
    if len({holder.party_id for holder in facts.holders}) != facts.party_count:
        raise ContractError(f"key {facts.key_id} names a party twice")
    if len({holder.identity for holder in facts.holders}) != facts.party_count:
        raise ContractError(f"key {facts.key_id} has two parties of one identity")
    if facts.threshold > facts.party_count:
        raise ContractError(f"key {facts.key_id} needs more parties than it has")
    check_point(facts.curve, facts.public_key)
    for holder in facts.holders:
        check_point(facts.curve, holder.public_share)


def check_signed(result: SignResult, key: CertifiedKey, taproot_merkle_root: bytes | None) -> None:
    """Raises ContractError unless `key`, itself checked before, made this result's signatures."""
    facts = key.facts
    same("key_id", result.key_id, facts.key_id)
    if result.scheme is None or not result.signed:
        raise ContractError("the result is completed and lacks scheme, message or signature")
    facts.check_scheme(result.scheme)
    _check_signers(result, facts)
    for item in result.signed:
        _check_item(result.scheme, item, facts, taproot_merkle_root)


def is_by_holders(result: SignResult, key: CertifiedKey) -> bool:
    """Whether those who are said to have signed can be those of this key, see `_check_signers`."""
    try:
        _check_signers(result, key.facts)
    except ContractError:
        return False
    return True


def _check_signers(result: SignResult, facts: KeyFacts) -> None:
    """As many of the holders as it takes. Of a key whose shares were made anew, holders of before
    may have signed, whom nobody here has to know: then who it was is the coordinator's word."""
    holders = {holder.party_id for holder in facts.holders}
    signers = set(result.signers)
    anew = facts.reshared is not None
    if len(signers) != len(result.signers) or not (anew or signers <= holders):
        raise ContractError("the signers are not parties of the key")
    if anew:
        return
    if len(signers) != facts.threshold:
        raise ContractError(f"{len(signers)} signers, the key's threshold is {facts.threshold}")


def verifying_key(
    public_key: bytes, scheme: Scheme, taproot_merkle_root: bytes | None = None
) -> bytes:
    """What verifies the signatures that a key makes in this scheme.

    Arguments:
        public_key: `KeyFacts.public_key` or that of its `child`, a valid point.
        taproot_merkle_root: As in `SignRequest`: set, it leads to the BIP-341 output key.
    """
    if scheme is not Scheme.BIP340:
        if taproot_merkle_root is not None:
            raise ContractError("taproot_merkle_root goes with bip340 only")
        return public_key
    internal = public_key[1:]
    if taproot_merkle_root is None:
        return internal
    tweaked = coincurve.PublicKeyXOnly(internal)
    tweaked.tweak_add(tagged_hash(b"TapTweak", internal + taproot_merkle_root))
    return bytes(tweaked.format())


def child(facts: KeyFacts, path: str) -> DerivedKey:
    """A key's BIP-32 child; ``m`` is the key itself.

    Raises:
        ContractError: no such path, or not from a key on this curve.
    """
    if facts.curve is not Curve.SECP256K1:
        raise ContractError(
            f"key {facts.key_id} is on {facts.curve}, which has no standard derivation "
            "without hardening"
        )
    return derive(facts.public_key, facts.chain_code, parse_path(path))


def check_signature(scheme: Scheme, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Raises ContractError, which says what is wrong, unless it verifies under `public_key`, which
    is `verifying_key`'s."""
    check = {
        Scheme.ED25519: _check_ed25519,
        Scheme.BIP340: _check_bip340,
        Scheme.SECP256K1: _check_frost_secp256k1,
        Scheme.ECDSA: ecdsa.check,
    }[scheme]
    try:
        check(public_key, message, signature)
    except ValueError as error:  # a ContractError, or a library's own
        raise ContractError(f"the {scheme} signature does not verify: {error}") from None


def _check_item(
    scheme: Scheme, item: SignedItem, facts: KeyFacts, taproot_merkle_root: bytes | None
) -> None:
    path = item.derivation_path
    signing_key = facts.public_key if path is None else child(facts, path).public_key
    public_key = verifying_key(signing_key, scheme, taproot_merkle_root)
    same("public_key", item.public_key, public_key)
    check_signature(scheme, public_key, item.message, item.signature)
    if (item.ecdsa is not None) != (scheme is Scheme.ECDSA):
        raise ContractError("the result's ecdsa forms go with ecdsa, and always do")
    if item.ecdsa is not None:
        same("ecdsa", item.ecdsa, EcdsaForms.of(item.signature))


def _check_ed25519(public_key: bytes, message: bytes, signature: bytes) -> None:
    """RFC 8032, and stricter: key and R are canonical points of the prime-order group.

    Under a key of small order anybody can sign some messages. Where key or R has a component of
    small order, or R is the identity, verifiers disagree; no honest party makes either.
    """
    _check_size(signature, 64)
    commitment, s = signature[:32], int.from_bytes(signature[32:], "little")
    _check_named_point("public key", Curve.ED25519, public_key)
    _check_named_point("R", Curve.ED25519, commitment)
    _check_scalar(s, _ED25519_ORDER)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        raise ContractError(_NOT_BY_THIS_KEY) from None


def _check_bip340(public_key: bytes, message: bytes, signature: bytes) -> None:
    _check_size(signature, 64)
    # coincurve reads 32 bytes whatever it is given.
    if len(public_key) != 32:
        raise ContractError(f"public key: an x-only key has 32 bytes, not {len(public_key)}")
    # BIP-340's lift_x: the point with this x and an even y.
    _check_named_point("public key", Curve.SECP256K1, b"\x02" + public_key)
    _check_named_point("R", Curve.SECP256K1, b"\x02" + signature[:32])
    _check_scalar(int.from_bytes(signature[32:]), _SECP256K1_ORDER)
    if not coincurve.PublicKeyXOnly(public_key).verify(signature, message):
        raise ContractError(_NOT_BY_THIS_KEY)


def _check_frost_secp256k1(public_key: bytes, message: bytes, signature: bytes) -> None:
    """RFC 9591 section 6.5, a signature being R (33 bytes) || z (32): z * G == R + c * PK.

    Variable time, which is fine: everything here is public.
    """
    _check_size(signature, 65)
    commitment, z = signature[:33], signature[33:]
    _check_named_point("public key", Curve.SECP256K1, public_key)
    _check_named_point("R", Curve.SECP256K1, commitment)
    # Each signature has one encoding; zero is that of none.
    _check_scalar(int.from_bytes(z), _SECP256K1_ORDER)
    wide = expand_message_xmd(
        commitment + public_key + message, _FROST_SECP256K1_CHALLENGE, length=48
    )
    challenge = (int.from_bytes(wide) % _SECP256K1_ORDER).to_bytes(32)
    try:
        right = coincurve.PublicKey.combine_keys(
            [coincurve.PublicKey(commitment), coincurve.PublicKey(public_key).multiply(challenge)]
        )
        left = coincurve.PublicKey.from_secret(z)
    except ValueError:  # the challenge, z or the sum is zero
        raise ContractError(_NOT_BY_THIS_KEY) from None
    if left.format() != right.format():
        raise ContractError(_NOT_BY_THIS_KEY)


def _check_size(signature: bytes, size: int) -> None:
    if len(signature) != size:
        raise ContractError(f"a signature of this scheme has {size} bytes, not {len(signature)}")


def _check_named_point(name: str, curve: Curve, encoded: bytes) -> None:
    try:
        check_point(curve, encoded)
    except ContractError as error:
        raise ContractError(f"{name}: {error}") from None


def _check_scalar(value: int, order: int) -> None:
    if value >= order:
        raise ContractError("its scalar is not below the group's order")


def expand_message_xmd(message: bytes, domain: bytes, *, length: int) -> bytes:
    """RFC 9380 section 5.3.1 with SHA-256."""
    suffix = domain + len(domain).to_bytes(1)
    first = hashlib.sha256(bytes(64) + message + length.to_bytes(2) + b"\x00" + suffix).digest()
    blocks = [hashlib.sha256(first + b"\x01" + suffix).digest()]
    while 32 * len(blocks) < length:
        mixed = bytes(x ^ y for x, y in zip(first, blocks[-1], strict=True))
        blocks.append(hashlib.sha256(mixed + (len(blocks) + 1).to_bytes(1) + suffix).digest())
    return b"".join(blocks)[:length]


def tagged_hash(tag: bytes, data: bytes) -> bytes:
    """BIP-340."""
    prefix = hashlib.sha256(tag).digest()
    return hashlib.sha256(prefix + prefix + data).digest()
