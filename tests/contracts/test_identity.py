from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity

IDENTITY = Identity.generate()
DER = serialization.Encoding.DER
PLAIN = serialization.NoEncryption()


def encoded(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
    form: serialization.PrivateFormat,
) -> str:
    return base64.b64encode(key.private_bytes(DER, form, PLAIN)).decode()


@pytest.mark.parametrize(
    "form",
    [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8],
    ids=["SEC1", "PKCS8"],
)
def test_private_keys_are_read_in_both_forms(form: serialization.PrivateFormat) -> None:
    read = Identity.from_base64(encoded(IDENTITY.key, form))
    assert read.public == IDENTITY.public
    IDENTITY.public.verify(b"tag", b"data", read.sign(b"tag", b"data"))


def test_identities_survive_their_own_encoding() -> None:
    assert Identity.from_base64(IDENTITY.to_base64()).public == IDENTITY.public
    assert PublicIdentity.from_base64(IDENTITY.public.to_base64()) == IDENTITY.public
    assert len(IDENTITY.public.der) == 91


OTHERS = [
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP256K1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(public_exponent=65537, key_size=2048),
]


@pytest.mark.parametrize("key", OTHERS, ids=["P-384", "secp256k1", "ed25519", "RSA"])
def test_keys_that_are_not_p256_are_refused(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    with pytest.raises(ContractError, match="P-256"):
        Identity.from_base64(encoded(key, serialization.PrivateFormat.PKCS8))
    der = key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ContractError, match="P-256"):
        PublicIdentity(der)


@pytest.mark.parametrize(
    "oid", [b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01", b"\x06\x08" + b"\x2b" * 8]
)
def test_a_curve_that_nobody_knows_is_refused(oid: bytes) -> None:
    p256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    with pytest.raises(ContractError):
        PublicIdentity(IDENTITY.public.der.replace(p256, oid))
    private = base64.b64decode(IDENTITY.to_base64()).replace(p256, oid)
    with pytest.raises(ContractError):
        Identity.from_base64(base64.b64encode(private).decode())


def test_a_public_key_has_one_encoding() -> None:
    point = IDENTITY.public.key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    with pytest.raises(ContractError, match="canonical"):
        PublicIdentity(header + point)
    with pytest.raises(ContractError):
        PublicIdentity(IDENTITY.public.der + b"\x00")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_key_raise_only_contract_errors(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    for parse in (PublicIdentity.from_base64, Identity.from_base64):
        with pytest.raises(ContractError):
            parse(text)


@given(st.integers(0, 90), st.integers(1, 255))
def test_a_spoiled_public_key_raises_only_contract_errors(at: int, mask: int) -> None:
    spoiled = bytearray(IDENTITY.public.der)
    spoiled[at] ^= mask
    with pytest.raises(ContractError):
        PublicIdentity(bytes(spoiled))


@pytest.mark.parametrize("text", ["", "not base64", "é", "AAAA"])
def test_text_that_is_no_key_raises_only_contract_errors(text: str) -> None:
    for parse in (PublicIdentity.from_base64, Identity.from_base64):
        with pytest.raises(ContractError):
            parse(text)


def test_the_private_key_is_in_no_repr_and_in_no_error() -> None:
    secret = IDENTITY.key.private_numbers().private_value
    pkcs8 = IDENTITY.to_base64()
    shown = f"{IDENTITY!r} {IDENTITY} {[IDENTITY]}"
    assert str(secret) not in shown
    assert f"{secret:x}" not in shown
    assert pkcs8[40:80] not in shown
    with pytest.raises(ContractError) as caught:
        Identity.from_base64(pkcs8[:-8])
    assert pkcs8[40:80] not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    signature = IDENTITY.sign(b"one", b"data")
    IDENTITY.public.verify(b"one", b"data", signature)
    for tag, data in ((b"two", b"data"), (b"one", b"other"), (b"oned", b"ata")):
        with pytest.raises(ContractError, match="wrong signature"):
            IDENTITY.public.verify(tag, data, signature)
