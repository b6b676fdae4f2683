"""What a signer does with one other signer: two multiplications, in opposite directions.

Whoever receives in a multiplication sends in the base transfers beneath it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from .. import tags
from ..encoding import digest, index_to_bytes
from ..groups import SECP256K1, IdentityError, Point, Scalar
from ..ot import base, extension, multiplication, pprf
from ..ot.arithmetic import Arithmetic
from ..ot.coins import Coins
from ..ot.curve import hashed, multiply_hashed
from ..ot.extension import MASK_SIZE, NONCE_SIZE, Correlated
from ..ot.faults import FailedCheckError
from ..ot.pads import rows_key
from ..rounds import PartyIndex
from ..zero_shares import CONTRIBUTION_SIZE, pair_seed
from .messages import Answer, Extension, SetUp
from .parameters import Parameters
from .state import ExtendedPair, Offered, Receiving


def offer(parameters: Parameters, coins: Coins, j: PartyIndex) -> SetUp:
    """Base transfers with j in both directions, and a contribution to the pair's seed."""
    ours, i = _pair_coins(coins, j), parameters.index
    return SetUp(
        view=parameters.binding,
        contribution=ours.draw(CONTRIBUTION_SIZE, b"zero"),
        sender_point=base.sender_point(ours),
        receiver_points=base.receiver_points(ours, base_sid(parameters, sender=j, receiver=i)),
    )


def extend(
    state: Offered, old: Coins, new: Coins, j: PartyIndex, message: SetUp
) -> tuple[ExtendedPair, Extension]:
    """End the base transfers with j, and open the multiplication in which j sends.

    Raises:
        IdentityError: j computed a point to cancel its mask.
    """
    parameters, i, shape = state.parameters, state.parameters.index, state.parameters.shape
    ours = _pair_coins(old, j)
    said = {i: state.sent[j], j: message.digest()}
    pair = digest(tags.PRESIGN_PAIR, parameters.binding, *(said[k] for k in sorted(said)))

    keys = base.sender_keys(
        ours, base_sid(parameters, sender=i, receiver=j), message.receiver_points
    )
    sid = _sid(parameters, pair, sender=j, receiver=i)
    correction, trees = pprf.grow(sid, keys, shape.k)
    fresh = _pair_coins(new, j)
    choice = fresh.draw(shape.column_size, b"choice")
    matrix, rows = extension.receive(
        sid,
        shape,
        trees,
        correction=correction,
        nonce=fresh.draw(NONCE_SIZE, b"nonce"),
        choice=choice,
    )
    sent = Extension(pair, correction, matrix)
    contributions = {i: ours.draw(CONTRIBUTION_SIZE, b"zero"), j: message.contribution}
    extended = ExtendedPair(
        echo=pair,
        sid=_sid(parameters, pair, sender=i, receiver=j),
        chosen=base.receiver_keys(
            ours, base_sid(parameters, sender=j, receiver=i), message.sender_point
        ),
        zero_seed=pair_seed(pair, contributions),
        receiving=Receiving(key=message_key(sid, sent), choice=choice[:-MASK_SIZE], rows=rows),
    )
    return extended, sent


def message_key(sid: bytes, message: Extension) -> bytes:
    """Key of the row hash: nothing of the message may be left out of it."""
    return rows_key(sid, message.to_bytes())


def correlate(parameters: Parameters, pair: ExtendedPair, message: Extension) -> Correlated:
    """Checks 5 and 6, before any secret is used.

    Raises:
        FailedCheckError: One of the two.
    """
    punctured = pprf.puncture(pair.sid, pair.chosen, parameters.shape.k, message.correction)
    return extension.send(
        pair.sid,
        parameters.shape,
        punctured,
        correction=message.correction,
        message=message.matrix,
    )


def multiply(
    parameters: Parameters,
    key: bytes,
    correlated: Correlated,
    inputs: Sequence[tuple[Scalar, Scalar]],
    checks: Sequence[Scalar],
    arithmetic: Arithmetic,
) -> tuple[multiplication.Shares, tuple[multiplication.Answer, ...]]:
    """Our shares c^u and c^v of the products in which we send, and the answer, chunk by chunk."""
    shares, products = [], []
    for chunk in parameters.chunks:
        here = slice(chunk.start, chunk.start + chunk.count)
        c, part = multiplication.answer(
            key, chunk, correlated, inputs[here], checks[here], arithmetic
        )
        shares += c
        products.append(part)
    return shares, tuple(products)


def receive(
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


def _pair_coins(coins: Coins, j: PartyIndex) -> Coins:
    return coins.child(b"pair", index_to_bytes(j))


def base_sid(parameters: Parameters, *, sender: PartyIndex, receiver: PartyIndex) -> bytes:
    """Of the base transfers, before anything was said."""
    where = index_to_bytes(sender), index_to_bytes(receiver)
    return digest(tags.PRESIGN_DIRECTION, parameters.binding, b"base", *where)


def _sid(parameters: Parameters, pair: bytes, *, sender: PartyIndex, receiver: PartyIndex) -> bytes:
    """Of one multiplication: session, direction, and what both said in round 0."""
    where = index_to_bytes(sender), index_to_bytes(receiver)
    return digest(tags.PRESIGN_DIRECTION, parameters.binding, pair, *where)
