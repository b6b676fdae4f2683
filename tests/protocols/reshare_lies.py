"""What members of a reshare can lie about, and the check that must name each lie."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from workers.protocols import proofs, reshare
from workers.protocols.groups import Scalar
from workers.protocols.polynomial import commit
from workers.protocols.reshare.steps import possession_context

from .reshare_parties import Claim, Lie, Slot, Tamper
from .simulate import Packet, coins, index

Change = Callable[[reshare.Parameters, bytes], bytes]

###
### Of what is dealt
###


def redealt(state: reshare.Committed, coefficients: Sequence[Scalar]) -> reshare.Committed:
    """Another polynomial, with flawless proofs of it."""
    parameters, dealing = state.parameters, state.dealing
    assert dealing is not None
    assert parameters.own.deals_as is not None
    vector = commit(coefficients)
    opening = replace(
        dealing.opening,
        vector=vector,
        proofs=proofs.prove_each(
            coefficients,
            vector,
            parameters.proof_contexts(parameters.own.deals_as),
            [coins("proof", k) for k in range(len(coefficients))],
        ),
    )
    return replace(
        state, dealing=reshare.Dealing(coefficients=tuple(coefficients), opening=opening)
    )


def shifted(by: int) -> Claim:
    """Deal another secret than the weighted share."""

    def claim(state: reshare.Committed) -> reshare.Committed:
        assert state.dealing is not None
        a_0, *rest = state.dealing.coefficients
        return redealt(state, (a_0 + state.parameters.group.scalar(by), *rest))

    return claim


def unweighted(state: reshare.Committed) -> reshare.Committed:
    """Deal the old share itself, without its weight."""
    parameters = state.parameters
    assert state.dealing is not None
    assert parameters.own.deals_as is not None
    a_0, *rest = state.dealing.coefficients
    return redealt(state, (a_0 / parameters.weight(parameters.own.deals_as), *rest))


def rooted_at(j: int) -> Claim:
    """A polynomial that is zero at a receiver's index: its part of our share is public."""

    def claim(state: reshare.Committed) -> reshare.Committed:
        group = state.parameters.group
        assert state.dealing is not None
        a_0, *middle, _ = state.dealing.coefficients
        x = group.scalar(j)
        value, power = a_0, x
        for a_k in middle:
            value, power = value + a_k * power, power * x
        return redealt(state, (a_0, *middle, -value / power))

    return claim


def changed_vector(k: int) -> Claim:
    """A point that the liar does not know the logarithm of, committed to with the old proof."""

    def claim(state: reshare.Committed) -> reshare.Committed:
        assert state.dealing is not None
        group, opening = state.parameters.group, state.dealing.opening
        vector = list(opening.vector)
        vector[k] += group.scalar(7) * group.generator
        return replace(
            state, dealing=replace(state.dealing, opening=replace(opening, vector=tuple(vector)))
        )

    return claim


def changed_proofs(
    change: Callable[[tuple[proofs.Proof, ...]], tuple[proofs.Proof, ...]],
) -> Claim:
    """The right vector with other proofs, committed to."""

    def claim(state: reshare.Committed) -> reshare.Committed:
        assert state.dealing is not None
        opening = state.dealing.opening
        other = replace(opening, proofs=change(opening.proofs))
        return replace(state, dealing=replace(state.dealing, opening=other))

    return claim


def other_session(state: reshare.Committed) -> reshare.Committed:
    """The same polynomial, with the proofs of another session."""
    assert state.dealing is not None
    other = replace(state.parameters, session_id=coins("another session"))
    moved = redealt(replace(state, parameters=other), state.dealing.coefficients)
    return replace(moved, parameters=state.parameters)


###
### Of what is sent
###


def at(slot: Slot, change: Change, *, to: int | None = None) -> Tamper:
    """Lie in one slot, to everybody or to one member."""

    def tamper(parameters: reshare.Parameters, packet: Packet) -> bytes:
        if packet.round != slot or to not in (None, packet.recipient):
            return packet.data
        return change(parameters, packet.data)

    return tamper


