"""Randomness that comes again, on a machine that was cloned, gives other nonces elsewhere."""

from __future__ import annotations

import pytest

from workers.protocols import frost
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import MisuseError

from .simulate import coins, index, random_key

SUITES = pytest.mark.parametrize("name", ["ed25519", "secp256k1", "bip340"])
ONE_SESSION, ANOTHER = coins("one session"), coins("another session")


def share_of(group: Group) -> KeyShare:
    return random_key(group, 2, 3, "hedging")[index(1)]


def nonces(name: str, session_id: bytes, position: int) -> frost.Nonces:
    """Of one party, from randomness that is the same every time, and the same twice."""
    made, commitment = frost.commit(
        frost.ciphersuite(name),
        share_of(ED25519 if name == "ed25519" else SECP256K1),
        place=(session_id, position),
        hiding_randomness=coins("again"),
        binding_randomness=coins("again"),
    )
    assert made.commitment == commitment
    return made


@SUITES
def test_equal_randomness_gives_other_nonces_at_every_place(name: str) -> None:
    places = [(session, at) for session in (ONE_SESSION, ANOTHER) for at in (0, 1, 63)]
    made = [nonces(name, *place) for place in places]
    numbers = {number.value for each in made for number in (each.hiding, each.binding)}
    assert len(numbers) == 2 * len(places)


@SUITES
def test_the_same_place_and_randomness_give_the_same_nonces(name: str) -> None:
    assert nonces(name, ONE_SESSION, 1) == nonces(name, ONE_SESSION, 1)


@pytest.mark.parametrize("session_id", [b"", bytes(31), bytes(33)])
def test_a_place_has_an_id_of_32_bytes(session_id: bytes) -> None:
    with pytest.raises(MisuseError, match="id of a session or batch is 32 bytes"):
        nonces("bip340", session_id, 0)
