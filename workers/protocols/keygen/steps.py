"""The steps of a key generation. README.md has the table of steps, messages and tests.

Every party deals a random polynomial of degree t - 1; the key is the sum of the constant terms.
Names are the usual ones: ``a_k`` coefficients, ``A_k`` their commitments, f_i(j) what i deals j.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import proofs, tags
from ..encoding import digest, hash_to_scalar, index_to_bytes
from ..groups import IdentityError
from ..key_share import KeyShare
from ..polynomial import add_commitments, commit, evaluate, evaluate_commitments
from ..rounds import (
    Blame,
    EchoMismatchError,
    Inbox,
    MisuseError,
    Outbox,
    PartyIndex,
    require_senders,
)
from .messages import Commitment, Opening, Share
from .parameters import Parameters
from .state import Committed, Dealt, Finished, Opened

RANDOMNESS_SIZE = 32

###
### Rounds
###


def round1(
    parameters: Parameters, *, randomness: bytes
) -> tuple[Committed, Outbox[Commitment, None]]:
    """Deal a polynomial and commit to everything that round 2 will say about it.

    Arguments:
        randomness: FRESH, 32 bytes. All of this party's secrets in the session derive from it.
    """
    if len(randomness) != RANDOMNESS_SIZE:
        raise MisuseError(f"randomness is {RANDOMNESS_SIZE} bytes")
    group, i = parameters.group, parameters.index
    seed = (randomness, parameters.binding, index_to_bytes(i))

    coefficients = tuple(
        hash_to_scalar(group, tags.KEYGEN_COEFFICIENT, *seed, index_to_bytes(k))
        for k in range(parameters.threshold)
    )
    vector = commit(coefficients)
    opening = Opening(
        vector=vector,
        proofs=proofs.prove_each(
            coefficients,
            vector,
            parameters.proof_contexts(i),
            [
                digest(tags.KEYGEN_PROOF_NONCE, *seed, index_to_bytes(k))
                for k in range(parameters.threshold)
            ],
        ),
        chain_share=digest(tags.KEYGEN_CHAIN_SHARE, *seed),
        salt=digest(tags.KEYGEN_SALT, *seed),
    )
    state = Committed(parameters=parameters, coefficients=coefficients, opening=opening)
    return state, Outbox(broadcast=opening.commitment(parameters, i))


def round2(state: Committed, inbox: Inbox[Commitment]) -> tuple[Opened, Outbox[Opening, None]]:
    """Open, now that everybody is bound to a choice made without knowing ours.

    Raises:
        EchoMismatchError: Somebody's session has another id, group, size or context.
        MisuseError: The inbox is not one commitment from each other party.
    """
    require_senders(inbox, state.parameters.others)

    # Before any check that blames: all later hashes cover the session, so that of two honest
    # parties that were told different ones each would find the other's opening wrong.
    view = state.parameters.view
    strangers = frozenset(j for j, commitment in inbox.items() if commitment.view != view)
    if strangers:
        raise EchoMismatchError(strangers)
    opened = Opened(
        parameters=state.parameters,
        coefficients=state.coefficients,
        opening=state.opening,
        commitments=dict(inbox),
    )
    return opened, Outbox(broadcast=state.opening)


def round3(state: Opened, inbox: Inbox[Opening]) -> tuple[Dealt, Outbox[None, Share]]:
    """Check what the others opened; send each its share, with what we saw.

    Raises:
        PartyFaultError: An opening does not match its commitment ("opening"), or a proof does not
            verify ("proof").
        MisuseError: The inbox is not one opening from each other party.
    """
    parameters = state.parameters
    require_senders(inbox, parameters.others)

    blame = Blame()
    for j, opening in inbox.items():
        if opening.commitment(parameters, j) != state.commitments[j]:
            blame.add(j, "opening")
        elif not proofs_hold(parameters, j, opening):
            blame.add(j, "proof")
    blame.raise_if_any()

    openings = {**inbox, parameters.index: state.opening}
    echo = transcript_digest(parameters, openings)
    dealt = Dealt(
        parameters=parameters,
        own_value=evaluate(state.coefficients, parameters.index),
        vectors={j: opening.vector for j, opening in openings.items()},
        chain_code=chain_code(parameters, openings),
        transcript_digest=echo,
    )
    shares = {j: Share(evaluate(state.coefficients, j), echo) for j in parameters.others}
    return dealt, Outbox(direct=shares)


def finish(state: Dealt, inbox: Inbox[Share]) -> Finished:
    """Check the shares dealt to us and add them up.

    Raises:
        EchoMismatchError: Not everybody saw the same broadcasts. Nobody's fault that we can prove.
        PartyFaultError: A share does not lie on its dealer's polynomial ("share").
        SpoiltSessionError: The key or a public share is the identity.
        MisuseError: The inbox is not one share from each other party.
    """
    parameters = state.parameters
    group, i = parameters.group, parameters.index
    require_senders(inbox, parameters.others)

    # Before the shares: against another vector than its own, an honest dealer's share is wrong too.
    strangers = {j for j, share in inbox.items() if share.echo != state.transcript_digest}
    if strangers:
        raise EchoMismatchError(frozenset(strangers))

    blame = Blame()
    for j, share in inbox.items():
        try:
            # f_j(i) * G == sum over k of i^k * A_jk
            dealt = share.value * group.generator
            fits = dealt == evaluate_commitments(group, state.vectors[j], i)
        except IdentityError:
            fits = False  # a polynomial with a root at a party's index was chosen, not drawn
        if not fits:
            blame.add(j, "share")
    blame.raise_if_any()

    # Public shares are computed from the vectors, which the echo covers, and never received.
    total = add_commitments(group, list(state.vectors.values()))
    key_share = KeyShare(
        group=group,
        index=i,
        threshold=parameters.threshold,
        secret_share=sum((share.value for share in inbox.values()), start=state.own_value),
        public_shares={j: evaluate_commitments(group, total, j) for j in parameters.parties},
        public_key=total[0],
        chain_code=state.chain_code,
    )
    return Finished(key_share=key_share, transcript_digest=state.transcript_digest)


###
### Helpers
###


def proofs_hold(parameters: Parameters, dealer: PartyIndex, opening: Opening) -> bool:
    """Whether the dealer knows every coefficient, proven for this session and this dealer."""
    contexts = parameters.proof_contexts(dealer)
    return proofs.verify_each(parameters.group, opening.proofs, opening.vector, contexts)


def transcript_digest(parameters: Parameters, openings: Mapping[PartyIndex, Opening]) -> bytes:
    """One digest over all broadcasts of rounds 1 and 2, by ascending index."""
    seen = []
    for j in sorted(openings):
        opening = openings[j]
        commitment = opening.commitment(parameters, j)
        seen += [index_to_bytes(j), commitment.digest, opening.to_bytes()]
    return digest(tags.KEYGEN_TRANSCRIPT, parameters.binding, *seen)


def chain_code(parameters: Parameters, openings: Mapping[PartyIndex, Opening]) -> bytes:
    """32 bytes that no party chose, because all shares were committed before any was opened."""
    shares = [openings[j].chain_share for j in sorted(openings)]
    return digest(tags.KEYGEN_CHAIN_CODE, parameters.binding, *shares)
