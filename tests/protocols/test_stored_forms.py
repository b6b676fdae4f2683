"""What is sent or stored comes back equal, and its bytes are pinned.

A changed snapshot is a changed format: parties of two versions would not understand each other,
or a stored share could not be read. Then the tag's version changes too. To write the file anew:
``python -m tests.protocols.test_stored_forms``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocols import dkls23, frost, keygen, reshare
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.key_share import KeyShare, KeyView
from workers.protocols.rounds import MisuseError

from .dkls23.batches import new_batch, presign, task_of
from .reshare_parties import MOVED, two_of_three
from .reshare_parties import parameters_of as parameters_of_reshare
from .simulate import coins, index, parameters_of

LONGEST = 4_000
"""Of what is pinned byte by byte."""
SNAPSHOTS = Path(__file__).parent / "snapshots" / "stored_forms.json"
GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)


class Stored(Protocol):
    def to_bytes(self) -> bytes: ...


Reader = Callable[[bytes], Stored]


@cache
def specimens(group: Group) -> dict[str, tuple[Stored, Reader]]:
    """One of everything party 1 of 2 sends or stores, by runs with fixed coins."""
    forms = of_keygen_and_frost(group) | of_reshare(group)
    return forms | (of_ecdsa() if group is SECP256K1 else {})


def of_keygen_and_frost(group: Group) -> dict[str, tuple[Stored, Reader]]:
    parameters = parameters_of(group, 2, 2)
    one, two = index(1), index(2)
    committed, first = {}, {}
    opened, second = {}, {}
    dealt, third = {}, {}
    for i in (one, two):
        committed[i], sent = keygen.round1(parameters[i], randomness=coins("snapshot", i))
        assert sent.broadcast is not None
        first[i] = sent.broadcast
    for i, j in ((one, two), (two, one)):
        opened[i], said = keygen.round2(committed[i], {j: first[j]})
        assert said.broadcast is not None
        second[i] = said.broadcast
    for i, j in ((one, two), (two, one)):
        dealt[i], given_out = keygen.round3(opened[i], {j: second[j]})
        third[i] = given_out.direct[j]
    finished = keygen.finish(dealt[one], {two: third[two]})
    key_share = finished.key_share

    suite = frost.ciphersuite("ed25519" if group is ED25519 else "bip340")
    nonces, commitment = frost.commit(
        suite,
        key_share,
        place=(coins("place"), 0),
        hiding_randomness=coins("hiding"),
        binding_randomness=coins("binding"),
    )
    other = replace(commitment, hiding=commitment.binding, binding=commitment.hiding)
    signature_share = frost.sign(nonces, key_share, coins("message"), {one: commitment, two: other})
    own = parameters[one]
    return {
        "keygen.Parameters": (own, keygen.Parameters.from_bytes),
        "keygen.Commitment": (first[one], partial(keygen.Commitment.from_bytes, own)),
        "keygen.Committed": (committed[one], keygen.Committed.from_bytes),
        "keygen.Opening": (second[one], partial(keygen.Opening.from_bytes, own)),
        "keygen.Opened": (opened[one], keygen.Opened.from_bytes),
        "keygen.Share": (third[two], partial(keygen.Share.from_bytes, own)),
        "keygen.Dealt": (dealt[one], keygen.Dealt.from_bytes),
        "keygen.Finished": (finished, keygen.Finished.from_bytes),
        "KeyShare": (key_share, KeyShare.from_bytes),
        "KeyView": (key_share.view, KeyView.from_bytes),
        "frost.Nonces": (nonces, frost.Nonces.from_bytes),
        "frost.Commitment": (commitment, partial(frost.Commitment.from_bytes, group)),
        "frost.SignatureShare": (signature_share, partial(frost.SignatureShare.from_bytes, group)),
    }


def of_reshare(group: Group) -> dict[str, tuple[Stored, Reader]]:
    """Of a dealer that leaves, and of a newcomer, which deals nothing."""
    keys = two_of_three(group)
    parameters = parameters_of_reshare(keys, MOVED.members(), MOVED.threshold)
    leaver, newcomer = index(2), index(3)
    committed, first = {}, {}
    opened, second = {}, {}
    echoed, third = {}, {}
    dealt, shares = {}, {}
    for m, own in parameters.items():
        share = keys[own.own.deals_as] if own.own.deals_as else None
        committed[m], sent = reshare.round1(own, share, randomness=coins("snapshot", m))
        assert sent.broadcast is not None
        first[m] = sent.broadcast
    for m, own in parameters.items():
        opened[m], said = reshare.round2(committed[m], {j: first[j] for j in own.others})
        if said.broadcast is not None:
            second[m] = said.broadcast
    for m, own in parameters.items():
        inbox = {j: second[j] for j in own.other_dealers}
        echoed[m], outbox = reshare.round3(opened[m], inbox)
        assert outbox.broadcast is not None
        third[m] = outbox.broadcast
    for m, own in parameters.items():
        dealt[m], given_out = reshare.round4(echoed[m], {j: third[j] for j in own.others})
        shares[m] = given_out.direct
    finished = {
        m: reshare.finish(
            dealt[m],
            {j: shares[j][m] for j in own.other_dealers} if own.own.receives_as else {},
        )
        for m, own in parameters.items()
    }
    possession = reshare.round5(finished[newcomer], b"facts", randomness=coins("fourth")).broadcast
    assert possession is not None
    own = parameters[leaver]
    return {
        "reshare.Parameters": (own, reshare.Parameters.from_bytes),
        "reshare.Commitment": (first[leaver], partial(reshare.Commitment.from_bytes, own)),
        "reshare.Opening": (second[leaver], partial(reshare.Opening.from_bytes, own)),
        "reshare.Echo": (third[leaver], partial(reshare.Echo.from_bytes, own)),
        "reshare.Share": (shares[leaver][newcomer], partial(reshare.Share.from_bytes, own)),
        "reshare.Possession": (possession, partial(reshare.Possession.from_bytes, own)),
        "reshare.Committed": (committed[leaver], reshare.Committed.from_bytes),
        "reshare.Committed, newcomer": (committed[newcomer], reshare.Committed.from_bytes),
        "reshare.Opened": (opened[leaver], reshare.Opened.from_bytes),
        "reshare.Opened, newcomer": (opened[newcomer], reshare.Opened.from_bytes),
        "reshare.Echoed": (echoed[leaver], reshare.Echoed.from_bytes),
        "reshare.Echoed, newcomer": (echoed[newcomer], reshare.Echoed.from_bytes),
        "reshare.Dealt": (dealt[leaver], reshare.Dealt.from_bytes),
        "reshare.Dealt, newcomer": (dealt[newcomer], reshare.Dealt.from_bytes),
        "reshare.Finished": (finished[leaver], reshare.Finished.from_bytes),
        "reshare.Finished, newcomer": (finished[newcomer], reshare.Finished.from_bytes),
    }


def of_ecdsa() -> dict[str, tuple[Stored, Reader]]:
    batch = new_batch(2, 2, [1, 2], seed="snapshot")
    one, two = index(1), index(2)
    presignature, *_ = presign(batch)[one]
    theirs = batch.parameters[two]
    signature_share = dkls23.sign(presignature, task_of(coins("digest")))
    return {
        "dkls23.Parameters": (batch.parameters[one], dkls23.Parameters.from_bytes),
        "dkls23.Offered": (batch.offered[one], dkls23.Offered.from_bytes),
        "dkls23.SetUp": (batch.set_ups[one][two], partial(dkls23.SetUp.from_bytes, theirs)),
        "dkls23.Extended": (batch.extended[one], dkls23.Extended.from_bytes),
        "dkls23.Commitment": (
            batch.commitments[one],
            partial(dkls23.Commitment.from_bytes, theirs),
        ),
        "dkls23.Extension": (
            batch.extensions[one][two],
            partial(dkls23.Extension.from_bytes, theirs),
        ),
        "dkls23.Answered": (batch.answered[one], dkls23.Answered.from_bytes),
        "dkls23.Answer": (batch.answers[one][two], partial(dkls23.Answer.from_bytes, theirs)),
        "dkls23.Presignature": (presignature, dkls23.Presignature.from_bytes),
        "dkls23.PresignatureView": (presignature.view, dkls23.PresignatureView.from_bytes),
        "dkls23.SignatureShare": (signature_share, dkls23.SignatureShare.from_bytes),
    }


def pinned_form(value: Stored) -> str:
    """The bytes, or of many their number and digest."""
    data = value.to_bytes()
    if len(data) <= LONGEST:
        return data.hex()
    return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"


STATES = {
    "keygen.Parameters",
    "keygen.Committed",
    "keygen.Opened",
    "keygen.Dealt",
    "keygen.Finished",
    "KeyShare",
    "KeyView",
    "reshare.Parameters",
    "reshare.Committed",
    "reshare.Opened",
    "reshare.Echoed",
    "reshare.Dealt",
    "reshare.Finished",
    "frost.Nonces",
    "dkls23.Parameters",
    "dkls23.Offered",
    "dkls23.Extended",
    "dkls23.Answered",
    "dkls23.Presignature",
    "dkls23.PresignatureView",
}
ALL = pytest.mark.parametrize(
    ("group", "name"),
    [
        pytest.param(group, name, id=f"{group.name}-{name}")
        for group in (SECP256K1, ED25519)
        for name in specimens(group)
    ],
)


@ALL
def test_everything_comes_back_equal(group: Group, name: str) -> None:
    value, from_bytes = specimens(group)[name]
    assert from_bytes(value.to_bytes()) == value
    assert from_bytes(value.to_bytes()).to_bytes() == value.to_bytes()


@ALL
def test_the_bytes_are_those_of_the_snapshot(group: Group, name: str) -> None:
    pinned = json.loads(SNAPSHOTS.read_text(encoding="utf-8"))
    assert pinned_form(specimens(group)[name][0]) == pinned[group.name][name]


@GROUPS
def test_a_stored_commitment_is_read_like_a_received_one(group: Group) -> None:
    value, _ = specimens(group)["frost.Commitment"]
    assert frost.Commitment.from_bytes_stored(group, value.to_bytes()) == value
    with pytest.raises(ValueError, match=r"32 bytes|secp256k1"):
        frost.Commitment.from_bytes_stored(group, value.to_bytes()[:-1])


@ALL
def test_bytes_that_are_too_short_or_too_long_are_refused(group: Group, name: str) -> None:
    value, from_bytes = specimens(group)[name]
    data = value.to_bytes()
    for wrong in (b"", data[:-1], data + b"\x00", data + data):
        with pytest.raises(ValueError, match=r"\w"):
            from_bytes(wrong)


@ALL
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_value_or_misuse_errors(
    group: Group, name: str, data: st.DataObject
) -> None:
    value, from_bytes = specimens(group)[name]
    damaged = bytearray(value.to_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = from_bytes(bytes(damaged))
    except (ValueError, MisuseError):
        return
    assert read.to_bytes() != value.to_bytes()


@ALL
def test_no_stored_type_reads_the_bytes_of_another(group: Group, name: str) -> None:
    value, _ = specimens(group)[name]
    for other in STATES.intersection(specimens(group)) - {name.partition(",")[0]}:
        _, from_bytes = specimens(group)[other]
        with pytest.raises(ValueError, match=r"not warren/state|ends inside"):
            from_bytes(value.to_bytes())


@GROUPS
def test_secrets_do_not_print(group: Group) -> None:
    printed = "".join(repr(value) for value, _ in specimens(group).values())
    committed, _ = specimens(group)["keygen.Committed"]
    dealt, _ = specimens(group)["keygen.Dealt"]
    key_share, _ = specimens(group)["KeyShare"]
    nonces, _ = specimens(group)["frost.Nonces"]
    assert isinstance(committed, keygen.Committed)
    assert isinstance(dealt, keygen.Dealt)
    assert isinstance(key_share, KeyShare)
    assert isinstance(nonces, frost.Nonces)
    scalars = [*committed.coefficients, dealt.own_value, key_share.secret_share]
    scalars += [nonces.hiding, nonces.binding]
    dealing, last = of_a_reshare(group)
    scalars += [*dealing.coefficients, last.secret_share]
    for scalar in scalars:
        assert str(scalar.value) not in printed
        assert scalar.to_bytes().hex() not in printed
        assert repr(scalar.to_bytes()) not in printed
    opening = committed.opening
    secrets = (opening.salt, opening.chain_share, key_share.chain_code, last.chain_code)
    for secret in (*secrets, dealing.opening.salt):
        assert repr(secret) not in printed
        assert secret.hex() not in printed


def of_a_reshare(group: Group) -> tuple[reshare.Dealing, KeyShare]:
    """A dealer's secrets before it deals, and a receiver's at the end."""
    committed, _ = specimens(group)["reshare.Committed"]
    finished, _ = specimens(group)["reshare.Finished, newcomer"]
    assert isinstance(committed, reshare.Committed)
    assert isinstance(finished, reshare.Finished)
    assert committed.dealing is not None
    assert finished.key_share is not None
    return committed.dealing, finished.key_share


def test_secrets_of_presigning_do_not_print() -> None:
    forms = of_ecdsa()
    printed = "".join(repr(value) for value, _ in forms.values())
    offered, _ = forms["dkls23.Offered"]
    extended, _ = forms["dkls23.Extended"]
    answered, _ = forms["dkls23.Answered"]
    presignature, _ = forms["dkls23.Presignature"]
    assert isinstance(offered, dkls23.Offered)
    assert isinstance(extended, dkls23.Extended)
    assert isinstance(answered, dkls23.Answered)
    assert isinstance(presignature, dkls23.Presignature)
    scalars = [*answered.nonces, *answered.masks, *answered.key_parts]
    scalars += [presignature.phi, presignature.u, presignature.v]
    seeds = [offered.seed, extended.seed]
    for pair in extended.pairs.values():
        seeds += [pair.zero_seed, pair.receiving.key, pair.receiving.choice]
    for scalar in scalars:
        assert str(scalar.value) not in printed
        seeds.append(scalar.to_bytes())
    for seed in seeds:
        assert seed.hex() not in printed
        assert repr(seed)[2:-1] not in printed


if __name__ == "__main__":
    SNAPSHOTS.parent.mkdir(exist_ok=True)
    forms = {
        group.name: {name: pinned_form(value) for name, (value, _) in specimens(group).items()}
        for group in (SECP256K1, ED25519)
    }
    SNAPSHOTS.write_text(json.dumps(forms, indent=1) + "\n", encoding="utf-8")
