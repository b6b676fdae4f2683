"""Published figures: a few as constants, which every run holds us to, the rest as files.

The files (``rfc9591/*.json``, ``frost-secp256k1-tr/vectors.json``, ``bip340/test-vectors.csv``, as
their authors publish them) are found through ``WARREN_VECTORS`` or beside the repository.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workers.protocols.frost.ciphersuites import Secp256k1Taproot


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One signer's figures in an appendix E of RFC 9591. Hex, as printed."""

    index: int
    hiding_randomness: str
    binding_randomness: str
    hiding_nonce: str
    binding_nonce: str
    hiding_commitment: str
    binding_commitment: str
    binding_factor: str
    signature_share: str


@dataclass(frozen=True, kw_only=True)
class FrostVector:
    """A 2-of-3 run: f(x) = secret + slope * x, signed by parties 1 and 3."""

    suite: str
    secret: str
    slope: str
    public_key: str
    message: str
    signers: tuple[Signer, ...]
    signature: str


RFC9591_E1 = FrostVector(
    suite="ed25519",
    secret="7b1c33d3f5291d85de664833beb1ad469f7fb6025a0ec78b3a790c6e13a98304",
    slope="178199860edd8c62f5212ee91eff1295d0d670ab4ed4506866bae57e7030b204",
    public_key="15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673",
    message="74657374",
    signers=(
        Signer(
            index=1,
            hiding_randomness="0fd2e39e111cdc266f6c0f4d0fd45c947761f1f5d3cb583dfcb9bbaf8d4c9fec",
            binding_randomness="69cd85f631d5f7f2721ed5e40519b1366f340a87c2f6856363dbdcda348a7501",
            hiding_nonce="812d6104142944d5a55924de6d49940956206909f2acaeedecda2b726e630407",
            binding_nonce="b1110165fc2334149750b28dd813a39244f315cff14d4e89e6142f262ed83301",
            hiding_commitment="b5aa8ab305882a6fc69cbee9327e5a45e54c08af61ae77cb8207be3d2ce13de3",
            binding_commitment="67e98ab55aa310c3120418e5050c9cf76cf387cb20ac9e4b6fdb6f82a469f932",
            binding_factor="f2cb9d7dd9beff688da6fcc83fa89046b3479417f47f55600b106760eb3b5603",
            signature_share="001719ab5a53ee1a12095cd088fd149702c0720ce5fd2f29dbecf24b7281b603",
        ),
        Signer(
            index=3,
            hiding_randomness="86d64a260059e495d0fb4fcc17ea3da7452391baa494d4b00321098ed2a0062f",
            binding_randomness="13e6b25afb2eba51716a9a7d44130c0dbae0004a9ef8d7b5550c8a0e07c61775",
            hiding_nonce="c256de65476204095ebdc01bd11dc10e57b36bc96284595b8215222374f99c0e",
            binding_nonce="243d71944d929063bc51205714ae3c2218bd3451d0214dfb5aeec2a90c35180d",
            hiding_commitment="cfbdb165bd8aad6eb79deb8d287bcc0ab6658ae57fdcc98ed12c0669e90aec91",
            binding_commitment="7487bc41a6e712eea2f2af24681b58b1cf1da278ea11fe4e8b78398965f13552",
            binding_factor="b087686bf35a13f3dc78e780a34b0fe8a77fef1b9938c563f5573d71d8d7890f",
            signature_share="bd86125de990acc5e1f13781d8e32c03a9bbd4c53539bbc106058bfd14326007",
        ),
    ),
    signature=(
        "36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbe"
        "bd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b"
    ),
)

