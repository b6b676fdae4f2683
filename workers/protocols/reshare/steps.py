"""The steps of a reshare. README.md has the table of steps, messages and tests.

Dealers share out their weighted old shares; each receiver's sum is its share of the same key.
``m`` is a member's place, ``i`` a dealer's old index, ``j`` a receiver's new one; ``a_k`` and
``A_k`` are coefficients and their commitments, f_i(j) what i deals j, lambda_i the weight of i.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import proofs, tags
from ..encoding import digest, hash_to_scalar, index_to_bytes
from ..groups import IdentityError, Point, Scalar
from ..key_share import KeyShare, KeyView
from ..polynomial import add_commitments, commit, evaluate, evaluate_commitments
from ..proofs import ProofContext
from ..rounds import (
    Blame,
    DisputeError,
    EchoMismatchError,
    Inbox,
    MisuseError,
    Outbox,
    PartyIndex,
    SpoiltSessionError,
    require_senders,
)
from .messages import Commitment, Echo, Opening, Possession, Share
from .parameters import Parameters
from .state import Committed, Dealing, Dealt, Echoed, Finished, Opened

RANDOMNESS_SIZE = 32

###
### Rounds
###


def round1(
    parameters: Parameters, share: KeyShare | None, *, randomness: bytes
) -> tuple[Committed, Outbox[Commitment, None]]:
    """Say what we were told of the session; a dealer also deals, and commits to its opening.

    Arguments:
        share: Of the epoch that is dealt from, if we deal.
        randomness: FRESH, 32 bytes. With the share, all of a dealer's secrets derive from it.

    Raises:
        MisuseError: The share is missing, another's, of another key, or not wanted.
    """
    if len(randomness) != RANDOMNESS_SIZE:
        raise MisuseError(f"randomness is {RANDOMNESS_SIZE} bytes")
    parameters.require_share(share)
    if share is None:
        commitment = Commitment(parameters.binding, b"")
        return Committed(parameters=parameters, dealing=None), Outbox(broadcast=commitment)
    dealing = _deal(parameters, share, randomness)
    commitment = dealing.opening.commitment(parameters, share.index)
    return Committed(parameters=parameters, dealing=dealing), Outbox(broadcast=commitment)


def round2(state: Committed, inbox: Inbox[Commitment]) -> tuple[Opened, Outbox[Opening, None]]:
    """Open, now that every dealer is bound to a choice made without knowing ours.

    Raises:
        EchoMismatchError: Somebody was told of another session, key, committee or epoch.
        PartyFaultError: A dealer committed to nothing, or one who is none did ("commitment").
        MisuseError: The inbox is not one commitment from each other member.
    """
    parameters = state.parameters
    require_senders(inbox, parameters.others)

    # Before any check that blames: who deals is itself a part of what somebody was told.
    view = parameters.binding
    strangers = frozenset(m for m, commitment in inbox.items() if commitment.view != view)
    if strangers:
        raise EchoMismatchError(strangers)

    blame = Blame()
    for m, commitment in inbox.items():
        if bool(commitment.digest) != (m in parameters.dealers):
            blame.add(m, "commitment")
    blame.raise_if_any()

    opened = Opened(
        parameters=parameters,
        dealing=state.dealing,
        commitments={m: inbox[m].digest for m in parameters.other_dealers},
    )
    return opened, Outbox(broadcast=None if state.dealing is None else state.dealing.opening)


def round3(state: Opened, inbox: Inbox[Opening]) -> tuple[Echoed, Outbox[Echo, None]]:
    """Check what the dealers opened, and echo it to all.

    Raises:
        PartyFaultError: An opening does not match its commitment ("opening"), its constant term is
            not the dealer's weighted old share ("constant term"), or a proof fails ("proof").
        SpoiltSessionError: The old public shares do not make the public key.
        MisuseError: The inbox is not one opening from each other dealer.
    """
    parameters, dealing = state.parameters, state.dealing
    dealers = parameters.dealers
    require_senders(inbox, parameters.other_dealers)

    blame = Blame()
    for m, opening in inbox.items():
        if opening.commitment(parameters, dealers[m]).digest != state.commitments[m]:
            blame.add(m, "opening")
        elif opening.vector[0] != constant_term(parameters, dealers[m]):
            blame.add(m, "constant term")
        elif not proofs_hold(parameters, dealers[m], opening):
            blame.add(m, "proof")
    blame.raise_if_any()

    openings = dict(inbox)
    values: dict[PartyIndex, Scalar] = {}
    if dealing is not None:
        openings[parameters.place] = dealing.opening
        values = {m: evaluate(dealing.coefficients, j) for m, j in parameters.receivers.items()}
    # Each constant term is what it has to be: if their sum is not, the old facts are wrong.
    constant_terms = [opening.vector[0] for opening in openings.values()]
    if parameters.group.sum(constant_terms) != parameters.key.public_key:
        raise SpoiltSessionError("the old public shares are not those of the public key")

    seen = transcript_digest(parameters, openings)
    echoed = Echoed(
        parameters=parameters,
        values=values,
        vectors={m: opening.vector for m, opening in openings.items()},
        transcript_digest=seen,
    )
    return echoed, Outbox(broadcast=Echo(seen))


def round4(state: Echoed, inbox: Inbox[Echo]) -> tuple[Dealt, Outbox[None, Share]]:
    """Compare echoes; then a dealer sends the receivers their shares.

    Not before: against another vector than its dealer's an honest share is wrong, and would look
    like a lie.

    Raises:
        EchoMismatchError: Not everybody saw the same broadcasts. Nobody's fault that we can prove.
        MisuseError: The inbox is not one echo from each other member.
    """
    parameters = state.parameters
    require_senders(inbox, parameters.others)

    strangers = frozenset(m for m, echo in inbox.items() if echo.digest != state.transcript_digest)
    if strangers:
        raise EchoMismatchError(strangers)

    values = dict(state.values)
    dealt = Dealt(
        parameters=parameters,
        own_value=values.pop(parameters.place, parameters.group.scalar(0)),
        vectors=state.vectors,
        transcript_digest=state.transcript_digest,
    )
    return dealt, Outbox(direct={m: Share(value) for m, value in values.items()})


def finish(state: Dealt, shares: Inbox[Share | None]) -> Finished:
    """A receiver checks the shares dealt to it and adds them up; all know the new epoch.

    Arguments:
        shares: From each other dealer, if we receive; None for what does not open or parse.

    Raises:
        PartyFaultError: A dealer's polynomial is zero at our index ("root").
        DisputeError: A share is none, or does not lie on its dealer's polynomial ("share").
        SpoiltSessionError: A public share is the identity.
        MisuseError: The inbox is not one share from each other dealer, or what we dealt ourselves
            is not what we dealt.
    """
    parameters = state.parameters
    group, j = parameters.group, parameters.own.receives_as
    require_senders(shares, () if j is None else parameters.other_dealers)

    # Public shares are computed from the vectors, which the echo covers, and never received.
    total = add_commitments(group, list(state.vectors.values()))
    key = KeyView(
        group=group,
        threshold=parameters.threshold,
        public_shares={
            new: evaluate_commitments(group, total, new)
            for new in sorted(parameters.receivers.values())
        },
        public_key=total[0],
    )
    key_share = None if j is None else _received(state, key, j, shares)
    return Finished(
        parameters=parameters,
        key=key,
        key_share=key_share,
        transcript_digest=state.transcript_digest,
    )


def round5(state: Finished, facts: bytes, *, randomness: bytes) -> Outbox[Possession, None]:
    """Prove that we hold our share of what ``facts`` say. Only when it is stored for good.

    Arguments:
        facts: The statement of the new epoch that the certificate beside this message signs.
        randomness: FRESH, 32 bytes.

    Raises:
        MisuseError: We hold none.
    """
    if len(randomness) != RANDOMNESS_SIZE:
        raise MisuseError(f"randomness is {RANDOMNESS_SIZE} bytes")
    share = state.key_share
    if share is None:
        raise MisuseError("a member that does not receive holds nothing to prove")
    public, context = state.key.public_shares[share.index], possession_context(facts, share.index)
    return Outbox(
        broadcast=Possession(proofs.prove(share.secret_share, public, context, randomness))
    )


def check_possessions(state: Finished, facts: bytes, inbox: Inbox[Possession]) -> None:
    """Check what the receivers prove of the facts that we have computed ourselves.

    Raises:
        PartyFaultError: A proof does not hold ("possession").
        MisuseError: The inbox is not one proof from each other receiver.
    """
    parameters = state.parameters
    require_senders(inbox, parameters.other_receivers)
    blame = Blame()
    for m, possession in inbox.items():
        if not possession_holds(state.key, facts, parameters.receivers[m], possession):
            blame.add(m, "possession")
    blame.raise_if_any()


###
### Helpers
###


def constant_term(parameters: Parameters, dealer: PartyIndex) -> Point:
    """A_i0 as it has to be: lambda_i * PK_i, from the facts certified in the old epoch."""
    public_share = parameters.key.public_shares[dealer]
    return public_share.multiply_public(parameters.weight(dealer))


def proofs_hold(parameters: Parameters, dealer: PartyIndex, opening: Opening) -> bool:
    """Whether the dealer knows every coefficient, proven for this session and this dealer."""
    contexts = parameters.proof_contexts(dealer)
    return proofs.verify_each(parameters.group, opening.proofs, opening.vector, contexts)


def transcript_digest(parameters: Parameters, openings: Mapping[PartyIndex, Opening]) -> bytes:
    """One digest over all broadcasts of rounds 1 and 2.

    Views are the binding, and commitments follow from the openings that they were checked against.
    """
    seen = (openings[m].to_bytes() for m in parameters.dealers)
    return digest(tags.RESHARE_TRANSCRIPT, parameters.binding, *seen)


def possession_context(facts: bytes, receiver: PartyIndex) -> ProofContext:
    """The place of a receiver's proof. The facts name key, epoch, session and transcript."""
    return ProofContext(
        protocol=tags.PROTOCOL_RESHARE,
        session=facts,
        party=receiver,
        role=tags.ROLE_SECRET_SHARE,
        index=0,
    )


