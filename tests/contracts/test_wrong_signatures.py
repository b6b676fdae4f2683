"""`check_signature` by itself, without `check_key` before it, and what it says is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl import bindings

from contracts.errors import ContractError
from contracts.primitives import Scheme
from contracts.results import EcdsaForms
from contracts.secp256k1 import ORDER
from contracts.verification import check_signature, check_signed

from .samples import SingleKey, sign_request, sign_result

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(32, "little")
BASE = bindings.crypto_scalarmult_ed25519_base_noclamp((1).to_bytes(32, "little"))
ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
SMALL_ORDER = [
    IDENTITY,
    (P - 1).to_bytes(32, "little"),  # order 2
    bytes(32),  # order 4
    bytes(31) + b"\x80",
    bytes.fromhex(ORDER_8),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
NOT_CANONICAL = [
    (P + 1).to_bytes(32, "little"),  # the identity
    P.to_bytes(32, "little"),  # order 4
    (2**255 - 1).to_bytes(32, "little"),  # y = 18
    b"\x01" + bytes(30) + b"\x80",  # the identity, x negative
]
KEYS = {scheme: SingleKey(scheme.curve) for scheme in Scheme}
MESSAGE = bytes(4) + b"begins with zero bytes!".ljust(28)


def verifies_in_openssl(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_under_a_key_of_small_order_others_let_anybody_sign() -> None:
    """The control: R = s * B signs every message under the identity, without any secret."""
    signature = BASE + (1).to_bytes(32, "little")
    assert verifies_in_openssl(IDENTITY, b"pay the thief", signature)
    with pytest.raises(ContractError, match="public key: not a point of ed25519's prime-order"):
        check_signature(Scheme.ED25519, IDENTITY, b"pay the thief", signature)


@pytest.mark.parametrize("public_key", [*SMALL_ORDER, *NOT_CANONICAL], ids=bytes.hex)
def test_a_key_of_small_order_or_not_canonical_verifies_nothing(public_key: bytes) -> None:
    for n in range(16):  # with order 8 every eighth message has a challenge that is a multiple
        signature = BASE + (1).to_bytes(32, "little")
        with pytest.raises(ContractError, match="public key: not a point"):
            check_signature(Scheme.ED25519, public_key, b"%d" % n, signature)


def test_a_key_with_a_component_of_small_order_verifies_nothing() -> None:
    """A secret times the base, plus a point of order 8: with a challenge that is a multiple of 8 it
    verifies elsewhere."""
    secret = (7).to_bytes(32, "little")
    public_key = bindings.crypto_core_ed25519_add(
        bindings.crypto_scalarmult_ed25519_base_noclamp(secret), bytes.fromhex(ORDER_8)
    )
    message, signature = next(
        (message, signature)
        for message, signature in (signed(public_key, 7, b"%d" % n) for n in range(200))
        if verifies_in_openssl(public_key, message, signature)
    )
    with pytest.raises(ContractError, match="public key: not a point of ed25519's prime-order"):
        check_signature(Scheme.ED25519, public_key, message, signature)


def test_a_signature_whose_r_is_the_identity_is_refused() -> None:
    """Its maker can make it, and verifiers disagree on it."""
    secret, message = 7, b"message"
    public_key = bindings.crypto_scalarmult_ed25519_base_noclamp(secret.to_bytes(32, "little"))
    s = challenge(IDENTITY, public_key, message) * secret % L
    signature = IDENTITY + s.to_bytes(32, "little")
    assert verifies_in_openssl(public_key, message, signature)
    with pytest.raises(ContractError, match="R: not a point of ed25519's prime-order"):
        check_signature(Scheme.ED25519, public_key, message, signature)


def challenge(r: bytes, public_key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % L


def signed(public_key: bytes, secret: int, message: bytes) -> tuple[bytes, bytes]:
    s = (1 + challenge(BASE, public_key, message) * secret) % L
    return message, BASE + s.to_bytes(32, "little")


###
### What is wrong
###


def with_scalar(value: int) -> Callable[[bytes, Scheme], bytes]:
    """The order of bytes is the scheme's."""

    def change(signature: bytes, scheme: Scheme) -> bytes:
        encoded = value.to_bytes(32, "little" if scheme is Scheme.ED25519 else "big")
        end = signature[64:] if scheme is Scheme.ECDSA else b""
        return signature[: 33 if scheme is Scheme.SECP256K1 else 32] + encoded + end

    return change