RFC9591_E5 = FrostVector(
    suite="secp256k1",
    secret="0d004150d27c3bf2a42f312683d35fac7394b1e9e318249c1bfe7f0795a83114",
    slope="fbf85eadae3058ea14f19148bb72b45e4399c0b16028acaf0395c9b03c823579",
    public_key="02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f",
    message="74657374",
    signers=(
        Signer(
            index=1,
            hiding_randomness="7ea5ed09af19f6ff21040c07ec2d2adbd35b759da5a401d4c99dd26b82391cb2",
            binding_randomness="47acab018f116020c10cb9b9abdc7ac10aae1b48ca6e36dc15acb6ec9be5cdc5",
            hiding_nonce="841d3a6450d7580b4da83c8e618414d0f024391f2aeb511d7579224420aa81f0",
            binding_nonce="8d2624f532af631377f33cf44b5ac5f849067cae2eacb88680a31e77c79b5a80",
            hiding_commitment="03c699af97d26bb4d3f05232ec5e1938c12f1e6ae97643c8f8f11c9820303f1904",
            binding_commitment="02fa2aaccd51b948c9dc1a325d77226e98a5a3fe65fe9ba213761a60123040a45e",
            binding_factor="3e08fe561e075c653cbfd46908a10e7637c70c74f0a77d5fd45d1a750c739ec6",
            signature_share="c4fce1775a1e141fb579944166eab0d65eefe7b98d480a569bbbfcb14f91c197",
        ),
        Signer(
            index=3,
            hiding_randomness="e6cc56ccbd0502b3f6f831d91e2ebd01c4de0479e0191b66895a4ffd9b68d544",
            binding_randomness="7203d55eb82a5ca0d7d83674541ab55f6e76f1b85391d2c13706a89a064fd5b9",
            hiding_nonce="2b19b13f193f4ce83a399362a90cdc1e0ddcd83e57089a7af0bdca71d47869b2",
            binding_nonce="7a443bde83dc63ef52dda354005225ba0e553243402a4705ce28ffaafe0f5b98",
            hiding_commitment="03077507ba327fc074d2793955ef3410ee3f03b82b4cdc2370f71d865beb926ef6",
            binding_commitment="02ad53031ddfbbacfc5fbda3d3b0c2445c8e3e99cbc4ca2db2aa283fa68525b135",
            binding_factor="93f79041bb3fd266105be251adaeb5fd7f8b104fb554a4ba9a0becea48ddbfd7",
            signature_share="0160fd0d388932f4826d2ebcd6b9eaba734f7c71cf25b4279a4ca2581e47b18d",
        ),
    ),
    signature=(
        "0205b6d04d3774c8929413e3c76024d54149c372d57aae62574ed74319b5ea14d0"
        "c65dde8492a7471437e6c2fe3da49b90d23f642b5c6dbe7e36089f096dd97324"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Bip340Vector:
    """A row of BIP-340's table. Hex; ``secret`` is empty where the table gives none."""

    number: int
    secret: str
    public_key: str
    message: str
    signature: str
    valid: bool


BIP340 = (
    Bip340Vector(
        number=0,
        secret="0000000000000000000000000000000000000000000000000000000000000003",
        public_key="f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        message="0000000000000000000000000000000000000000000000000000000000000000",
        signature=(
            "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
            "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
        ),
        valid=True,
    ),
    Bip340Vector(
        number=1,
        secret="b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
        public_key="dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        message="243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        signature=(
            "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341"
            "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a"
        ),
        valid=True,
    ),
    Bip340Vector(
        number=2,
        secret="c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b14e5c9",
        public_key="dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8",
        message="7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c",
        signature=(
            "5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1b"
            "ab745879a5ad954a72c45a91c3a51d3c7adea98d82f8481e0e1e03674a6f3fb7"
        ),
        valid=True,
    ),
    Bip340Vector(
        number=3,
        secret="0b432b2677937381aef05bb02a66ecd012773062cf3fa2549e44f58ed2401710",
        public_key="25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517",
        message="ff" * 32,
        signature=(
            "7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec"
            "97582b9cb13db3933705b32ba982af5af25fd78881ebb32771fc5922efc66ea3"
        ),
        valid=True,
    ),
)


class AnyLengthTaproot(Secp256k1Taproot):
    """The taproot suite without our rule of 32 bytes, which its published message breaks."""

    message_size = None


ANY_LENGTH_TAPROOT = AnyLengthTaproot()


def published_file(name: str) -> Path:
    """The published file, or a skipped test that says where it was looked for."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
    folder = Path(os.environ.get("WARREN_VECTORS", beside))
    if not (folder / name).is_file():
        pytest.skip(f"published vectors: no {name} in {folder}; set WARREN_VECTORS to their folder")
    return folder / name


def frost_vector(name: str, suite: str) -> FrostVector:
    """A file in the RFC's JSON form, which the taproot suite's authors use too."""
    data: dict[str, Any] = json.loads(published_file(name).read_text())
    inputs = data["inputs"]
    first = data["round_one_outputs"]["outputs"]
    second = data["round_two_outputs"]["outputs"]
    return FrostVector(
        suite=suite,
        secret=inputs["group_secret_key"],
        slope=inputs["share_polynomial_coefficients"][0],
        public_key=inputs.get("group_public_key") or inputs["verifying_key_key"],
        message=inputs["message"],
        signers=tuple(
            Signer(
                index=one["identifier"],
                hiding_randomness=one["hiding_nonce_randomness"],
                binding_randomness=one["binding_nonce_randomness"],
                hiding_nonce=one["hiding_nonce"],
                binding_nonce=one["binding_nonce"],
                hiding_commitment=one["hiding_nonce_commitment"],
                binding_commitment=one["binding_nonce_commitment"],
                binding_factor=one["binding_factor"],
                signature_share=two["sig_share"],
            )
            for one, two in zip(first, second, strict=True)
        ),
        signature=data["final_output"]["sig"],
    )


def bip340_vectors() -> list[Bip340Vector]:
    with published_file("bip340/test-vectors.csv").open(newline="") as lines:
        return [
            Bip340Vector(
                number=int(row["index"]),
                secret=row["secret key"],
                public_key=row["public key"],
                message=row["message"],
                signature=row["signature"],
                valid=row["verification result"] == "TRUE",
            )
            for row in csv.DictReader(lines)
        ]
