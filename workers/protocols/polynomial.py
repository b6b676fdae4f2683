"""Shamir's sharing and Feldman's commitments to it.

A polynomial of degree t - 1 has t coefficients, the secret first. x-coordinates are party indices
and therefore public; coefficients and values are secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .groups import Group, IdentityError, Point, Scalar
from .rounds import PartyIndex

Vector = tuple[Point, ...]
"""Feldman commitments A_k = a_k * G to the coefficients of one polynomial."""


def evaluate(coefficients: Sequence[Scalar], x: PartyIndex) -> Scalar:
    """f(x) by Horner's rule."""
    group = coefficients[0].group
    value = 0
    for a_k in reversed(coefficients):
        value = (value * x + a_k.value) % group.order
    return group.scalar(value)


def commit(coefficients: Sequence[Scalar]) -> Vector:
    """A_k = a_k * G for every coefficient, in constant time."""
    return tuple(a_k * a_k.group.generator for a_k in coefficients)


def evaluate_commitments(group: Group, vector: Vector, x: PartyIndex) -> Point:
    """f(x) * G from the commitments, by Horner's rule.

    Raises:
        IdentityError: f(x) is zero, or a sum on the way is. Whoever made the vector chose it so.
    """
    scalar = group.scalar(x)
    *rest, total = vector
    for a_k in reversed(rest):
        total = total.multiply_public(scalar) + a_k
    return total


def add_commitments(group: Group, vectors: Sequence[Vector]) -> Vector:
    """Commitments to the sum of polynomials of one degree."""
    return tuple(group.sum(column) for column in zip(*vectors, strict=True))


def interpolating_value(
    group: Group, signers: Iterable[PartyIndex], i: PartyIndex, *, at: int = 0
) -> Scalar:
    """lambda_i: the product of (j - at) / (j - i) over the other signers. RFC 9591 4.2 at 0."""
    numerator = denominator = 1
    for j in signers:
        if j != i:
            numerator *= j - at
            denominator *= j - i
    return group.scalar(numerator) / group.scalar(denominator)


def are_shares_of(
    group: Group, public_key: Point, public_shares: Mapping[PartyIndex, Point], threshold: int
) -> bool:
    """Whether all are one polynomial's of degree ``threshold`` - 1, with the key at 0, times G."""
    basis = sorted(public_shares)[:threshold]
    values = [(0, public_key), *public_shares.items()]
    try:
        return len(basis) == threshold and all(
            value
            == group.sum(
                public_shares[i].multiply_public(interpolating_value(group, basis, i, at=x))
                for i in basis
            )
            for x, value in values
            if x not in basis
        )
    except IdentityError:
        return False  # a sum on the way; only of points that somebody chose so
