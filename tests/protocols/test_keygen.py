"""Key generation: every check has a lie that it catches; no order or loss yields a wrong key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols import keygen, proofs
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.key_share import KeyShare
from workers.protocols.polynomial import commit, evaluate
from workers.protocols.rounds import (
    EchoMismatchError,
    PartyFaultError,
    PartyIndex,
    SpoiltSessionError,
)

from .simulate import (
    Claim,
    KeygenParty,
    Packet,
    Tamper,
    Weather,
    coins,
    generate,
    index,
    indices,
    parameters_of,
    reconstruct,
    run,
)

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
SIZES = [(2, 2), (2, 3), (3, 5)]
LIAR = index(2)


###
### What honest parties get
###


@GROUPS
@pytest.mark.parametrize(("t", "n"), SIZES)
def test_honest_parties_agree_on_one_key(group: Group, t: int, n: int) -> None:
    finished = generate(group, t, n)
    shares = {i: done.key_share for i, done in finished.items()}
    assert len({done.transcript_digest for done in finished.values()}) == 1
    assert len({share.chain_code for share in shares.values()}) == 1
    assert len({share.view.to_bytes() for share in shares.values()}) == 1
    for i, share in shares.items():
        assert (share.index, share.threshold, share.group) == (i, t, group)
        assert share.secret_share * group.generator == share.public_shares[i]


@GROUPS
@pytest.mark.parametrize("signers", [(1, 2, 3), (1, 3, 5), (5, 4, 2)])
def test_any_t_shares_are_the_key(group: Group, signers: tuple[int, ...]) -> None:
    shares = {i: done.key_share for i, done in generate(group, 3, 5).items()}
    chosen = {i: shares[i] for i in indices(signers)}
    assert reconstruct(chosen) * group.generator == shares[index(1)].public_key


@GROUPS
def test_fewer_shares_are_not_the_key(group: Group) -> None:
    shares = {i: done.key_share for i, done in generate(group, 3, 5).items()}
    chosen = {i: shares[i] for i in indices((1, 3))}
    assert reconstruct(chosen) * group.generator != shares[index(1)].public_key


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": b"\x01" * 32},
        {"context": b"another roster"},
        {"group": ED25519},
        {"threshold": 2},
        {"party_count": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_parameter_is_in_every_hash(change: dict[str, Any]) -> None:
    parameters = parameters_of(SECP256K1, 3, 5)[index(1)]
    other = replace(parameters, **change)
    opening = keygen.round1(parameters, randomness=bytes(32))[0].opening
    assert other.binding != parameters.binding
    assert opening.commitment(other, index(1)) != opening.commitment(parameters, index(1))


def test_fresh_randomness_gives_another_polynomial() -> None:
    parameters = parameters_of(SECP256K1, 2, 2)[index(1)]
    one, _ = keygen.round1(parameters, randomness=coins("one"))
    two, _ = keygen.round1(parameters, randomness=coins("two"))
    scalars = {*one.coefficients, *two.coefficients}
    assert len(scalars) == 4
    assert one.opening.salt != two.opening.salt
    assert one.opening.chain_share != two.opening.chain_share


###
### Liars
###


def bad_proof(state: keygen.Committed) -> keygen.Committed:
    """Commit to a constant term that the liar does not know, with the proof for its own."""
    opening = state.opening
    foreign = state.parameters.group.scalar(7) * state.parameters.group.generator
    vector = (opening.vector[0] + foreign, *opening.vector[1:])
    return replace(state, opening=replace(opening, vector=vector))


def bad_high_proof(state: keygen.Committed) -> keygen.Committed:
    """The same for the last coefficient: a proof for the constant term alone would not notice."""
    opening = state.opening
    foreign = state.parameters.group.scalar(7) * state.parameters.group.generator
    vector = (*opening.vector[:-1], opening.vector[-1] + foreign)
    return replace(state, opening=replace(opening, vector=vector))


def swapped_proofs(state: keygen.Committed) -> keygen.Committed:
    """The right proofs at the wrong indices, with the vector swapped along."""
    opening = state.opening
    return replace(
        state,
        coefficients=state.coefficients[::-1],
        opening=replace(opening, vector=opening.vector[::-1], proofs=opening.proofs[::-1]),
    )


def borrowed_proofs(state: keygen.Committed) -> keygen.Committed:
    """Party 1's coefficients and proofs, sent as our own."""
    parameters = replace(state.parameters, index=index(1))
    theirs, _ = keygen.round1(parameters, randomness=coins("keygen", "honest", index(1)))
    return replace(theirs, parameters=state.parameters)


def root_at_party_one(state: keygen.Committed) -> keygen.Committed:
    """A polynomial that is zero at x = 1: party 1's part of the liar's secret is public."""
    group, t = state.parameters.group, state.parameters.threshold
    tail = [group.scalar_from_bytes_wrapping(coins("root", k)) for k in range(1, t)]
    coefficients = (-sum(tail, start=group.scalar(0)), *tail)
    vector = commit(coefficients)
    context = state.parameters.proof_context
    return replace(
        state,
        coefficients=coefficients,
        opening=replace(
            state.opening,
            vector=vector,
            proofs=tuple(
                proofs.prove(a_k, vector[k], context(LIAR, k), coins("proof", k))
                for k, a_k in enumerate(coefficients)
            ),
        ),
    )