def possession_holds(
    key: KeyView, facts: bytes, receiver: PartyIndex, possession: Possession
) -> bool:
    """Whether the receiver with that new index knew its share when it certified ``facts``."""
    public, context = key.public_shares[receiver], possession_context(facts, receiver)
    return proofs.verify(key.group, possession.proof, public, context)


def _deal(parameters: Parameters, share: KeyShare, randomness: bytes) -> Dealing:
    """f_i with f_i(0) = lambda_i * s_i, and proofs that we know all of it."""
    group, i, t = parameters.group, share.index, parameters.threshold
    # The share keeps the polynomial secret from whoever guesses the randomness.
    seed = (randomness, share.secret_share.to_bytes(), parameters.binding, index_to_bytes(i))
    coefficients = (
        parameters.weight(i) * share.secret_share,
        *(
            hash_to_scalar(group, tags.RESHARE_COEFFICIENT, *seed, index_to_bytes(k))
            for k in range(1, t)
        ),
    )
    vector = commit(coefficients)
    opening = Opening(
        vector=vector,
        proofs=proofs.prove_each(
            coefficients,
            vector,
            parameters.proof_contexts(i),
            [digest(tags.RESHARE_PROOF_NONCE, *seed, index_to_bytes(k)) for k in range(t)],
        ),
        salt=digest(tags.RESHARE_SALT, *seed),
    )
    return Dealing(coefficients=coefficients, opening=opening)