def flip(place: int) -> Change:
    def flipped(_: reshare.Parameters, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return flipped


def cut(_: reshare.Parameters, data: bytes) -> bytes:
    return data[:-1]


def extended(_: reshare.Parameters, data: bytes) -> bytes:
    return data + b"\x00"


def uncommitted(_: reshare.Parameters, data: bytes) -> bytes:
    return data[:32]


def committed(_: reshare.Parameters, data: bytes) -> bytes:
    return data + bytes(32)


def off_the_curve(parameters: reshare.Parameters, data: bytes) -> bytes:
    return b"\xff" * parameters.group.point_size + data[parameters.group.point_size :]


def not_reduced(parameters: reshare.Parameters, data: bytes) -> bytes:
    return b"\xff" * parameters.group.scalar_size


def one_more(parameters: reshare.Parameters, data: bytes) -> bytes:
    share = reshare.Share.from_bytes(parameters, data)
    return replace(share, value=share.value + parameters.group.scalar(1)).to_bytes()


def nothing(parameters: reshare.Parameters, data: bytes) -> bytes:
    return bytes(parameters.group.scalar_size)


def another_share(parameters: reshare.Parameters, data: bytes) -> bytes:
    """A proof of knowledge of a scalar that is not the share."""
    group = parameters.group
    secret = group.scalar(5)
    context = possession_context(b"other facts", index(1))
    return proofs.prove(secret, secret * group.generator, context, bytes(32)).to_bytes()


###
### All of them
###

OF_DEALERS = [
    Lie("commits to nothing", "commitment", tamper=at(Slot.COMMITMENT, uncommitted)),
    Lie("commits to something else", "opening", tamper=at(Slot.COMMITMENT, flip(-1))),
    Lie("opens with another salt", "opening", tamper=at(Slot.OPENING, flip(-1))),
    Lie("deals another secret", "constant term", claim=shifted(99)),
    Lie("deals its share unweighted", "constant term", claim=unweighted),
    Lie("knows not its constant term", "constant term", claim=changed_vector(0)),
    Lie("knows not its last coefficient", "proof", claim=changed_vector(-1)),
    Lie(
        "proves nothing for its constant term",
        "proof",
        claim=changed_proofs(lambda ours: (ours[1], *ours[1:])),
    ),
    Lie("swaps its proofs", "proof", claim=changed_proofs(lambda ours: ours[::-1])),
    Lie("brings proofs of another session", "proof", claim=other_session),
    Lie("sends a short opening", "malformed", tamper=at(Slot.OPENING, cut)),
    Lie("sends a long opening", "malformed", tamper=at(Slot.OPENING, extended)),
    Lie("sends a point off the curve", "malformed", tamper=at(Slot.OPENING, off_the_curve)),
]
"""Proven to everybody by the liar's own broadcasts."""

OF_SHARES = [
    Lie("sends a share off its polynomial", "share", tamper=at(Slot.SHARE, one_more)),
    Lie("sends zero", "share", tamper=at(Slot.SHARE, nothing)),
    Lie("sends a share that is not reduced", "share", tamper=at(Slot.SHARE, not_reduced)),
    Lie("sends what does not open", "share", tamper=at(Slot.SHARE, extended)),
]
"""Seen by a receiver alone."""

OF_RECEIVERS = [
    Lie("proves another share", "possession", tamper=at(Slot.POSSESSION, another_share)),
    Lie("sends a short proof", "malformed", tamper=at(Slot.POSSESSION, cut)),
]
OF_THE_REST = [
    Lie("commits, and deals nothing", "commitment", tamper=at(Slot.COMMITMENT, committed)),
]
"""Of members that do not deal."""
OF_ALL = [
    Lie("sends a short commitment", "malformed", tamper=at(Slot.COMMITMENT, cut)),
    Lie("sends a short echo", "malformed", tamper=at(Slot.ECHO, cut)),
]
OF_ECHOES = [
    Lie("was told of something else", "", tamper=at(Slot.COMMITMENT, flip(0))),
    Lie("saw something else", "", tamper=at(Slot.ECHO, flip(0))),
]
"""Perhaps only the relay's: these name nobody."""


def pick(chooser: random.Random, parameters: reshare.Parameters) -> Lie:
    """A lie that this member can tell."""
    own = parameters.own
    lies = [*OF_ALL, *OF_ECHOES]
    lies += [*OF_DEALERS, *OF_SHARES] if own.deals_as else OF_THE_REST
    if own.receives_as:
        lies += OF_RECEIVERS
    return chooser.choice(lies)
