"""ECDSA signatures in all their forms, against other libraries and published figures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import coincurve
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ecdsa import EcdsaSignature, check
from contracts.errors import ContractError
from contracts.secp256k1 import ORDER
from tests.protocols.published import published_file

SECRET = coincurve.PrivateKey(bytes(31) + b"\x07")
PUBLIC_KEY = SECRET.public_key.format()
DIGEST = hashlib.sha256(b"a message").digest()

FIELD = 2**256 - 2**32 - 977


def signed(secret: coincurve.PrivateKey = SECRET, digest: bytes = DIGEST) -> EcdsaSignature:
    return EcdsaSignature.from_bytes(secret.sign_recoverable(digest, hasher=None))


def high_x() -> tuple[EcdsaSignature, bytes, bytes]:
    """A signature whose R has an x not below the order, and digest and public key to it.

    Signing does not find one (2^-127), but for a chosen R and s there is a key that it is of.
    """
    x = next(x for x in range(ORDER + 1, FIELD) if is_on_curve(x))
    signature = EcdsaSignature(r=x - ORDER, s=5, recovery_id=2)
    return signature, DIGEST, signature.recover(DIGEST)


def is_on_curve(x: int) -> bool:
    return pow(x**3 + 7, (FIELD - 1) // 2, FIELD) == 1


###
### Forms
###


def test_eip_155s_example_comes_apart_and_leads_to_its_sender() -> None:
    digest = bytes.fromhex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
    signature = EcdsaSignature(
        r=0x28EF61340BD939BC2195FE537567866003E1A15D3C71FF63E1590620AA636276,
        s=0x67CBE9D8997F761AECB703304B3800CCF555C9F3DC64214B297FB1966A3B6D83,
        recovery_id=0,
    )
    senders = coincurve.PublicKey.from_secret(bytes.fromhex("46" * 32)).format()
    assert signature.recover(digest) == senders
    check(senders, digest, signature.to_bytes())
    assert signature.ethereum[64] == 27


@settings(max_examples=40, deadline=None)
@given(secret=st.integers(1, ORDER - 1), digest=st.binary(min_size=32, max_size=32))
def test_every_form_is_that_of_other_libraries(secret: int, digest: bytes) -> None:
    key = coincurve.PrivateKey(secret.to_bytes(32))
    recoverable = key.sign_recoverable(digest, hasher=None)
    signature = EcdsaSignature.from_bytes(recoverable)
    assert signature.to_bytes() == recoverable
    assert signature.compact == recoverable[:64]
    assert signature.der == key.sign(digest, hasher=None)
    assert signature.ethereum == recoverable[:64] + bytes([27 + recoverable[64]])
    assert signature.recover(digest) == key.public_key.format()
    check(key.public_key.format(), digest, recoverable)
    openssl = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key.public_key.format())
    openssl.verify(signature.der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_small_numbers_keep_their_zeros() -> None:
    signature = EcdsaSignature(r=1, s=2, recovery_id=1)
    assert signature.compact == bytes(31) + b"\x01" + bytes(31) + b"\x02"
    assert EcdsaSignature.from_bytes(signature.to_bytes()) == signature
    assert signature.der == bytes.fromhex("3006020101020102")


def test_ethereum_has_two_recovery_ids_only() -> None:
    signature, digest, public_key = high_x()
    check(public_key, digest, signature.to_bytes())
    with pytest.raises(ContractError, match="no recovery id 2"):
        _ = signature.ethereum


###
### What is no signature
###


@pytest.mark.parametrize("size", [0, 64, 66, 71])
def test_a_signature_has_65_bytes(size: int) -> None:
    with pytest.raises(ContractError, match="65 bytes"):
        EcdsaSignature.from_bytes(bytes([1]) * size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("r", 0),
        ("r", ORDER),
        ("r", 2**256 - 1),
        ("s", 0),
        ("s", ORDER),
        ("s", ORDER // 2 + 1),
        ("s", ORDER - 1),
        ("recovery_id", 4),
        ("recovery_id", 27),
        ("recovery_id", 255),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: int) -> None:
    numbers = {"r": 1, "s": ORDER // 2, "recovery_id": 3}
    EcdsaSignature(**numbers)
    numbers[name] = value
    with pytest.raises(ContractError):
        EcdsaSignature(**numbers)
    data = numbers["r"].to_bytes(32) + numbers["s"].to_bytes(32) + bytes([numbers["recovery_id"]])
    with pytest.raises(ContractError):
        check(PUBLIC_KEY, DIGEST, data)


def test_high_s_is_refused_though_it_verifies_elsewhere() -> None:
    signature = signed()
    with pytest.raises(ContractError, match="s is high"):
        replace(signature, s=ORDER - signature.s)


@pytest.mark.parametrize("flip", [1, 2, 3])
def test_a_wrong_recovery_id_is_refused_though_r_and_s_are_right(flip: int) -> None:
    signature = signed()
    wrong = replace(signature, recovery_id=signature.recovery_id ^ flip)
    with pytest.raises(ContractError, match="leads to"):
        check(PUBLIC_KEY, DIGEST, wrong.to_bytes())


def test_the_recovery_id_of_a_high_x_counts() -> None:
    signature, digest, public_key = high_x()
    for recovery_id in (0, 1, 3):
        with pytest.raises(ContractError):
            check(public_key, digest, replace(signature, recovery_id=recovery_id).to_bytes())


def test_another_digest_key_or_signature_does_not_verify() -> None:
    good, other = signed(), coincurve.PrivateKey(bytes(31) + b"\x08")
    check(PUBLIC_KEY, DIGEST, good.to_bytes())
    for public_key, digest, signature in (
        (PUBLIC_KEY, hashlib.sha256(b"another").digest(), good),
        (other.public_key.format(), DIGEST, good),
        (PUBLIC_KEY, DIGEST, signed(other)),
        (PUBLIC_KEY, DIGEST, replace(good, s=good.s ^ 1)),
    ):
        with pytest.raises(ContractError, match="no signature by this key"):
            check(public_key, digest, signature.to_bytes())


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_digest_has_32_bytes(size: int) -> None:
    with pytest.raises(ContractError, match="32 bytes"):
        signed().recover(bytes(size))
    with pytest.raises(ContractError, match="32 bytes"):
        check(PUBLIC_KEY, bytes(size), signed().to_bytes())


@pytest.mark.parametrize(
    "public_key", [SECRET.public_key.format(compressed=False), PUBLIC_KEY[1:], bytes(33)]
)
def test_a_public_key_is_compressed(public_key: bytes) -> None:
    with pytest.raises(ContractError, match="point"):
        check(public_key, DIGEST, signed().to_bytes())


###
### Wycheproof
###


def accepted_ids(public_key: bytes, digest: bytes, r: int, s: int) -> list[int]:
    """The recovery ids with which r and s are a signature of this key, by our checker."""
    accepted = []
    for recovery_id in range(4):
        try:
            check(public_key, digest, EcdsaSignature(r, s, recovery_id).to_bytes())
        except ContractError:
            continue
        accepted.append(recovery_id)
    return accepted


def verifies_elsewhere(public_key: bytes, digest: bytes, der: bytes) -> bool:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    try:
        key.verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


def judge(public_key: bytes, test: dict[str, Any]) -> str:
    """Our verdict in words, after checking that it is the published one."""
    digest = hashlib.sha256(bytes.fromhex(test["msg"])).digest()
    der = bytes.fromhex(test["sig"])
    try:
        r, s = decode_dss_signature(der)
    except ValueError:
        # BER and worse. Ours has 65 bytes, and cannot say the same thing in two ways.
        assert test["result"] == "invalid", test
        return "not to be said in our form"
    accepted = accepted_ids(public_key, digest, r, s)
    if test["result"] == "valid":
        assert len(accepted) == 1, test
        assert EcdsaSignature(r, s, accepted[0]).der == der
        return "valid"
    assert accepted == [], test
    if not (0 < r < ORDER and 0 < s < ORDER):
        return "r or s out of range"
    if s <= ORDER // 2:
        return "does not verify"
    return "high s" if verifies_elsewhere(public_key, digest, der) else "high s, does not verify"


def test_every_wycheproof_signature_is_judged_as_published() -> None:
    file = published_file("wycheproof/ecdsa_secp256k1_sha256_bitcoin_test.json")
    judged: Counter[str] = Counter()
    for group in json.loads(file.read_text())["testGroups"]:
        uncompressed = bytes.fromhex(group["publicKey"]["uncompressed"])
        public_key = coincurve.PublicKey(uncompressed).format()
        judged.update(judge(public_key, test) for test in group["tests"])
    assert judged == {
        "valid": 162,
        "not to be said in our form": 217,
        "r or s out of range": 65,
        "does not verify": 15,
        "high s": 2,
        "high s, does not verify": 2,
    }