def _received(state: Dealt, key: KeyView, j: PartyIndex, shares: Inbox[Share | None]) -> KeyShare:
    """Our share of the new epoch: s'_j, the sum of what all dealers dealt us."""
    parameters, group = state.parameters, state.parameters.group

    blame, disputed = Blame(), set[PartyIndex]()
    for m, share in shares.items():
        try:
            expected = evaluate_commitments(group, state.vectors[m], j)
        except IdentityError:
            blame.add(m, "root")  # such a polynomial was chosen, not drawn, and all can see it
            continue
        if share is None or not _opens(share.value, expected):
            disputed.add(m)
    blame.raise_if_any()
    if disputed:
        raise DisputeError(parameters.place, frozenset(disputed), "share")

    received = (share.value for share in shares.values() if share is not None)
    secret_share = sum(received, start=state.own_value)
    # Of what others dealt this follows from the checks; of our own part nobody checked anything.
    if not _opens(secret_share, key.public_shares[j]):
        raise MisuseError("what we dealt ourselves is not what we dealt")
    return KeyShare(
        group=group,
        index=j,
        threshold=key.threshold,
        secret_share=secret_share,
        public_shares=key.public_shares,
        public_key=key.public_key,
        chain_code=parameters.chain_code,
    )


def _opens(value: Scalar, point: Point) -> bool:
    """value * G == point. No point is zero's."""
    return value.value != 0 and value * value.group.generator == point