def in_round(number: int, change: Callable[[keygen.Parameters, bytes], bytes]) -> Tamper:
    """Lie to everybody in one round."""
    return lambda parameters, packet: (
        change(parameters, packet.data) if packet.round == number else packet.data
    )


def flip(place: int) -> Callable[[keygen.Parameters, bytes], bytes]:
    def flipped(_: keygen.Parameters, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return flipped


def cut(_: keygen.Parameters, data: bytes) -> bytes:
    return data[:-1]


def extended(_: keygen.Parameters, data: bytes) -> bytes:
    return data + b"\x00"


def off_the_curve(parameters: keygen.Parameters, data: bytes) -> bytes:
    return b"\xff" * parameters.group.point_size + data[parameters.group.point_size :]


def not_reduced(parameters: keygen.Parameters, data: bytes) -> bytes:
    return b"\xff" * parameters.group.scalar_size + data[parameters.group.scalar_size :]


def one_more(parameters: keygen.Parameters, data: bytes) -> bytes:
    share = keygen.Share.from_bytes(parameters, data)
    return replace(share, value=share.value + parameters.group.scalar(1)).to_bytes()


def nothing(parameters: keygen.Parameters, data: bytes) -> bytes:
    share = keygen.Share.from_bytes(parameters, data)
    return replace(share, value=parameters.group.scalar(0)).to_bytes()


@dataclass(frozen=True)
class Lie:
    """What the liar does, and the check that must name it."""

    name: str
    check: str
    claim: Claim | None = None
    tamper: Tamper | None = None


LIES = [
    Lie("the commitment is of something else", "opening", tamper=in_round(1, flip(-1))),
    Lie("the chain-code share is another", "opening", tamper=in_round(2, flip(-64))),
    Lie("the salt is another", "opening", tamper=in_round(2, flip(-1))),
    Lie("the constant term is not known", "proof", claim=bad_proof),
    Lie("the last coefficient is not known", "proof", claim=bad_high_proof),
    Lie("proofs stand at other indices", "proof", claim=swapped_proofs),
    Lie("proofs were made by another party", "proof", claim=borrowed_proofs),
    Lie("the share is off the polynomial", "share", tamper=in_round(3, one_more)),
    Lie("the share is zero", "share", tamper=in_round(3, nothing)),
    Lie("the commitment is short", "malformed", tamper=in_round(1, cut)),
    Lie("the opening is short", "malformed", tamper=in_round(2, cut)),
    Lie("the opening is long", "malformed", tamper=in_round(2, extended)),
    Lie("a point is off the curve", "malformed", tamper=in_round(2, off_the_curve)),
    Lie("the share is long", "malformed", tamper=in_round(3, extended)),
    Lie("the share is not reduced", "malformed", tamper=in_round(3, not_reduced)),
]


def parties_with(lie: Lie, group: Group, t: int, n: int) -> dict[PartyIndex, KeygenParty]:
    return {
        i: KeygenParty(p, claim=lie.claim, tamper=lie.tamper) if i == LIAR else KeygenParty(p)
        for i, p in parameters_of(group, t, n).items()
    }


@GROUPS
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_lie_names_the_liar_at_every_honest_party(group: Group, lie: Lie) -> None:
    parties = parties_with(lie, group, 2, 3)
    run(parties)
    for i in indices((1, 3)):
        error = parties[i].outcome
        assert isinstance(error, PartyFaultError), error
        assert error.culprits == {LIAR}
        assert error.check == lie.check
        assert not error.ban


@GROUPS
def test_a_polynomial_with_a_root_at_a_party_is_refused_there(group: Group) -> None:
    parties = parties_with(Lie("root", "share", claim=root_at_party_one), group, 2, 3)
    run(parties)
    error = parties[index(1)].outcome
    assert isinstance(error, PartyFaultError)
    assert error.culprits == {LIAR}
    assert error.check == "share"


def test_all_culprits_are_named_and_each_check() -> None:
    parameters = parameters_of(SECP256K1, 2, 5)
    lies = {2: LIES[0], 3: LIES[3], 5: LIES[1]}
    parties = {
        i: KeygenParty(p, claim=lies[i].claim, tamper=lies[i].tamper)
        if i in lies
        else KeygenParty(p)
        for i, p in parameters.items()
    }
    run(parties)
    error = parties[index(1)].outcome
    assert isinstance(error, PartyFaultError)
    assert error.culprits == {2, 3, 5}
    assert error.check == "opening, proof"


def test_all_wrong_dealers_are_named() -> None:
    parties = {
        i: KeygenParty(p, tamper=in_round(3, one_more) if i > 2 else None)
        for i, p in parameters_of(ED25519, 2, 5).items()
    }
    run(parties)
    error = parties[index(1)].outcome
    assert isinstance(error, PartyFaultError)
    assert error.culprits == {3, 4, 5}
    assert error.check == "share"


def test_a_party_with_two_faces_is_an_echo_mismatch_and_nobody_is_blamed() -> None:
    """The liar runs two sessions, one with party 1 and one with party 3, each flawless."""
    parameters = parameters_of(SECP256K1, 2, 3)
    faces = {j: KeygenParty(parameters[LIAR], seed=j) for j in indices((1, 3))}
    honest = {j: KeygenParty(parameters[j]) for j in indices((1, 3))}
    under_way = [packet for party in honest.values() for packet in party.start()]
    for j, face in faces.items():
        under_way += [packet for packet in face.start() if packet.recipient == j]
    while under_way:
        packet = under_way.pop(0)
        if packet.recipient == LIAR:
            for j, face in faces.items():
                under_way += [sent for sent in face.receive(packet) if sent.recipient == j]
        else:
            under_way += honest[packet.recipient].receive(packet)

    for j, other in ((index(1), index(3)), (index(3), index(1))):
        error = honest[j].outcome
        assert isinstance(error, EchoMismatchError)
        assert error.parties == {other}
        assert not isinstance(error, PartyFaultError)


def test_an_echo_mismatch_is_found_before_a_share_is_judged() -> None:
    def both(parameters: keygen.Parameters, data: bytes) -> bytes:
        return flip(-1)(parameters, one_more(parameters, data))

    parties = parties_with(Lie("both", "", tamper=in_round(3, both)), SECP256K1, 2, 3)
    run(parties)
    error = parties[index(1)].outcome
    assert isinstance(error, EchoMismatchError)
    assert error.parties == {LIAR}


def test_a_key_that_is_the_identity_is_refused() -> None:
    """Two dealers whose polynomials cancel out: nobody can arrange it who must commit first."""
    parameters = parameters_of(SECP256K1, 2, 2)[index(1)]
    coefficients = [SECP256K1.scalar(5), SECP256K1.scalar(6)]
    opposite = [-a_k for a_k in coefficients]
    dealt = keygen.Dealt(
        parameters=parameters,
        own_value=evaluate(coefficients, index(1)),
        vectors={index(1): commit(coefficients), index(2): commit(opposite)},
        chain_code=bytes(32),
        transcript_digest=bytes(32),
    )
    share = keygen.Share(evaluate(opposite, index(1)), bytes(32))
    with pytest.raises(SpoiltSessionError, match="identity"):
        keygen.finish(dealt, {index(2): share})


###
### Any weather, any liar
###


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_run_ends_in_one_key_or_the_liar_or_a_wait_for_the_silent(
    data: st.DataObject,
) -> None:
    group = data.draw(st.sampled_from([SECP256K1, ED25519]))
    t, n = data.draw(st.sampled_from(SIZES))
    edges = [
        (r, i, j) for r in (1, 2, 3) for i in range(1, n + 1) for j in range(1, n + 1) if i != j
    ]
    weather = Weather(
        choose=lambda count: data.draw(st.integers(0, count - 1)),
        drops=data.draw(st.sets(st.sampled_from(edges), max_size=2)),
        doubles=data.draw(st.sets(st.sampled_from(edges), max_size=5)),
    )
    lie = data.draw(st.none() | st.sampled_from(LIES))
    parties = parties_with(lie or Lie("none", ""), group, t, n)
    run(parties, weather)

    honest = [party for i, party in parties.items() if lie is None or i != LIAR]
    keys = list[KeyShare]()
    for party in honest:
        match party.outcome:
            case keygen.Finished(key_share=key_share):
                keys.append(key_share)
            case PartyFaultError(culprits=culprits, check=check):
                assert lie is not None
                assert culprits == {LIAR}
                assert check == lie.check
            case None:
                assert party.silent()
                for j in party.silent():
                    dropped = (party.round, j, party.index) in weather.drops
                    assert dropped or parties[j].round < party.round or stopped(parties[j])
            case other:
                pytest.fail(f"an unexpected end: {other!r}")
    assert len({key_share.view.to_bytes() for key_share in keys}) <= 1
    if len(keys) >= t:
        secret = reconstruct({key.index: key for key in keys[:t]})
        assert secret * group.generator == keys[0].public_key
    if not weather.drops:
        ends = {party.outcome is None for party in honest}
        assert ends == {False}
        assert bool(keys) == (lie is None)


def stopped(party: KeygenParty) -> bool:
    return isinstance(party.outcome, PartyFaultError)


def test_a_second_version_of_a_message_is_equivocation() -> None:
    parties = {i: KeygenParty(p) for i, p in parameters_of(SECP256K1, 2, 3).items()}
    packets = parties[LIAR].start()
    parties[index(1)].start()
    first = next(packet for packet in packets if packet.recipient == 1)
    parties[index(1)].receive(first)
    assert parties[index(1)].receive(first) == []
    assert parties[index(1)].outcome is None
    parties[index(1)].receive(Packet(1, LIAR, index(1), bytes(32)))
    error = parties[index(1)].outcome
    assert isinstance(error, PartyFaultError)
    assert error.culprits == {LIAR}