def with_r(signature: bytes, scheme: Scheme) -> bytes:
    """No point; of ECDSA no number below the order."""
    return b"\xff" * 32 + signature[32:]


def flipped(signature: bytes, scheme: Scheme) -> bytes:
    place = 32 if scheme is Scheme.ED25519 else 40
    return signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]


REASONS: dict[str, tuple[Callable[[bytes, Scheme], bytes], str]] = {
    "cut short": (lambda signature, _: signature[:-1], "bytes, (not|this one)"),
    "empty": (lambda signature, _: b"", "bytes, (not|this one)"),
    "scalar": (with_scalar(2**256 - 1), "below the group's order"),
    "point": (with_r, "R: not a point|below the group's order"),
    "equation": (flipped, "by another key|by this key|leads to no public key"),
}


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize(("change", "reason"), REASONS.values(), ids=REASONS.keys())
def test_a_refusal_says_what_is_wrong(
    scheme: Scheme, change: Callable[[bytes, Scheme], bytes], reason: str
) -> None:
    signature, public_key = KEYS[scheme].sign(scheme, MESSAGE, None)
    check_signature(scheme, public_key, MESSAGE, signature)
    with pytest.raises(
        ContractError, match=rf"the {scheme} signature does not verify: .*({reason})"
    ):
        check_signature(scheme, public_key, MESSAGE, change(signature, scheme))


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_refusal_says_that_the_key_is_none(scheme: Scheme) -> None:
    signature, public_key = KEYS[scheme].sign(scheme, MESSAGE, None)
    for wrong in (b"", public_key[:-1], public_key + b"\x00", b"\xff" * len(public_key)):
        with pytest.raises(ContractError, match=r"does not verify: .*(key|point)"):
            check_signature(scheme, wrong, MESSAGE, signature)


@pytest.mark.parametrize("scheme", [Scheme.ED25519, Scheme.SECP256K1, Scheme.BIP340])
@pytest.mark.parametrize("more", [0, 1])
def test_a_scalar_has_one_encoding(scheme: Scheme, more: int) -> None:
    """The order itself, and one above what it should be: s + order would verify for some."""
    order = L if scheme is Scheme.ED25519 else ORDER
    signature, public_key = KEYS[scheme].sign(scheme, MESSAGE, None)
    with pytest.raises(ContractError, match="below the group's order"):
        check_signature(scheme, public_key, MESSAGE, with_scalar(order + more)(signature, scheme))


def test_a_scalar_of_zero_is_no_signature() -> None:
    for scheme in (Scheme.SECP256K1, Scheme.BIP340, Scheme.ED25519):
        signature, public_key = KEYS[scheme].sign(scheme, MESSAGE, None)
        with pytest.raises(ContractError, match="by another key"):
            check_signature(scheme, public_key, MESSAGE, with_scalar(0)(signature, scheme))


###
### ECDSA's forms
###

FORMS = {
    "r": bytes(32),
    "s": bytes(32),
    "recovery_id": 2,
    "compact": bytes(64),
    "der": b"",
    "ethereum": None,
}


def test_every_form_is_tried() -> None:
    assert FORMS.keys() == EcdsaForms.model_fields.keys()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_says_something_else_than_the_signature_is_refused(name: str) -> None:
    key = KEYS[Scheme.ECDSA]
    true = sign_result(sign_request(scheme=Scheme.ECDSA, message=MESSAGE), key)
    check_signed(true, key.certified(), None)
    assert true.ecdsa is not None
    changed = true.model_copy(update={"ecdsa": true.ecdsa.model_copy(update={name: FORMS[name]})})
    with pytest.raises(ContractError, match="ecdsa is not what"):
        check_signed(changed, key.certified(), None)


def test_a_recovery_id_of_a_foreign_key_is_refused_in_all_forms_alike() -> None:
    """As a coordinator would have it that was told so by a signer who negates s."""
    key = KEYS[Scheme.ECDSA]
    true = sign_result(sign_request(scheme=Scheme.ECDSA, message=MESSAGE), key)
    assert true.signature is not None
    turned = true.signature[:-1] + bytes([true.signature[-1] ^ 1])
    false = true.model_copy(update={"signature": turned, "ecdsa": EcdsaForms.of(turned)})
    with pytest.raises(ContractError, match="does not verify: the recovery id leads to another"):
        check_signed(false, key.certified(), None)
