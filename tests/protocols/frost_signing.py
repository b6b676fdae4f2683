"""A FROST signature under way, for tests to spoil."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from workers.protocols import frost
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import PartyIndex

from .simulate import coins, indices, random_key

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
