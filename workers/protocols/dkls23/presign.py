"""DKLs23 Protocol 3.6 up to the message: rounds 0 to 2 and ``finish``. README.md has the table.

Letters are the paper's, and stand for one presignature of the batch: r_i the nonce's share, R_i
its image, phi_i the inversion mask, sk_i the key's additive share, chi_ij what party i multiplies
party j's (r_j, sk_j) with, c and d the two sides' shares of such a product.

Checks 5, 6, 7, 9 and 10 fail or pass depending on an honest party's secret bits. Where one fails
the whole batch dies with its base transfers, so what was learned is of no further use.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import tags
from ..encoding import digest, index_to_bytes
from ..groups import SECP256K1, IdentityError, Scalar
from ..key_share import KeyShare
from ..ot import multiplication
from ..ot.arithmetic import Arithmetic, fastest
from ..ot.coins import Coins
from ..ot.extension import Correlated
from ..ot.faults import FailedCheckError
from ..polynomial import interpolating_value
from ..rounds import (
    Blame,
    EchoMismatchError,
    Inbox,
    Outbox,
    PartyFaultError,
    PartyIndex,
    SpoiltSessionError,
    require_senders,
)
from ..zero_shares import zero_share
from . import pairs
from .messages import Answer, Commitment, Extension, SetUp
from .parameters import Parameters
from .presignature import Presignature, PresignatureView
from .state import Answered, AnsweredPair, Extended, Offered

###
### Rounds
###


def round0(
    parameters: Parameters, share: KeyShare, *, randomness: bytes
) -> tuple[Offered, Outbox[None, SetUp]]:
    """Offer fresh base transfers in both directions, and half a seed for shares of zero.

    Arguments:
        randomness: FRESH, 32 bytes. All that this round draws derives from it and the share.

    Raises:
        MisuseError: A share that is not ours or not of this key, not exactly threshold signers
            (step 4), or randomness of a wrong size.
    """
    parameters.require_share(share)
    coins = Coins.hedged(randomness, share.secret_share, parameters.binding, b"round 0")
    direct = {j: pairs.offer(parameters, coins, j) for j in parameters.others}
    sent = {j: message.digest() for j, message in direct.items()}
    return Offered(parameters=parameters, seed=coins.seed, sent=sent), Outbox(direct=direct)


def round1(
    state: Offered, share: KeyShare, inbox: Inbox[SetUp], *, randomness: bytes
) -> tuple[Extended, Outbox[Commitment, Extension]]:
    """Steps 5 and 6: draw r_i and phi_i, commit to R_i, open one multiplication with each signer.

    Arguments:
        randomness: FRESH, 32 bytes.

    Raises:
        EchoMismatchError: Somebody's session has another id, signer set, key, count or context.
        PartyFaultError: Points that only a cheat can have chosen ("base transfer").
        MisuseError: The inbox is not one set-up from each other signer, or as ``round0``.
    """
    parameters = state.parameters
    parameters.require_share(share)
    require_senders(inbox, parameters.others)

    # Check 12, the session: id, signers, count, key, context.
    _require_echo(
        {j: message.view for j, message in inbox.items()},
        dict.fromkeys(inbox, parameters.binding),
    )

    old, blame = Coins(state.seed), Blame()
    new = Coins.hedged(randomness, share.secret_share, parameters.binding, b"round 1")
    extended, direct = {}, {}
    for j, message in inbox.items():
        try:
            extended[j], direct[j] = pairs.extend(state, old, new, j, message)
        except IdentityError:
            blame.add(j, "base transfer")  # r_v = -H(v, r_(1-v)), computed on purpose
    blame.raise_if_any()

    # Step 5: r_i <- Zq, phi_i <- Zq, R_i := r_i * G. Step 6: commit to R_i.
    points = [r_i * SECP256K1.generator for r_i in _nonces(parameters, new)]
    commitment = Commitment.to_points(parameters, parameters.index, points, _salt(new))
    after = Extended(parameters=parameters, seed=new.seed, commitment=commitment, pairs=extended)
    return after, Outbox(broadcast=commitment, direct=direct)


def round2(
    state: Extended,
    share: KeyShare,
    commitments: Inbox[Commitment],
    extensions: Inbox[Extension],
    *,
    arithmetic: Arithmetic | None = None,
) -> tuple[Answered, Outbox[None, Answer]]:
    """Step 7: answer everybody's multiplication with (r_i, sk_i), and open R_i.

    Draws nothing fresh. Two answers to one message with different check columns a^ would give
    linear equations on (r_i, sk_i); so a^ derives from round 1's coins and the message, and the
    same message gets the same answer, however often it is asked for.

    Arguments:
        arithmetic: None: the fastest there is. The answer is the same.

    Raises:
        EchoMismatchError: Some pair's round 0 is not the same at both ends.
        PartyFaultError: A signer's trees or matrix are inconsistent, with ``ban``.
        MisuseError: An inbox is not one message from each other signer, or as ``round0``.
    """
    parameters, arithmetic = state.parameters, arithmetic or fastest()
    parameters.require_share(share)
    require_senders(commitments, parameters.others)
    require_senders(extensions, parameters.others)

    # Check 12, round 0. Before 5 and 6, whose hashes all cover it: honest parties that were told
    # different stories would otherwise accuse each other.
    _require_echo(
        {j: message.echo for j, message in extensions.items()},
        {j: pair.echo for j, pair in state.pairs.items()},
    )

    # Checks 5 and 6 for everybody, before any secret of ours is used.
    blame = SecretBlame()
    correlated: dict[PartyIndex, Correlated] = {}
    for j, message in extensions.items():
        try:
            correlated[j] = pairs.correlate(parameters, state.pairs[j], message)
        except FailedCheckError as failed:
            blame.add(j, failed.check)
    blame.raise_if_any()

    coins = Coins(state.seed)
    nonces, masks = _nonces(parameters, coins), _masks(parameters, coins)
    key_parts = _key_parts(state, share)
    seen = {**commitments, parameters.index: state.commitment}
    points = tuple(r_i * SECP256K1.generator for r_i in nonces)
    public_shares = tuple(sk_i * SECP256K1.generator for sk_i in key_parts)
    inputs = list(zip(nonces, key_parts, strict=True))
    answered, direct = {}, {}
    for j, message in extensions.items():
        pair = state.pairs[j]
        key = pairs.message_key(pair.sid, message)
        checks = coins.scalars(parameters.count, b"check", key)
        echo = _echo(parameters, seen, {parameters.index: pair.receiving.key, j: key})
        shares, products = pairs.multiply(
            parameters, key, correlated[j], inputs, checks, arithmetic
        )
        chi = multiplication.multiplicands(pair.receiving.choice, arithmetic)
        direct[j] = Answer(
            echo=echo,
            salt=_salt(coins),
            points=points,
            public_shares=public_shares,
            # Gamma^u := c^u * G, Gamma^v := c^v * G, psi := phi_i - chi_ij
            gammas=tuple(
                (c_u * SECP256K1.generator, c_v * SECP256K1.generator) for c_u, c_v in shares
            ),
            psis=tuple(phi_i - chi_ij for phi_i, chi_ij in zip(masks, chi, strict=True)),
            products=products,
        )
        answered[j] = AnsweredPair(
            echo=echo, commitment=commitments[j], shares=shares, receiving=pair.receiving
        )
    after = Answered(
        parameters=parameters,
        nonces=nonces,
        masks=masks,
        key_parts=key_parts,
        pairs=answered,
    )
    return after, Outbox(direct=direct)


def finish(
    state: Answered, inbox: Inbox[Answer], *, arithmetic: Arithmetic | None = None
) -> tuple[Presignature, ...]:
    """Steps 8 and 9: check everything that was answered, and add it up.

    All or none: one failed check anywhere, and there is no presignature of this batch.

    Raises:
        EchoMismatchError: Not everybody saw the same commitments, or some pair's round 1 is not
            the same at both ends. Nobody's fault we can prove.
        PartyFaultError: An opening that was not committed to; or, with ``ban``, a product or a
            public share that does not fit.
        SpoiltSessionError: The public shares do not add up to the key, or R is the identity.
        MisuseError: The inbox is not one answer from each other signer.
    """
    parameters, arithmetic = state.parameters, arithmetic or fastest()
    require_senders(inbox, parameters.others)

    # Check 12, round 1, before 7 is evaluated.
    _require_echo(
        {j: answer.echo for j, answer in inbox.items()},
        {j: pair.echo for j, pair in state.pairs.items()},
    )

    # Check 8: R_j is what j committed to before it could know ours.
    blame = Blame()
    for j, answer in inbox.items():
        opened = Commitment.to_points(parameters, j, answer.points, answer.salt)
        if opened != state.pairs[j].commitment:
            blame.add(j, "opening")
    blame.raise_if_any()

    secret_blame = SecretBlame()
    products: dict[PartyIndex, multiplication.Shares] = {}
    for j, answer in inbox.items():
        receiving = state.pairs[j].receiving
        try:
            products[j] = pairs.receive(parameters, receiving, answer, arithmetic)
        except FailedCheckError as failed:
            secret_blame.add(j, failed.check)
    secret_blame.raise_if_any()
    return tuple(_assemble(state, inbox, products, b) for b in range(parameters.count))


###
### Helpers
###


class SecretBlame(Blame):
    """For checks whose outcome depends on our secrets: whoever fails one is banned."""

    def raise_if_any(self) -> None:
        """Raises PartyFaultError with ``ban`` set."""
        try:
            super().raise_if_any()
        except PartyFaultError as fault:
            raise PartyFaultError(fault.culprits, fault.check, ban=True) from None


def _require_echo(theirs: Mapping[PartyIndex, bytes], ours: Mapping[PartyIndex, bytes]) -> None:
    strangers = frozenset(j for j, echo in theirs.items() if echo != ours[j])
    if strangers:
        raise EchoMismatchError(strangers)


def _echo(
    parameters: Parameters,
    commitments: Mapping[PartyIndex, Commitment],
    keys: Mapping[PartyIndex, bytes],
) -> bytes:
    """One digest over all round-1 broadcasts and a pair's direct messages, by ascending index.

    Arguments:
        keys: ``rows_key`` of each one's direct message, which is a digest of it.
    """
    seen = [index_to_bytes(j) + commitments[j].to_bytes() for j in sorted(commitments)]
    said = [index_to_bytes(j) + keys[j] for j in sorted(keys)]
    return digest(tags.PRESIGN_ECHO, parameters.binding, *seen, *said)


def _nonces(parameters: Parameters, coins: Coins) -> list[Scalar]:
    return coins.scalars(parameters.count, b"r")


def _masks(parameters: Parameters, coins: Coins) -> list[Scalar]:
    return coins.scalars(parameters.count, b"phi")


def _salt(coins: Coins) -> bytes:
    return coins.draw(32, b"salt")


def _key_parts(state: Extended, share: KeyShare) -> list[Scalar]:
    """Step 7: sk_i := lambda_i * s_i + zeta_i. Additive shares of the key, fresh each time."""
    parameters = state.parameters
    lambda_i = interpolating_value(SECP256K1, parameters.signers, parameters.index)
    additive = lambda_i * share.secret_share
    seeds = {j: pair.zero_seed for j, pair in state.pairs.items()}
    return [
        additive + zero_share(parameters.binding, parameters.index, seeds, b)
        for b in range(parameters.count)
    ]


def _assemble(
    state: Answered,
    inbox: Inbox[Answer],
    products: Mapping[PartyIndex, multiplication.Shares],
    b: int,
) -> Presignature:
    """Presignature b of the batch."""
    parameters, g = state.parameters, SECP256K1.generator
    r_i, phi_i, sk_i = state.nonces[b], state.masks[b], state.key_parts[b]

    # Check 11 (step 8): the sum of pk_j == pk. Each pk_j was multiplied honestly (check 10), but
    # whose it is that does not belong to the key cannot be told.
    shown = (answer.public_shares[b] for answer in inbox.values())
    if SECP256K1.sum([sk_i * g, *shown]) != parameters.public_key:
        raise SpoiltSessionError("the signers' public shares do not add up to the key")

    # Step 9: u_i := r_i * (phi_i + sum psi_ji) + sum (c^u + d^u), and v_i likewise with sk_i.
    phi = sum((answer.psis[b] for answer in inbox.values()), start=phi_i)
    u_i, v_i = r_i * phi, sk_i * phi
    for j in inbox:
        (c_u, c_v), (d_u, d_v) = state.pairs[j].shares[b], products[j][b]
        u_i, v_i = u_i + c_u + d_u, v_i + c_v + d_v
    view = PresignatureView(
        session_id=parameters.session_id,
        position=b,
        signers=parameters.signers,
        public_key=parameters.public_key,
        r=SECP256K1.sum([r_i * g, *(answer.points[b] for answer in inbox.values())]),
    )
    return Presignature(view=view, index=parameters.index, phi=phi_i, u=u_i, v=v_i)
