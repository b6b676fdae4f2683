"""DKLs23 Protocol 3.6 up to the message: rounds 0 to 2 and ``finish``. README.md has the table.

Letters are the paper's, and stand for one presignature of the batch: r_i the nonce's share, R_i
its image, phi_i the inversion mask, sk_i the key's additive share, chi_ij what party i multiplies
party j's (r_j, sk_j) with, c and d the two sides' shares of such a product.

Checks 5, 6, 7, 9 and 10 fail or pass depending on an honest party's secret bits. Where one fails
the whole batch dies with its base transfers, so what was learned is of no further use.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from .. import tags
from ..encoding import digest, index_to_bytes
from ..groups import SECP256K1, IdentityError, Point, Scalar
from ..key_share import KeyShare
from ..ot import base, extension, multiplication, pprf
from ..ot.arithmetic import Arithmetic, fastest
from ..ot.coins import Coins
from ..ot.curve import hashed, multiply_hashed
from ..ot.extension import MASK_SIZE, NONCE_SIZE, Correlated
from ..ot.faults import FailedCheckError
from ..ot.pads import rows_key
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
from ..zero_shares import CONTRIBUTION_SIZE, pair_seed, zero_share
from .messages import Answer, Commitment, Extension, SetUp
from .parameters import Parameters
from .presignature import Presignature, PresignatureView
from .state import Answered, AnsweredPair, Extended, ExtendedPair, Offered, Receiving

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
    direct = {
        j: SetUp(
            view=parameters.binding,
            contribution=_pair_coins(coins, j).draw(CONTRIBUTION_SIZE, b"zero"),
            sender_points=base.sender_points(_pair_coins(coins, j)),
            receiver_points=base.receiver_points(
                _pair_coins(coins, j), _base_sid(parameters, sender=j, receiver=parameters.index)
            ),
        )
        for j in parameters.others
    }
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
    pairs, direct = {}, {}
    for j, message in inbox.items():
        try:
            pairs[j], direct[j] = _extend(state, old, new, j, message)
        except IdentityError:
            blame.add(j, "base transfer")  # r_v = -H(v, r_(1-v)), computed on purpose
    blame.raise_if_any()

    # Step 5: r_i <- Zq, phi_i <- Zq, R_i := r_i * G. Step 6: commit to R_i.
    points = [r_i * SECP256K1.generator for r_i in _nonces(parameters, new)]
    commitment = Commitment.to_points(parameters, parameters.index, points, _salt(new))
    extended = Extended(parameters=parameters, seed=new.seed, commitment=commitment, pairs=pairs)
    return extended, Outbox(broadcast=commitment, direct=direct)


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
        pair, shape = state.pairs[j], parameters.shape
        try:
            punctured = pprf.puncture(pair.sid, pair.chosen, shape.k, message.correction)
            correlated[j] = extension.send(pair.sid, shape, punctured, message.matrix)
        except FailedCheckError as failed:
            blame.add(j, failed.check)
    blame.raise_if_any()

    coins = Coins(state.seed)
    nonces, masks = _nonces(parameters, coins), _masks(parameters, coins)
    key_parts = _key_parts(state, share)
    echo = _echo(parameters, {**commitments, parameters.index: state.commitment})
    points = tuple(r_i * SECP256K1.generator for r_i in nonces)
    public_shares = tuple(sk_i * SECP256K1.generator for sk_i in key_parts)
    pairs, direct = {}, {}
    for j, message in extensions.items():
        pair, key = state.pairs[j], rows_key(state.pairs[j].sid, message.to_bytes())
        checks = coins.scalars(parameters.count, b"check", key)
        shares, products = [], []
        for chunk in parameters.chunks:
            here = slice(chunk.start, chunk.start + chunk.count)
            c, part = multiplication.answer(
                key,
                chunk,
                correlated[j],
                list(zip(nonces[here], key_parts[here], strict=True)),
                checks[here],
                arithmetic,
            )
            shares += c
            products.append(part)
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
            products=tuple(products),
        )
        pairs[j] = AnsweredPair(commitment=commitments[j], shares=shares, receiving=pair.receiving)
    answered = Answered(
        parameters=parameters,
        echo=echo,
        nonces=nonces,
        masks=masks,
        key_parts=key_parts,
        pairs=pairs,
    )
    return answered, Outbox(direct=direct)


def finish(
    state: Answered, inbox: Inbox[Answer], *, arithmetic: Arithmetic | None = None
) -> tuple[Presignature, ...]:
    """Steps 8 and 9: check everything that was answered, and add it up.

    All or none: one failed check anywhere, and there is no presignature of this batch.

    Raises:
        EchoMismatchError: Not everybody saw the same commitments. Nobody's fault we can prove.
        PartyFaultError: An opening that was not committed to; or, with ``ban``, a product or a
            public share that does not fit.
        SpoiltSessionError: The public shares do not add up to the key, or R is the identity.
        MisuseError: The inbox is not one answer from each other signer.
    """
    parameters, arithmetic = state.parameters, arithmetic or fastest()
    require_senders(inbox, parameters.others)

    # Check 12, round 1, before 7 is evaluated.
    _require_echo({j: answer.echo for j, answer in inbox.items()}, dict.fromkeys(inbox, state.echo))

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
            products[j] = _receive(parameters, receiving, answer, arithmetic)
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
        try:
            super().raise_if_any()
        except PartyFaultError as fault:
            raise PartyFaultError(fault.culprits, fault.check, ban=True) from None


def _require_echo(theirs: Mapping[PartyIndex, bytes], ours: Mapping[PartyIndex, bytes]) -> None:
    strangers = frozenset(j for j, echo in theirs.items() if echo != ours[j])
    if strangers:
        raise EchoMismatchError(strangers)


def _echo(parameters: Parameters, commitments: Mapping[PartyIndex, Commitment]) -> bytes:
    """One digest over all round-1 broadcasts, by ascending index."""
    seen = (index_to_bytes(j) + commitments[j].to_bytes() for j in sorted(commitments))
    return digest(tags.PRESIGN_ECHO, parameters.binding, *seen)


def _pair_coins(coins: Coins, j: PartyIndex) -> Coins:
    return coins.child(b"pair", index_to_bytes(j))


def _nonces(parameters: Parameters, coins: Coins) -> list[Scalar]:
    return coins.scalars(parameters.count, b"r")


def _masks(parameters: Parameters, coins: Coins) -> list[Scalar]:
    return coins.scalars(parameters.count, b"phi")


def _salt(coins: Coins) -> bytes:
    return coins.draw(32, b"salt")


def _base_sid(parameters: Parameters, *, sender: PartyIndex, receiver: PartyIndex) -> bytes:
    """Of the base transfers, before anything was said."""
    where = index_to_bytes(sender), index_to_bytes(receiver)
    return digest(tags.PRESIGN_DIRECTION, parameters.binding, b"base", *where)


def _sid(parameters: Parameters, pair: bytes, *, sender: PartyIndex, receiver: PartyIndex) -> bytes:
    """Of one multiplication: session, direction, and what both said in round 0."""
    where = index_to_bytes(sender), index_to_bytes(receiver)
    return digest(tags.PRESIGN_DIRECTION, parameters.binding, pair, *where)


def _extend(
    state: Offered, old: Coins, new: Coins, j: PartyIndex, message: SetUp
) -> tuple[ExtendedPair, Extension]:
    """End the base transfers with j, and open the multiplication in which j sends.

    Whoever receives in a multiplication sends in the base transfers beneath it.
    """
    parameters, i, shape = state.parameters, state.parameters.index, state.parameters.shape
    ours = _pair_coins(old, j)
    said = {i: state.sent[j], j: message.digest()}
    pair = digest(tags.PRESIGN_PAIR, parameters.binding, *(said[k] for k in sorted(said)))

    keys = base.sender_keys(
        ours, _base_sid(parameters, sender=i, receiver=j), message.receiver_points
    )
    sid = _sid(parameters, pair, sender=j, receiver=i)
    correction, trees = pprf.grow(sid, keys, shape.k)
    fresh = _pair_coins(new, j)
    choice = fresh.draw(shape.column_size, b"choice")
    matrix, rows = extension.receive(
        sid, shape, trees, nonce=fresh.draw(NONCE_SIZE, b"nonce"), choice=choice
    )
    sent = Extension(pair, correction, matrix)
    contributions = {i: ours.draw(CONTRIBUTION_SIZE, b"zero"), j: message.contribution}
    extended = ExtendedPair(
        echo=pair,
        sid=_sid(parameters, pair, sender=i, receiver=j),
        chosen=base.receiver_keys(
            ours, _base_sid(parameters, sender=j, receiver=i), message.sender_points
        ),
        zero_seed=pair_seed(pair, contributions),
        receiving=Receiving(
            key=rows_key(sid, sent.to_bytes()), choice=choice[:-MASK_SIZE], rows=rows
        ),
    )
    return extended, sent


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


def _receive(
    parameters: Parameters, receiving: Receiving, answer: Answer, arithmetic: Arithmetic
) -> multiplication.Shares:
    """Our shares d of the products with one signer, checked to be of R_j and pk_j.

    Raises:
        FailedCheckError: Check 7, 9 or 10.
    """
    # Check 7 (step 8, within F_RVOLE): the multiplier's own.
    shares = []
    for chunk, part in zip(parameters.chunks, answer.products, strict=True):
        shares += multiplication.finish(
            receiving.key, chunk, receiving.rows, receiving.choice, part, arithmetic
        )
    chis = multiplication.multiplicands(receiving.choice, arithmetic)
    rows = zip(chis, shares, answer.points, answer.public_shares, answer.gammas, strict=True)
    for chi, (d_u, d_v), r_j, pk_j, (gamma_u, gamma_v) in rows:
        # Check 9 (step 8): chi_ij * R_j == d^u_ij * G + Gamma^u_ji
        if not _fits(chi, r_j, d_u, gamma_u):
            raise FailedCheckError("chi * R")
        # Check 10 (step 8): chi_ij * pk_j == d^v_ij * G + Gamma^v_ji
        if not _fits(chi, pk_j, d_v, gamma_v):
            raise FailedCheckError("chi * pk")
    return shares


def _fits(chi: Scalar, point: Point, d: Scalar, gamma: Point) -> bool:
    """chi * point == d * G + gamma, of which chi and d are secret."""
    try:
        expected = hashed(d * SECP256K1.generator + gamma)
        return hmac.compare_digest(multiply_hashed(point, chi), expected)
    except IdentityError:
        return False  # chi or d is zero (2^-256), or gamma was guessed to cancel


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
